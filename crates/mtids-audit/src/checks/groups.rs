//! Groups of rows whose labels differ from those of all other rows: of a site, a scanner, a source of labels.
//!
//! Cramér's V by patient sees no annotator who never says metastatic, where almost every patient has a metastasis anyway. So rows are compared, one
//! group with all others, and clustered by patient. Each of the three families of tests (status, unknown status, regions) takes a tenth of the
//! settings' chance of a false claim (Holm), and a difference counts from `largest_group_difference` on. Statuses by evidence or source differ for
//! good reasons, so there only a group with one status is named. Invariant: nothing is read here; moments are all that a difference needs.

use std::collections::BTreeMap;

use mtids_metrics::{Effect, Moments, holm};
use mtids_report::format::{counted, percent};

use super::moments::{METASTATIC, REGIONS, UNKNOWN};
use super::properties::{Counted, OF_LABELS};
use super::shares::within_one;
use crate::config::AuditConfig;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Part of `significance` that each family takes.
const OF_FAMILY: f64 = 0.1;
/// Name of the rows without a value.
const NONE: &str = "(none)";

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
            effect: moments.difference_of_shares()?,
            is_judged: fewest >= config.smallest_class_patients,
        })
    }

    fn says(&self) -> String {
        let [others, own] = self.shares;
        let interval = within_one(&self.effect);
        format!("{}: {}, {} elsewhere (difference {interval})", self.group, percent(own), percent(others))
    }
}

/// Which of a family are beyond chance, and different enough. Groups of too few patients are no test, and make none stricter.
fn found<'a, K>(family: &'a [(K, Compared)], config: &AuditConfig) -> Vec<&'a (K, Compared)> {
    let judged: Vec<&(K, Compared)> = family.iter().filter(|(_, one)| one.is_judged).collect();
    let p: Vec<f64> = judged.iter().map(|(_, one)| one.effect.p).collect();
    let is_found = |(one, p): &(&(K, Compared), f64)| {
        *p < OF_FAMILY * config.significance && one.1.effect.value.abs() >= config.largest_group_difference
    };
    judged.into_iter().zip(holm(&p)).filter(is_found).map(|(one, _)| one).collect()
}

/// Groups whose share of metastatic rows, of unknown statuses or of a region is not that of all others. `regions` are the names of the regions.
pub(super) fn differing(properties: &[Counted], regions: &[String], config: &AuditConfig) -> Vec<AuditIssue> {
    let mut of_status: Vec<(&str, Compared)> = Vec::new();
    let mut of_unknown: Vec<(&str, Compared)> = Vec::new();
    let mut of_regions: Vec<((&str, &String), Compared)> = Vec::new();
    for Counted { column, values, moments, patients, .. } in properties {
        let without = (patients.unnamed.all > 0).then_some(NONE);
        let groups: Vec<&str> = values.iter().map(String::as_str).chain(without).collect();
        if groups.len() < 2 {
            continue;
        }
        let compares_shares = !OF_LABELS.contains(column);
        // Of two groups each is the others of the other, unless only one with one status is named.
        let named = groups.iter().take(if groups.len() == 2 && compares_shares { 1 } else { groups.len() });
        for (name, moments) in named.zip(moments) {
            let asked = |question: usize| Some((*column, Compared::of(name, moments.get(question)?, config)?));
            of_status.extend(asked(METASTATIC));
            if compares_shares {
                of_unknown.extend(asked(UNKNOWN));
                let each = regions.iter().zip(moments.iter().skip(REGIONS));
                of_regions.extend(
                    each.filter_map(|(region, moments)| {
                        Some(((*column, region), Compared::of(name, moments, config)?))
                    }),
                );
            }
        }
    }
    let mut by_column: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
    let is_told = |column: &str, one: &Compared| !OF_LABELS.contains(&column) || [0.0, 1.0].contains(&one.shares[1]);
    for (column, one) in found(&of_status, config).into_iter().filter(|(column, one)| is_told(column, one)) {
        by_column.entry(column).or_default().push(one);
    }
    let mut issues: Vec<AuditIssue> =
        by_column.into_iter().map(|(column, found)| status_issue(column, found, Asked::Metastatic)).collect();
    let mut by_column: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
    for (column, one) in found(&of_unknown, config) {
        by_column.entry(column).or_default().push(one);
    }
    issues.extend(by_column.into_iter().map(|(column, found)| status_issue(column, found, Asked::Unknown)));
    let mut by_column: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((column, region), one) in found(&of_regions, config) {
        by_column.entry(column).or_default().push(format!("{region}, {}", one.says()));
    }
    issues.extend(by_column.into_iter().map(|(column, found)| region_issue(column, found)));
    issues
}

/// What of a status is compared.
#[derive(Clone, Copy)]
enum Asked {
    Metastatic,
    Unknown,
}

fn status_issue(column: &str, mut found: Vec<&Compared>, asked: Asked) -> AuditIssue {
    let count = found.len() as u64;
    // Whoever reads the console sees no examples, so the one that differs most stands in the message: others may be its echoes.
    found.sort_by(|a, b| b.effect.value.abs().total_cmp(&a.effect.value.abs()).then_with(|| a.group.cmp(&b.group)));
    let found: Vec<String> = found.into_iter().map(Compared::says).collect();
    let first = found.first().map(String::as_str).unwrap_or_default();
    let (code, share, advice) = match asked {
        Asked::Metastatic => (
            IssueCode::StatusShareOfGroup,
            "metastatic nodes",
            "ask how statuses were decided there; a network can learn the group instead of the disease, so report results by it",
        ),
        Asked::Unknown => (
            IssueCode::UnknownShareOfGroup,
            "unknown statuses",
            "ask why statuses are missing there: where only some nodes or patients were looked at, those of known status are not like the others",
        ),
    };
    let message = format!(
        "{} of `{column}` {} another share of {share} than all others, beyond chance: {first}{}",
        counted(count, "group", "groups"),
        if count == 1 { "has" } else { "have" },
        if count > 1 { "; …" } else { "" }
    );
    AuditIssue::new(Severity::Warning, code, count, message, advice).with_examples(found)
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
