//! The CT series that a scan saw, so that those which turn out unusable are still known when annotations are assigned.
//!
//! Invariant: one entry for each series, whatever becomes of its slices, and one for each volume of it that was judged and refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mtids_annotations::{InPlane, RefusedImage};
use mtids_dicom::{FileOutcome, InstanceHeader, ObjectIdentity, ReasonCode, Series};
use mtids_domain::same_person::SamePerson;

/// Patient, study and series.
type Key = (Arc<str>, Arc<str>, Arc<str>);

/// CT series by identity, each with how one of its slices lies.
#[derive(Debug, Default)]
pub(crate) struct SeenImages(HashMap<Key, InPlane>);

impl SeenImages {
    /// SeriesInstanceUIDs.
    pub(crate) fn series_uids(&self) -> HashSet<String> {
        self.0.keys().map(|(_, _, series_uid)| series_uid.as_ref().to_owned()).collect()
    }

    /// The series of these headers.
    pub(crate) fn of(headers: &[InstanceHeader]) -> Self {
        let mut seen: HashMap<Key, InPlane> = HashMap::new();
        let mut last: Option<&InstanceHeader> = None;
        for header in headers.iter().filter(|header| &*header.modality == "CT") {
            // Headers of a series mostly follow each other: only the first of them is looked up.
            let is_new = last.is_none_or(|last| {
                (&last.patient_id, &last.study_uid, &last.series_uid)
                    != (&header.patient_id, &header.study_uid, &header.series_uid)
            });
            if is_new {
                let key = (header.patient_id.clone(), header.study_uid.clone(), header.series_uid.clone());
                seen.entry(key).or_insert_with(|| InPlane::of(header));
            }
            last = Some(header);
        }
        Self(seen)
    }

    /// The volumes that were `judged` and refused, and the series of which nothing came so far, sorted, each of these with the reason of one of its
    /// files.
    pub(crate) fn refused<'a>(
        self,
        usable: impl Iterator<Item = &'a Series>,
        judged: Vec<RefusedImage>,
        outcomes: &[FileOutcome],
    ) -> Vec<RefusedImage> {
        let mut known: HashSet<Key> =
            usable.map(|one| (one.patient_id.clone(), one.study_uid.clone(), one.series_uid.clone())).collect();
        let key = |image: &RefusedImage| {
            (image.patient_id.as_str().into(), image.study_uid.as_str().into(), image.series_uid.as_str().into())
        };
        known.extend(judged.iter().map(key));
        let reasons: HashMap<&str, ReasonCode> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                FileOutcome::Refused(refused) => Some((refused.series_uid.as_deref()?, refused.reason)),
                _ => None,
            })
            .collect();
        let unusable = self.0.into_iter().filter(|(key, _)| !known.contains(key));
        let mut refused = judged;
        refused.extend(unusable.map(|((patient_id, study_uid, series_uid), in_plane)| RefusedImage {
            reason: reasons.get(&*series_uid).copied().unwrap_or(ReasonCode::Unreadable),
            patient_id: patient_id.as_ref().to_owned(),
            study_uid: study_uid.as_ref().to_owned(),
            series_uid: series_uid.as_ref().to_owned(),
            slices: Vec::new(),
            in_plane: Some(in_plane),
        }));
        refused.sort_by(|a, b| {
            (&a.patient_id, &a.study_uid, &a.series_uid).cmp(&(&b.patient_id, &b.study_uid, &b.series_uid))
        });
        refused
    }
}

/// CT images without a header that can be used, one for each series; none of those of `known` series.
pub(crate) fn of_unread(
    unread: Vec<(ObjectIdentity, ReasonCode)>,
    known: &HashSet<String>,
    same: &SamePerson,
) -> Vec<RefusedImage> {
    let mut images: BTreeMap<String, RefusedImage> = BTreeMap::new();
    for (identity, reason) in unread {
        let Some(series_uid) = identity.series_uid.filter(|uid| !known.contains(uid)) else { continue };
        let image = images.entry(series_uid.clone()).or_insert_with(|| RefusedImage {
            patient_id: same.canonical(&identity.patient_id.unwrap_or_default()).to_owned(),
            study_uid: identity.study_uid.unwrap_or_default(),
            series_uid,
            slices: Vec::new(),
            in_plane: None,
            reason,
        });
        image.slices.extend(identity.sop_instance_uid);
    }
    images.into_values().collect()
}

/// A volume that was judged and refused; none of a volume without slices.
pub(crate) fn refused_volume(series: &Series, reason: ReasonCode) -> Option<RefusedImage> {
    Some(RefusedImage {
        patient_id: series.patient_id.as_ref().to_owned(),
        study_uid: series.study_uid.as_ref().to_owned(),
        series_uid: series.series_uid.as_ref().to_owned(),
        slices: series.instances.iter().map(|header| header.sop_instance_uid.clone()).collect(),
        in_plane: Some(InPlane::of(series.instances.first()?)),
        reason,
    })
}
