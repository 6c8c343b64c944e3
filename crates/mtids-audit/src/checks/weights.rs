//! Weights of rows by status: samples of a node share a weight of one between them, whatever its status is.

use polars::prelude::{DataType, col, len};

use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Rows of one status that weigh more than those of the other make the network prefer it.
pub(super) fn by_status(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    // A weight that is none is an error of its own.
    let weight = || col("weight").cast(DataType::Float64);
    let answer = index.query(|frame| {
        let rows = frame.filter(col("metastasis").is_not_null().and(weight().is_finite()));
        rows.group_by([col("metastasis")]).agg([len().alias("rows"), weight().mean().alias("mean")])
    })?;
    let (statuses, rows, means) = (answer.codes("metastasis")?, answer.counts("rows")?, answer.values("mean")?);
    let of = |status: u32| statuses.iter().position(|one| *one == status).map(|at| means[at]);
    let (Some(benign), Some(metastatic)) = (of(0), of(1)) else { return Ok(None) };
    let (low, high) = (benign.min(metastatic), benign.max(metastatic));
    if high <= config.largest_weight_ratio * low {
        return Ok(None);
    }
    Ok(Some(AuditIssue::new(
        Severity::Warning,
        IssueCode::WeightsTellStatus,
        rows.iter().sum(),
        format!("benign rows weigh {benign:.3} on average, metastatic ones {metastatic:.3}"),
        "a loss by these weights prefers one status: leave them out, or say why and calibrate on rows without them",
    )))
}
