//! Whom and what a run was trained on: `trained-on.json`.
//!
//! Purpose: an evaluation on another dataset must know whom the model has seen. The dataset of a run may be gone by then, or its splits
//! drawn anew. Invariants: pseudonyms and digests only, sorted; a pure function of the dataset and of the run that this one began from, so an interrupted run writes the same file.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_domain::pseudonym::PatientKey;
use mtids_runtime::atomic;
use mtids_shards::{Manifest, RowKind, RowLabels, Split};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::label_counts::LabelCounts;
use crate::labels::codes;

/// File in the run folder.
pub(super) const TRAINED_ON: &str = "trained-on.json";

/// What a training has seen of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedOn {
    /// Fingerprint of the secret behind the pseudonyms: keys of another secret cannot be compared.
    pub pseudonym_fingerprint: String,
    /// Patients of the training split.
    pub train: BTreeSet<PatientKey>,
    /// Patients of the validation split, on whom the best weights are chosen.
    pub validation: BTreeSet<PatientKey>,
    /// Digests of the voxels of their findings: the same patch under another pseudonym is the same person.
    pub voxels: BTreeSet<String>,
    /// Of `voxels`, those of the validation split. None in the record of a program that did not tell them apart.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub validation_voxels: BTreeSet<String>,
    /// Of `voxels`, those that a run of another secret was taught which this one began with. Whom it was taught is known by nothing else.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub voxels_of_another_secret: BTreeSet<String>,
    /// Labels of the training split.
    pub labels: LabelCounts,
    /// Labels that the weights were fitted to, by this run or one that it began from: of rows that sampling keeps, with evidence and rows of some
    /// weight. None in the record of a program that did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taught: Option<LabelCounts>,
}

impl TrainedOn {
    /// What a training on this dataset sees; `index` are all its rows.
    pub fn of(manifest: &Manifest, index: &[RowLabels]) -> Self {
        let regions = manifest.description.regions.len();
        let of_split = |split: Split| index.iter().filter(move |row| row.split == split);
        let patients = |split| of_split(split).map(|row| row.patient_key.clone()).collect();
        let findings = |split| of_split(split).filter(|row| row.kind == RowKind::Finding);
        let voxels = |split| findings(split).map(|row| row.voxels_digest.clone());
        Self {
            pseudonym_fingerprint: manifest.pseudonym_fingerprint.clone(),
            train: patients(Split::Train),
            validation: patients(Split::Validation),
            voxels: voxels(Split::Train).chain(voxels(Split::Validation)).collect(),
            validation_voxels: voxels(Split::Validation).collect(),
            voxels_of_another_secret: BTreeSet::new(),
            labels: LabelCounts::of(regions, findings(Split::Train).map(|row| codes(row, regions))),
            taught: None,
        }
    }

    /// With what a run had seen whose weights this one began with. Keys of another secret are left out, for they mean nothing here.
    pub(crate) fn and(mut self, earlier: &Self) -> Self {
        let taught =
            |seen: &Self| seen.voxels.difference(&seen.validation_voxels).cloned().collect::<BTreeSet<String>>();
        let (own, of_earlier) = (taught(&self), taught(earlier));
        if self.pseudonym_fingerprint == earlier.pseudonym_fingerprint {
            self.train.extend(earlier.train.iter().cloned());
            self.validation.extend(earlier.validation.iter().cloned());
        } else {
            self.voxels_of_another_secret.extend(of_earlier.iter().cloned());
        }
        self.voxels_of_another_secret.extend(earlier.voxels_of_another_secret.iter().cloned());
        self.voxels.extend(earlier.voxels.iter().cloned());
        self.validation_voxels.extend(earlier.validation_voxels.iter().cloned());
        // Of a run that did not count them, the training split says what it may have been taught.
        let of_earlier_labels = earlier.taught.as_ref().unwrap_or(&earlier.labels);
        self.taught = self.taught.map(|own| own.and(of_earlier_labels));
        self.validation_voxels.retain(|voxels| !own.contains(voxels) && !of_earlier.contains(voxels));
        self
    }

    /// Patients to whom weights were fitted: by this run, or by one that it began from, whose training split may hold patients of another split now.
    /// `index` are all rows of the dataset: those of a run of another secret are known by their voxels.
    pub(crate) fn taught(&self, index: &[RowLabels]) -> BTreeSet<String> {
        let again = index.iter().filter(|row| self.voxels_of_another_secret.contains(&row.voxels_digest));
        self.train.iter().chain(again.map(|row| &row.patient_key)).map(|key| key.as_str().to_owned()).collect()
    }

    /// Writes the record into a folder: that of a run, or of figures about it.
    pub(crate) fn write(&self, run: &Path) -> Result<(), TrainError> {
        let file = run.join(TRAINED_ON);
        let mut json = serde_json::to_vec(self).map_err(|error| TrainError::io(&file, error.into()))?;
        json.push(b'\n');
        atomic::write(&file, &json).map_err(|error| TrainError::io(&file, error))
    }

    /// Reads the record of a run folder; `None` for a run of a program that wrote none.
    pub(super) fn read(run: &Path) -> Result<Option<Self>, TrainError> {
        let file = run.join(TRAINED_ON);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::io(&file, error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| TrainError::broken(&file, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;

    #[test]
    fn patients_of_an_older_secret_are_known_by_their_voxels() {
        let with_voxels = |patient: &str, split: Split, voxels: &str| {
            let mut row = row(patient, split);
            row.voxels_digest = voxels.into();
            row
        };
        let index = [
            with_voxels("taught-now", Split::Train, "1"),
            with_voxels("taught-before", Split::Validation, "2"),
            with_voxels("taught-before", Split::Validation, "3"),
            with_voxels("new", Split::Validation, "4"),
        ];
        let seen = TrainedOn {
            pseudonym_fingerprint: "this".into(),
            train: [PatientKey::from_stored("taught-now")].into(),
            validation: ["taught-before", "new"].map(PatientKey::from_stored).into(),
            voxels: ["1", "2", "3", "4"].map(str::to_owned).into(),
            validation_voxels: BTreeSet::new(),
            voxels_of_another_secret: BTreeSet::new(),
            labels: LabelCounts::of(1, []),
            taught: None,
        };
        assert_eq!(seen.taught(&index), ["taught-now".to_owned()].into());
        let another = TrainedOn {
            pseudonym_fingerprint: "another".into(),
            voxels: ["2", "4"].map(str::to_owned).into(),
            validation_voxels: ["4".to_owned()].into(),
            ..seen.clone()
        };
        assert_eq!(seen.and(&another).taught(&index), ["taught-before", "taught-now"].map(str::to_owned).into());
    }
}
