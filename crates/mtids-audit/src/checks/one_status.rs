//! Statuses that are said to be of nodes and never differ within a patient: mostly a status of the patient, written to each of the nodes.
//!
//! With a share p of metastatic nodes, a patient of k nodes has both statuses with chance 1 − pᵏ − (1 − p)ᵏ, if nodes were alike in all patients.
//! Nodes of one patient are alike, so fewer patients have both; but where hardly any has, nobody looked at the nodes one by one. Invariants: shifted
//! samples of a node, which share its weight, are one node, and of several series of a patient the one with most nodes counts; rows that say that their
//! status is of a station or a patient are not judged.

use mtids_report::format::counted;
use polars::prelude::{DataType, Expr, SortMultipleOptions, col, lit, when};

use super::nobody::PATIENT;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Patients with several nodes of known status, of whom hardly any has both statuses.
pub(super) fn of_patients(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let status = || col("metastasis");
    let is_known = status().eq(lit(0)).or(status().eq(lit(1)));
    let is_judged = index.is("kind", "finding")?.and(index.is("level", "node")?).and(is_known);
    // Rows of samples of a node have its weight between them.
    let weight = || col("weight").cast(DataType::Float64);
    let part = || when(weight().lt(lit(1.0))).then(weight()).otherwise(lit(1.0));
    let parts = |keep: Expr| keep.cast(DataType::Float64) * part();
    let answer = index.query(|frame| {
        frame
            .filter(is_judged)
            .group_by([col(PATIENT), col("series_key")])
            .agg([parts(lit(1)).sum().alias("nodes"), parts(status()).sum().alias("metastatic")])
            .group_by([col(PATIENT)])
            .agg([
                col("nodes").max(),
                col("metastatic").sort_by([col("nodes")], SortMultipleOptions::default()).last().alias("metastatic"),
            ])
            .sort([PATIENT], SortMultipleOptions::default())
    })?;
    let (nodes, metastatic) = (answer.numbers("nodes")?, answer.numbers("metastatic")?);
    let names = answer.texts(PATIENT)?;
    let is_somebody = |n: usize| names[n].as_deref().is_some_and(|name| !name.trim().is_empty());
    let whole = |number: Option<f64>| number.unwrap_or(0.0).round() as u64;
    let patients: Vec<(u64, u64)> =
        (0..answer.len()).filter(|n| is_somebody(*n)).map(|n| (whole(nodes[n]), whole(metastatic[n]))).collect();
    let sum = |part: fn(&(u64, u64)) -> u64| patients.iter().map(part).sum::<u64>() as f64;
    let share = sum(|patient| patient.1) / sum(|patient| patient.0).max(1.0);
    let by_chance = |nodes: u64| 1.0 - share.powf(nodes as f64) - (1.0 - share).powf(nodes as f64);
    let expected: f64 = patients.iter().filter(|(nodes, _)| *nodes > 1).map(|(nodes, _)| by_chance(*nodes)).sum();
    let several = patients.iter().filter(|(nodes, _)| *nodes > 1).count() as u64;
    let mixed = patients.iter().filter(|(nodes, metastatic)| (1..*nodes).contains(metastatic)).count() as u64;
    let is_found = expected >= config.fewest_patients as f64 && (mixed as f64) < config.least_mixed_share * expected;
    Ok(is_found.then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::OneStatusPerPatient,
            several - mixed,
            format!(
                "{mixed} of {} with several known statuses of nodes {} both statuses; chance alone would give {expected:.0}",
                counted(several, "patient", "patients"),
                if mixed == 1 { "has" } else { "have" }
            ),
            "these look like statuses of patients, written to each node: say so by level = patient, or ask for the status of each node",
        )
    }))
}
