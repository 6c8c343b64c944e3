//! Patients dealt to parts: the splits of a build, and the folds of a cross-validation over rows that are built.
//!
//! Invariants: a patient is in one part; the result depends on pseudonyms, labels and settings only, never on the order of input. Voxels stay where
//! they are: a dealt dataset is read through another assignment of its patients, so folds cost no disk.

use std::collections::BTreeMap;

use mtids_domain::label::Metastasis;
use mtids_domain::pseudonym::PatientKey;
use mtids_runtime::digest::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::row::{RowKind, RowLabels, Split};

/// Label counts of a patient: (region, status) → findings. Unknown labels count as their own class.
pub type LabelCounts = BTreeMap<(Option<i8>, Option<i8>), u32>;

/// A number in 0..1 that belongs to a patient and a seed.
fn position(key: &PatientKey, seed: u64) -> f64 {
    let digest = Digest::of_parts([b"split".as_slice(), &seed.to_le_bytes(), key.as_str().as_bytes()]);
    let number = digest.as_bytes().iter().take(8).fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
    (number >> 11) as f64 / (1u64 << 53) as f64
}

/// The part that a patient falls into by a keyed hash, so that new patients move nobody. `shares` are of patients and sum to 1.
pub fn part_by_hash(key: &PatientKey, shares: &[f64], seed: u64) -> usize {
    let at = position(key, seed);
    let mut end = 0.0;
    for (part, share) in shares.iter().enumerate() {
        end += share;
        if at < end {
            return part;
        }
    }
    // Shares add up to 1 but for rounding: the last that holds anybody.
    shares.iter().rposition(|share| *share > 0.0).unwrap_or(0)
}

/// Balances labels and patients over parts of these shares: patients with most findings first, each to where its labels are most missing. Suits
/// small cohorts.
pub fn parts_by_labels(
    patients: &BTreeMap<PatientKey, LabelCounts>,
    shares: &[f64],
    seed: u64,
) -> BTreeMap<PatientKey, usize> {
    let mut totals: LabelCounts = BTreeMap::new();
    for counts in patients.values() {
        for (label, count) in counts {
            *totals.entry(*label).or_default() += count;
        }
    }
    let mut order: Vec<_> = patients.iter().collect();
    order.sort_by(|a, b| {
        let findings = |counts: &LabelCounts| counts.values().sum::<u32>();
        findings(b.1).cmp(&findings(a.1)).then_with(|| position(a.0, seed).total_cmp(&position(b.0, seed)))
    });
    let mut held: Vec<LabelCounts> = vec![LabelCounts::new(); shares.len()];
    let mut heads = vec![0.0; shares.len()];
    let mut assigned = BTreeMap::new();
    for (key, counts) in order {
        let score = |part: usize| {
            if shares[part] <= 0.0 {
                return f64::NEG_INFINITY;
            }
            // Missing share of each label the patient brings, weighted by how many it brings; missing heads break ties.
            let labels: f64 = counts
                .iter()
                .map(|(label, count)| {
                    let total = f64::from(totals[label]);
                    let have = f64::from(held[part].get(label).copied().unwrap_or(0));
                    f64::from(*count) * (shares[part] - have / total) / shares[part]
                })
                .sum();
            let missing_heads = shares[part] - heads[part] / patients.len() as f64;
            labels / f64::from(counts.values().sum::<u32>().max(1)) + 2.0 * missing_heads / shares[part]
        };
        // Ties go to the earlier part; training comes first.
        let best = (0..shares.len()).rev().max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0);
        for (label, count) in counts {
            *held[best].entry(*label).or_default() += count;
        }
        heads[best] += 1.0;
        assigned.insert(key.clone(), best);
    }
    assigned
}

/// The split that a part of a cross-validation is in one of its folds: the fold itself is for testing, the next one for validation, all others for
/// training.
pub fn split_in_fold(part: usize, folds: u32, fold: u32) -> Split {
    let folds = folds.max(1) as usize;
    match (part + folds - fold as usize % folds) % folds {
        0 => Split::Test,
        1 => Split::Validation,
        _ => Split::Train,
    }
}

