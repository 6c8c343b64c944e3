//! Confounders: variables that predict metastasis without the node's image, namely its size and how the image was acquired.

use std::collections::BTreeMap;

use mtids_metrics::{auroc, cramers_v};
use polars::prelude::{col, lit};

use crate::config::AuditConfig;
use crate::distribution::sizes;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The short axis alone.
pub(super) fn size(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let scored: Vec<(f64, bool)> = sizes(index)?
        .iter()
        .filter(|sizes| sizes.status != "unknown")
        .flat_map(|sizes| sizes.short_axes_mm.iter().map(|&mm| (mm, sizes.status == "metastatic")))
        .filter(|(mm, _)| mm.is_finite())
        .collect();
    let Some(area) = auroc(&scored) else { return Ok(None) };
    let limit = config.size_confounder;
    let message = format!("the short axis alone reaches an AUROC of {area:.2} for metastasis");
    let (severity, advice) = if area >= limit {
        (Severity::Warning, "size alone predicts the status; compare every result with the short axis")
    } else {
        (Severity::Info, "the baseline that a model has to exceed")
    };
    Ok(Some(AuditIssue::new(severity, IssueCode::SizeConfounder, scored.len() as u64, message, advice)))
}

/// Properties of the acquisition, patient by patient.
pub(super) fn acquisition(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    for fact in ["manufacturer", "model", "kernel", "contrast", "kvp", "slice_thickness_mm"] {
        // A patient counts once for each value of the fact, as metastatic if any of the nodes is.
        let answer = index.query(|frame| {
            frame.filter(col("metastasis").is_not_null()).group_by([col(fact), col("patient_key")]).agg([col(
                "metastasis",
            )
            .max()
            .eq(lit(1))
            .alias("metastatic")])
        })?;
        let values = answer.texts(fact)?;
        let metastatic = answer.texts("metastatic")?;
        let mut table: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (value, metastatic) in values.into_iter().zip(metastatic) {
            let value = value.unwrap_or_else(|| "unknown".to_owned());
            let column = usize::from(metastatic.as_deref() == Some("true"));
            table.entry(value).or_insert_with(|| vec![0, 0])[column] += 1;
        }
        let patients: u64 = table.values().flatten().sum();
        let counts: Vec<Vec<u64>> = table.values().cloned().collect();
        let Some(association) = cramers_v(&counts) else { continue };
        if association >= config.acquisition_confounder && patients >= config.fewest_patients {
            let shares = table
                .iter()
                .map(|(value, counts)| format!("{value}: {} of {} metastatic", counts[1], counts[0] + counts[1]));
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::AcquisitionConfounder,
                    patients,
                    format!("`{fact}` predicts whether a patient has metastases (Cramér's V {association:.2})"),
                    "a model can learn the scanner instead of the disease; balance the sites, or evaluate each separately",
                )
                .with_examples(shares),
            );
        }
    }
    Ok(issues)
}
