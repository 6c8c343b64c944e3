//! Shares of labels in training beside those of the other splits: what is beyond chance.
//!
//! Rows are clustered by patient. The metastatic shares of all splits are one family of tests (Holm), the shares of all regions another, which
//! takes a fifth of the settings' chance of a false claim: so a clean dataset is called different by either about as seldom as the settings say.
//! Invariant: sums by patient are all that is needed.

use std::collections::BTreeMap;

use mtids_metrics::{Effect, Moments, holm};
use mtids_report::format::{counted, percent, signed_interval};

use super::moments::{METASTATIC, REGIONS, moments};
use crate::by_patient::{Findings, Property};
use crate::config::AuditConfig;
use crate::distribution::SPLITS;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The interval of a difference of shares, which is never above 1.
pub(super) fn within_one(effect: &Effect) -> String {
    signed_interval(Some((effect.interval.low.max(-1.0), effect.interval.high.min(1.0))))
}

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

impl Compared {
    /// A question in training (first side) and in another split; none where it is not defined.
    fn of(split: &'static str, moments: &Moments, config: &AuditConfig) -> Option<Self> {
        let fewest = moments.patients_of_sides().into_iter().min()?;
        Some(Self {
            split,
            effect: moments.difference()?,
            rows: moments.samples(),
            shares: moments.means_of_sides(),
            is_judged: fewest >= config.smallest_class_patients,
        })
    }
}

/// Each split but training beside it, with its questions: status first, then each region.
fn beside_training(index: &Index, findings: &Findings) -> Result<Vec<(&'static str, Vec<Moments>)>, AuditError> {
    let property = Property::of(index, "split")?;
    let code = |split: &str| property.values.iter().position(|value| value == split);
    let Some(train) = code(SPLITS[0]) else { return Ok(Vec::new()) };
    let moments = moments(findings, &property, Some(train));
    Ok(SPLITS[1..].iter().filter_map(|split| Some((*split, moments.get(code(split)?)?.clone()))).collect())
}

/// p-values of a family, adjusted; what is not tested has 1.
fn adjusted<'a>(family: impl IntoIterator<Item = &'a Compared>) -> Vec<f64> {
    let family: Vec<&Compared> = family.into_iter().collect();
    let p: Vec<f64> = family.iter().filter(|one| one.is_judged).map(|one| one.effect.p).collect();
    let mut adjusted = holm(&p).into_iter();
    family.iter().map(|one| if one.is_judged { adjusted.next().unwrap_or(1.0) } else { 1.0 }).collect()
}

/// Splits should hold about the same shares of metastatic patches and of regions; chance makes small ones differ.
pub(super) fn differing(
    index: &Index,
    findings: &Findings,
    config: &AuditConfig,
) -> Result<Vec<AuditIssue>, AuditError> {
    let splits = beside_training(index, findings)?;
    let mut issues = prevalence(&splits, config);
    issues.extend(regions(&splits, &findings.regions, config));
    Ok(issues)
}

fn prevalence(splits: &[(&'static str, Vec<Moments>)], config: &AuditConfig) -> Vec<AuditIssue> {
    let status =
        |(split, moments): &(&'static str, Vec<Moments>)| Compared::of(split, moments.get(METASTATIC)?, config);
    let compared: Vec<Compared> = splits.iter().filter_map(status).collect();
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
                within_one(&one.effect)
            ),
            "thresholds chosen on one split do not fit the other; try another split seed, or stratify",
        ));
    }
    issues
}

fn regions(splits: &[(&'static str, Vec<Moments>)], names: &[String], config: &AuditConfig) -> Vec<AuditIssue> {
    let mut compared: Vec<(&String, Compared)> = Vec::new();
    for (split, moments) in splits {
        let each = names.iter().zip(moments.iter().skip(REGIONS));
        compared.extend(each.filter_map(|(name, moments)| Some((name, Compared::of(split, moments, config)?))));
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
            within_one(&one.effect)
        ));
    }
    by_split
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
        .collect()
}
