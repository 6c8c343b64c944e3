//! Whether there is tissue where a finding is said to be, by the measures around its point. Units: HU.
//!
//! Invariant: an older layout without measures has no such issue.

use mtids_report::format::counted;
use polars::prelude::{col, lit};

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Mean within 3 mm of the point.
const CENTER: &str = "grown_shell_0_3_hu";
/// Standard deviation of the region grown from the point.
const DEVIATION: &str = "grown_deviation_hu";

/// Findings in air or lung: a shifted or mirrored coordinate, or another series.
pub(super) fn places(index: &Index, lowest_hu: f64) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(CENTER) {
        return Ok(None);
    }
    let is_without = col(CENTER).is_finite().and(col(CENTER).lt(lit(lowest_hu)));
    let answer = index.query(|frame| frame.filter(is_without).select([col("sample_key")]))?;
    let keys: Vec<String> = answer.texts("sample_key")?.into_iter().flatten().collect();
    Ok((!keys.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::PlaceWithoutTissue,
            keys.len() as u64,
            format!(
                "{} less than {lowest_hu} HU within 3 mm of {} finding: air or lung",
                counted(keys.len() as u64, "patch has", "patches have"),
                if keys.len() == 1 { "its" } else { "their" }
            ),
            "look at them: coordinates may be of another series, mirrored, or in voxels instead of mm",
        )
        .with_rows(keys)
    }))
}

/// Findings in tissue of one value: a filled or damaged image.
pub(super) fn constant(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(DEVIATION) {
        return Ok(None);
    }
    let answer = index.query(|frame| frame.filter(col(DEVIATION).eq(lit(0.0))).select([col("sample_key")]))?;
    let keys: Vec<String> = answer.texts("sample_key")?.into_iter().flatten().collect();
    Ok((!keys.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::ConstantTissue,
            keys.len() as u64,
            counted(keys.len() as u64, "patch shows tissue of one value only", "patches show tissue of one value only"),
            "no scanner gives an image without noise: the series was filled, masked or damaged; leave it out",
        )
        .with_rows(keys)
    }))
}
