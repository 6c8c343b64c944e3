//! A volume that structures are painted into.
//!
//! Invariant: a structure covers a voxel by the share of it that lies inside, computed from the distance to the surface and the extent of the
//! voxel in that direction, so that thick slices blur slanted surfaces as a scanner does. Units: HU or SUV; LPS mm.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel, norm};
use rayon::prelude::*;

use super::texture::Texture;
use crate::anatomy::{Structure, Tissue, Torso};
use crate::node::{Filling, Node};
use crate::shape::{Prepared, covered};

/// The volume under work.
#[derive(Debug)]
pub(crate) struct Canvas {
    values: Vec<f32>,
    dimensions: [usize; 3],
    affine: Affine,
}

/// Half the extent of a voxel along a direction: Σ |nₐ| · sₐ / 2.
fn extent(half: [f64; 3], direction: [f64; 3]) -> f64 {
    half[0] * direction[0].abs() + half[1] * direction[1].abs() + half[2] * direction[2].abs()
}

/// A box with half a voxel more on every side: a voxel whose centre lies beyond it is not touched.
fn grown(low: [f64; 3], high: [f64; 3], half: [f64; 3]) -> ([f64; 3], [f64; 3]) {
    (std::array::from_fn(|axis| low[axis] - half[axis]), std::array::from_fn(|axis| high[axis] + half[axis]))
}

/// Half the size of a voxel along x, y and z.
fn half_voxel(affine: &Affine) -> [f64; 3] {
    affine.spacing().map(|step| 0.5 * step)
}

/// Index ranges (i, j, k) of voxels whose centres may lie in a box of LPS mm.
fn ranges(affine: &Affine, dimensions: [usize; 3], (low, high): ([f64; 3], [f64; 3])) -> [std::ops::Range<usize>; 3] {
    let mut least = [f64::INFINITY; 3];
    let mut most = [f64::NEG_INFINITY; 3];
    for corner in 0..8 {
        let point = std::array::from_fn(|axis| if corner >> axis & 1 == 1 { high[axis] } else { low[axis] });
        let index = affine.to_voxel(PointMm(point)).0;
        for axis in 0..3 {
            least[axis] = least[axis].min(index[axis]);
            most[axis] = most[axis].max(index[axis]);
        }
    }
    std::array::from_fn(|axis| {
        let start = least[axis].ceil().clamp(0.0, dimensions[axis] as f64) as usize;
        let end = (most[axis].floor() + 1.0).clamp(0.0, dimensions[axis] as f64) as usize;
        start..end.max(start)
    })
}

impl Canvas {
    pub(crate) fn new(dimensions: [usize; 3], affine: Affine, value: f32) -> Self {
        Self { values: vec![value; dimensions.iter().product()], dimensions, affine }
    }

