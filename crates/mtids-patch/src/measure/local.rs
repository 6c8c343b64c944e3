//! The surroundings of a node in one fixed order of axes, so that measures do not depend on how a volume is stored.
//!
//! Invariants: axis 0 runs most along +x (left), 1 along +y (back), 2 along +z (head), whatever the order and direction in the volume; voxels
//! outside the volume are absent. A grid that is oblique keeps its own axes, in that order. Units: mm, HU.

use std::ops::Range;

use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;

/// How the axes of a volume lie in the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axes {
    /// For the axes x, y, z: the axis of the volume, and whether it runs the other way.
    source: [(usize, bool); 3],
}

impl Axes {
    pub(super) fn of(affine: &Affine) -> Self {
        let steps = affine.steps();
        let spacing = affine.spacing();
        let share = |axis: usize, way: usize| steps[axis][way].abs() / spacing[axis];
        // The assignment with the largest sum: for each of the six orders of three axes.
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let sum = |order: &[usize; 3]| (0..3).map(|way| share(order[way], way)).sum::<f64>();
        let mut best = ORDERS[0];
        for order in &ORDERS[1..] {
            if sum(order) > sum(&best) + 1e-9 {
                best = *order;
            }
        }
        Self { source: std::array::from_fn(|way| (best[way], steps[best[way]][way] < 0.0)) }
    }

    /// The axis of the volume that runs along x, y or z.
    pub(super) fn source(&self, way: usize) -> usize {
        self.source[way].0
    }

    /// Whether it runs the other way.
    pub(super) fn is_reversed(&self, way: usize) -> bool {
        self.source[way].1
    }

    /// Steps in mm along the axes.
    pub(super) fn steps(&self, affine: &Affine) -> [[f64; 3]; 3] {
        let steps = affine.steps();
        self.source.map(|(axis, reversed)| if reversed { steps[axis].map(|x| -x) } else { steps[axis] })
    }

    /// Values of the volume's axes, put into this order.
    pub(super) fn sorted<T: Copy>(&self, of_source: [T; 3]) -> [T; 3] {
        self.source.map(|(axis, _)| of_source[axis])
    }
}

/// A box of a volume's grid, seen along the patient's axes. Voxels are numbered from 0 with axis 0 fastest.
#[derive(Clone, Debug)]
pub(super) struct Local {
    axes: Axes,
    /// Range of the volume's indices along x, y, z.
    ranges: [Range<usize>; 3],
    /// Number of voxels along x, y, z.
    pub(super) size: [usize; 3],
    /// Step along each axis in mm.
    pub(super) steps: [[f64; 3]; 3],
    /// Length of the steps in mm.
    pub(super) spacing: [f64; 3],
    /// Place of voxel 0 relative to the point the box was made around, in mm.
    corner: [f64; 3],
}

impl Local {
    /// The box of the volume's voxels that may lie within `reach_mm` of a point; `None` where there is none, or more than `most` voxels.
    pub(super) fn around(
        affine: &Affine,
        dimensions: [usize; 3],
        center: PointMm,
        reach_mm: f64,
        most: usize,
    ) -> Option<Self> {
        let Voxel(middle) = affine.to_voxel(center);
        let zero = affine.to_voxel(PointMm([0.0; 3])).0;
        let ranges: [Range<usize>; 3] = std::array::from_fn(|axis| {
            // The length of a row of the inverse is how many voxels a millimetre across the slabs of this axis crosses.
            let rate = (0..3)
                .map(|way| {
                    let mut one = [0.0; 3];
                    one[way] = 1.0;
                    affine.to_voxel(PointMm(one)).0[axis] - zero[axis]
                })
                .fold(0.0f64, |sum, x| sum.hypot(x));
            let reach = reach_mm * rate;
            // A billionth of a voxel is rounding; casts saturate, below 0 is 0.
            let low = (middle[axis] - reach - 1e-9).ceil().max(0.0) as usize;
            let high = (middle[axis] + reach + 1e-9).floor();
            let end = if high < 0.0 { 0 } else { (high as usize).saturating_add(1).min(dimensions[axis]) };
            low..end.max(low)
        });
        Self::of_ranges(affine, ranges, center, most)
    }

