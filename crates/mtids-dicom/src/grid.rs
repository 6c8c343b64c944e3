//! The geometry of a series is proved to be a regular grid, or how it becomes one.
//!
//! Units: mm, degrees. Invariants: the affine comes from positions of the first and the last slice; a gap, an unequal step or a tilt is an
//! error that names counts, values, place and files, unless [`Limits::repair`] asks for resampling, which is then stated in the grid.

use mtids_domain::geometry::{Affine, PointMm, norm, subtract};
use mtids_domain::repair::Repair;

use crate::error::{DicomError, ReasonCode};
use crate::image_header::InstanceHeader;
use crate::limits::{Limits, MAX_REPAIRED_STEPS, MAX_REPAIRED_TILT_DEGREES};
use crate::repair::{Resampling, Stack, plan};
use crate::series::planes::heights;
use crate::series::refusal::file_name;
use crate::series::{Series, describe_acquisitions};
use crate::steps::{SAME_HEIGHT_MM, Steps};

/// The grid of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesGrid {
    /// From voxels to LPS mm.
    pub affine: Affine,
    /// Columns, rows, slices. Of a repaired series they need not be those of its files.
    pub dimensions: [usize; 3],
    /// What resampling made the grid regular; `None` where it is that of the files.
    pub repaired: Option<Repair>,
}

impl SeriesGrid {
    /// Number of voxels.
    pub fn voxels(&self) -> u64 {
        self.dimensions.iter().map(|&side| side as u64).product()
    }
}

/// Checks the geometry of a series and returns its grid, without reading pixels.
///
/// # Errors
/// [`DicomError::Series`] with `TooFewSlices`, `MixedGeometry`, `GantryTilt`, `MissingSlices`, `UnequalSpacing`,
/// `ConflictingInstances` or `TooLarge`.
pub fn check_geometry(series: &Series, limits: &Limits) -> Result<SeriesGrid, DicomError> {
    layout(series, limits).map(|(grid, _)| grid)
}

/// The grid of a series, and how slices become it where they are resampled.
pub(crate) fn layout(series: &Series, limits: &Limits) -> Result<(SeriesGrid, Option<Resampling>), DicomError> {
    judge(series, limits).map_err(|(reason, mut detail)| {
        if let Some(division) = &series.division {
            detail = format!("{detail}; {division}");
        }
        DicomError::series(&series.series_uid, reason, detail)
    })
}

type Fault = (ReasonCode, String);

fn judge(series: &Series, limits: &Limits) -> Result<(SeriesGrid, Option<Resampling>), Fault> {
    let slices = &series.instances;
    let needed = limits.min_slices.max(2);
    let (Some(first), Some(last), Some(plane)) = (slices.first(), slices.last(), series.plane()) else {
        return Err((ReasonCode::TooFewSlices, "no slice".into()));
    };
    if slices.len() < needed {
        return Err((ReasonCode::TooFewSlices, format!("{} slices; at least {needed} are needed", slices.len())));
    }
    let dimensions = [first.columns as usize, first.rows as usize, slices.len()];
    check_size(dimensions, limits)?;
    let heights = heights(slices);
    let steps = Steps::of(&heights, limits.position_tolerance_mm);
    check_places(slices, &heights, &steps)?;
    let stack = subtract(last.position.0, first.position.0);
    // Both ends exist and differ: no step is zero.
    let height = heights.last().copied().unwrap_or_default() - heights.first().copied().unwrap_or_default();
    // Tilt is judged by vectors, not by the tag, which is known to be wrong at times.
    let tilt = (height.abs() / norm(stack)).clamp(-1.0, 1.0).acos().to_degrees();
    let (is_tilted, is_uneven) = (tilt > limits.max_tilt_degrees, steps.unusual().next().is_some());
    if is_uneven {
        check_steps(slices, &heights, &steps, limits)?;
    }
    if is_tilted && !(limits.repair && tilt <= MAX_REPAIRED_TILT_DEGREES) {
        return Err((ReasonCode::GantryTilt, tilt_detail(tilt, limits)));
    }
    let count = (slices.len() - 1) as f64;
    // By number where steps are equal, by height where they are not.
    let along = |k: usize| if is_uneven { (heights[k] - heights[0]) / height } else { k as f64 / count };
    let tolerance = limits.position_tolerance_mm.max(0.01 * (height / count).abs());
    for (k, slice) in slices.iter().enumerate() {
        let expected = std::array::from_fn(|axis| first.position.0[axis] + along(k) * stack[axis]);
        let off = norm(subtract(slice.position.0, expected));
        if off > tolerance {
            let detail = format!(
                "slice {k} ({}) is {off:.3} mm off the line through the first and the last of {} slices, more than {tolerance:.3} mm",
                file_name(&slice.path),
                slices.len()
            );
            return Err((ReasonCode::MixedGeometry, detail));
        }
    }
    let [row, column] = plane.orientation;
    let [row_step, column_step] = plane.pixel_spacing;
    // Along a row the column index grows by the column step, and the other way round.
    let in_plane = [row.map(|x| x * column_step), column.map(|x| x * row_step)];
    let affine = |origin: PointMm, step: [f64; 3]| {
        Affine::new(origin, [in_plane[0], in_plane[1], step])
            .map_err(|error| (ReasonCode::MissingGeometry, error.to_string()))
    };
    if !is_tilted && !is_uneven {
        let affine = affine(first.position, stack.map(|x| x / count))?;
        return Ok((SeriesGrid { affine, dimensions, repaired: None }, None));
    }
    let stack =
        Stack { slices, heights: &heights, steps: &steps, plane, is_tilted, direction: stack.map(|x| x / height) };
    let plan = plan(&stack);
    check_size(plan.dimensions, limits)?;
    let affine = affine(plan.origin, plan.step)?;
    Ok((SeriesGrid { affine, dimensions: plan.dimensions, repaired: Some(plan.repair) }, Some(plan.resampling)))
}

