//! Whether a model has seen the patients that it is measured on.
//!
//! A dataset whose splits were drawn anew holds patients of the run's training split in its test split. Their figures would be those of
//! recall, not of recognition. Rule: patients of the run's training or validation split are left out of the figures, and named; where all
//! are, nothing is measured. A user may ask for the figures of the run's own training or validation split, and is told what they are.
//! Invariant: messages name pseudonyms only.

use std::collections::BTreeSet;

use mtids_domain::pseudonym::PatientKey;
use mtids_report::format::counted;
use mtids_shards::{RowKind, RowLabels, Split};
use serde::Serialize;

use crate::run_folder::TrainedOn;

/// Most pseudonyms in a sentence.
const NAMED: usize = 5;

/// What is known of the patients that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acquaintance {
    /// None of them was seen in training.
    Unseen,
    /// Those that were seen are left out of the figures.
    SeenLeftOut,
    /// The user asked for the run's own training or validation split.
    OwnSplit,
    /// Their pseudonyms are of another secret, or the run has no record of its patients.
    Unknown,
}

/// Patients of the evaluated split that the run was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenPatients {
    /// What is known.
    pub acquaintance: Acquaintance,
    /// Patients of the split.
    pub patients_of_split: usize,
    /// Those that were seen in training or validation, sorted; not in the figures, unless the split is the run's own.
    pub seen: BTreeSet<PatientKey>,
    /// What it means, in a sentence; empty where nobody was seen.
    pub sentence: String,
}

impl SeenPatients {
    /// Compares the rows of `split` with what a run was trained on. `own` says that the dataset is the run's own.
    pub fn find(trained: Option<&TrainedOn>, fingerprint: &str, own: bool, split: Split, index: &[RowLabels]) -> Self {
        let rows = || index.iter().filter(|row| row.split == split);
        let patients: BTreeSet<&PatientKey> = rows().map(|row| &row.patient_key).collect();
        let comparable = trained.filter(|trained| own || trained.pseudonym_fingerprint == fingerprint);
        let is_seen = |row: &&RowLabels| {
            let by_key = comparable.is_some_and(|trained| {
                trained.train.contains(&row.patient_key) || trained.validation.contains(&row.patient_key)
            });
            let by_voxels = || {
                trained.is_some_and(|known| row.kind == RowKind::Finding && known.voxels.contains(&row.voxels_digest))
            };
            by_key || by_voxels()
        };
        let seen: BTreeSet<PatientKey> = rows().filter(is_seen).map(|row| row.patient_key.clone()).collect();
        let acquaintance = match (own && split != Split::Test, seen.is_empty(), comparable) {
            (true, ..) => Acquaintance::OwnSplit,
            (_, false, _) => Acquaintance::SeenLeftOut,
            (_, true, Some(_)) => Acquaintance::Unseen,
            (_, true, None) => Acquaintance::Unknown,
        };
        let mut found = Self { acquaintance, patients_of_split: patients.len(), seen, sentence: String::new() };
        found.sentence = found.words(trained, comparable.is_some(), split);
        found
    }

    /// Whether the rows of a patient stay out of the figures.
    pub fn leaves_out(&self, patient: &str) -> bool {
        self.acquaintance == Acquaintance::SeenLeftOut && self.seen.contains(&PatientKey::from_stored(patient))
    }

    /// Whether nobody is left to measure.
    pub fn leaves_nobody(&self) -> bool {
        self.acquaintance == Acquaintance::SeenLeftOut && self.seen.len() == self.patients_of_split
    }

