//! How the slices of an irregular stack become a regular grid: where each slice of the grid comes from, and how far slices are shifted.
//!
//! Units: mm; shifts in pixels. Rules: a tilt is undone by shifting each slice in its plane by its own offset, so the grid stands on the
//! normal of the slices and grows until it holds every pixel. Single missing slices are put in at their places; the others are not
//! resampled. Unequal steps become equal ones of the usual step, the lower median; a slice of the grid lies between two slices of the
//! series and is interpolated linearly at its true position. Values at more than 1.5 usual steps between two slices are invented.
//! Invariants: a field that is linear in space stays what it is; no value comes from more than two neighbouring slices.

use mtids_domain::geometry::{PointMm, dot, subtract};
use mtids_domain::repair::Repair;

use crate::image_header::InstanceHeader;
use crate::steps::Steps;

/// A slice of the grid closer than this to a slice of the series is that slice, in mm.
const SNAP_MM: f64 = 1e-4;

/// A stack that is no regular grid.
pub(crate) struct Stack<'a> {
    pub(crate) slices: &'a [InstanceHeader],
    /// Along the normal of `plane`, ascending, none twice.
    pub(crate) heights: &'a [f64],
    pub(crate) steps: &'a Steps,
    /// The slice whose orientation and spacing are those of all.
    pub(crate) plane: &'a InstanceHeader,
    /// The stacking direction is off the normal by more than is accepted.
    pub(crate) is_tilted: bool,
    /// From the first slice to the last, per mm of height.
    pub(crate) direction: [f64; 3],
}

/// The grid of a repaired stack.
pub(crate) struct Plan {
    pub(crate) repair: Repair,
    pub(crate) origin: PointMm,
    /// From a slice of the grid to the next.
    pub(crate) step: [f64; 3],
    pub(crate) dimensions: [usize; 3],
    pub(crate) resampling: Resampling,
}

/// From the slices of a series to those of its grid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resampling {
    /// For each slice of the grid, in order.
    pub(crate) targets: Vec<Target>,
    /// For each slice of the series, the place of its first pixel on the grid: column and row, from 0.
    pub(crate) shifts: Vec<[f64; 2]>,
}

/// Where a slice of the grid comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Target {
    /// The slice of the series at its height or below it.
    pub(crate) below: usize,
    /// Weight of the next slice of the series, 0 to below 1.
    pub(crate) weight_above: f64,
    /// It lies in a gap: no scanner was near.
    pub(crate) is_invented: bool,
}

/// Plans the repair of a stack.
pub(crate) fn plan(stack: &Stack<'_>) -> Plan {
    let usual = stack.steps.usual();
    let is_uneven = stack.steps.unusual().next().is_some();
    let (targets, step_mm, of_steps) = if !is_uneven {
        (one_to_one(stack), mean_step(stack, stack.slices.len() - 1), None)
    } else if let Some((targets, step)) = filled(stack) {
        (targets, step, Some(Repair::Gaps))
    } else {
        (evened(stack, usual), usual, Some(Repair::UnequalSteps))
    };
    let repair = match (stack.is_tilted, of_steps) {
        (false, Some(repair)) => repair,
        (true, Some(repair)) => repair.with_tilt(),
        (_, None) => Repair::Tilt,
    };
    let normal = stack.plane.normal();
    let first = stack.slices[0].position;
    let mut shifts = vec![[0.0; 2]; stack.slices.len()];
    let (mut origin, mut grown) = (first, [0; 2]);
    let mut step = stack.direction.map(|x| x * step_mm);
    if stack.is_tilted {
        step = normal.map(|x| x * step_mm);
        let [row, column] = stack.plane.orientation;
        let [row_step, column_step] = stack.plane.pixel_spacing;
        for (shift, slice) in shifts.iter_mut().zip(stack.slices) {
            let offset = subtract(slice.position.0, first.0);
            *shift = [dot(offset, row) / column_step, dot(offset, column) / row_step];
        }
        for axis in 0..2 {
            let low = shifts.iter().map(|shift| shift[axis]).fold(f64::INFINITY, f64::min);
            shifts.iter_mut().for_each(|shift| shift[axis] -= low);
            let high = shifts.iter().map(|shift| shift[axis]).fold(0.0, f64::max);
            // A hundredth of a pixel is rounding of positions. The cast saturates, and the size is checked behind.
            grown[axis] = (high - 0.01).ceil().max(0.0) as usize;
            let (direction, spacing) = [(row, column_step), (column, row_step)][axis];
            origin.0.iter_mut().zip(direction).for_each(|(at, along)| *at += along * low * spacing);
        }
    }
    let [columns, rows] = [stack.plane.columns, stack.plane.rows].map(|side| side as usize);
    let dimensions = [columns.saturating_add(grown[0]), rows.saturating_add(grown[1]), targets.len()];
    Plan { repair, origin, step, dimensions, resampling: Resampling { targets, shifts } }
}

fn mean_step(stack: &Stack<'_>, count: usize) -> f64 {
    let ends = stack.heights.last().zip(stack.heights.first());
    ends.map_or(0.0, |(last, first)| (last - first) / count.max(1) as f64)
}

fn one_to_one(stack: &Stack<'_>) -> Vec<Target> {
    (0..stack.slices.len()).map(|below| Target { below, weight_above: 0.0, is_invented: false }).collect()
}

/// The slices at equal steps with the missing ones put in; `None` where some slice lies at no such place.
fn filled(stack: &Stack<'_>) -> Option<(Vec<Target>, f64)> {
    let mut targets = vec![Target { below: 0, weight_above: 0.0, is_invented: false }];
    for (n, below) in (1..stack.slices.len()).zip(0..) {
        let is_usual = (stack.steps.step(below) - stack.steps.usual()).abs() <= stack.steps.tolerance();
        let missing = if is_usual { 0 } else { stack.steps.missing(below)? };
        for put_in in 1..=missing {
            let weight_above = put_in as f64 / (missing + 1) as f64;
            targets.push(Target { below, weight_above, is_invented: true });
        }
        targets.push(Target { below: n, weight_above: 0.0, is_invented: false });
    }
    let step = mean_step(stack, targets.len() - 1);
    let low = stack.heights.first()?;
    let fits =
        targets.iter().enumerate().filter(|(_, target)| !target.is_invented).all(|(k, target)| {
            (stack.heights[target.below] - (low + k as f64 * step)).abs() <= stack.steps.tolerance()
        });
    fits.then_some((targets, step))
}

/// Slices at equal steps from the first one, as long as there are neighbours on both sides.
fn evened(stack: &Stack<'_>, step: f64) -> Vec<Target> {
    let heights = stack.heights;
    let (Some(&low), Some(&high)) = (heights.first(), heights.last()) else { return Vec::new() };
    let mut below = 0;
    // The size of the volume is checked with the last number; a step above the tolerance bounds it.
    let count = ((high - low + SNAP_MM) / step).floor() as usize + 1;
    (0..count)
        .map(|k| {
            let at = low + k as f64 * step;
            while heights.get(below + 1).is_some_and(|next| *next <= at + SNAP_MM) {
                below += 1;
            }
            let above = at - heights[below];
            match heights.get(below + 1) {
                Some(next) if above > SNAP_MM => {
                    let gap = next - heights[below];
                    let is_invented = gap > 1.5 * step + stack.steps.tolerance();
                    Target { below, weight_above: above / gap, is_invented }
                }
                _ => Target { below, weight_above: 0.0, is_invented: false },
            }
        })
        .collect()
}
