//! Widths of a set of pixels between two parallel lines, as radiologists measure a node on a slice.
//!
//! Units: mm in the plane of the slice; the first axis of a pixel runs along x. Invariant: one pixel alone has the width of a pixel, and
//! mirroring the plane or exchanging its axes changes nothing but rounding.

use crate::geometry::{dot, norm};

/// Directions are tried every 3 degrees.
const STEP_DEGREES: usize = 3;

/// The steps of a slice's pixels, laid into a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pixels {
    width: f64,
    /// Shift along x and height of a step to the next row: a skewed grid keeps its angle.
    along: f64,
    across: f64,
}

/// The least and the largest width over all directions, mm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Widths {
    /// Short axis.
    pub least: f64,
    /// Long axis.
    pub largest: f64,
}

impl Pixels {
    /// Pixels with the steps of one index along a row and along a column, mm.
    pub fn new(row: [f64; 3], column: [f64; 3]) -> Self {
        let (width, height) = (norm(row), norm(column));
        let along = dot(row, column) / width;
        Self { width, along, across: (height * height - along * along).max(0.0).sqrt() }
    }

    /// Widths of a set of pixels `[i, j]`, or `None` for an empty set.
    pub fn widths(&self, pixels: &[[u32; 2]]) -> Option<Widths> {
        let points: Vec<[f64; 2]> = self.outline(pixels);
        let mut widths = Widths { least: f64::INFINITY, largest: f64::NEG_INFINITY };
        for degrees in (0..180).step_by(STEP_DEGREES) {
            let (sin, cos) = (degrees as f64).to_radians().sin_cos();
            let projections = points.iter().map(|[x, y]| x * cos + y * sin);
            let (low, high) =
                projections.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
            // Centres of pixels lie half a pixel inside the outline on both sides.
            let width = high - low + (self.width * cos.abs()).max(self.across * sin.abs());
            widths = Widths { least: widths.least.min(width), largest: widths.largest.max(width) };
        }
        (!points.is_empty()).then_some(widths)
    }

    /// First and last pixel of each row: no other pixel bounds a projection.
    fn outline(&self, pixels: &[[u32; 2]]) -> Vec<[f64; 2]> {
        let mut rows: std::collections::BTreeMap<u32, (u32, u32)> = std::collections::BTreeMap::new();
        for &[i, j] in pixels {
            let row = rows.entry(j).or_insert((i, i));
            *row = (row.0.min(i), row.1.max(i));
        }
        let place = |i: u32, j: u32| {
            let (i, j) = (f64::from(i), f64::from(j));
            [i * self.width + j * self.along, j * self.across]
        };
        rows.into_iter().flat_map(|(j, (first, last))| [place(first, j), place(last, j)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipse_has_its_axes_and_a_pixel_its_width() {
        let grid = Pixels::new([0.5, 0.0, 0.0], [0.0, 0.5, 0.0]);
        let (sin, cos) = 0.6f64.sin_cos();
        let pixels: Vec<[u32; 2]> = (0..100)
            .flat_map(|j| (0..100).map(move |i| [i, j]))
            .filter(|&[i, j]| {
                let (x, y) = (f64::from(i) * 0.5 - 25.0, f64::from(j) * 0.5 - 25.0);
                ((x * cos + y * sin) / 15.0).hypot((y * cos - x * sin) / 6.0) <= 1.0
            })
            .collect();
        let widths = grid.widths(&pixels).unwrap();
        assert!((widths.least - 12.0).abs() < 0.6 && (widths.largest - 30.0).abs() < 0.6, "{widths:?}");
        let one = grid.widths(&[[7, 9]]).unwrap();
        assert!((one.largest - 0.5).abs() < 1e-9 && one.least < 0.5 + 1e-9, "{one:?}");
        assert_eq!(grid.widths(&[]), None);
    }

    #[test]
    fn a_skewed_grid_keeps_its_angle() {
        // Rows are shifted by their own width: a column of pixels is a diagonal of 45 degrees.
        let grid = Pixels::new([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]);
        let column: Vec<[u32; 2]> = (0..11).map(|j| [3, j]).collect();
        let widths = grid.widths(&column).unwrap();
        assert!((widths.largest - 200f64.sqrt()).abs() < 1.0, "{widths:?}");
    }
}
