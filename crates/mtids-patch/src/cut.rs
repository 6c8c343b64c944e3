//! Cutting: a separable fast path for grids parallel to the patient, and a general path for oblique ones.
//!
//! Invariant: both paths compute the same sum; the first merely shares the weights of an axis. Units: HU, LPS mm.

use mtids_core::geometry::{PointMm, Voxel};
use mtids_core::volume::{AIR_HU, Volume};

use crate::geometry::{Interpolation, PatchGeometry};
use crate::kernel::Taps;

/// A patch of Hounsfield units.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Voxels `[D, H, W]`, w fastest.
    pub voxels: Vec<i16>,
    /// Sides (d, h, w).
    pub size: [usize; 3],
    /// Share of the patch's weight that lay outside the volume and was filled with air, 0 to 1.
    pub pad_fraction: f32,
}

/// Cuts a patch around `center`. Outside the volume is air ([`AIR_HU`]).
///
/// Shapes: the result has `geometry.size` voxels, d towards the head, h towards the back, w towards the left.
pub fn cut(volume: &Volume, center: PointMm, geometry: &PatchGeometry) -> Patch {
    match axis_map(volume, geometry) {
        Some(axes) => cut_parallel(volume, center, geometry, axes),
        None => cut_oblique(volume, center, geometry),
    }
}

/// For each source axis (i, j, k) the patch axis (0 = d, 1 = h, 2 = w) it runs along, if all run parallel to the patient's axes.
fn axis_map(volume: &Volume, geometry: &PatchGeometry) -> Option<[usize; 3]> {
    let steps = source_steps(volume, geometry);
    let mut axes = [0; 3];
    for (source, along) in axes.iter_mut().enumerate() {
        // Less than a thousandth of a voxel across the largest possible patch counts as parallel.
        let significant: Vec<usize> = (0..3)
            .filter(|&patch_axis| steps[patch_axis][source].abs() * geometry.size[patch_axis] as f64 > 1e-3)
            .collect();
        match significant.as_slice() {
            [one] => *along = *one,
            // A patch one voxel thick along an axis: take the axis with the largest step.
            [] => {
                *along = (0..3).max_by(|&a, &b| steps[a][source].abs().total_cmp(&steps[b][source].abs()))?;
            }
            _ => return None,
        }
    }
    let mut seen = axes;
    seen.sort_unstable();
    (seen == [0, 1, 2]).then_some(axes)
}

/// `[patch axis][source axis]`: change of the source index for one patch voxel.
fn source_steps(volume: &Volume, geometry: &PatchGeometry) -> [[f64; 3]; 3] {
    let affine = volume.affine();
    let origin = affine.to_voxel(PointMm::new(0.0, 0.0, 0.0)).0;
    let mut steps = [[0.0; 3]; 3];
    for (patch_axis, step) in steps.iter_mut().enumerate() {
        let mut point = [0.0; 3];
        // Patch axes (d, h, w) are the patient's (z, y, x).
        point[2 - patch_axis] = geometry.spacing_mm[patch_axis];
        let there = affine.to_voxel(PointMm(point)).0;
        for source in 0..3 {
            step[source] = there[source] - origin[source];
        }
    }
    steps
}

fn taps(interpolation: Interpolation, position: f64, step: f64) -> Taps {
    match interpolation {
        Interpolation::Linear => Taps::triangle(position, step),
        Interpolation::Nearest => Taps::nearest(position),
    }
}

fn cut_parallel(volume: &Volume, center: PointMm, geometry: &PatchGeometry, axes: [usize; 3]) -> Patch {
    let steps = source_steps(volume, geometry);
    let first = volume.affine().to_voxel(geometry.position(center, [0, 0, 0])).0;
    // Taps of source axis `s`, one for each index along the patch axis it runs along.
    let tables: [Vec<Taps>; 3] = std::array::from_fn(|source| {
        let along = axes[source];
        let step = steps[along][source];
        (0..geometry.size[along]).map(|n| taps(geometry.interpolation, first[source] + n as f64 * step, step)).collect()
    });
    fill(volume, geometry, |[d, h, w], source| {
        let index = [d, h, w][axes[source]];
        // `index` runs over the very axis the table was built for.
        &tables[source][index]
    })
}