fn check_size(dimensions: [usize; 3], limits: &Limits) -> Result<(), Fault> {
    let voxels: u64 = dimensions.iter().fold(1, |product, &side| product.saturating_mul(side as u64));
    if voxels > limits.max_voxels {
        let detail = format!("{voxels} voxels, more than the limit of {}", limits.max_voxels);
        return Err((ReasonCode::TooLarge, detail));
    }
    Ok(())
}

/// No two slices at one height.
fn check_places(slices: &[InstanceHeader], heights: &[f64], steps: &Steps) -> Result<(), Fault> {
    let Some(at) = steps.repeated().next() else { return Ok(()) };
    let is_first = |slice: &InstanceHeader| norm(subtract(slice.position.0, slices[0].position.0)) < SAME_HEIGHT_MM;
    if slices.iter().all(is_first) {
        let [x, y, z] = slices[0].position.0;
        let detail = format!(
            "all {} slices have one ImagePositionPatient, ({x}, {y}, {z}): one slice lies there many times, or a program wrote its place into all; \
             export the series again",
            slices.len()
        );
        return Err((ReasonCode::ConflictingInstances, detail));
    }
    let detail = format!(
        "two slices at {:.2} mm along the normal ({} and {}), and so at {} of the places of {} slices; {}: export each acquisition or \
         reconstruction as a series of its own",
        heights[at],
        file_name(&slices[at].path),
        file_name(&slices[at + 1].path),
        steps.repeated().count(),
        slices.len(),
        describe_acquisitions(slices)
    );
    Err((ReasonCode::ConflictingInstances, detail))
}

/// Unequal steps: refused, or such that a repair interpolates over.
fn check_steps(slices: &[InstanceHeader], heights: &[f64], steps: &Steps, limits: &Limits) -> Result<(), Fault> {
    let widest = MAX_REPAIRED_STEPS * (steps.usual() + steps.tolerance());
    let too_wide = steps.unusual().find(|&n| steps.step(n) > widest);
    // The place that stands in the way; without repair the first one.
    let Some(at) = (if limits.repair { too_wide } else { steps.unusual().next() }) else { return Ok(()) };
    let gaps: Vec<usize> = steps.unusual().filter_map(|n| steps.missing(n)).collect();
    let (reason, what) = match steps.missing(at) {
        Some(1) => (ReasonCode::MissingSlices, "slices are missing: 1 here".to_owned()),
        Some(missing) => (ReasonCode::MissingSlices, format!("slices are missing: {missing} here in a row")),
        None => (ReasonCode::UnequalSpacing, "steps are unequal".to_owned()),
    };
    let all = match (reason, gaps.len()) {
        (ReasonCode::MissingSlices, more) if more > 1 => {
            format!(", {} in all at {more} places", gaps.iter().sum::<usize>())
        }
        _ => String::new(),
    };
    let cure = match (limits.repair, too_wide) {
        (false, None) => "find the files that are missing, or set reading.repair=true to resample".to_owned(),
        _ => format!(
            "find the files that are missing: over more than {MAX_REPAIRED_STEPS} usual steps nothing is interpolated"
        ),
    };
    let detail = format!(
        "{what}{all}: {:.3} mm from {:.2} mm to {:.2} mm along the normal (between {} and {}), where the usual step is {:.3} mm; steps: {}; \
         {cure}",
        steps.step(at),
        heights[at],
        heights[at + 1],
        file_name(&slices[at].path),
        file_name(&slices[at + 1].path),
        steps.usual(),
        steps.census()
    );
    Err((reason, detail))
}

fn tilt_detail(tilt: f64, limits: &Limits) -> String {
    let cure = if limits.repair || tilt > MAX_REPAIRED_TILT_DEGREES {
        format!(
            "up to {MAX_REPAIRED_TILT_DEGREES} degrees a repair undoes it (reading.repair=true); export the series again"
        )
    } else {
        "correct the series first, or set reading.repair=true to resample".to_owned()
    };
    format!("slices are stacked {tilt:.2} degrees off their normal (gantry tilt); {cure}")
}
