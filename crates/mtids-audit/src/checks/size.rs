//! Statuses that follow from the size of the node under the name of other evidence, and nodes whose status is open because of their size.
//!
//! Invariants: rows whose evidence is the size rule itself are not asked for a rule; sizes are told apart by tenths of a mm; the shifted
//! samples of a finding, which share its weight, are one node.

use std::collections::BTreeMap;

use mtids_metrics::{ClusteredArea, RankedScores};
use mtids_report::format::counted;
use polars::prelude::{DataType, Expr, col, lit};

use super::nobody::{Nobody, PATIENT};
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The column, mm.
const SIZE: &str = "short_axis_mm";
/// Columns whose values may have a rule of their own.
const GROUPS: [&str; 3] = ["site", "evidence", "label_source"];
/// With fewer nodes of either status, a threshold between them is easily found by chance.
const FEWEST_OF_STATUS: u64 = 20;
/// Steps of size in a mm.
const STEPS_OF_MM: f64 = 10.0;

/// Numbers of benign and metastatic nodes by their size, in steps.
#[derive(Default)]
struct Sizes(BTreeMap<i64, [u64; 2]>);

/// The rule by size that agrees with most statuses.
struct Rule {
    /// Nodes from this short axis on are metastatic, mm.
    from_mm: f64,
    exceptions: u64,
    nodes: u64,
    /// Those of the rarer status.
    fewer: u64,
}

impl Sizes {
    /// None with too few nodes of a status.
    fn rule(&self) -> Option<Rule> {
        let of = |status: usize| self.0.values().map(|counts| counts[status]).sum::<u64>();
        let (benign, nodes) = (of(0), of(0) + of(1));
        let fewer = benign.min(nodes - benign);
        if fewer < FEWEST_OF_STATUS {
            return None;
        }
        // From the smallest size on every benign node is an exception; each step moves its nodes below the threshold.
        let mut exceptions = benign;
        let mut best: Option<Rule> = None;
        for (step, [benign, metastatic]) in &self.0 {
            if best.as_ref().is_none_or(|best| exceptions < best.exceptions) {
                best = Some(Rule { from_mm: *step as f64 / STEPS_OF_MM, exceptions, nodes, fewer });
            }
            exceptions = exceptions + metastatic - benign;
        }
        best
    }
}

/// Groups in which a threshold of the short axis gives nearly all statuses, and none is said to come from size.
pub(super) fn rules(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let groups: Vec<&str> = GROUPS.into_iter().filter(|column| index.has(column)).collect();
    let is_judged = col("metastasis").is_not_null().and(is_size(index)?.not()).and(col(SIZE).is_finite());
    let is_node = index.is("level", "node")?;
    let step = (col(SIZE).cast(DataType::Float64) * lit(STEPS_OF_MM) + lit(0.5)).cast(DataType::Int64);
    let answer = index.query(|frame| {
        let keys = groups.iter().map(|name| col(*name)).chain([col("metastasis"), step.alias("step")]);
        let nodes = col("weight").cast(DataType::Float64).sum().alias("nodes");
        frame.filter(is_judged.and(is_node)).group_by(keys.collect::<Vec<Expr>>()).agg([nodes])
    })?;
    let (statuses, steps, nodes) = (answer.codes("metastasis")?, answer.numbers("step")?, answer.values("nodes")?);
    let mut sizes: BTreeMap<(usize, String), Sizes> = BTreeMap::new();
    let names = groups.iter().map(|name| answer.texts(name)).collect::<Result<Vec<_>, AuditError>>()?;
    for row in 0..answer.len() {
        let (Some(step), status @ 0..=1) = (steps[row], statuses[row] as usize) else { continue };
        let named = names.iter().enumerate().map(|(column, names)| (1 + column, names[row].clone()));
        // The place before all columns is that of all rows together.
        for (column, name) in named.chain([(0, None)]) {
            let of_group = sizes.entry((column, name.unwrap_or_default())).or_default();
            of_group.0.entry(step as i64).or_default()[status] += nodes[row].round() as u64;
        }
    }
    let mut found: Vec<String> = Vec::new();
    let mut count = 0;
    for ((column, name), sizes) in &sizes {
        let Some(rule) = sizes.rule() else { continue };
        if rule.exceptions as f64 > config.size_rule_exceptions * rule.fewer as f64 {
            continue;
        }
        let group = match (column.checked_sub(1).and_then(|column| groups.get(column)), name.as_str()) {
            (None, _) => "all nodes".to_owned(),
            (Some(column), "") => format!("without {column}"),
            (Some(column), name) => format!("{column} {name}"),
        };
        count = count.max(rule.nodes);
        let agreeing = rule.nodes - rule.exceptions;
        found.push(format!("{group}: {agreeing} of {} follow from a threshold of {} mm", rule.nodes, rule.from_mm));
        if *column == 0 {
            // Then it is the rule of every group.
            break;
        }
    }
    Ok((!found.is_empty()).then(|| {
        let groups = found.len() as u64;
        let first = found[0].clone();
        AuditIssue::new(
            Severity::Warning,
            IssueCode::SizeRuleOfGroup,
            count,
            format!(
                "{} with statuses that size decides, though the evidence is not size (D): {first}{}",
                counted(groups, "group", "groups"),
                if groups > 1 { "; …" } else { "" }
            ),
            "no biopsy agrees so well with a ruler: ask where these statuses come from, and give them evidence D or none",
        )
        .with_examples(found)
    }))
}