    /// A canvas over values that are there already.
    pub(crate) fn over(values: Vec<f32>, dimensions: [usize; 3], affine: Affine) -> Self {
        Self { values, dimensions, affine }
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    fn area(&self) -> usize {
        self.dimensions[0] * self.dimensions[1]
    }

    /// Paints chest wall and lungs over everything.
    pub(crate) fn paint_torso(&mut self, torso: &Torso<'_>, texture: &Texture) {
        let columns = self.dimensions[0];
        let (affine, area) = (self.affine, self.area());
        let place = |i: usize, j: usize, k: usize| affine.to_mm(Voxel([i as f64, j as f64, k as f64])).0;
        // Steps along z move neither x nor y, so each slice sees the same polar coordinates and the same dome.
        let plane: Vec<_> = (0..area)
            .map(|n| {
                let place = place(n % columns, n / columns, 0);
                (torso.polar(place), torso.diaphragm(place))
            })
            .collect();
        let level = affine.steps()[1][2] == 0.0;
        let soft = 0.5 * affine.spacing()[0].max(affine.spacing()[1]) as f32;
        self.values.par_chunks_mut(area).enumerate().for_each(|(k, slice)| {
            let mut profile = torso.profile(place(0, 0, k));
            for (j, line) in slice.chunks_exact_mut(columns).enumerate() {
                let first = place(0, j, k);
                // Rows of a tilted slice lie at different heights.
                if !level {
                    profile = torso.profile(first);
                }
                let field = texture.row(first[1], first[2]);
                let step = affine.steps()[0][0];
                for (i, value) in line.iter_mut().enumerate() {
                    let (polar, dome) = plane[j * columns + i];
                    let x = first[0] + step * i as f64;
                    *value = torso.value(&profile, polar, [x, first[1]], dome - first[2], soft, || field.at(x));
                }
            }
        });
    }

    /// Paints structures in their order; `of` says which quantity.
    pub(crate) fn paint(&mut self, structures: &[Structure], texture: &Texture, of: fn(Tissue) -> f64) {
        let half = half_voxel(&self.affine);
        let most = norm(half);
        let (affine, dimensions, columns) = (self.affine, self.dimensions, self.dimensions[0]);
        let step = affine.steps()[0][0];
        let placed: Vec<_> = structures
            .iter()
            .map(|structure| {
                let (low, high) = structure.shape.bounds();
                let (low, high) = grown(low, high, half);
                (
                    Prepared::new(structure.shape, most),
                    grained(structure.tissue, of),
                    ranges(&affine, dimensions, (low, high)),
                )
            })
            .collect();
        let area = self.area();
        self.values.par_chunks_mut(area).enumerate().for_each(|(k, slice)| {
            for (shape, (tissue, grain), [is, js, ks]) in &placed {
                if !ks.contains(&k) {
                    continue;
                }
                for j in js.clone() {
                    // Along a row only x changes.
                    let [first, y, z] = affine.to_mm(Voxel([0.0, j as f64, k as f64])).0;
                    let line = &mut slice[j * columns..(j + 1) * columns];
                    let field = (*grain > 0.0).then(|| texture.row(y, z));
                    for i in is.clone() {
                        let point = [first + step * i as f64, y, z];
                        let share = shape.share(point, half);
                        if share > 0.0 {
                            let own = field.as_ref().map_or(0.0, |field| grain * field.at(point[0]));
                            line[i] += share * (tissue + own - line[i]);
                        }
                    }
                }
            }
        });
    }

    /// Blurs along the slices by a Gaussian of `sigma` slices.
    pub(crate) fn blur_slices(&mut self, sigma: f64) {
        let area = self.area();
        let slices = self.dimensions[2];
        // The volume as a plane of `slices` rows: the in-plane blur along its columns is the blur along z.
        let mut turned = vec![0.0; self.values.len()];
        for k in 0..slices {
            for n in 0..area {
                turned[n * slices + k] = self.values[k * area + n];
            }
        }
        for line in turned.chunks_exact_mut(slices) {
            super::noise::blur(line, slices, sigma);
        }
        for k in 0..slices {
            for n in 0..area {
                self.values[k * area + n] = turned[n * slices + k];
            }
        }
    }

    /// Every slice through `f(k, slice)`, in parallel, to the final voxels.
    pub(crate) fn finish<T: Copy + Send + Default>(mut self, f: impl Fn(usize, &mut [f32]) -> Vec<T> + Sync) -> Vec<T> {
        let area = self.area();
        let slices: Vec<Vec<T>> = self.values.par_chunks_mut(area).enumerate().map(|(k, slice)| f(k, slice)).collect();
        slices.concat()
    }
}

/// Value of a tissue and the deviation of its texture, which uptake does not have.
fn grained(tissue: Tissue, of: fn(Tissue) -> f64) -> (f32, f32) {
    let value = of(tissue);
    (value as f32, if value == tissue.hu { tissue.grain as f32 } else { 0.0 })
}

/// Paints a node with what fills it, and returns the voxels whose centres lie inside.
pub(crate) fn paint_node(canvas: &mut Canvas, node: &Node, filling: Filling) -> Mask {
    let half = half_voxel(&canvas.affine);
    let most = norm(half);
    let (low, high) = node.bounds();
    let [is, js, ks] = ranges(&canvas.affine, canvas.dimensions, grown(low, high, half));
    let [columns, rows, _] = canvas.dimensions;
    let mut voxels = Vec::new();
    for k in ks {
        for j in js.clone() {
            for i in is.clone() {
                let point = canvas.affine.to_mm(Voxel([i as f64, j as f64, k as f64])).0;
                let (distance, direction) = node.field(point);
                if distance <= 0.0 {
                    voxels.push([i as u32, j as u32, k as u32]);
                }
                let mut blend = |value: f64, distance: f64, direction| {
                    let share = covered(distance, extent(half, direction));
                    let old = &mut canvas.values[(k * rows + j) * columns + i];
                    *old += share * (value as f32 - *old);
                };
                if distance < most {
                    blend(filling.body, distance, direction);
                    for (shape, value) in node.cores(&filling) {
                        let (distance, direction) = shape.field(point);
                        blend(value, distance, direction);
                    }
                }
            }
        }
    }
    // i runs fastest above, so the voxels are already in (k, j, i) order.
    Mask { affine: canvas.affine, voxels }
}
