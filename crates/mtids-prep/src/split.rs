//! Patients are dealt to train, validation and test.
//!
//! Invariants: a patient is in one split; the result depends on pseudonyms, labels and settings only, never on the order of input.
//! `hash` decides each patient alone, so that new patients move nobody; `stratified` balances regions and status, and suits small cohorts.

use std::collections::BTreeMap;

use mtids_core::digest::Digest;
use mtids_core::pseudonym::PatientKey;
use mtids_shards::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PrepError;

/// How patients are dealt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SplitMethod {
    /// Greedy balance of (region, status) counts over the splits.
    #[default]
    Stratified,
    /// Each patient by a keyed hash.
    Hash,
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
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { method: SplitMethod::Stratified, train: 0.6, validation: 0.15, test: 0.25, seed: 1 }
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
        Ok(())
    }

    fn shares(&self) -> [f64; 3] {
        [self.train, self.validation, self.test]
    }
}

/// Label counts of a patient: (region, status) → findings. Unknown labels count as their own class.
pub type LabelCounts = BTreeMap<(Option<i8>, Option<i8>), u32>;

/// Deals every patient.
pub fn deal(patients: &BTreeMap<PatientKey, LabelCounts>, config: &SplitConfig) -> BTreeMap<PatientKey, Split> {
    match config.method {
        SplitMethod::Hash => patients.keys().map(|key| (key.clone(), by_hash(key, config))).collect(),
        SplitMethod::Stratified => stratified(patients, config),
    }
}

/// A number in 0..1 that belongs to a patient and a seed.
fn position(key: &PatientKey, seed: u64) -> f64 {
    let digest = Digest::of_parts([b"split".as_slice(), &seed.to_le_bytes(), key.as_str().as_bytes()]);
    let number = digest.as_bytes().iter().take(8).fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
    (number >> 11) as f64 / (1u64 << 53) as f64
}

fn by_hash(key: &PatientKey, config: &SplitConfig) -> Split {
    let at = position(key, config.seed);
    if at < config.train {
        Split::Train
    } else if at < config.train + config.validation {
        Split::Validation
    } else {
        Split::Test
    }
}

/// Greedy: patients with most findings first; each goes where its labels are most missing.
fn stratified(patients: &BTreeMap<PatientKey, LabelCounts>, config: &SplitConfig) -> BTreeMap<PatientKey, Split> {
    let shares = config.shares();
    let mut totals: LabelCounts = BTreeMap::new();
    for counts in patients.values() {
        for (label, count) in counts {
            *totals.entry(*label).or_default() += count;
        }
    }
    let mut order: Vec<_> = patients.iter().collect();
    order.sort_by(|a, b| {
        let findings = |counts: &LabelCounts| counts.values().sum::<u32>();
        findings(b.1)
            .cmp(&findings(a.1))
            .then_with(|| position(a.0, config.seed).total_cmp(&position(b.0, config.seed)))
    });
    let mut held: [LabelCounts; 3] = Default::default();
    let mut heads = [0.0; 3];
    let mut dealt = BTreeMap::new();
    for (key, counts) in order {
        let score = |split: usize| {
            if shares[split] <= 0.0 {
                return f64::NEG_INFINITY;
            }
            // Missing share of each label the patient brings, weighted by how many it brings; missing heads break ties.
            let labels: f64 = counts
                .iter()
                .map(|(label, count)| {
                    let total = f64::from(totals[label]);
                    let have = f64::from(held[split].get(label).copied().unwrap_or(0));
                    f64::from(*count) * (shares[split] - have / total) / shares[split]
                })
                .sum();
            let missing_heads = shares[split] - heads[split] / patients.len() as f64;
            labels / f64::from(counts.values().sum::<u32>().max(1)) + 2.0 * missing_heads / shares[split]
        };
        // Ties go to the earlier split; training comes first.
        let best = (0..3).rev().max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0);
        for (label, count) in counts {
            *held[best].entry(*label).or_default() += count;
        }
        heads[best] += 1.0;
        dealt.insert(key.clone(), Split::ALL[best]);
    }
    dealt
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

    #[test]
    fn a_single_patient_is_for_training() {
        let dealt = deal(&cohort(&[(0, 0)]), &SplitConfig::default());
        assert_eq!(dealt.values().collect::<Vec<_>>(), [&Split::Train]);
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
            let dealt = deal(&patients, &config);
            prop_assert_eq!(dealt.len(), patients.len());
            for (split, share) in Split::ALL.into_iter().zip(config.shares()) {
                let of = dealt.values().filter(|&&found| found == split).count() as f64;
                prop_assert!((of / patients.len() as f64 - share).abs() < 0.08, "{:?}: {}", split, of);
            }
            prop_assert_eq!(deal(&patients, &config), dealt);
        }

        #[test]
        fn hashing_moves_nobody_when_patients_are_added(count in 5usize..40) {
            let config = SplitConfig { method: SplitMethod::Hash, ..Default::default() };
            let few = deal(&cohort(&vec![(0, 0); count]), &config);
            let more = deal(&cohort(&vec![(0, 0); count + 10]), &config);
            for (key, split) in few {
                prop_assert_eq!(more[&key], split);
            }
        }
    }
}
