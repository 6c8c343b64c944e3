//! Cutting: a separable fast path for grids parallel to the patient, and a general path for oblique ones.
//!
//! Invariant: both paths compute the same sum; the first merely shares the weights of an axis. Units: HU or SUV, LPS mm.

use std::ops::Range;

use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::{AIR_HU, Volume};

use crate::geometry::{Interpolation, PatchGeometry, Planes};
use crate::kernel::Taps;

/// A patch of one channel: HU, or hundredths of an SUV.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Voxels `[D, H, W]`, w fastest.
    pub voxels: Vec<i16>,
    /// Sides (d, h, w).
    pub size: [usize; 3],
    /// Share of the patch's weight that lay outside the volume and was filled with air, 0 to 1.
    pub pad_fraction: f32,
}

/// From a value of the volume to what a patch stores.
#[derive(Clone, Copy)]
struct Stored {
    /// Value outside the volume.
    outside: f64,
    /// Stored steps in one unit of the volume.
    scale: f64,
}

const HU: Stored = Stored { outside: AIR_HU as f64, scale: 1.0 };

/// Stored steps of one SUV: hundredths, up to 327.67.
pub const SUV_STEPS: f64 = 100.0;

/// Cuts a patch of HU around `center`. Outside the volume is air ([`AIR_HU`]).
///
/// Shapes: the result has `geometry.size` voxels, d towards the head, h towards the back, w towards the left.
pub fn cut(volume: &Volume, center: PointMm, geometry: &PatchGeometry) -> Patch {
    cut_in(volume, center, geometry, HU)
}

/// Cuts a patch of SUV around `center`, in hundredths ([`SUV_STEPS`]). Outside the volume is 0.
///
/// Shapes: as [`cut`]; the two lie over each other voxel by voxel, whatever the grids of CT and PET.
pub fn cut_suv(volume: &Volume<f32>, center: PointMm, geometry: &PatchGeometry) -> Patch {
    cut_in(volume, center, geometry, Stored { outside: 0.0, scale: SUV_STEPS })
}

/// Cuts the share of each voxel that lies in a region, in thousandths, around `center`. Voxels of the region are not 0; outside is 0.
///
/// Shapes: as [`cut`], with the same resampling.
pub(crate) fn cut_share(region: &Volume<u8>, center: PointMm, geometry: &PatchGeometry) -> Vec<i16> {
    cut_in(region, center, geometry, Stored { outside: 0.0, scale: SHARE_STEPS }).voxels
}

/// Stored steps of a share of 1.
pub(crate) const SHARE_STEPS: f64 = 1000.0;

fn cut_in<T: Copy + Into<f64>>(volume: &Volume<T>, center: PointMm, geometry: &PatchGeometry, stored: Stored) -> Patch {
    if geometry.planes == Planes::Orthogonal {
        return cut_orthogonal(volume, center, geometry, stored);
    }
    match axis_map(volume.affine(), geometry) {
        Some(axes) => cut_parallel(volume, center, geometry, stored, axes),
        None => cut_oblique(volume, center, geometry, stored),
    }
}

/// Axial, coronal and sagittal plane through the centre, each turned as [`Planes::Orthogonal`] says.
fn cut_orthogonal<T: Copy + Into<f64>>(
    volume: &Volume<T>,
    center: PointMm,
    geometry: &PatchGeometry,
    stored: Stored,
) -> Patch {
    let side = geometry.size[1];
    let [thickness, step, _] = geometry.spacing_mm;
    // A plane is a patch one voxel thick, as thick as the patch's first spacing.
    let plane = |across: usize| {
        let mut plane = PatchGeometry { size: [side; 3], spacing_mm: [step; 3], planes: Planes::Volume, ..*geometry };
        plane.size[across] = 1;
        plane.spacing_mm[across] = thickness;
        cut_in(volume, center, &plane, stored)
    };
    let [axial, coronal, sagittal] = [0, 1, 2].map(plane);
    let mut voxels = axial.voxels;
    for standing in [&coronal, &sagittal] {
        // Their rows run towards the head; a standing plane is looked at with the head up.
        standing.voxels.chunks_exact(side).rev().for_each(|row| voxels.extend_from_slice(row));
    }
    let pad_fraction = (axial.pad_fraction + coronal.pad_fraction + sagittal.pad_fraction) / 3.0;
    Patch { voxels, size: geometry.size, pad_fraction }
}

