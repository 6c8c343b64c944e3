//! An anonymiser that made a new SeriesInstanceUID for each file: one sentence for the study, instead of one refusal per slice.
//!
//! Invariant: such slices are refused, never gathered: what belongs to one reconstruction is then not written anywhere, and annotations can
//! name no series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::ReasonCode;
use crate::image_header::InstanceHeader;
use crate::outcome::Refused;
use crate::series::planes::{heights, same_plane};
use crate::series::refusal::refuse_all;
use crate::steps::Steps;

/// Takes out the slices that are alone in their series and form a regular stack with others of their study or patient that are alone too.
pub(super) fn refuse(single: Vec<InstanceHeader>) -> (Vec<InstanceHeader>, Vec<Refused>) {
    let (rest, mut refused) = refuse_by(single, |slice| (slice.patient_id.clone(), Some(slice.study_uid.clone())));
    // With a StudyInstanceUID for each file as well, only the patient is left.
    let (rest, of_patients) = refuse_by(rest, |slice| (slice.patient_id.clone(), None));
    refused.extend(of_patients);
    (rest, refused)
}

type Owner = (Arc<str>, Option<Arc<str>>);

fn refuse_by(single: Vec<InstanceHeader>, owner: fn(&InstanceHeader) -> Owner) -> (Vec<InstanceHeader>, Vec<Refused>) {
    let mut by_owner: BTreeMap<Owner, Vec<InstanceHeader>> = BTreeMap::new();
    for slice in single {
        by_owner.entry(owner(&slice)).or_default().push(slice);
    }
    let (mut rest, mut refused) = (Vec::new(), Vec::new());
    for slices in by_owner.into_values() {
        let mut stacks: Vec<Vec<InstanceHeader>> = Vec::new();
        for slice in slices {
            let fits = |stack: &&mut Vec<InstanceHeader>| {
                stack.first().is_some_and(|first| first.modality == slice.modality && same_plane(first, &slice))
            };
            match stacks.iter_mut().find(fits) {
                Some(stack) => stack.push(slice),
                None => stacks.push(vec![slice]),
            }
        }
        for stack in stacks {
            if !Steps::are_regular(heights(&stack).into_iter()) {
                rest.extend(stack);
                continue;
            }
            let studies: BTreeSet<&str> = stack.iter().map(|slice| &*slice.study_uid).collect();
            let uids = if studies.len() > 1 { "StudyInstanceUID and a SeriesInstanceUID" } else { "SeriesInstanceUID" };
            let detail = format!(
                "{} slices of one patient lie in one regular stack, and each bears a {uids} of its own: an anonymiser's fault; anonymise \
                 again so that the slices of a series keep one common SeriesInstanceUID",
                stack.len()
            );
            let of_stack = refuse_all(stack, ReasonCode::UidPerFile, &detail);
            // The series of one file says nothing, and would make one message of each.
            refused.extend(of_stack.into_iter().map(|one| Refused { series_uid: None, ..one }));
        }
    }
    (rest, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(series: fn(u32) -> u32, study: fn(u32) -> u32) -> Vec<InstanceHeader> {
        let slice = |n: u32| {
            let mut header = InstanceHeader::for_tests().with(|facts| {
                facts.series_uid = format!("1.2.{}", series(n)).into();
                facts.study_uid = format!("1.{}", study(n)).into();
            });
            (header.path, header.sop_instance_uid) = (format!("{n}.dcm").into(), format!("1.9.{n}"));
            header.position.0[2] = 2.5 * f64::from(n);
            header
        };
        (0..6).map(slice).collect()
    }

    #[test]
    fn a_series_uid_for_each_file_is_one_sentence() {
        for (study, uids) in
            [((|_| 1) as fn(u32) -> u32, "a SeriesInstanceUID"), (|n| n, "a StudyInstanceUID and a Ser")]
        {
            let (rest, refused) = refuse(slices(|n| n, study));
            assert!(rest.is_empty());
            assert_eq!(refused.len(), 6);
            assert!(refused.iter().all(|one| one.detail == refused[0].detail && one.series_uid.is_none()));
            assert!(
                refused[0].detail.contains("6 slices") && refused[0].detail.contains(uids),
                "{}",
                refused[0].detail
            );
            assert_eq!(refused[0].reason, ReasonCode::UidPerFile);
        }
    }

    #[test]
    fn single_slices_that_form_no_stack_are_left_alone() {
        let mut two = slices(|n| n, |_| 1);
        two.truncate(2);
        assert_eq!(refuse(two).0.len(), 2);
        let mut patients = slices(|n| n, |n| n);
        for (n, slice) in patients.iter_mut().enumerate() {
            Arc::make_mut(&mut slice.shared).patient_id = format!("P{n}").into();
        }
        assert_eq!(refuse(patients).0.len(), 6, "slices of six people are no stack");
        let mut uneven = slices(|n| n, |_| 1);
        uneven[3].position.0[2] += 1.0;
        assert_eq!(refuse(uneven).0.len(), 6);
    }
}
