//! Which slices lie in planes of one stack: sides, orientation and pixel spacing, as far as writing keeps them.
//!
//! Units: mm. Invariants: slices are compared with the first of a part, not by rounded keys, so noise around a rounding border splits
//! nothing. Different roundings of one number are one number; different fields of view and different tilts stay apart.

use mtids_domain::geometry::{dot, norm, subtract};

use crate::image_header::InstanceHeader;

/// Largest distance, in mm, that two descriptions of one plane may put its last pixel apart. A quarter of a usual pixel; fields of view
/// are chosen in steps of millimetres.
const CORNER_MM: f64 = 0.2;

/// Largest difference of two direction cosines, and relative difference of two spacings, in any case: a matrix may be small.
const LARGEST_DIFFERENCE: f64 = 1e-3;

/// Decimals at which a spacing may have been rounded: below two it would be no spacing.
const DECIMALS: std::ops::RangeInclusive<i32> = 2..=9;

/// True when two slices can stand in one stack, by their planes.
pub(super) fn same_plane(a: &InstanceHeader, b: &InstanceHeader) -> bool {
    if (a.rows, a.columns) != (b.rows, b.columns) {
        return false;
    }
    if a.orientation == b.orientation && a.pixel_spacing == b.pixel_spacing {
        return true;
    }
    if a.orientation
        .iter()
        .flatten()
        .zip(b.orientation.iter().flatten())
        .any(|(a, b)| (a - b).abs() > LARGEST_DIFFERENCE)
    {
        return false;
    }
    let spacing_b = if is_rounding_of_one(a, b) { a.pixel_spacing } else { b.pixel_spacing };
    let differs = |(a, b): (&f64, &f64)| (a - b).abs() > LARGEST_DIFFERENCE * a;
    if a.pixel_spacing.iter().zip(&spacing_b).any(differs) {
        return false;
    }
    // Where the last pixel lies, seen from the first.
    let corner = |header: &InstanceHeader, [row_step, column_step]: [f64; 2]| {
        let [row, column] = header.orientation;
        let (across, down) = (f64::from(header.columns.saturating_sub(1)), f64::from(header.rows.saturating_sub(1)));
        std::array::from_fn(|axis| row[axis] * column_step * across + column[axis] * row_step * down)
    };
    norm(subtract(corner(a, a.pixel_spacing), corner(b, spacing_b))) <= CORNER_MM
}

/// True when each spacing of one slice is that of the other rounded to some decimals, and the first pixel did not move as a field of view of
/// another size around the same centre would move it.
fn is_rounding_of_one(a: &InstanceHeader, b: &InstanceHeader) -> bool {
    let is_rounded = |fine: f64, coarse: f64| {
        DECIMALS.into_iter().any(|decimals| {
            let scale = 10f64.powi(decimals);
            (fine * scale).round() / scale == coarse || (fine * scale).trunc() / scale == coarse
        })
    };
    let rounded = a.pixel_spacing.iter().zip(&b.pixel_spacing);
    if !rounded.clone().all(|(&a, &b)| a == b || is_rounded(a, b) || is_rounded(b, a)) {
        return false;
    }
    let moved = subtract(a.position.0, b.position.0);
    let [row, column] = a.orientation;
    let [row_step, column_step] = [0, 1].map(|n: usize| (a.pixel_spacing[n] - b.pixel_spacing[n]).abs());
    let other_field = |step: f64, pixels: u32| step * f64::from(pixels.saturating_sub(1)) / 2.0;
    // A tilted gantry moves the first pixel along one of the two directions, another field of view along both.
    dot(moved, row).abs() <= 0.25 * other_field(column_step, a.columns)
        || dot(moved, column).abs() <= 0.25 * other_field(row_step, a.rows)
}

/// True when all slices lie in planes of one stack.
pub(super) fn is_one_plane(slices: &[InstanceHeader]) -> bool {
    slices.first().is_none_or(|first| slices.iter().all(|slice| same_plane(first, slice)))
}