fn cut_oblique(volume: &Volume, center: PointMm, geometry: &PatchGeometry) -> Patch {
    let steps = source_steps(volume, geometry);
    // Footprint of a patch voxel along each source axis.
    let footprint: [f64; 3] =
        std::array::from_fn(|source| steps.iter().map(|step| step[source] * step[source]).sum::<f64>().sqrt());
    let mut accumulator = Accumulator::new(volume, geometry);
    for d in 0..geometry.size[0] {
        for h in 0..geometry.size[1] {
            for w in 0..geometry.size[2] {
                let Voxel(at) = volume.affine().to_voxel(geometry.position(center, [d, h, w]));
                let taps: [Taps; 3] =
                    std::array::from_fn(|source| taps(geometry.interpolation, at[source], footprint[source]));
                accumulator.push([&taps[0], &taps[1], &taps[2]]);
            }
        }
    }
    accumulator.finish()
}

fn fill<'a>(volume: &Volume, geometry: &PatchGeometry, taps: impl Fn([usize; 3], usize) -> &'a Taps) -> Patch {
    let mut accumulator = Accumulator::new(volume, geometry);
    for d in 0..geometry.size[0] {
        for h in 0..geometry.size[1] {
            for w in 0..geometry.size[2] {
                let at = [d, h, w];
                accumulator.push([taps(at, 0), taps(at, 1), taps(at, 2)]);
            }
        }
    }
    accumulator.finish()
}

/// Sums weighted voxels in a fixed order, so that the result is the same everywhere.
struct Accumulator<'a> {
    volume: &'a Volume,
    size: [usize; 3],
    voxels: Vec<i16>,
    padded: f64,
}

impl<'a> Accumulator<'a> {
    fn new(volume: &'a Volume, geometry: &PatchGeometry) -> Self {
        Self { volume, size: geometry.size, voxels: Vec::with_capacity(geometry.len()), padded: 0.0 }
    }

    fn push(&mut self, [along_i, along_j, along_k]: [&Taps; 3]) {
        let [columns, rows, slices] = self.volume.dimensions();
        let source = self.volume.voxels();
        let mut sum = 0.0;
        let mut inside = 0.0;
        for (k, weight_k) in in_range(along_k, slices) {
            for (j, weight_j) in in_range(along_j, rows) {
                let row = (k * rows + j) * columns;
                let weight_jk = weight_k * weight_j;
                for (i, weight_i) in in_range(along_i, columns) {
                    let weight = weight_jk * weight_i;
                    sum += weight * f64::from(source[row + i]);
                    inside += weight;
                }
            }
        }
        let outside = (1.0 - inside).max(0.0);
        self.padded += outside;
        let hu = sum + outside * f64::from(AIR_HU);
        // `round` is half away from zero; the cast saturates.
        self.voxels.push(hu.round() as i16);
    }

    fn finish(self) -> Patch {
        // Rounding of the weights may leave a billionth of padding on a patch that lies wholly inside.
        let fraction = self.padded / self.voxels.len().max(1) as f64;
        let pad_fraction = if fraction < 1e-9 { 0.0 } else { fraction as f32 };
        Patch { voxels: self.voxels, size: self.size, pad_fraction }
    }
}

