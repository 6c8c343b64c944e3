//! Labels against what they are said to come from: statuses that their evidence does not allow, and evidence without status.

use mtids_report::format::counted;
use polars::prelude::{col, lit};

use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Evidence D is the size rule, so a status that contradicts the short axis is wrong along one of them.
pub(super) fn against_evidence(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let limit = config.size_criterion_mm;
    // NaN would count as large.
    let has_size = col("short_axis_mm").is_finite();
    let is_large = col("short_axis_mm").gt_eq(lit(limit));
    let is_metastatic = col("metastasis").eq(lit(1));
    let keys = index.keys(index.is("evidence", "D")?.and(has_size).and(is_large.neq(is_metastatic)))?;
    Ok((!keys.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::StatusAgainstEvidence,
            keys.len() as u64,
            format!(
                "{} the short axis ({limit} mm), and the evidence is size (D)",
                counted(keys.len() as u64, "status contradicts", "statuses contradict")
            ),
            "ask the source which of both is wrong; set size_criterion_mm if another rule was used",
        )
        .with_rows(keys)
    }))
}

/// Evidence without a status, and a status without evidence.
pub(super) fn without_evidence(index: &Index) -> Result<Vec<AuditIssue>, AuditError> {
    let is_unnamed = index.is("evidence", "U")?;
    let is_named = || is_unnamed.clone().not();
    let has_status = || col("metastasis").is_not_null();
    let mut issues = Vec::new();
    for (code, condition, words, advice) in [
        (
            IssueCode::EvidenceWithoutStatus,
            is_named().and(has_status().not()),
            "evidence, and no status",
            "the result exists somewhere: ask the source, and write it into the table or into corrections.csv",
        ),
        (
            IssueCode::StatusWithoutEvidence,
            has_status().and(is_named().not()),
            "a status without evidence",
            "nobody can tell tissue from opinion: add the column `evidence` where it is known",
        ),
    ] {
        let keys = index.keys(condition)?;
        if !keys.is_empty() {
            let count = keys.len() as u64;
            let message = format!("{} {words}", counted(count, "patch has", "patches have"));
            issues.push(AuditIssue::new(Severity::Info, code, count, message, advice).with_rows(keys));
        }
    }
    Ok(issues)
}