/// The distance over which a patch voxel averages along an axis, from the distance of its neighbours: the slices of a stack are thin.
fn footprint(patch_axis: usize, step: f64, geometry: &PatchGeometry) -> f64 {
    if patch_axis == 0 && geometry.planes == Planes::Stack { step.clamp(-1.0, 1.0) } else { step }
}

/// For each source axis (i, j, k) the patch axis (0 = d, 1 = h, 2 = w) it runs along, if all run parallel to the
/// patient's axes.
fn axis_map(affine: &Affine, geometry: &PatchGeometry) -> Option<[usize; 3]> {
    let steps = source_steps(affine, geometry);
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
fn source_steps(affine: &Affine, geometry: &PatchGeometry) -> [[f64; 3]; 3] {
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

fn taps(interpolation: Interpolation, position: f64, step: f64, length: usize) -> Taps {
    // A billionth of a voxel is rounding of the affine; without it a flipped storage could break a tie the other way.
    let position = (position * 1e9).round() / 1e9;
    match interpolation {
        Interpolation::Linear => Taps::triangle(position, step, length),
        Interpolation::Nearest => Taps::nearest(position, step, length),
    }
}

/// What is stored, from a sum of weighted voxels and the weight that fell outside.
fn finish(sum: f64, outside: f64, stored: Stored) -> i16 {
    let value = (sum + outside * stored.outside) * stored.scale;
    // The order of summation depends on the storage order; a millionth of a step keeps that from deciding a tie. `round` is half away
    // from zero; the cast saturates.
    ((value * 1e6).round() / 1e6).round() as i16
}

fn cut_parallel<T: Copy + Into<f64>>(
    volume: &Volume<T>,
    center: PointMm,
    geometry: &PatchGeometry,
    stored: Stored,
    axes: [usize; 3],
) -> Patch {
    let steps = source_steps(volume.affine(), geometry);
    let dimensions = volume.dimensions();
    let first = volume.affine().to_voxel(geometry.position(center, [0, 0, 0])).0;
    // Taps of each source axis, one for each index along the patch axis it runs along.
    let [along_i, along_j, along_k]: [Vec<Taps>; 3] = std::array::from_fn(|source| {
        let step = steps[axes[source]][source];
        let at = |n: usize| first[source] + n as f64 * step;
        let averaged = footprint(axes[source], step, geometry);
        (0..geometry.size[axes[source]])
            .map(|n| taps(geometry.interpolation, at(n), averaged, dimensions[source]))
            .collect()
    });
    let (needed_i, needed_j, needed_k) = (span(&along_i), span(&along_j), span(&along_k));
    let size_i = along_i.len();
    let [columns, rows, _] = dimensions;

    // One axis after the other: the work per voxel is the sum of three kernel widths, not their product.
    let mut reduced_i = Vec::with_capacity(needed_k.len() * needed_j.len() * size_i);
    for k in needed_k.clone() {
        for j in needed_j.clone() {
            let start = (k * rows + j) * columns;
            // `needed_*` lie inside the volume because taps are clipped to it.
            let row = &volume.voxels()[start + needed_i.start..start + needed_i.end];
            reduced_i.extend(along_i.iter().map(|taps| {
                let voxels = row.iter().skip(taps.first.saturating_sub(needed_i.start));
                taps.weights.iter().zip(voxels).map(|(weight, &value)| weight * value.into()).sum::<f64>()
            }));
        }
    }
    let reduced_j: Vec<f64> = reduced_i
        .chunks_exact((needed_j.len() * size_i).max(1))
        .flat_map(|plane| combine(plane, size_i, &along_j, needed_j.start))
        .collect();
    let sums = combine(&reduced_j, along_j.len() * size_i, &along_k, needed_k.start);

    let strides = [geometry.size[1] * geometry.size[2], geometry.size[2], 1];
    let [stride_i, stride_j, stride_k] = axes.map(|axis| strides[axis]);
    let mut voxels = vec![0; geometry.len()];
    let mut padded = 0.0;
    let mut sum = sums.iter();
    for (l, k) in along_k.iter().enumerate() {
        for (m, j) in along_j.iter().enumerate() {
            for (n, i) in along_i.iter().enumerate() {
                let outside = (1.0 - i.inside * j.inside * k.inside).max(0.0);
                padded += outside;
                voxels[l * stride_k + m * stride_j + n * stride_i] =
                    finish(sum.next().copied().unwrap_or(0.0), outside, stored);
            }
        }
    }
    Patch { voxels, size: geometry.size, pad_fraction: pad_fraction(padded, geometry) }
}

/// The source indices that any of the taps touches.
fn span(taps: &[Taps]) -> Range<usize> {
    let touching = || taps.iter().filter(|taps| !taps.weights.is_empty());
    let start = touching().map(|taps| taps.first).min().unwrap_or(0);
    let end = touching().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
    start..end
}

/// Weighted sums of the `width`-long lines of `lines`, whose first line has source index `start`: one line for each of `along`.
fn combine(lines: &[f64], width: usize, along: &[Taps], start: usize) -> Vec<f64> {
    let mut sums = vec![0.0; along.len() * width];
    for (taps, sum) in along.iter().zip(sums.chunks_exact_mut(width.max(1))) {
        let touched = lines.chunks_exact(width.max(1)).skip(taps.first.saturating_sub(start));
        for (weight, line) in taps.weights.iter().zip(touched) {
            sum.iter_mut().zip(line).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    sums
}

fn cut_oblique<T: Copy + Into<f64>>(
    volume: &Volume<T>,
    center: PointMm,
    geometry: &PatchGeometry,
    stored: Stored,
) -> Patch {
    let steps = source_steps(volume.affine(), geometry);
    let dimensions = volume.dimensions();
    // Footprint of a patch voxel along each source axis.
    let averaged: [f64; 3] = std::array::from_fn(|source| {
        let along = |(patch_axis, step): (usize, &[f64; 3])| footprint(patch_axis, step[source], geometry).powi(2);
        steps.iter().enumerate().map(along).sum::<f64>().sqrt()
    });
    let mut voxels = Vec::with_capacity(geometry.len());
    let mut padded = 0.0;
    for d in 0..geometry.size[0] {
        for h in 0..geometry.size[1] {
            for w in 0..geometry.size[2] {
                let Voxel(at) = volume.affine().to_voxel(geometry.position(center, [d, h, w]));
                let [i, j, k] = std::array::from_fn(|source| {
                    taps(geometry.interpolation, at[source], averaged[source], dimensions[source])
                });
                let outside = (1.0 - i.inside * j.inside * k.inside).max(0.0);
                padded += outside;
                voxels.push(finish(weighted_sum(volume, [&i, &j, &k]), outside, stored));
            }
        }
    }
    Patch { voxels, size: geometry.size, pad_fraction: pad_fraction(padded, geometry) }
}

fn weighted_sum<T: Copy + Into<f64>>(volume: &Volume<T>, [along_i, along_j, along_k]: [&Taps; 3]) -> f64 {
    let [columns, rows, _] = volume.dimensions();
    let mut sum = 0.0;
    for (k, weight_k) in (along_k.first..).zip(&along_k.weights) {
        for (j, weight_j) in (along_j.first..).zip(&along_j.weights) {
            let row = volume.voxels().iter().skip((k * rows + j) * columns + along_i.first);
            let line: f64 = row.zip(&along_i.weights).map(|(&value, weight)| weight * value.into()).sum();
            sum += weight_k * weight_j * line;
        }
    }
    sum
}

fn pad_fraction(padded: f64, geometry: &PatchGeometry) -> f32 {
    // To a millionth: rounding of the weights must leave nothing on a patch that lies wholly inside, nor depend on storage.
    let fraction = padded / geometry.len().max(1) as f64;
    ((fraction * 1e6).round() / 1e6).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
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
        PatchGeometry { size, spacing_mm, interpolation, planes: Planes::Volume }
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
        // Off-grid with anti-aliasing, half-way between voxels (ties everywhere), half outside; both interpolations.
        for (spacing, center) in [
            ([2.2, 1.7, 0.8], PointMm::new(3.3, -4.1, 2.7)),
            ([1.0, 1.0, 1.0], PointMm::new(0.0, 0.5, 1.0)),
            ([2.0, 3.0, 0.5], PointMm::new(19.0, 18.0, -17.0)),
        ] {
            for interpolation in [Interpolation::Linear, Interpolation::Nearest] {
                let shape = geometry([5, 6, 7], spacing, interpolation);
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
        }
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
        for nowhere in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(cut(&volume, PointMm::new(0.0, nowhere, 0.0), &shape), outside);
        }
    }

    #[test]
    fn a_pet_on_another_grid_lies_over_its_ct() {
        // SUV that is linear in patient millimetres, on a coarse grid turned by half a turn.
        let turned =
            Affine::new(PointMm::new(40.0, 40.0, -40.0), [[-5.0, 0.0, 0.0], [0.0, -5.0, 0.0], [0.0, 0.0, 4.0]])
                .unwrap();
        let suv = |point: PointMm| 3.0 + 0.05 * point.0[0] + 0.02 * point.0[2];
        let mut voxels = Vec::new();
        for k in 0..21 {
            for j in 0..17 {
                for i in 0..17 {
                    voxels.push(suv(turned.to_mm(Voxel([i, j, k].map(f64::from)))) as f32);
                }
            }
        }
        let pet = Volume::new(voxels, [17, 17, 21], turned).unwrap();
        let shape = geometry([3, 5, 5], [2.0, 3.0, 3.0], Interpolation::Linear);
        let center = PointMm::new(4.0, -3.0, 5.0);
        let patch = cut_suv(&pet, center, &shape);
        for d in 0..3 {
            for h in 0..5 {
                for w in 0..5 {
                    let expected = 100.0 * suv(shape.position(center, [d, h, w]));
                    let found = f64::from(patch.voxels[(d * 5 + h) * 5 + w]);
                    assert!((found - expected).abs() <= 0.51, "{found} for {expected}");
                }
            }
        }
        let outside = cut_suv(&pet, PointMm::new(500.0, 0.0, 0.0), &shape);
        assert!(outside.voxels.iter().all(|&suv| suv == 0) && outside.pad_fraction == 1.0);
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
            let axes = axis_map(volume.affine(), &shape).unwrap();
            let parallel = cut_parallel(&volume, PointMm(center), &shape, HU, axes);
            let oblique = cut_oblique(&volume, PointMm(center), &shape, HU);
            prop_assert!((parallel.pad_fraction - oblique.pad_fraction).abs() < 1e-6);
            for (a, b) in parallel.voxels.iter().zip(&oblique.voxels) {
                prop_assert!((a - b).abs() <= 1);
            }
        }

        #[test]
        fn a_constant_stays_constant(
            center in prop::array::uniform3(-3.0..3.0f64),
            spacing in prop::array::uniform3(0.3..3.0f64),
            constant in -1024..3071i16,
        ) {
            let volume = sampled([40, 40, 40], straight([1.0; 3]), |_| f64::from(constant));
            let patch = cut(&volume, PointMm(center), &geometry([4, 4, 4], spacing, Interpolation::Linear));
            prop_assert_eq!(patch.pad_fraction, 0.0);
            prop_assert!(patch.voxels.iter().all(|&hu| hu == constant));
        }

        #[test]
        fn an_oblique_grid_keeps_a_linear_field(angle in 0.05..0.7f64) {
            let (sin, cos) = angle.sin_cos();
            let steps = [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
            let corner = Affine::new(PointMm::new(0.0, 0.0, -15.0), steps).unwrap().to_mm(Voxel([-20.0, -20.0, 0.0]));
            let volume = sampled([40, 40, 30], Affine::new(corner, steps).unwrap(), field);
            let shape = geometry([3, 4, 5], [1.5, 1.0, 1.0], Interpolation::Linear);
            prop_assert!(axis_map(volume.affine(), &shape).is_none());
            let patch = cut(&volume, PointMm::new(0.0, 0.0, 0.0), &shape);
            for (n, &hu) in patch.voxels.iter().enumerate() {
                let expected = field(shape.position(PointMm::new(0.0, 0.0, 0.0), [n / 20, n / 5 % 4, n % 5]));
                prop_assert!((f64::from(hu) - expected).abs() <= 2.0);
            }
        }
    }
}
