//! Patients are assigned to train, validation and test.
//!
//! Invariants: a patient is in one split; the result depends on pseudonyms, labels and settings only, never on the order of input.
//! `hash` decides each patient alone, so that new patients move nobody; `stratified` balances regions and status, and suits small cohorts;
//! `table` takes what a file says. With `folds` the shares are those of a cross-validation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mtids_domain::pseudonym::PatientKey;
use mtids_shards::{LabelCounts, Split, part_by_hash, parts_by_labels, split_in_fold};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PrepError;

/// How patients are assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SplitMethod {
    /// Greedy balance of (region, status) counts over the splits.
    #[default]
    Stratified,
    /// Each patient by a keyed hash.
    Hash,
    /// By the file `split.table`.
    Table,
}

/// Settings of the split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Method. Default `stratified`.
    pub method: SplitMethod,
    /// Share of patients for training. Default 0.6.
    pub train: f64,
    /// Share for validation. Default 0.15.
    pub validation: f64,
    /// Share for testing. Default 0.25.
    pub test: f64,
    /// Seed.
    pub seed: u64,
    /// Folds of a cross-validation, at least 3; 0 for none. Then patients are assigned to folds alike, `fold` is for testing, the next one for
    /// validation, the others for training, and the shares above have no effect. Default 0.
    pub folds: u32,
    /// Which fold is for testing, from 0.
    pub fold: u32,
    /// For the method `table`: a CSV file with the columns `patient_id` and `split` (train, validation or test).
    pub table: Option<PathBuf>,
    /// Patient ids that differ in case, width of letters, spaces, punctuation or leading zeros alone are different people. Default false: they stop the
    /// build, because one person in two splits would go unseen.
    pub similar_ids_are_different_people: bool,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            method: SplitMethod::Stratified,
            train: 0.6,
            validation: 0.15,
            test: 0.25,
            seed: 1,
            folds: 0,
            fold: 0,
            table: None,
            similar_ids_are_different_people: false,
        }
    }
}

impl SplitConfig {
    /// Checks the shares.
    ///
    /// # Errors
    /// [`PrepError::Config`] when a share is negative or they do not sum to 1.
    pub fn validate(&self) -> Result<(), PrepError> {
        let shares = self.shares();
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-6 {
            let reason = format!("train, validation and test are shares that sum to 1, got {shares:?}");
            return Err(PrepError::Config { key: "split".into(), reason });
        }
        let fail = |key: &str, reason: &str| Err(PrepError::Config { key: key.into(), reason: reason.into() });
        if self.folds > 0 && (!(3..=1000).contains(&self.folds) || self.fold >= self.folds) {
            return fail("split.folds", "must be at least 3, with `fold` from 0 to folds − 1");
        }
        match (self.method, &self.table) {
            (SplitMethod::Table, None) => fail("split.table", "required by split.method = \"table\""),
            (SplitMethod::Table, Some(_)) if self.folds > 0 => {
                fail("split.folds", "not possible with split.method = \"table\"")
            }
            (SplitMethod::Stratified | SplitMethod::Hash, Some(_)) => {
                fail("split.table", "only read with split.method = \"table\"")
            }
            _ => Ok(()),
        }
    }

    fn shares(&self) -> [f64; 3] {
        [self.train, self.validation, self.test]
    }
}