/// Positions of slices of one stack along one normal, in mm. One normal for all: directions that were rounded differently would tilt
/// against each other.
pub(crate) fn heights(slices: &[InstanceHeader]) -> Vec<f64> {
    let normal = finest(slices).map(InstanceHeader::normal).unwrap_or_default();
    slices.iter().map(|slice| dot(normal, slice.position.0)).collect()
}

/// The slice whose orientation and spacing are written with most digits, as those of the scanner were; of several the first by the numbers.
pub(crate) fn finest(slices: &[InstanceHeader]) -> Option<&InstanceHeader> {
    let first = slices.first()?;
    let plane = |slice: &InstanceHeader| (slice.orientation, slice.pixel_spacing);
    if slices.iter().all(|slice| plane(slice) == plane(first)) {
        return Some(first);
    }
    let numbers = |slice: &InstanceHeader| {
        let [[a, b, c], [d, e, f]] = slice.orientation;
        let [g, h] = slice.pixel_spacing;
        [g, h, a, b, c, d, e, f]
    };
    let digits = |slice: &InstanceHeader| numbers(slice).map(|x| x.abs().to_string().len()).iter().sum::<usize>();
    let spacing_digits =
        |slice: &InstanceHeader| slice.pixel_spacing.map(|x| x.to_string().len()).iter().sum::<usize>();
    slices.iter().max_by(|a, b| {
        let by_numbers = || {
            let pairs = numbers(a).into_iter().zip(numbers(b));
            pairs.map(|(a, b)| b.total_cmp(&a)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        };
        (spacing_digits(a), digits(a)).cmp(&(spacing_digits(b), digits(b))).then_with(by_numbers)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(spacing: f64, x: f64) -> InstanceHeader {
        let mut header = InstanceHeader::for_tests().with(|facts| {
            (facts.rows, facts.columns) = (512, 512);
            facts.pixel_spacing = [spacing; 2];
        });
        header.position.0[0] = x;
        header.position.0[1] = x;
        header
    }

    #[test]
    fn roundings_of_one_spacing_are_one_plane() {
        let same = |a, b| {
            let (a, b) = (slice(a, -180.0), slice(b, -180.0));
            same_plane(&a, &b) && same_plane(&b, &a)
        };
        for (a, b) in [(0.703125, 0.7031), (0.703125, 0.703), (0.703125, 0.70), (0.976562, 0.97656), (0.976562, 0.977)]
        {
            assert!(same(a, b), "{a} and {b}");
        }
        // 360 and 361 mm; 0.7 and 0.74 are no roundings of each other at two decimals.
        assert!(!same(0.703125, 0.705078) && !same(0.7, 0.74) && !same(0.703125, 0.71));
    }

    #[test]
    fn another_field_of_view_is_another_plane_though_its_spacing_looks_rounded() {
        // The same centre: the first pixel moves by half of the difference of the sides.
        let moved = 511.0 * (0.703125 - 0.7) / 2.0;
        assert!(!same_plane(&slice(0.703125, -180.0), &slice(0.7, -180.0 + moved)));
    }

    #[test]
    fn rounded_directions_are_one_plane_and_half_a_degree_is_not() {
        let turned = |angle: f64, decimals: i32| {
            let scale = 10f64.powi(decimals);
            let [c, s] = [angle.cos(), angle.sin()].map(|x| (x * scale).round() / scale);
            slice(0.7, -180.0).with(|facts| facts.orientation = [[1.0, 0.0, 0.0], [0.0, c, s]])
        };
        let degrees = 12.5f64.to_radians();
        assert!(same_plane(&turned(degrees, 9), &turned(degrees, 4)));
        assert!(!same_plane(&turned(degrees, 9), &turned(degrees + 0.5f64.to_radians(), 9)));
    }

    #[test]
    fn the_finest_numbers_are_those_of_the_scanner_in_any_order() {
        let (fine, coarse) = (slice(0.703125, -180.0), slice(0.7, -180.0));
        let spacing = |slices: &[InstanceHeader]| finest(slices).map(|one| one.pixel_spacing[0]);
        assert_eq!(spacing(&[coarse.clone(), fine.clone(), coarse.clone()]), Some(0.703125));
        assert_eq!(spacing(&[fine, coarse]), Some(0.703125));
    }
}
