//! Patients that a comparison reports on and that choose its settings as well: their figures would be too good.
//!
//! Invariant: a study is known by its pseudonym where both datasets have those of one secret, and by the voxels of any finding in any case. Patients
//! are not known by theirs: synthetic cohorts number them alike.

use std::collections::BTreeSet;

use mtids_shards::{Dataset, RowKind, RowLabels, Split};

use crate::error::TrainError;

/// Patients of the test split of `reported` that train or choose settings on `tuning`.
pub(super) fn patients(reported: &Dataset, tuning: &Dataset) -> Result<usize, TrainError> {
    let (reported_rows, tuning_rows) = (reported.index()?, tuning.index()?);
    let have_one_secret = reported.manifest().pseudonym_fingerprint == tuning.manifest().pseudonym_fingerprint;
    Ok(shared(&reported_rows, &tuning_rows, have_one_secret))
}

fn shared(reported: &[RowLabels], tuning: &[RowLabels], have_one_secret: bool) -> usize {
    let choosing = || tuning.iter().filter(|row| row.split != Split::Test);
    let studies: BTreeSet<&str> = choosing().map(|row| row.study_key.as_str()).collect();
    let is_finding = |row: &&RowLabels| row.kind == RowKind::Finding;
    let digests = choosing().filter(is_finding).map(|row| row.voxels_digest.as_str());
    let voxels: BTreeSet<&str> = digests.filter(|digest| !digest.is_empty()).collect();
    let is_shared = |row: &&RowLabels| {
        have_one_secret && studies.contains(row.study_key.as_str())
            || is_finding(row) && voxels.contains(row.voxels_digest.as_str())
    };
    let tested = reported.iter().filter(|row| row.split == Split::Test);
    tested.filter(is_shared).map(|row| row.patient_key.as_str()).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;
    use mtids_domain::pseudonym::StudyKey;

    #[test]
    fn a_patient_is_known_by_a_study_or_by_voxels() {
        let row = |study: &str, voxels: &str, split| RowLabels {
            study_key: StudyKey::from_stored(study.to_owned()),
            voxels_digest: voxels.to_owned(),
            ..row(&format!("patient of {study}"), split)
        };
        let reported = [row("a", "1", Split::Test), row("b", "2", Split::Test), row("c", "3", Split::Train)];
        let tuning = [row("a", "9", Split::Train), row("z", "2", Split::Validation), row("c", "3", Split::Train)];
        assert_eq!(shared(&reported, &tuning, true), 2);
        assert_eq!(shared(&reported, &tuning, false), 1);
        let of_test: Vec<RowLabels> =
            tuning.iter().map(|one| RowLabels { split: Split::Test, ..one.clone() }).collect();
        assert_eq!(shared(&reported, &of_test, true), 0);
    }
}
