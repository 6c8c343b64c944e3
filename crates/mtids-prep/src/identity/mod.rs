//! Who is one person: identifiers of a scan that contradict each other.
//!
//! A StudyInstanceUID is of one person, and so is a SOPInstanceUID. Under two PatientIDs they mean one person registered twice, who could be
//! in training and test, or UIDs that a program has made up. Either stops the build: which one it is, only people know. A
//! FrameOfReferenceUID alone proves nothing, because many anonymisers write a constant.
//!
//! Invariants: everything that a scan has read is judged, also images that no finding speaks of and series that are refused later; the
//! verdict does not depend on the order of files; raw ids stand in messages to the operator and nowhere else.

mod contradiction;
mod placeholder;
mod shared_uids;

use std::sync::Arc;

use mtids_dicom::{InstanceHeader, Limits, ObjectIdentity, SharedFacts};
use mtids_domain::same_person::SamePerson;

pub use contradiction::{Contradiction, IdentityError, Verdict};

use crate::error::PrepError;
use crate::identity::placeholder::judge_placeholders;
use crate::identity::shared_uids::{Claims, judge_uids};

/// Judges the identifiers of images and annotation objects. Patients that `same` declares to be one person are one.
pub fn judge(headers: &[InstanceHeader], objects: &[ObjectIdentity], same: &SamePerson, limits: &Limits) -> Verdict {
    let claims = Claims { headers, objects, same };
    let studies = claims.studies();
    let mut verdict = Verdict::default();
    judge_uids(&claims, &studies, &mut verdict);
    judge_placeholders(&studies, same, limits, &mut verdict);
    let known: std::collections::BTreeSet<&str> = studies.raw_patients().collect();
    let unknown: Vec<&str> = same.ids().filter(|id| !known.contains(id)).collect();
    if let Some(first) = unknown.first() {
        verdict.warnings.push(format!(
            "identity.same_person names {} that no file here bears, for example `{first}`; compare it with `mtids-prep inventory`",
            mtids_report::format::counted(unknown.len() as u64, "PatientID", "PatientIDs")
        ));
    }
    verdict
}

/// Judges the identifiers of a scan, tells the operator, and lets images of one person bear one PatientID from here on.
///
/// # Errors
/// [`PrepError::Identity`] where identifiers contradict each other.
pub(crate) fn settle(
    headers: &mut [InstanceHeader],
    objects: &[ObjectIdentity],
    same: &SamePerson,
    limits: &Limits,
) -> Result<(), PrepError> {
    let Verdict { contradictions, warnings } = judge(headers, objects, same, limits);
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if !contradictions.is_empty() {
        return Err(PrepError::Identity(IdentityError { contradictions }));
    }
    let shared = SharedFacts::default();
    for header in headers {
        let id = same.canonical(&header.patient_id);
        if *id != *header.patient_id {
            let id = Arc::from(id);
            Arc::make_mut(&mut header.shared).patient_id = id;
            // Slices of a series shared their facts before, and do so again.
            shared.share(header);
        }
    }
    Ok(())
}
