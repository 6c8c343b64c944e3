//! Whether there is tissue where a finding is said to be, by the measures around its point. Units: HU, mm.
//!
//! Invariants: an older layout without measures has no such issue; what is too small to be judged is not judged.

use mtids_report::format::counted;
use polars::prelude::{col, len, lit};

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Mean within 3 mm of the point.
const CENTER: &str = "grown_shell_0_3_hu";
/// Short axis of the annotation.
const SHORT_AXIS: &str = "short_axis_mm";
/// A node of this short axis holds the ball of 3 mm about its point. Around the point of a smaller one, or of one of unknown size, there may be
/// lung without anything being wrong.
const WIDTH_OF_BALL_MM: f64 = 6.0;
/// Findings of unknown size in air, of this share of them and so many at least, are judged as well.
const SHARE_IN_AIR: f64 = 0.1;
const FEWEST_IN_AIR: u64 = 5;
/// Volume of the region grown from the point.
const VOLUME: &str = "grown_volume_mm3";
/// One or two voxels have one value by chance, or by definition; less half a voxel for the rounding of volumes.
const FEWEST_VOXELS: f64 = 8.0 - 0.5;
/// Standard deviation of the region grown from the point.
const DEVIATION: &str = "grown_deviation_hu";

/// Findings of some size in air or lung: a shifted or mirrored coordinate, or another series.
pub(super) fn places(index: &Index, lowest_hu: f64) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(CENTER) {
        return Ok(None);
    }
    let has_size = || col(SHORT_AXIS).is_finite().fill_null(lit(false));
    let is_wide = has_size().and(col(SHORT_AXIS).gt_eq(lit(WIDTH_OF_BALL_MM)));
    let is_in_air = || col(CENTER).is_finite().and(col(CENTER).lt(lit(lowest_hu)));
    let mut keys = index.keys(is_wide.and(is_in_air()))?;
    // A few nodes of unknown size may lie in lung; of many, hardly one in ten does.
    let of_unknown = index.query(|frame| {
        let known = frame.filter(has_size().not().and(col(CENTER).is_finite()));
        known.select([len().alias("rows"), is_in_air().sum().alias("in air")])
    })?;
    let count = |name: &str| Ok::<u64, AuditError>(of_unknown.counts(name)?.first().copied().unwrap_or(0));
    let (unknown, in_air) = (count("rows")?, count("in air")?);
    if in_air >= FEWEST_IN_AIR && in_air as f64 > SHARE_IN_AIR * unknown as f64 {
        keys.extend(index.keys(has_size().not().and(is_in_air()))?);
    }
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
    // The region is one of voxels of the series. Where its volume is not known, nothing says that it is small.
    let voxel = col("pixel_spacing_mm") * col("pixel_spacing_mm") * col("slice_step_mm");
    let is_small = match index.has(VOLUME) {
        true => col(VOLUME).lt(lit(FEWEST_VOXELS) * voxel).fill_null(lit(false)),
        false => lit(false),
    };
    let is_constant = col(DEVIATION).eq(lit(0.0)).and(is_small.not());
    let answer = index.query(|frame| frame.filter(is_constant).select([col("sample_key")]))?;
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