/// One fold of a cross-validation by patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossValidation {
    /// Folds, from 3 to 1000. Default 5.
    pub folds: u32,
    /// Which one is for testing, from 0; the next one is for validation, the others for training. Default 0.
    pub fold: u32,
    /// Seed of the dealing: another one deals the patients anew. Default 1.
    pub seed: u64,
}

impl Default for CrossValidation {
    fn default() -> Self {
        Self { folds: 5, fold: 0, seed: 1 }
    }
}

impl CrossValidation {
    /// Whether there are such folds.
    pub fn is_valid(&self) -> bool {
        (3..=1000).contains(&self.folds) && self.fold < self.folds
    }
}

/// Splits of patients in the place of those that a dataset was built with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deal {
    splits: BTreeMap<PatientKey, Split>,
    /// Splits with a finding: a patient may have places without one only.
    with_findings: Vec<Split>,
    digest: Digest,
}

impl Deal {
    pub(crate) fn of(rows: &[RowLabels], fold: CrossValidation) -> Self {
        let mut patients: BTreeMap<PatientKey, LabelCounts> = BTreeMap::new();
        for row in rows {
            let counts = patients.entry(row.patient_key.clone()).or_default();
            if row.kind == RowKind::Finding {
                *counts.entry((row.region, row.metastasis.map(Metastasis::code))).or_default() += 1;
            }
        }
        let shares = vec![1.0 / f64::from(fold.folds); fold.folds as usize];
        let parts = parts_by_labels(&patients, &shares, fold.seed);
        let splits: BTreeMap<PatientKey, Split> =
            parts.into_iter().map(|(key, part)| (key, split_in_fold(part, fold.folds, fold.fold))).collect();
        let has_findings = |key: &PatientKey| patients.get(key).is_some_and(|counts| !counts.is_empty());
        let with_findings = splits.iter().filter(|(key, _)| has_findings(key)).map(|(_, split)| *split).collect();
        let digest = Digest::of_parts(splits.iter().map(|(key, split)| format!("{key} {}", split.name())));
        Self { splits, with_findings, digest }
    }

    /// The split of a patient; that of the build for one whom it does not know.
    pub(crate) fn split_of(&self, labels: &RowLabels) -> Split {
        self.splits.get(&labels.patient_key).copied().unwrap_or(labels.split)
    }

    /// Digest of who is in which split.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a split has a finding.
    pub(crate) fn has(&self, split: Split) -> bool {
        self.with_findings.contains(&split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::blank;

    fn rows(patients: usize) -> Vec<RowLabels> {
        let row = |n: usize| RowLabels {
            patient_key: PatientKey::from_stored(format!("p{n}")),
            region: Some((n % 3) as i8),
            metastasis: if n.is_multiple_of(2) { Some(Metastasis::Metastatic) } else { Some(Metastasis::Benign) },
            ..blank()
        };
        (0..2 * patients).map(|n| row(n % patients)).collect()
    }

    #[test]
    fn every_patient_is_tested_once_and_the_dealing_does_not_hang_on_the_order_of_rows() {
        let rows = rows(60);
        let folds: Vec<Deal> =
            (0..5).map(|fold| Deal::of(&rows, CrossValidation { fold, ..Default::default() })).collect();
        for row in &rows {
            let count = |split| folds.iter().filter(|deal| deal.split_of(row) == split).count();
            assert_eq!((count(Split::Test), count(Split::Validation), count(Split::Train)), (1, 1, 3));
        }
        let mut turned = rows.clone();
        turned.reverse();
        assert_eq!(Deal::of(&turned, CrossValidation::default()), folds[0]);
        let again = Deal::of(&rows, CrossValidation { seed: 2, ..Default::default() });
        assert_ne!(again.digest, folds[0].digest, "another seed deals anew");
    }

    #[test]
    fn folds_that_do_not_exist_are_told_apart() {
        let is_valid = |folds, fold| CrossValidation { folds, fold, seed: 1 }.is_valid();
        assert!(is_valid(3, 2) && is_valid(1000, 0));
        assert!(!is_valid(2, 0) && !is_valid(5, 5) && !is_valid(1001, 0));
    }
}
