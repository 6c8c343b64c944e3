//! Which series an annotation speaks of.
//!
//! Purpose: an index over all series of a build, because a row of a large table must not be compared with every series. Invariants: an
//! annotation belongs to a series of its own patient, and a frame of reference alone joins nothing; what speaks of a refused image never
//! slips to another one; where several series of one frame of reference fit, the one with most slices is taken, then the one with the
//! finest step, then the first UID, and a warning names them.

pub mod mask;
mod mask_grid;
mod names;
pub mod object;
pub mod row;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::OnceLock;

use mtids_domain::same_person::SamePerson;

use crate::geometry::{Images, RefusedImage, SeriesGeometry};
use crate::reject::RejectReason;

/// Why an entry has no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoImage {
    /// Stable reason.
    pub reason: RejectReason,
    /// What was found, what it means, what to do.
    pub detail: String,
}

impl NoImage {
    pub(crate) fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// A series, chosen among several where a warning says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Number of the series in the list.
    pub series: usize,
    /// Names the series that fit as well, and the rule.
    pub warning: Option<String>,
}

/// Series by what findings say of theirs; numbers are those of the list.
#[derive(Debug)]
pub struct SeriesIndex<'a> {
    list: &'a [SeriesGeometry<'a>],
    refused: &'a [RefusedImage],
    unread_files: u64,
    people: &'a SamePerson,
    by_series: HashMap<&'a str, Vec<usize>>,
    by_study: HashMap<&'a str, Vec<usize>>,
    by_frame: HashMap<&'a str, Vec<usize>>,
    by_slice: OnceLock<HashMap<&'a str, Vec<usize>>>,
    refused_slices: OnceLock<HashMap<&'a str, &'a RefusedImage>>,
}

impl<'a> SeriesIndex<'a> {
    /// An index over images; `people` says which PatientIDs are one person.
    pub fn new(images: &Images<'a>, people: &'a SamePerson) -> Self {
        let list = images.usable;
        let index = |name: fn(&SeriesGeometry<'a>) -> Option<&'a str>| {
            let mut index: HashMap<&'a str, Vec<usize>> = HashMap::new();
            for (n, series) in list.iter().enumerate() {
                if let Some(name) = name(series) {
                    index.entry(name).or_default().push(n);
                }
            }
            index
        };
        Self {
            by_series: index(|series| Some(series.series_uid)),
            by_study: index(|series| Some(series.study_uid)),
            by_frame: index(|series| series.frame_of_reference_uid),
            by_slice: OnceLock::new(),
            refused_slices: OnceLock::new(),
            list,
            refused: images.refused,
            unread_files: images.unread_files,
            people,
        }
    }

    /// A series of the list.
    pub fn series(&self, number: usize) -> &SeriesGeometry<'a> {
        &self.list[number]
    }

    fn of_series(&self, uid: &str) -> &[usize] {
        self.by_series.get(uid).map_or(&[], Vec::as_slice)
    }

    fn of_study(&self, uid: &str) -> &[usize] {
        self.by_study.get(uid).map_or(&[], Vec::as_slice)
    }

    fn of_frame(&self, uid: &str) -> &[usize] {
        self.by_frame.get(uid).map_or(&[], Vec::as_slice)
    }

    fn of_slice(&self, uid: &str) -> &[usize] {
        self.slices().get(uid).map_or(&[], Vec::as_slice)
    }

    /// Made when the first entry names a slice.
    fn slices(&self) -> &HashMap<&'a str, Vec<usize>> {
        self.by_slice.get_or_init(|| {
            let mut index: HashMap<&'a str, Vec<usize>> = HashMap::new();
            for (n, series) in self.list.iter().enumerate() {
                for uid in series.slices.iter() {
                    let of_slice = index.entry(uid).or_default();
                    // Frames of one object share its UID.
                    if of_slice.last() != Some(&n) {
                        of_slice.push(n);
                    }
                }
            }
            index
        })
    }

    /// Whether a series is of a patient.
    pub(crate) fn is_patient(&self, series: usize, patient_id: &str) -> bool {
        self.is_same_person(self.list[series].patient_id, patient_id)
    }

    fn is_same_person(&self, a: &str, b: &str) -> bool {
        self.people.canonical(a) == self.people.canonical(b)
    }

    /// The refused image that a UID of a series or study names; none where the series has another volume, which is usable.
    fn refused(&self, series_uid: Option<&str>, study_uid: Option<&str>) -> Option<&RefusedImage> {
        self.refused.iter().find(|image| match (series_uid, study_uid) {
            (Some(uid), _) => image.series_uid == uid && self.of_series(uid).is_empty(),
            (None, Some(uid)) => image.study_uid == uid,
            (None, None) => false,
        })
    }

    /// The refused image of a slice.
    fn refused_slice(&self, uid: &str) -> Option<&'a RefusedImage> {
        let slices = self.refused_slices.get_or_init(|| {
            let of_image = |image: &'a RefusedImage| image.slices.iter().map(move |uid| (uid.as_str(), image));
            self.refused.iter().flat_map(of_image).collect()
        });
        slices.get(uid).copied()
    }

    /// One of several series that fit alike; `None` for an empty list.
    ///
    /// # Errors
    /// Their names, where they lie in different frames of reference: a place in mm would mean another place in each.
    fn choose(&self, fitting: &[usize]) -> Result<Option<Chosen>, NoImage> {
        let Some(&first) = fitting.first() else { return Ok(None) };
        let [_, ..] = &fitting[1..] else { return Ok(Some(Chosen { series: first, warning: None })) };
        let frame = |n: usize| self.list[n].frame_of_reference_uid;
        let names = || {
            let names: Vec<String> = fitting.iter().take(4).map(|&n| self.list[n].name()).collect();
            let more = fitting.len().saturating_sub(4);
            if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(" and ") }
        };
        if fitting.iter().any(|&n| frame(n) != frame(first)) {
            let detail = format!(
                "series {} fit, in different frames of reference; name the one that is meant by its SeriesInstanceUID",
                names()
            );
            return Err(NoImage::new(RejectReason::SeveralImages, detail));
        }
        let rank = |n: usize| {
            let series = &self.list[n];
            let [.., step] = series.affine.spacing();
            // Steps are compared to a thousandth of a mm, so that rounding decides nothing.
            (Reverse(series.dimensions[2]), (step * 1e3).round() as i64, series.series_uid, series.part)
        };
        let best = fitting.iter().copied().min_by_key(|&n| rank(n)).unwrap_or(first);
        let warning = format!(
            "series {} fit alike, in one frame of reference; {} is taken (most slices, then the finest step, then the first UID)",
            names(),
            self.list[best].name()
        );
        Ok(Some(Chosen { series: best, warning: Some(warning) }))
    }
}
