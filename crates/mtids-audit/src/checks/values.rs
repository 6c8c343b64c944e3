//! Values that a body, a scanner or a ruler cannot have: a wrong unit, or a header that was not applied.
//!
//! Invariant: a number that is not finite is the business of `not_finite` alone. Units: HU, mm, kV.

use mtids_report::format::counted;
use polars::prelude::{DataType, Expr, col, lit};

use super::wrong_rows::WrongRows;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Short axis of the annotation's mask.
const OF_MASK: &str = "mask_short_axis_mm";
/// Median of the blood in the descending aorta of the series.
const BLOOD: &str = "grown_aorta_hu";

/// Findings whose values lie outside what the settings allow.
pub(super) fn implausible(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    // NaN would lie above every limit.
    let outside =
        |name: &str, low: f64, high: f64| col(name).is_finite().and(col(name).lt(lit(low)).or(col(name).gt(lit(high))));
    let size = outside("short_axis_mm", config.smallest_short_axis_mm, config.largest_short_axis_mm);
    let voltage = outside("kvp", config.lowest_kvp, config.highest_kvp);
    let steps = outside("slice_step_mm", f64::NEG_INFINITY, config.largest_slice_step_mm);
    // A header may say so where nobody entered the thickness.
    let thickness = col("slice_thickness_mm").is_finite().and(col("slice_thickness_mm").lt_eq(lit(0.0)));
    // Only that one of them is beyond its range matters: an unknown voltage says nothing about the slices.
    let acquisition = voltage.fill_null(lit(false)).or(thickness.fill_null(lit(false))).or(steps);
    let mut checks: Vec<(IssueCode, Expr, String, &str)> = vec![
        (
            IssueCode::ImplausibleSize,
            size,
            format!(
                "a short axis below {} or above {} mm",
                config.smallest_short_axis_mm, config.largest_short_axis_mm
            ),
            "sizes may be in cm or in voxels: look at the table, and give mm",
        ),
        (
            IssueCode::ImplausibleAcquisition,
            acquisition,
            format!(
                "a tube voltage outside {} to {} kV, slices further apart than {} mm, or no thickness of slices above 0 mm",
                config.lowest_kvp, config.highest_kvp, config.largest_slice_step_mm
            ),
            "a localiser, a damaged header, or slices that are missing: look at the series, and leave it out",
        ),
    ];
    if index.has(OF_MASK) {
        let [given, drawn] = ["short_axis_mm", OF_MASK].map(|name| col(name).cast(DataType::Float64));
        let both = given.clone().is_finite().and(drawn.clone().is_finite()).and(given.clone().gt(lit(0.0)));
        let ratio = drawn / given;
        let limit = config.size_against_mask;
        checks.push((
            IssueCode::SizeAgainstMask,
            both.and(ratio.clone().gt(lit(limit)).or(ratio.lt(lit(1.0 / limit)))),
            format!("a short axis that differs from that of the mask by a factor above {limit}"),
            "the size is in another unit, or of another node: look at the table, and give mm",
        ));
    }
    // An older layout has no measures.
    if index.has(BLOOD) {
        checks.push((
            IssueCode::ImplausibleBlood,
            outside(BLOOD, config.lowest_blood_hu, config.highest_blood_hu),
            format!("a series whose aorta lies outside {} to {} HU", config.lowest_blood_hu, config.highest_blood_hu),
            "the scaling of the series may be wrong, or it is an angiography or an image of low energy: look at it",
        ));
    }
    let mut issues = Vec::new();
    for (code, condition, words, advice) in checks {
        let keys = index.keys(condition)?;
        if !keys.is_empty() {
            let count = keys.len() as u64;
            let message = format!("{} {words}", counted(count, "patch has", "patches have"));
            issues.push(AuditIssue::new(Severity::Warning, code, count, message, advice).with_rows(keys));
        }
    }
    Ok(issues)
}

/// Numbers that no row can have, of findings and negatives alike; examples are the columns.
pub(super) fn impossible(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let below = |name: &str, least: f64| col(name).lt(lit(least));
    let not_above = |name: &str, least: f64| col(name).lt_eq(lit(least));
    let mut wrong = WrongRows::default();
    for (column, is_wrong, words) in [
        ("pixel_spacing_mm", not_above("pixel_spacing_mm", 0.0), "not above 0"),
        ("slice_step_mm", not_above("slice_step_mm", 0.0), "not above 0"),
        ("weight", below("weight", 0.0), "below 0"),
        ("pad_fraction", below("pad_fraction", 0.0).or(col("pad_fraction").gt(lit(1.0))), "outside 0 to 1"),
    ] {
        let is_wrong = col(column).is_finite().and(is_wrong);
        let answer = index.query_of(Rows::All, |frame| frame.filter(is_wrong).select([col("sample_key")]))?;
        wrong.add(format_args!("{column} {words}"), answer.codes("sample_key")?);
    }
    wrong.issue(
        index,
        IssueCode::ImpossibleNumber,
        ["row has", "rows have", "a number that its quantity cannot have"],
        "the dataset was not written by mtids-prep, or was changed: correct the source, and build again",
    )
}
