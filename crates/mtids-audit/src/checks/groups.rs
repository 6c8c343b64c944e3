//! Groups of rows whose labels differ from those of all other rows: of a site, a scanner, a source of labels.
//!
//! Cramér's V by patient sees no annotator who never says metastatic, where almost every patient has a metastasis anyway. So rows are compared, one
//! group with all others, and clustered by patient. Each of the two families of tests (status, regions) takes a tenth of the settings' chance of a
//! false claim (Holm), and a difference counts from `largest_group_difference` on. Statuses by evidence or source differ for good reasons, so there
//! only a group with one status is named. Invariant: one pass over the rows for each property, in the order of patients.

use std::collections::BTreeMap;

use mtids_metrics::{Effect, Moments, PatientSums, holm};
use mtids_report::format::{counted, percent, signed_interval};

use super::properties::{Counted, OF_LABELS};
use crate::by_patient::{Findings, Property};
use crate::config::AuditConfig;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Part of `significance` that each family takes.
const OF_FAMILY: f64 = 0.1;
/// A property with more values than these is a measurement, and no grouping.
const MOST_GROUPS: usize = 200;

/// Counts of a patient: for status and regions the rows that are known, then for each question those that count.
fn count(findings: &Findings, row: u32, counts: &mut [u32]) {
    if let Some(status) = findings.status(row) {
        counts[0] += 1;
        counts[2] += u32::from(status == 1);
    }
    if let Some(region) = findings.region(row) {
        counts[1] += 1;
        counts[3 + region] += 1;
    }
}

/// One group beside all other rows.
struct Compared {
    group: String,
    /// Shares of the others and of the group.
    shares: [f64; 2],
    effect: Effect,
    is_judged: bool,
}

impl Compared {
    fn of(group: &str, moments: &Moments, config: &AuditConfig) -> Option<Self> {
        let fewest = moments.patients_of_sides().into_iter().min()?;
        Some(Self {
            group: group.to_owned(),
            shares: moments.means_of_sides(),
            effect: moments.difference()?,
            is_judged: fewest >= config.smallest_class_patients,
        })
    }

    fn says(&self) -> String {
        let [others, own] = self.shares;
        let interval = signed_interval(Some((self.effect.interval.low, self.effect.interval.high)));
        format!("{}: {}, {} elsewhere (difference {interval})", self.group, percent(own), percent(others))
    }
}

/// For each value of a property and each question, what patients add to the value (second side) beside another value, or beside all others (first
/// side). The questions: whether a row is metastatic, then for each region whether it lies there.
pub(super) fn moments(findings: &Findings, property: &Property, beside: Option<usize>) -> Vec<Vec<Moments>> {
    if property.values.len() > MOST_GROUPS {
        return Vec::new();
    }
    let questions = 1 + findings.regions.len();
    // Patients as if none had the value.
    let mut without = vec![Moments::default(); questions];
    // Patients of the value, less what they are there.
    let mut own = vec![vec![Moments::default(); questions]; property.values.len()];
    let mut whole = vec![0u32; 2 + questions];
    let mut parts: Vec<(usize, Vec<u32>)> = Vec::new();
    for rows in findings.by_patient() {
        whole.fill(0);
        parts.clear();
        for &row in rows {
            let Some(value) = findings.value(property, row) else { continue };
            if beside.is_none_or(|beside| beside == value) {
                count(findings, row, &mut whole);
            }
            let place = parts.iter().position(|(one, _)| *one == value).unwrap_or_else(|| {
                parts.push((value, vec![0; 2 + questions]));
                parts.len() - 1
            });
            count(findings, row, &mut parts[place].1);
        }
        for question in 0..questions {
            let of = |counts: &[u32]| (f64::from(counts[usize::from(question > 0)]), f64::from(counts[2 + question]));
            let (samples, sum) = of(&whole);
            let of_first = PatientSums { samples: [samples, 0.0], sums: [sum, 0.0] };
            without[question].add(of_first);
            for (value, part) in &parts {
                let (known, counted) = of(part);
                let first = if beside.is_some() { (samples, sum) } else { (samples - known, sum - counted) };
                let own = &mut own[*value][question];
                own.remove(of_first);
                own.add(PatientSums { samples: [first.0, known], sums: [first.1, counted] });
            }
        }
    }
    for value in &mut own {
        value.iter_mut().zip(&without).for_each(|(own, without)| *own = own.and(without));
    }
    own
}

