//! Slices of a series become slices of a repaired grid: shifted in their planes, and interpolated between two of them.
//!
//! Units: pixels. Invariants: interpolation is linear along each axis, so a linear field keeps its values; outside the image is the value
//! given for it; at any time two slices of the series are held, not all.

use std::ops::Range;

use crate::error::DicomError;
use crate::invented::Invented;
use crate::repair::{Resampling, Target};

/// How values are brought back to the type of the volume.
#[derive(Clone, Copy)]
pub(crate) struct Element<T> {
    /// From an interpolated value.
    pub(crate) from: fn(f64) -> T,
    /// Value outside the image.
    pub(crate) outside: f64,
}

/// A slice of the series on the grid.
struct OnGrid {
    values: Vec<f64>,
    /// Columns and rows that the image covers.
    covered: [Range<usize>; 2],
}

/// For a place on the grid: the pixel at it or before it, and the weight of the next one; `None` outside the image.
type Tap = Option<(usize, f64)>;

/// The taps of `length` places of the grid on a line of `pixels`, whose first lies at `shift`. A pixel covers half a step around its centre.
fn taps(shift: f64, pixels: usize, length: usize) -> Vec<Tap> {
    let last = pixels as f64 - 1.0;
    (0..length)
        .map(|place| {
            let at = place as f64 - shift;
            (-0.5..=last + 0.5).contains(&at).then(|| {
                let at = at.clamp(0.0, last);
                let low = (at.floor() as usize).min(pixels.saturating_sub(2));
                (low, at - low as f64)
            })
        })
        .collect()
}

fn covered(taps: &[Tap]) -> Range<usize> {
    let start = taps.iter().position(Option::is_some).unwrap_or(0);
    let end = taps.iter().rposition(Option::is_some).map_or(start, |last| last + 1);
    start..end
}

/// One slice of `sides` `[columns, rows]`, shifted onto a grid of `grid` `[columns, rows]`.
fn shifted<T: Copy + Into<f64>>(
    slice: &[T],
    sides: [usize; 2],
    grid: [usize; 2],
    shift: [f64; 2],
    outside: f64,
) -> OnGrid {
    let along = [0, 1].map(|axis| taps(shift[axis], sides[axis], grid[axis]));
    let pixel = |i: usize, j: usize| slice.get(j * sides[0] + i).map_or(outside, |&value| value.into());
    let line = |j: usize, (low, weight): (usize, f64)| {
        let first = pixel(low, j);
        if weight == 0.0 { first } else { first * (1.0 - weight) + pixel(low + 1, j) * weight }
    };
    let mut values = Vec::with_capacity(grid[0] * grid[1]);
    for row in &along[1] {
        values.extend(along[0].iter().map(|column| match (column, row) {
            (Some(column), Some((low, weight))) => {
                let first = line(*low, *column);
                if *weight == 0.0 { first } else { first * (1.0 - weight) + line(low + 1, *column) * weight }
            }
            _ => outside,
        }));
    }
    OnGrid { values, covered: along.map(|taps| covered(&taps)) }
}

/// Resamples the slices of a series, `sides` `[columns, rows]` each, to a grid of `dimensions`. `decode` gives slice after slice.
pub(crate) fn resample<T: Copy + Into<f64>>(
    resampling: &Resampling,
    sides: [usize; 2],
    dimensions: [usize; 3],
    element: Element<T>,
    mut decode: impl FnMut(usize, &mut Vec<T>) -> Result<(), DicomError>,
) -> Result<(Vec<T>, Invented), DicomError> {
    let [columns, rows, slices] = dimensions;
    let mut voxels = Vec::with_capacity(columns * rows * slices);
    let mut measured = Vec::with_capacity(slices);
    let mut targets = resampling.targets.iter().peekable();
    let mut below: Option<OnGrid> = None;
    let mut buffer = Vec::new();
    for (k, &shift) in resampling.shifts.iter().enumerate() {
        buffer.clear();
        decode(k, &mut buffer)?;
        let here = shifted(&buffer, sides, [columns, rows], shift, element.outside);
        // All that needs no later slice: from this one, or from it and the one below.
        while let Some(target) = targets.next_if(|target| k >= target.below + usize::from(target.weight_above > 0.0)) {
            let (low, high) =
                if target.below == k { (&here, None) } else { (below.as_ref().unwrap_or(&here), Some(&here)) };
            measured.push(blend(low, high, target, element, &mut voxels));
        }
        below = Some(here);
    }
    Ok((voxels, Invented::new(measured)))
}

/// Appends a slice of the grid; returns what of it is measured.
fn blend<T>(
    low: &OnGrid,
    high: Option<&OnGrid>,
    target: &Target,
    Element { from, .. }: Element<T>,
    voxels: &mut Vec<T>,
) -> [Range<usize>; 2] {
    let Some(high) = high.filter(|_| target.weight_above > 0.0) else {
        voxels.extend(low.values.iter().map(|&value| from(value)));
        return low.covered.clone();
    };
    let weight = target.weight_above;
    let pairs = low.values.iter().zip(&high.values);
    voxels.extend(pairs.map(|(low, high)| from(low * (1.0 - weight) + high * weight)));
    if target.is_invented {
        return [0..0, 0..0];
    }
    [0, 1].map(|axis| {
        let (a, b) = (&low.covered[axis], &high.covered[axis]);
        a.start.max(b.start)..a.end.min(b.end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_line_keeps_a_linear_field_and_ends_at_its_pixels() {
        let slice: Vec<i16> = (0..6).map(|n| 10 * n).collect();
        let on_grid = shifted(&slice, [6, 1], [9, 1], [1.25, 0.0], -1000.0);
        let expected = [-1000.0, 0.0, 7.5, 17.5, 27.5, 37.5, 47.5, -1000.0, -1000.0];
        assert_eq!(on_grid.values, expected);
        assert_eq!(on_grid.covered, [1..7, 0..1]);
    }
}