    fn words(&self, trained: Option<&TrainedOn>, comparable: bool, split: Split) -> String {
        let unknown = match trained {
            Some(_) => {
                "the pseudonyms of this dataset are of another secret than those of the run's, so whether its patients were trained on cannot \
                 be known; build it with the key of the run's dataset"
            }
            None => {
                "the run has no record of its patients (it is of an older mtids-train), so whether patients of this dataset were trained on \
                 cannot be known; evaluate on the run's own dataset, or train again"
            }
        };
        match (self.acquaintance, split) {
            (Acquaintance::Unseen, _) => String::new(),
            (Acquaintance::Unknown, _) => unknown.to_owned(),
            (Acquaintance::OwnSplit, Split::Validation) => {
                "settings and weights are chosen on these patients: figures are too good for new ones".to_owned()
            }
            (Acquaintance::OwnSplit, _) => {
                "the model was trained on these patients: figures say how well it remembers, not how well it does on new ones".to_owned()
            }
            (Acquaintance::SeenLeftOut, _) => {
                let chosen = trained.map_or(0, |known| self.seen.intersection(&known.validation).count());
                let names: Vec<&str> = self.seen.iter().take(NAMED).map(PatientKey::as_str).collect();
                let mut text = format!(
                    "{} of {} of the {} split were seen in training and are left out of the figures: {}{}",
                    self.seen.len(),
                    counted(self.patients_of_split as u64, "patient", "patients"),
                    split.name(),
                    names.join(", "),
                    if self.seen.len() > NAMED { ", …" } else { "" }
                );
                if chosen > 0 {
                    text.push_str(&format!(" ({chosen} of them in the validation split, where settings and weights are chosen)"));
                }
                if !comparable {
                    text.push_str(&format!(". They were found by identical voxels; of the others, {unknown}"));
                }
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_counts::LabelCounts;
    use crate::testing::row;

    fn trained() -> TrainedOn {
        let keys = |names: &[&str]| names.iter().map(|name| PatientKey::from_stored(*name)).collect();
        TrainedOn {
            pseudonym_fingerprint: "key 1".into(),
            train: keys(&["a", "b"]),
            validation: keys(&["c"]),
            voxels: ["voxels of a".to_owned()].into(),
            validation_voxels: Default::default(),
            voxels_of_another_secret: BTreeSet::new(),
            labels: LabelCounts::of(1, []),
            taught: None,
        }
    }

    fn find(
        trained: Option<&TrainedOn>,
        fingerprint: &str,
        own: bool,
        split: Split,
        patients: &[&str],
    ) -> SeenPatients {
        let mut index: Vec<RowLabels> = patients.iter().map(|patient| row(patient, split)).collect();
        // Other splits say nothing about this one.
        index.extend(Split::ALL.into_iter().filter(|other| *other != split).map(|other| row("a", other)));
        SeenPatients::find(trained, fingerprint, own, split, &index)
    }

    #[test]
    fn seen_patients_of_another_dataset_are_left_out_and_named() {
        let known = trained();
        let some = find(Some(&known), "key 1", false, Split::Test, &["a", "c", "x", "y"]);
        assert_eq!((some.acquaintance, some.seen.len()), (Acquaintance::SeenLeftOut, 2));
        assert!(some.leaves_out("a") && !some.leaves_out("x") && !some.leaves_nobody());
        for part in ["2 of 4 patients of the test split", "a, c", "1 of them in the validation split"] {
            assert!(some.sentence.contains(part), "{part}: {}", some.sentence);
        }
        let none = find(Some(&known), "key 1", false, Split::Test, &["x"]);
        assert_eq!((none.acquaintance, none.sentence.as_str()), (Acquaintance::Unseen, ""));
        assert!(find(Some(&known), "key 1", false, Split::Train, &["a", "b"]).leaves_nobody());
    }

    #[test]
    fn another_secret_leaves_the_question_open_but_for_identical_voxels() {
        let known = trained();
        let open = find(Some(&known), "key 2", false, Split::Test, &["b", "x"]);
        assert_eq!(open.acquaintance, Acquaintance::Unknown);
        assert!(open.sentence.contains("another secret"), "{}", open.sentence);
        let mut index = vec![row("x", Split::Test), row("y", Split::Test)];
        index[1].voxels_digest = "voxels of a".into();
        let found = SeenPatients::find(Some(&known), "key 2", false, Split::Test, &index);
        assert!(found.leaves_out("y") && !found.leaves_out("x"));
        assert!(found.sentence.contains("identical voxels") && found.sentence.contains("another secret"));
        let unrecorded = find(None, "key 1", false, Split::Test, &["a"]);
        assert!(unrecorded.sentence.contains("no record"), "{}", unrecorded.sentence);
    }

    #[test]
    fn a_run_s_own_splits_are_measured_whole_and_called_what_they_are() {
        let known = trained();
        let own = find(Some(&known), "key 1", true, Split::Train, &["a", "b"]);
        assert!(own.acquaintance == Acquaintance::OwnSplit && !own.leaves_out("a") && !own.leaves_nobody());
        assert!(own.sentence.contains("trained on these"), "{}", own.sentence);
        let validation = find(Some(&known), "key 1", true, Split::Validation, &["c"]);
        assert!(validation.sentence.contains("chosen on these"), "{}", validation.sentence);
        // A dataset with a patient in two splits, which `mtids-audit` calls an error.
        assert!(find(Some(&known), "key 1", true, Split::Test, &["a", "x"]).leaves_out("a"));
    }
}
