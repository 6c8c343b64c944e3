//! Shares of labels in training beside those of the other splits: what is beyond chance.
//!
//! Rows are clustered by patient. The metastatic shares of all splits are one family of tests (Holm), the shares of all regions another, which
//! takes a fifth of the settings' chance of a false claim: so a clean dataset is called different by either about as seldom as the settings say.
//! Invariant: sums by patient are all that is needed.

use std::collections::BTreeMap;

use mtids_metrics::{Effect, PatientSums, holm, mean_difference_by_patient};
use mtids_report::format::{counted, percent, signed_interval};
use polars::prelude::{Expr, SortMultipleOptions, col, len, lit};

use crate::config::AuditConfig;
use crate::distribution::SPLITS;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Part of `significance` that the shares of regions take.
const OF_REGIONS: f64 = 0.2;

/// A share in training and in another split.
struct Compared {
    split: &'static str,
    effect: Effect,
    /// Rows of known label.
    rows: [f64; 2],
    shares: [f64; 2],
    /// Fewer patients than are tested share by chance what would look certain.
    is_judged: bool,
}

/// What each patient has in each split: rows of known label, and those among them that count.
struct ByPatient {
    patients: Vec<u32>,
    splits: Vec<Option<String>>,
    rows: Vec<u64>,
    counted: Vec<Vec<u64>>,
}

impl ByPatient {
    /// `counts` are sums over the rows whose `label` is known.
    fn of(index: &Index, label: &str, counts: Vec<Expr>) -> Result<Self, AuditError> {
        let named = counts.into_iter().enumerate().map(|(n, count)| count.alias(format!("counted{n}")));
        let aggregates: Vec<Expr> = named.chain([len().alias("rows")]).collect();
        let questions = aggregates.len() - 1;
        let answer = index.query(|frame| {
            frame
                .filter(col(label).is_not_null())
                .group_by([col("patient_key"), col("split")])
                .agg(aggregates)
                .sort(["patient_key", "split"], SortMultipleOptions::default())
        })?;
        Ok(Self {
            patients: answer.codes("patient_key")?,
            splits: answer.texts("split")?,
            rows: answer.counts("rows")?,
            counted: (0..questions).map(|n| answer.counts(&format!("counted{n}"))).collect::<Result<_, _>>()?,
        })
    }

    /// The share that a question counts, in training beside another split; none where it is not defined.
    fn compared(&self, question: usize, split: &'static str, config: &AuditConfig) -> Option<Compared> {
        // Rows come sorted by patient. A patient of both splits is one cluster.
        let mut sums: Vec<(u32, PatientSums)> = Vec::new();
        for (n, patient) in self.patients.iter().enumerate() {
            let side = match self.splits[n].as_deref() {
                Some(name) if name == SPLITS[0] => 0,
                Some(name) if name == split => 1,
                _ => continue,
            };
            if sums.last().is_none_or(|last| last.0 != *patient) {
                sums.push((*patient, PatientSums::default()));
            }
            if let Some((_, one)) = sums.last_mut() {
                one.samples[side] += self.rows[n] as f64;
                one.sums[side] += self.counted[question][n] as f64;
            }
        }
        let sums: Vec<PatientSums> = sums.into_iter().map(|(_, sums)| sums).collect();
        let patients = |side: usize| sums.iter().filter(|one| one.samples[side] > 0.0).count() as u64;
        let is_judged = patients(0).min(patients(1)) >= config.smallest_class_patients;
        let effect = mean_difference_by_patient(&sums)?;
        let total = |of: fn(&PatientSums) -> [f64; 2]| {
            [0, 1].map(|side: usize| sums.iter().map(|one| of(one)[side]).sum::<f64>())
        };
        let (rows, counted) = (total(|one| one.samples), total(|one| one.sums));
        Some(Compared { split, effect, rows, shares: [0, 1].map(|side| counted[side] / rows[side]), is_judged })
    }
}

/// p-values of a family, adjusted; what is not tested has 1.
fn adjusted<'a>(family: impl IntoIterator<Item = &'a Compared>) -> Vec<f64> {
    let p: Vec<f64> = family.into_iter().map(|one| if one.is_judged { one.effect.p } else { 1.0 }).collect();
    holm(&p)
}

/// Splits should hold about the same shares of metastatic patches and of regions; chance makes small ones differ.
pub(super) fn differing(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = prevalence(index, config)?;
    issues.extend(regions(index, config)?);
    Ok(issues)
}

fn prevalence(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let by_patient = ByPatient::of(index, "metastasis", vec![col("metastasis").eq(lit(1)).sum()])?;
    let compared: Vec<Compared> =
        SPLITS[1..].iter().filter_map(|split| by_patient.compared(0, split, config)).collect();
    let mut issues = Vec::new();
    for (one, p) in compared.iter().zip(adjusted(&compared)) {
        let is_beyond_chance = p < config.significance;
        if !is_beyond_chance && one.effect.value.abs() <= config.largest_prevalence_difference {
            continue;
        }
        let severity = if is_beyond_chance { Severity::Warning } else { Severity::Info };
        let chance = match (one.is_judged, is_beyond_chance) {
            (false, _) => format!("not tested, with fewer than {} patients", config.smallest_class_patients),
            (true, true) => "beyond chance".to_owned(),
            (true, false) => "which chance explains".to_owned(),
        };
        issues.push(AuditIssue::new(
            severity,
            IssueCode::PrevalenceDiffers,
            one.rows[1] as u64,
            format!(
                "{} of the known patches are metastatic in train, {} in {}, {chance} (difference {})",
                percent(one.shares[0]),
                percent(one.shares[1]),
                one.split,
                signed_interval(Some((one.effect.interval.low, one.effect.interval.high)))
            ),
            "thresholds chosen on one split do not fit the other; try another split seed, or stratify",
        ));
    }
    Ok(issues)
}

fn regions(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let names = index.coded()?.kept("region_name")?.values.clone();
    let is_region =
        names.iter().map(|name| Ok(index.is("region_name", name)?.sum())).collect::<Result<_, AuditError>>()?;
    let by_patient = ByPatient::of(index, "region_name", is_region)?;
    let mut compared: Vec<(&String, Compared)> = Vec::new();
    for split in &SPLITS[1..] {
        for (question, name) in names.iter().enumerate() {
            compared.extend(by_patient.compared(question, split, config).map(|one| (name, one)));
        }
    }
    let p = adjusted(compared.iter().map(|(_, one)| one));
    let mut by_split: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    for ((name, one), _) in compared.iter().zip(p).filter(|(_, p)| *p < OF_REGIONS * config.significance) {
        let (rows, found) = by_split.entry(one.split).or_insert((one.rows[1] as u64, Vec::new()));
        *rows = one.rows[1] as u64;
        found.push(format!(
            "{name}: {} in train, {} in {} (difference {})",
            percent(one.shares[0]),
            percent(one.shares[1]),
            one.split,
            signed_interval(Some((one.effect.interval.low, one.effect.interval.high)))
        ));
    }
    Ok(by_split
        .into_iter()
        .map(|(split, (rows, found))| {
            AuditIssue::new(
                Severity::Warning,
                IssueCode::RegionShareDiffers,
                rows,
                format!(
                    "{} another share of the patches of {split} than of train, beyond chance",
                    counted(found.len() as u64, "region has", "regions have")
                ),
                "figures over all regions do not carry over: report them by region, try another split seed, or stratify",
            )
            .with_examples(found)
        })
        .collect())
}