/// The taps that fall on `0..length`, as (index, weight).
fn in_range(taps: &Taps, length: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
    taps.weights.iter().enumerate().filter_map(move |(n, &weight)| {
        let index = usize::try_from(taps.first + n as i64).ok()?;
        (index < length).then_some((index, weight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_core::geometry::Affine;
    use proptest::prelude::*;

    /// A field that is linear in patient millimetres.
    fn field(point: PointMm) -> f64 {
        3.0 * point.0[0] - 2.0 * point.0[1] + 5.0 * point.0[2]
    }

    fn sampled(dimensions: [usize; 3], affine: Affine, hu: impl Fn(PointMm) -> f64) -> Volume {
        let mut voxels = Vec::new();
        for k in 0..dimensions[2] {
            for j in 0..dimensions[1] {
                for i in 0..dimensions[0] {
                    voxels.push(hu(affine.to_mm(Voxel([i as f64, j as f64, k as f64]))).round() as i16);
                }
            }
        }
        Volume::new(voxels, dimensions, affine).unwrap()
    }

    fn straight(spacing: [f64; 3]) -> Affine {
        let [x, y, z] = spacing;
        Affine::new(PointMm::new(-20.0, -20.0, -20.0), [[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]]).unwrap()
    }

    fn geometry(size: [usize; 3], spacing_mm: [f64; 3], interpolation: Interpolation) -> PatchGeometry {
        PatchGeometry { size, spacing_mm, interpolation }
    }

    #[test]
    fn native_spacing_on_voxel_centres_copies_voxels() {
        let volume = sampled([40, 40, 40], straight([1.0, 1.0, 1.0]), |p| (p.0[0] * 7.0).sin() * 500.0 + p.0[2] * 11.0);
        for interpolation in [Interpolation::Linear, Interpolation::Nearest] {
            let patch = cut(&volume, PointMm::new(0.0, 0.0, 0.0), &geometry([3, 5, 7], [1.0; 3], interpolation));
            assert_eq!(patch.pad_fraction, 0.0);
            let mut expected = Vec::new();
            for d in 0..3 {
                for h in 0..5 {
                    for w in 0..7 {
                        expected.push(volume.get([20 - 3 + w, 20 - 2 + h, 20 - 1 + d]).unwrap());
                    }
                }
            }
            assert_eq!(patch.voxels, expected);
        }
    }

    #[test]
    fn a_linear_field_stays_linear_at_any_spacing() {
        let volume = sampled([40, 40, 40], straight([1.0; 3]), field);
        for spacing in [[0.7, 0.9, 1.3], [2.0, 2.0, 2.0], [3.0, 1.0, 2.5]] {
            let shape = geometry([4, 5, 6], spacing, Interpolation::Linear);
            let patch = cut(&volume, PointMm::new(0.0, 0.0, 0.0), &shape);
            for (n, &hu) in patch.voxels.iter().enumerate() {
                let at = [n / 30, n / 6 % 5, n % 6];
                let expected = field(shape.position(PointMm::new(0.0, 0.0, 0.0), at));
                assert!((f64::from(hu) - expected).abs() <= 1.0, "{hu} for {expected} at {at:?}");
            }
        }
    }

    #[test]
    fn another_storage_order_gives_the_same_patch() {
        // The same anatomy stored axially, then head first and mirrored, then coronally, then sagittally.
        let hu = |p: PointMm| 300.0 * (p.0[0] / 9.0).sin() + 200.0 * (p.0[1] / 5.0).cos() + 15.0 * p.0[2];
        let end = 19.5;
        let grids = [
            ([-end, -end, -end], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
            ([end, end, end], [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]),
            ([-end, end, end], [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]),
            ([-end, -end, end], [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]),
        ];
        let shape = geometry([5, 6, 7], [2.2, 1.7, 0.8], Interpolation::Linear);
        let center = PointMm::new(3.3, -4.1, 2.7);
        let patches: Vec<Patch> = grids
            .iter()
            .map(|(origin, steps)| {
                cut(&sampled([40, 40, 40], Affine::new(PointMm(*origin), *steps).unwrap(), hu), center, &shape)
            })
            .collect();
        for other in &patches[1..] {
            assert_eq!(&patches[0], other);
        }
        // Left and right differ, so an accidental mirror would show.
        let mut mirrored = patches[0].clone();
        mirrored.voxels.chunks_mut(7).for_each(<[i16]>::reverse);
        assert_ne!(mirrored, patches[0]);
    }

    #[test]
    fn reducing_removes_what_the_coarse_grid_cannot_carry() {
        let checkerboard = |p: PointMm| if (p.0[0] + p.0[1] + p.0[2]).rem_euclid(2.0) < 1.0 { 1000.0 } else { -1000.0 };
        let volume = sampled([40, 40, 40], straight([1.0; 3]), checkerboard);
        let reduced = cut(&volume, PointMm::new(0.3, 0.2, 0.1), &geometry([4; 3], [2.0; 3], Interpolation::Linear));
        assert!(reduced.voxels.iter().all(|hu| hu.abs() < 30), "{:?}", &reduced.voxels[..8]);
        let kept = cut(&volume, PointMm::new(0.3, 0.2, 0.1), &geometry([4; 3], [2.0; 3], Interpolation::Nearest));
        assert!(kept.voxels.iter().all(|hu| hu.abs() == 1000));
    }

    #[test]
    fn outside_is_air_and_counted() {
        let volume = sampled([40, 40, 40], straight([1.0; 3]), |_| 50.0);
        let shape = geometry([4; 3], [1.0; 3], Interpolation::Linear);
        let outside = cut(&volume, PointMm::new(500.0, 0.0, 0.0), &shape);
        assert_eq!(outside.pad_fraction, 1.0);
        assert!(outside.voxels.iter().all(|&hu| hu == AIR_HU));
        // Voxel centres reach x = 19; a patch centred there lies half outside.
        let half = cut(&volume, PointMm::new(19.5, 0.0, 0.0), &shape);
        assert!((half.pad_fraction - 0.5).abs() < 1e-6, "{}", half.pad_fraction);
        assert_eq!(&half.voxels[..4], &[50, 50, AIR_HU, AIR_HU]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn both_paths_agree_on_straight_grids(
            center in prop::array::uniform3(-25.0..25.0f64),
            spacing in prop::array::uniform3(0.5..3.0f64),
            grid in prop::array::uniform3(0.6..2.5f64),
        ) {
            let volume = sampled([24, 20, 16], straight(grid), |p| 400.0 * (p.0[0] / 4.0).sin() * (p.0[1] / 3.0).cos() + p.0[2]);
            let shape = geometry([3, 4, 5], spacing, Interpolation::Linear);
            let axes = axis_map(&volume, &shape).unwrap();
            let parallel = cut_parallel(&volume, PointMm(center), &shape, axes);
            let oblique = cut_oblique(&volume, PointMm(center), &shape);
            prop_assert!((parallel.pad_fraction - oblique.pad_fraction).abs() < 1e-6);
            for (a, b) in parallel.voxels.iter().zip(&oblique.voxels) {
                prop_assert!((a - b).abs() <= 1);
            }
        }

        #[test]
        fn an_oblique_grid_keeps_a_linear_field(angle in 0.05..0.7f64) {
            let (sin, cos) = angle.sin_cos();
            let steps = [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
            let corner = Affine::new(PointMm::new(0.0, 0.0, -15.0), steps).unwrap().to_mm(Voxel([-20.0, -20.0, 0.0]));
            let volume = sampled([40, 40, 30], Affine::new(corner, steps).unwrap(), field);
            let shape = geometry([3, 4, 5], [1.5, 1.0, 1.0], Interpolation::Linear);
            prop_assert!(axis_map(&volume, &shape).is_none());
            let patch = cut(&volume, PointMm::new(0.0, 0.0, 0.0), &shape);
            for (n, &hu) in patch.voxels.iter().enumerate() {
                let expected = field(shape.position(PointMm::new(0.0, 0.0, 0.0), [n / 20, n / 5 % 4, n % 5]));
                prop_assert!((f64::from(hu) - expected).abs() <= 2.0);
            }
        }
    }
}
