//! The series that a DICOM object (SEG, RTSTRUCT, SR) speaks of.
//!
//! Order: the series or slices that it refers to; else a series of its study; else a series of its patient; the last two in its frame of
//! reference. Invariants: a series of another patient is never taken; a frame of reference alone joins nothing, because some programs
//! write one constant UID.

use std::collections::BTreeSet;

use mtids_domain::annotation::AnnotationTarget;

use super::{Chosen, NoImage, SeriesIndex};
use crate::geometry::RefusedImage;

/// Why an object has no series; each with a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSeries {
    /// What it refers to belongs to another patient.
    OtherPatient(String),
    /// What it refers to is not here, or was refused.
    NotHere(String),
}

fn of_refused(image: &RefusedImage) -> String {
    format!("its image, series {}, is here and was refused: {}", image.series_uid, image.reason)
}

impl SeriesIndex<'_> {
    /// The series that an object may speak of; at least one. `instances` are the slices that it refers to.
    ///
    /// # Errors
    /// [`NoSeries`].
    pub fn candidates(&self, target: &AnnotationTarget, instances: &[String]) -> Result<Vec<usize>, NoSeries> {
        if let Some(image) = self.refused_image(target, instances) {
            return Err(NoSeries::NotHere(of_refused(image)));
        }
        let is_own = |&n: &usize| target.patient_id.as_deref().is_none_or(|patient| self.is_patient(n, patient));
        let referenced = self.referenced(target, instances);
        let own: Vec<usize> = referenced.iter().copied().filter(|n| is_own(n)).collect();
        match (referenced.first(), own.is_empty()) {
            (Some(_), false) => return Ok(own),
            (Some(&other), true) => return Err(self.of_another(target, other)),
            (None, _) => {}
        }
        let frame = target.frame_of_reference_uid.as_deref();
        let in_frame = |&n: &usize| frame.is_none() || self.list[n].frame_of_reference_uid == frame;
        let of_study = target.study_uid.as_deref().map_or(&[][..], |uid| self.of_study(uid));
        let fitting: Vec<usize> = of_study.iter().copied().filter(|n| is_own(n) && in_frame(n)).collect();
        if !fitting.is_empty() {
            return Ok(fitting);
        }
        let with_frame = frame.map_or(&[][..], |uid| self.of_frame(uid));
        if target.patient_id.is_some() {
            let fitting: Vec<usize> = with_frame.iter().copied().filter(is_own).collect();
            if !fitting.is_empty() {
                return Ok(fitting);
            }
        }
        match with_frame.first() {
            Some(&other) => Err(self.of_another(target, other)),
            None => Err(NoSeries::NotHere(self.missing(target))),
        }
    }

    /// What an operator is told where an object is in another frame of reference than the series that it was placed in by its references.
    pub fn frame_doubt(&self, target: &AnnotationTarget, series: usize) -> Option<String> {
        let series = &self.list[series];
        let (own, other) = (target.frame_of_reference_uid.as_deref()?, series.frame_of_reference_uid?);
        (own != other).then(|| {
            format!(
                "its frame of reference {own} is not that of the image that it names, {other} of series {}; it is placed by its coordinates \
                 there: look at both in a viewer",
                series.series_uid
            )
        })
    }

    /// The refused image that an object was drawn on: it names the series or slices of that one, and no slice that is usable.
    fn refused_image(&self, target: &AnnotationTarget, instances: &[String]) -> Option<&RefusedImage> {
        if instances.iter().any(|uid| !self.of_slice(uid).is_empty()) {
            return None;
        }
        let by_series = target.series_uid.as_deref().and_then(|uid| self.refused(Some(uid), None));
        by_series.or_else(|| instances.iter().find_map(|uid| self.refused_slice(uid)))
    }

    /// The series that an object names, by their UID or by their slices.
    fn referenced(&self, target: &AnnotationTarget, instances: &[String]) -> Vec<usize> {
        let by_series = target.series_uid.as_deref().map_or(&[][..], |uid| self.of_series(uid));
        if by_series.len() == 1 || instances.is_empty() {
            return by_series.to_vec();
        }
        let by_slice: BTreeSet<usize> = instances.iter().flat_map(|uid| self.of_slice(uid).iter().copied()).collect();
        // Of several volumes of a series those whose slices are named.
        let named: Vec<usize> = by_series.iter().copied().filter(|n| by_slice.contains(n)).collect();
        match (by_series.is_empty(), named.is_empty()) {
            (true, _) => by_slice.into_iter().collect(),
            (false, false) => named,
            (false, true) => by_series.to_vec(),
        }
    }

    /// Of the candidates the one that holds most of the object's places, where `held` counts them; `None` where none holds any.
    ///
    /// # Errors
    /// [`NoImage`] where several in different frames of reference hold equally many.
    pub fn best(&self, candidates: &[usize], held: impl Fn(usize) -> usize) -> Result<Option<Chosen>, NoImage> {
        let counts: Vec<(usize, usize)> = candidates.iter().map(|&n| (n, held(n))).collect();
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let fitting: Vec<usize> =
            counts.into_iter().filter(|&(_, count)| count == most && most > 0).map(|(n, _)| n).collect();
        self.choose(&fitting)
    }

    fn of_another(&self, target: &AnnotationTarget, series: usize) -> NoSeries {
        let series = &self.list[series];
        NoSeries::OtherPatient(format!(
            "the object is of patient {}, and the image that it refers to (series {}) is of patient {}; correct the ids, or list both in \
             identity.same_person",
            target.patient_id.as_deref().unwrap_or("(none)"),
            series.series_uid,
            series.patient_id
        ))
    }

    fn missing(&self, target: &AnnotationTarget) -> String {
        let (series_uid, study_uid) = (target.series_uid.as_deref(), target.study_uid.as_deref());
        let by_series = series_uid.and_then(|uid| self.refused(Some(uid), None));
        if let Some(image) = by_series.or_else(|| study_uid.and_then(|uid| self.refused(None, Some(uid)))) {
            return of_refused(image);
        }
        match (series_uid, &target.frame_of_reference_uid) {
            (Some(uid), _) => format!("it refers to series {uid}, which is not here"),
            (None, Some(frame)) => {
                format!("it refers to no series here, and none of its patient has its frame of reference {frame}")
            }
            (None, None) => "it refers to no series here".into(),
        }
    }
}
