//! Whether having a mask, a size or a station tells the status: then every measure of masks, and a channel that shows them, leaks it.

use mtids_metrics::cramers_v;
use mtids_shards::{Channel, View};
use polars::prelude::{col, len};

use super::chance;
use crate::by_patient::ByValue;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Whether a column is filled tells the status of patients: those with a benign and with a metastatic node, by whether it is known of the node.
pub(super) fn known(column: &str, patients: &ByValue, config: &AuditConfig) -> Option<AuditIssue> {
    let table = [&patients.unnamed, &patients.named].map(|patients| patients.of_status.to_vec()).to_vec();
    let people: u64 = patients.all.by_worst.iter().sum();
    let association = cramers_v(&table).filter(|v| *v >= config.mask_confounder && people >= config.fewest_patients)?;
    if chance::of_association(&table) >= config.significance {
        return None;
    }
    let words = |counts: &[u64]| format!("{} with benign and {} with metastatic nodes", counts[0], counts[1]);
    let message = format!(
        "that `{column}` is known tells the status (Cramér's V {association:.2}): patients where it is known: {}; where it is not: {}",
        words(&table[1]),
        words(&table[0])
    );
    let advice = "nodes of one status were described more closely, so results by this column are of that status; ask the source for the others";
    Some(AuditIssue::new(Severity::Warning, IssueCode::KnownTellsStatus, people, message, advice))
}

/// Rows of known status by status and source of their measures; beyond chance where `patients` are, by source those with a benign and with a
/// metastatic node.
pub(super) fn status(
    index: &Index,
    views: &[View],
    patients: &[Vec<u64>],
    config: &AuditConfig,
) -> Result<Option<AuditIssue>, AuditError> {
    let answer = index.query(|frame| {
        frame
            .filter(col("metastasis").is_not_null())
            .group_by([col("metastasis"), col("measure_source")])
            .agg([len().alias("rows")])
    })?;
    // By status: rows without a mask, rows with one.
    let mut table = [[0u64; 2]; 2];
    let sources = answer.texts("measure_source")?;
    for ((status, source), rows) in answer.numbers("metastasis")?.into_iter().zip(sources).zip(answer.counts("rows")?) {
        table[usize::from(status == Some(1.0))][usize::from(source.as_deref() == Some("grown+mask"))] += rows;
    }
    let known = index.query(|frame| {
        frame.filter(col("metastasis").is_not_null()).select([col("patient_key").n_unique().alias("patients")])
    })?;
    if known.counts("patients")?.first().is_none_or(|&known| known < config.fewest_patients) {
        return Ok(None);
    }
    let Some(association) = cramers_v(&table.map(Vec::from)) else { return Ok(None) };
    if association < config.mask_confounder || chance::of_association(patients) >= config.significance {
        return Ok(None);
    }
    let [benign, metastatic] = table.map(|[without, with]| (with, with + without));
    let shown = views.iter().filter_map(|view| {
        let marks = |channel: &&Channel| matches!(channel, Channel::Mask | Channel::Center);
        let channels: Vec<&str> = view.channels.iter().filter(marks).map(|channel| channel.name()).collect();
        (!channels.is_empty()).then(|| format!("`{}` ({})", view.name, channels.join(", ")))
    });
    let shown: Vec<String> = shown.collect();
    let leak = if shown.is_empty() {
        "no view shows masks; do not train on columns that begin with `mask_`".to_owned()
    } else {
        format!(
            "channels show it to the network in the views {}; build without them, or draw masks for both",
            shown.join(", ")
        )
    };
    let message = format!(
        "a mask tells the status (Cramér's V {association:.2}): {} of {} benign and {} of {} metastatic patches have one",
        benign.0, benign.1, metastatic.0, metastatic.1
    );
    let rows = benign.1 + metastatic.1;
    Ok(Some(AuditIssue::new(Severity::Warning, IssueCode::MasksTellStatus, rows, message, leak)))
}
