//! Places without finding: they bear no label, and lie away from every finding of their series.

use mtids_report::format::counted;
use polars::prelude::{Expr, col, lit};

use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Negatives with a label, and negatives at a finding.
pub(super) fn negatives(index: &Index, same_place_mm: f64) -> Result<Vec<AuditIssue>, AuditError> {
    let is_negative = index.is("kind", "negative")?;
    let keys = |condition: Expr| -> Result<Vec<String>, AuditError> {
        let kept = is_negative.clone().and(condition);
        let answer = index.query_of(Rows::All, |frame| frame.filter(kept).select([col("sample_key")]))?;
        Ok(answer.texts("sample_key")?.into_iter().flatten().collect())
    };
    let is_labelled = ["metastasis", "region_name", "station"].map(|name| col(name).is_not_null());
    let [status, region, station] = is_labelled;
    let mut issues = Vec::new();
    for (severity, code, keys, words, advice) in [
        (
            Severity::Error,
            IssueCode::LabelledNegative,
            keys(status.or(region).or(station))?,
            "a label".to_owned(),
            "a place without finding has no status: the dataset was not written by mtids-prep, or was changed; build it again",
        ),
        (
            Severity::Warning,
            IssueCode::NegativeNearFinding,
            keys(col("finding_distance_mm").lt(lit(same_place_mm)))?,
            format!("a finding less than {same_place_mm} mm away"),
            "a network is told that a node is none: draw negatives further away, and build again",
        ),
    ] {
        if !keys.is_empty() {
            let count = keys.len() as u64;
            let message = format!("{} {words}", counted(count, "negative has", "negatives have"));
            issues.push(AuditIssue::new(severity, code, count, message, advice).with_rows(keys));
        }
    }
    Ok(issues)
}
