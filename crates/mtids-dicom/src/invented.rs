//! Which voxels of a volume no scanner measured: interpolated over a missing slice, or sheared in from outside the image.
//!
//! Units: voxel indices (i, j, k). Invariant: nothing is listed for a volume that was not repaired.

use std::ops::Range;

/// The measured part of each slice of a repaired volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Invented {
    /// For each slice its measured columns and rows; empty ranges for a slice that is invented as a whole. An empty list: all is measured.
    measured: Vec<[Range<usize>; 2]>,
}

impl Invented {
    pub(crate) fn new(measured: Vec<[Range<usize>; 2]>) -> Self {
        Self { measured }
    }

    /// Whether a box of voxels `[columns, rows, slices]` holds an invented one. What lies outside the volume is padding, not invented.
    pub fn touches(&self, [columns, rows, slices]: &[Range<usize>; 3], dimensions: [usize; 3]) -> bool {
        let clipped = |range: &Range<usize>, side: usize| range.start.min(side)..range.end.min(side);
        let (columns, rows) = (clipped(columns, dimensions[0]), clipped(rows, dimensions[1]));
        if columns.is_empty() || rows.is_empty() {
            return false;
        }
        let is_within =
            |inner: &Range<usize>, outer: &Range<usize>| inner.start >= outer.start && inner.end <= outer.end;
        let of_box = self.measured.iter().take(slices.end).skip(slices.start);
        of_box.into_iter().any(|[i, j]| !is_within(&columns, i) || !is_within(&rows, j))
    }

    /// Slices that are invented as a whole.
    pub fn slices(&self) -> usize {
        self.measured.iter().filter(|[i, j]| i.is_empty() || j.is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_touches_what_is_invented_in_its_slices_only() {
        let invented = Invented::new(vec![[0..8, 0..9], [0..8, 2..9], [0..0, 0..0]]);
        let touches = |columns, rows, slices| invented.touches(&[columns, rows, slices], [8, 9, 3]);
        assert!(!touches(0..8, 0..9, 0..1));
        assert!(touches(0..8, 0..9, 0..2) && !touches(0..8, 2..9, 0..2));
        assert!(touches(3..4, 3..4, 2..3));
        assert!(!touches(3..4, 3..40, 0..2), "outside the volume is padding");
        assert!(!Invented::default().touches(&[0..8, 0..9, 0..3], [8, 9, 3]));
        assert_eq!(invented.slices(), 1);
    }
}