    /// The box of given ranges of the volume's indices.
    pub(super) fn of_ranges(affine: &Affine, ranges: [Range<usize>; 3], center: PointMm, most: usize) -> Option<Self> {
        let axes = Axes::of(affine);
        let ranges: [Range<usize>; 3] = axes.source.map(|(axis, _)| ranges[axis].clone());
        let size = [ranges[0].len(), ranges[1].len(), ranges[2].len()];
        let length = size.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
        if length == 0 || length > most {
            return None;
        }
        let mut local = Self {
            axes,
            ranges,
            size,
            steps: axes.steps(affine),
            spacing: axes.sorted(affine.spacing()),
            corner: [0.0; 3],
        };
        let first = affine.to_mm(Voxel(local.index(0).map(|index| index as f64))).0;
        // To a millionth of a millimetre, so that rounding of the affine decides no tie.
        local.corner = std::array::from_fn(|way| ((first[way] - center.0[way]) * 1e6).round() / 1e6);
        Some(local)
    }

    /// Number of voxels.
    pub(super) fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// Place of a voxel along the axes.
    pub(super) fn place(&self, n: usize) -> [usize; 3] {
        [n % self.size[0], n / self.size[0] % self.size[1], n / (self.size[0] * self.size[1])]
    }

    /// Index `[i, j, k]` of the volume.
    pub(super) fn index(&self, n: usize) -> [usize; 3] {
        let place = self.place(n);
        let mut index = [0; 3];
        for ((&(axis, reversed), range), place) in self.axes.source.iter().zip(&self.ranges).zip(place) {
            index[axis] = if reversed { range.end - 1 - place } else { range.start + place };
        }
        index
    }

    /// Offset of a voxel from the point, mm.
    pub(super) fn offset(&self, n: usize) -> [f64; 3] {
        let place = self.place(n);
        let mut offset = self.corner;
        for (step, at) in self.steps.iter().zip(place) {
            for way in 0..3 {
                offset[way] += step[way] * at as f64;
            }
        }
        offset
    }

    /// Squared distance of each voxel from an offset from the point, mm².
    pub(super) fn squared_distances(&self, from: [f64; 3]) -> Vec<f32> {
        let mut squared = Vec::with_capacity(self.len());
        let along = self.steps[0];
        for row in 0..self.size[1] * self.size[2] {
            let first = self.offset(row * self.size[0]);
            squared.extend((0..self.size[0]).map(|x| {
                let x = x as f64;
                let square = |way: usize| (first[way] + along[way] * x - from[way]).powi(2);
                (square(0) + square(1) + square(2)) as f32
            }));
        }
        squared
    }

    /// The values of a volume that the box was made for, in the order of numbers.
    pub(super) fn values<T: Copy + Into<f64>>(&self, volume: &Volume<T>) -> Vec<T> {
        let [columns, rows, _] = volume.dimensions();
        let mut values = Vec::with_capacity(self.len());
        for row in 0..self.size[1] * self.size[2] {
            let [i, j, k] = self.index(row * self.size[0]);
            let first = (k * rows + j) * columns + i;
            let (axis, reversed) = self.axes.source[0];
            let stride = [1, columns, columns * rows][axis];
            let at = |x: usize| if reversed { first - x * stride } else { first + x * stride };
            values.extend((0..self.size[0]).map(|x| volume.voxels()[at(x)]));
        }
        values
    }

    /// The part of the box that may lie within a distance of an offset from the point, and the numbers of its voxels in this box.
    pub(super) fn part(&self, from: [f64; 3], reach_mm: f64) -> (Self, Vec<usize>) {
        let mut low = [usize::MAX; 3];
        let mut high = [0; 3];
        let limit = (reach_mm * reach_mm) as f32;
        for (n, _) in self.squared_distances(from).into_iter().enumerate().filter(|(_, squared)| *squared <= limit) {
            let place = self.place(n);
            for way in 0..3 {
                low[way] = low[way].min(place[way]);
                high[way] = high[way].max(place[way] + 1);
            }
        }
        let low = [0, 1, 2].map(|way| low[way].min(high[way]));
        let mut part = self.clone();
        part.size = [0, 1, 2].map(|way| high[way] - low[way]);
        part.corner = self.offset((low[2] * self.size[1] + low[1]) * self.size[0] + low[0]);
        part.ranges = [0, 1, 2].map(|way| {
            let range = &self.ranges[way];
            if self.axes.source[way].1 {
                range.end - high[way]..range.end - low[way]
            } else {
                range.start + low[way]..range.start + high[way]
            }
        });
        let mut numbers = Vec::with_capacity(part.len());
        for z in low[2]..high[2] {
            for y in low[1]..high[1] {
                numbers.extend((low[0]..high[0]).map(|x| (z * self.size[1] + y) * self.size[0] + x));
            }
        }
        (part, numbers)
    }

    /// A value of every voxel, in the order of numbers.
    pub(super) fn map<T>(&self, mut value: impl FnMut([usize; 3]) -> T) -> Vec<T> {
        (0..self.len()).map(|n| value(self.index(n))).collect()
    }
}