/// Whether the evidence of a row is the size rule.
fn is_size(index: &Index) -> Result<Expr, AuditError> {
    Ok(index.is("evidence", "D")?.fill_null(lit(false)))
}

/// Nodes whose status is open are smaller or larger than the others: who was examined was chosen by size.
pub(super) fn of_unknown(
    index: &Index,
    config: &AuditConfig,
    nobody: &Nobody,
) -> Result<Option<AuditIssue>, AuditError> {
    let columns = [PATIENT, "metastasis", SIZE].map(col);
    let answer = index.query(|frame| frame.filter(col(SIZE).is_finite()).select(columns))?;
    let (patients, statuses, sizes) = (answer.codes(PATIENT)?, answer.codes("metastasis")?, answer.values(SIZE)?);
    drop(answer);
    let judged = patients.into_iter().zip(statuses).zip(sizes).filter(|((patient, _), _)| !nobody.is(*patient));
    let scored: Vec<(f32, bool, u32)> =
        judged.map(|((patient, status), size)| (size as f32, status > 1, patient)).collect();
    let (rows, open) = (scored.len() as u64, scored.iter().filter(|row| row.1).count() as u64);
    let distinct = |is_open: bool| {
        let mut of: Vec<u32> = scored.iter().filter(|row| row.1 == is_open).map(|row| row.2).collect();
        of.sort_unstable();
        of.dedup();
        of.len() as u64
    };
    if open == 0 || distinct(true).min(distinct(false)) < config.fewest_patients {
        return Ok(None);
    }
    let Some(ClusteredArea { area, interval: Some(interval), .. }) =
        RankedScores::of(scored).and_then(|ranked| ranked.area())
    else {
        return Ok(None);
    };
    let apart = (area - 0.5).abs();
    let reach = (interval.high - interval.low) / 2.0;
    // A difference that chance gives is none, however large.
    if apart < config.selection_by_size - 0.5 || apart - reach <= 0.0 {
        return Ok(None);
    }
    let (kind, side) = if area > 0.5 { ("larger", area) } else { ("smaller", 1.0 - area) };
    Ok(Some(AuditIssue::new(
        Severity::Warning,
        IssueCode::UnknownBySize,
        open,
        format!(
            "nodes of unknown status are {kind}: the short axis tells them from the others with an AUROC of {side:.2} ({} of {})",
            open,
            counted(rows, "node with a size", "nodes with a size")
        ),
        "nodes were chosen for examination by their size, so results hold for such nodes only: report them by size",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(benign: impl IntoIterator<Item = i64>, metastatic: impl IntoIterator<Item = i64>) -> Sizes {
        let mut sizes = Sizes::default();
        benign.into_iter().for_each(|step| sizes.0.entry(step).or_default()[0] += 1);
        metastatic.into_iter().for_each(|step| sizes.0.entry(step).or_default()[1] += 1);
        sizes
    }

    #[test]
    fn the_rule_is_the_threshold_with_fewest_exceptions() {
        let rule = sizes(60..100, (100..120).chain([80])).rule().unwrap();
        assert_eq!((rule.from_mm, rule.exceptions, rule.nodes), (10.0, 1, 61));
        // Metastatic nodes are the smaller ones: the best threshold calls nearly all benign.
        let rule = sizes(100..140, 60..80).rule().unwrap();
        assert_eq!((rule.from_mm, rule.exceptions, rule.fewer), (13.9, 21, 20));
        assert!(sizes(60..79, 100..200).rule().is_none());
    }
}