/// Which of a family are beyond chance, and different enough.
fn found<'a, K>(family: &'a [(K, Compared)], config: &AuditConfig) -> Vec<&'a (K, Compared)> {
    let p: Vec<f64> = family.iter().map(|(_, one)| if one.is_judged { one.effect.p } else { 1.0 }).collect();
    let is_found = |(one, p): &(&(K, Compared), f64)| {
        *p < OF_FAMILY * config.significance && one.1.effect.value.abs() >= config.largest_group_difference
    };
    family.iter().zip(holm(&p)).filter(is_found).map(|(one, _)| one).collect()
}

/// Groups whose share of metastatic rows, or of a region, is not that of all others. `regions` are the names of the regions.
pub(super) fn differing(properties: &[Counted], regions: &[String], config: &AuditConfig) -> Vec<AuditIssue> {
    let mut of_status: Vec<(&str, Compared)> = Vec::new();
    let mut of_regions: Vec<((&str, &String), Compared)> = Vec::new();
    for Counted { column, values, moments, .. } in properties.iter().filter(|one| one.values.len() > 1) {
        let compares_shares = !OF_LABELS.contains(column);
        // Of two groups each is the others of the other.
        let named = values.iter().take(if values.len() == 2 { 1 } else { values.len() });
        for (name, moments) in named.zip(moments) {
            let status = moments.first().and_then(|moments| Compared::of(name, moments, config));
            let is_told = |one: &Compared| compares_shares || one.shares.iter().any(|share| [0.0, 1.0].contains(share));
            of_status.extend(status.filter(is_told).map(|one| (*column, one)));
            if compares_shares {
                let each = regions.iter().zip(moments.iter().skip(1));
                of_regions.extend(
                    each.filter_map(|(region, moments)| {
                        Some(((*column, region), Compared::of(name, moments, config)?))
                    }),
                );
            }
        }
    }
    let mut by_column: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (column, one) in found(&of_status, config) {
        by_column.entry(column).or_default().push(one.says());
    }
    let mut issues: Vec<AuditIssue> =
        by_column.into_iter().map(|(column, found)| status_issue(column, found)).collect();
    let mut by_column: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((column, region), one) in found(&of_regions, config) {
        by_column.entry(column).or_default().push(format!("{region}, {}", one.says()));
    }
    issues.extend(by_column.into_iter().map(|(column, found)| region_issue(column, found)));
    issues
}

fn status_issue(column: &str, found: Vec<String>) -> AuditIssue {
    let count = found.len() as u64;
    let message = format!(
        "{} of `{column}` {} another share of metastatic nodes than all others, beyond chance",
        counted(count, "group", "groups"),
        if count == 1 { "has" } else { "have" }
    );
    let advice = "ask how statuses were decided there; a network can learn the group instead of the disease, so report results by it";
    AuditIssue::new(Severity::Warning, IssueCode::StatusShareOfGroup, count, message, advice).with_examples(found)
}

fn region_issue(column: &str, found: Vec<String>) -> AuditIssue {
    let count = found.len() as u64;
    let message = format!(
        "{} of regions within `{column}` {} not that of all others, beyond chance",
        counted(count, "share", "shares"),
        if count == 1 { "is" } else { "are" }
    );
    let advice = "ask whether stations are named by the same map there; otherwise report results by it";
    AuditIssue::new(Severity::Warning, IssueCode::RegionShareOfGroup, count, message, advice).with_examples(found)
}