/// Assigns every patient to a split. `table` holds what the file says, for the method `table`.
///
/// # Errors
/// [`PrepError::Config`] for patients that the table does not name.
pub fn assign_splits(
    patients: &BTreeMap<PatientKey, LabelCounts>,
    config: &SplitConfig,
    table: &BTreeMap<PatientKey, Split>,
) -> Result<BTreeMap<PatientKey, Split>, PrepError> {
    if config.method == SplitMethod::Table {
        let unnamed = patients.keys().filter(|key| !table.contains_key(*key)).count();
        if unnamed > 0 {
            let reason = format!("{unnamed} of {} patients with annotations are not in the table", patients.len());
            return Err(PrepError::Config { key: "split.table".into(), reason });
        }
        return Ok(patients.keys().map(|key| (key.clone(), table[key])).collect());
    }
    let shares = if config.folds > 0 {
        vec![1.0 / f64::from(config.folds); config.folds as usize]
    } else {
        config.shares().into()
    };
    let parts: BTreeMap<PatientKey, usize> = match config.method {
        SplitMethod::Hash => {
            patients.keys().map(|key| (key.clone(), part_by_hash(key, &shares, config.seed))).collect()
        }
        _ => parts_by_labels(patients, &shares, config.seed),
    };
    let name = |part: usize| match config.folds {
        0 => Split::ALL[part],
        folds => split_in_fold(part, folds, config.fold),
    };
    Ok(parts.into_iter().map(|(key, part)| (key, name(part))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cohort(labels: &[(i8, i8)]) -> BTreeMap<PatientKey, LabelCounts> {
        labels
            .iter()
            .enumerate()
            .map(|(n, &(region, status))| {
                (PatientKey::from_stored(format!("p{n}")), LabelCounts::from([((Some(region), Some(status)), 2)]))
            })
            .collect()
    }

    fn assigned(patients: &BTreeMap<PatientKey, LabelCounts>, config: &SplitConfig) -> BTreeMap<PatientKey, Split> {
        assign_splits(patients, config, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn every_patient_is_tested_in_one_fold_and_validates_another() {
        let labels: Vec<(i8, i8)> = (0..60).map(|n| (n % 3, n % 2)).collect();
        let patients = cohort(&labels);
        for method in [SplitMethod::Stratified, SplitMethod::Hash] {
            let folds: Vec<_> = (0..5)
                .map(|fold| assigned(&patients, &SplitConfig { method, folds: 5, fold, ..Default::default() }))
                .collect();
            for key in patients.keys() {
                let count = |split: Split| folds.iter().filter(|fold| fold[key] == split).count();
                assert_eq!((count(Split::Test), count(Split::Validation), count(Split::Train)), (1, 1, 3));
            }
        }
        let sizes: Vec<usize> = (0..5)
            .map(|fold| {
                let config = SplitConfig { folds: 5, fold, ..Default::default() };
                assigned(&patients, &config).values().filter(|split| **split == Split::Test).count()
            })
            .collect();
        assert!(sizes.iter().all(|size| (10..=14).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_table_must_name_every_patient() {
        let patients = cohort(&[(0, 0), (1, 1)]);
        let config = SplitConfig { method: SplitMethod::Table, table: Some("t.csv".into()), ..Default::default() };
        let key = |n: usize| PatientKey::from_stored(format!("p{n}"));
        let mut table = BTreeMap::from([(key(0), Split::Test)]);
        assert!(assign_splits(&patients, &config, &table).unwrap_err().to_string().contains("1 of 2"));
        table.insert(key(1), Split::Train);
        assert_eq!(assign_splits(&patients, &config, &table).unwrap(), table);
    }

    #[test]
    fn impossible_folds_and_tables_are_refused() {
        assert!(SplitConfig { folds: 2, ..Default::default() }.validate().is_err());
        assert!(SplitConfig { folds: 5, fold: 5, ..Default::default() }.validate().is_err());
        assert!(SplitConfig { method: SplitMethod::Table, ..Default::default() }.validate().is_err());
        assert!(SplitConfig { table: Some("t.csv".into()), ..Default::default() }.validate().is_err());
    }

    #[test]
    fn a_single_patient_is_for_training() {
        let assigned = assigned(&cohort(&[(0, 0)]), &SplitConfig::default());
        assert_eq!(assigned.values().collect::<Vec<_>>(), [&Split::Train]);
    }

    #[test]
    fn shares_that_do_not_sum_to_one_are_refused() {
        assert!(SplitConfig { train: 0.9, ..Default::default() }.validate().is_err());
    }

    proptest! {
        #[test]
        fn stratified_shares_hold_for_patients_and_labels(labels in prop::collection::vec((0i8..3, 0i8..2), 40..80), seed in 0u64..50) {
            let config = SplitConfig { seed, ..Default::default() };
            let patients = cohort(&labels);
            let assigned_once = assigned(&patients, &config);
            prop_assert_eq!(assigned_once.len(), patients.len());
            for (split, share) in Split::ALL.into_iter().zip(config.shares()) {
                let of = assigned_once.values().filter(|&&found| found == split).count() as f64;
                prop_assert!((of / patients.len() as f64 - share).abs() < 0.08, "{:?}: {}", split, of);
            }
            prop_assert_eq!(assigned(&patients, &config), assigned_once);
        }

        #[test]
        fn hashing_moves_nobody_when_patients_are_added(count in 5usize..40) {
            let config = SplitConfig { method: SplitMethod::Hash, ..Default::default() };
            let few = assigned(&cohort(&vec![(0, 0); count]), &config);
            let more = assigned(&cohort(&vec![(0, 0); count + 10]), &config);
            for (key, split) in few {
                prop_assert_eq!(more[&key], split);
            }
        }
    }
}
