//! Values that a body, a scanner or a ruler cannot have: a wrong unit, or a header that was not applied.
//!
//! Units: HU, mm, kV.

use polars::prelude::{Expr, col, lit};

use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Median of the blood in the descending aorta of the series.
const BLOOD: &str = "grown_aorta_hu";

/// Findings whose values lie outside what the settings allow.
pub(super) fn implausible(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let outside = |name: &str, low: f64, high: f64| col(name).lt(lit(low)).or(col(name).gt(lit(high)));
    let size = outside("short_axis_mm", config.smallest_short_axis_mm, config.largest_short_axis_mm);
    let voltage = outside("kvp", config.lowest_kvp, config.highest_kvp);
    let steps = col("slice_step_mm").gt(lit(config.largest_slice_step_mm));
    // Only that one of two is beyond its range matters: an unknown voltage says nothing about the slices.
    let acquisition = voltage.fill_null(lit(false)).or(steps);
    let mut checks: Vec<(IssueCode, Expr, String, &str)> = vec![
        (
            IssueCode::ImplausibleSize,
            size,
            format!(
                "have a short axis below {} or above {} mm",
                config.smallest_short_axis_mm, config.largest_short_axis_mm
            ),
            "sizes may be in cm or in voxels: look at the table, and give mm",
        ),
        (
            IssueCode::ImplausibleAcquisition,
            acquisition,
            format!(
                "have a tube voltage outside {} to {} kV, or slices further apart than {} mm",
                config.lowest_kvp, config.highest_kvp, config.largest_slice_step_mm
            ),
            "a localiser, a damaged header, or slices that are missing: look at the series, and leave it out",
        ),
    ];
    // An older layout has no measures.
    if index.has(BLOOD) {
        checks.push((
            IssueCode::ImplausibleBlood,
            outside(BLOOD, config.lowest_blood_hu, config.highest_blood_hu),
            format!(
                "are of a series whose aorta lies outside {} to {} HU",
                config.lowest_blood_hu, config.highest_blood_hu
            ),
            "the scaling of the series may be wrong, or it is an angiography or an image of low energy: look at it",
        ));
    }
    let mut issues = Vec::new();
    for (code, condition, words, advice) in checks {
        let keys = index.keys(condition)?;
        if !keys.is_empty() {
            let message = format!("{} patches {words}", keys.len());
            issues.push(AuditIssue::new(Severity::Warning, code, keys.len() as u64, message, advice).with_rows(keys));
        }
    }
    Ok(issues)
}
