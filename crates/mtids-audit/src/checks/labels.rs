//! Labels against what they are said to come from: the same voxels with other labels, and statuses that their evidence does not allow.

use polars::prelude::{Expr, JoinArgs, JoinType, col, lit};

use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Rows with the same voxels must not carry different labels, whoever's they are. Unknown contradicts nothing.
pub(super) fn same_voxels(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let differing = |name: &str| col(name).drop_nulls().n_unique();
    let answer = index.query(|frame| {
        let contradicting = frame
            .clone()
            .group_by([col("voxels_digest")])
            .agg([differing("region_name").alias("regions"), differing("metastasis").alias("statuses")])
            .filter(col("regions").gt(lit(1)).or(col("statuses").gt(lit(1))));
        let key = [col("voxels_digest")];
        frame.select([col("voxels_digest"), col("sample_key")]).join(
            contradicting,
            key.clone(),
            key,
            JoinArgs::new(JoinType::Inner),
        )
    })?;
    let keys: Vec<String> = answer.texts("sample_key")?.into_iter().flatten().collect();
    Ok((!keys.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::SameVoxelsOtherLabels,
            keys.len() as u64,
            format!("{} patches have the voxels of another one, and another label", keys.len()),
            "the network cannot learn both: ask which label is right, correct it, or remove one of them",
        )
        .with_rows(keys)
    }))
}

/// Evidence D is the size rule, so a status that contradicts the short axis is wrong along one of them.
pub(super) fn against_evidence(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let limit = config.size_criterion_mm;
    let is_large = || col("short_axis_mm").gt_eq(lit(limit));
    let is_metastatic = || col("metastasis").eq(lit(1));
    let keys = keys(index, col("evidence").eq(lit("D")).and(is_large().neq(is_metastatic())))?;
    Ok((!keys.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::StatusAgainstEvidence,
            keys.len() as u64,
            format!(
                "{} statuses are said to come from size (evidence D), and contradict the short axis ({limit} mm)",
                keys.len()
            ),
            "ask the source which of both is wrong; set size_criterion_mm if another rule was used",
        )
        .with_rows(keys)
    }))
}

/// Evidence without a status, and a status without evidence.
pub(super) fn without_evidence(index: &Index) -> Result<Vec<AuditIssue>, AuditError> {
    let is_named = || col("evidence").neq(lit("U"));
    let has_status = || col("metastasis").is_not_null();
    let mut issues = Vec::new();
    for (code, condition, words, advice) in [
        (
            IssueCode::EvidenceWithoutStatus,
            is_named().and(has_status().not()),
            "name their evidence, and no status",
            "the result exists somewhere: ask the source, and write it into the table or into corrections.csv",
        ),
        (
            IssueCode::StatusWithoutEvidence,
            has_status().and(is_named().not()),
            "have a status without evidence",
            "nobody can tell tissue from opinion: add the column `evidence` where it is known",
        ),
    ] {
        let keys = keys(index, condition)?;
        if !keys.is_empty() {
            let message = format!("{} patches {words}", keys.len());
            issues.push(AuditIssue::new(Severity::Info, code, keys.len() as u64, message, advice).with_rows(keys));
        }
    }
    Ok(issues)
}

/// Keys of the findings that meet a condition; where it is unknown they do not.
fn keys(index: &Index, condition: Expr) -> Result<Vec<String>, AuditError> {
    let answer = index.query(|frame| frame.filter(condition).select([col("sample_key")]))?;
    Ok(answer.texts("sample_key")?.into_iter().flatten().collect())
}
