//! Structures whose planes are not slices of the image: drawn on sagittal, coronal or tilted reformats.
//!
//! Method: the contours are filled on a grid of their own, whose slices are their planes and whose pixels are half as large as the smallest
//! voxel side of the image and lie on its voxels; then each voxel of the image takes what its centre lies in. Invariants: all contours of a
//! structure lie in parallel planes, or the structure has a fault. Units: LPS mm.

use std::collections::HashSet;

use mtids_dicom::Limits;
use mtids_domain::geometry::{Affine, PointMm, Voxel, cross, dot, norm, subtract};

use super::Contour;
use super::stack::Filled;
use super::upright::{FLAT, filled as filled_upright};

/// Most voxels of the image that are looked at for one structure: half a chest CT.
const MAX_BOX: u64 = 1 << 26;

/// Whether a contour leaves the slice planes of the image.
pub(super) fn is_needed(contours: &[&Contour], affine: &Affine) -> bool {
    contours.iter().any(|contour| {
        let depths = || contour.points.iter().map(|point| affine.to_voxel(*point).0[2]);
        let mean = depths().sum::<f64>() / contour.points.len() as f64;
        depths().any(|depth| (depth - mean).abs() > FLAT)
    })
}

/// The voxels of the image inside contours of parallel planes.
///
/// # Errors
/// A sentence where the planes are not parallel or a contour is not flat, or more is enclosed than the limits allow.
pub(super) fn filled(
    contours: &[&Contour],
    plane_step_mm: Option<f64>,
    image: &Affine,
    dimensions: [usize; 3],
    limits: &Limits,
) -> Result<Filled, String> {
    let (own, own_dimensions) = own_grid(contours, image, limits)?;
    let on_own = filled_upright(contours, plane_step_mm, &own, own_dimensions, limits)?;
    resampled(&on_own, &own, image, dimensions, limits)
}

/// A grid with slices in the planes of the contours.
fn own_grid(contours: &[&Contour], image: &Affine, limits: &Limits) -> Result<(Affine, [usize; 3]), String> {
    let normal = common_normal(contours.iter().copied())
        .ok_or("its contours are lines that lie in no slice plane of the image")?;
    let side = image.spacing().into_iter().fold(f64::INFINITY, f64::min);
    let mut depths = Vec::with_capacity(contours.len());
    for contour in contours {
        let along = || contour.points.iter().map(|point| dot(point.0, normal));
        let (low, high) = range(along());
        if (high - low) / 2.0 > FLAT * side {
            return Err(
                "its contours lie neither in slice planes of the image nor in other parallel planes; draw them in one orientation".into(),
            );
        }
        depths.push((low + high) / 2.0);
    }
    depths.sort_by(f64::total_cmp);
    let gaps = depths.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > FLAT * side);
    let smallest = gaps.min_by(f64::total_cmp);
    // A single plane is as thick as a voxel of the image.
    let thickness = image.steps().map(|step| dot(step, normal).abs()).into_iter().fold(0.0, f64::max);
    let step = smallest.unwrap_or(thickness).max(side);
    // The side of the image that leans least against the plane gives the rows; the first of several.
    let axes = image.steps().map(|step| step.map(|x| x / norm(step)));
    let axis = axes.into_iter().min_by(|a, b| dot(*a, normal).abs().total_cmp(&dot(*b, normal).abs()));
    let axis = axis.ok_or("the image has no axes")?;
    let row = subtract(axis, normal.map(|x| x * dot(axis, normal)));
    let row = row.map(|x| x / norm(row));
    let column = cross(normal, row);
    let points = || contours.iter().flat_map(|contour| &contour.points);
    let sides = [row, column].map(|axis| range(points().map(|point| dot(point.0, axis))));
    let (first, last) = range(depths.iter().copied());
    // Centres of voxels are centres of pixels, so that no structure is moved by half a pixel.
    let pixel = side / 2.0;
    let length = |(low, high): (f64, f64)| ((high - low) / pixel).ceil() + 6.0;
    let (columns, rows, slices) = (length(sides[0]), length(sides[1]), ((last - first) / step).round() + 1.0);
    if columns * rows * slices > limits.max_voxels as f64 {
        return Err("its contours reach far outside the image".into());
    }
    let start = |axis: [f64; 3], low: f64| {
        let voxel = dot(image.origin().0, axis);
        voxel + (((low - voxel) / pixel).floor() - 2.0) * pixel
    };
    let corner = [start(row, sides[0].0), start(column, sides[1].0), first];
    let origin = std::array::from_fn(|n| row[n] * corner[0] + column[n] * corner[1] + normal[n] * corner[2]);
    let steps = [row.map(|x| x * pixel), column.map(|x| x * pixel), normal.map(|x| x * step)];
    let own = Affine::new(PointMm(origin), steps).map_err(|error| error.to_string())?;
    Ok((own, [columns as usize, rows as usize, slices as usize]))
}

/// Unit normal of the largest contour, by Newell's method.
pub(super) fn common_normal<'a>(contours: impl IntoIterator<Item = &'a Contour>) -> Option<[f64; 3]> {
    let areas = contours.into_iter().map(|contour| {
        let next = contour.points.iter().cycle().skip(1);
        let Some(start) = contour.points.first() else { return [0.0; 3] };
        contour.points.iter().zip(next).fold([0.0; 3], |sum: [f64; 3], (a, b)| {
            let part = cross(subtract(a.0, start.0), subtract(b.0, start.0));
            std::array::from_fn(|n| sum[n] + part[n])
        })
    });
    let largest = areas.max_by(|a, b| norm(*a).total_cmp(&norm(*b)))?;
    let length = norm(largest);
    (length > 1e-6).then(|| largest.map(|x| x / length))
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The voxels of the image whose centre lies in a set voxel of the other grid; where that is none, the nearest to the set voxels.
fn resampled(
    on_own: &Filled,
    own: &Affine,
    image: &Affine,
    dimensions: [usize; 3],
    limits: &Limits,
) -> Result<Filled, String> {
    let set: HashSet<[u32; 3]> = on_own.voxels.iter().copied().collect();
    let mut found = Filled::default();
    let mut add = |[i, j, k]: [u32; 3], is_tip: bool| {
        found.voxels.push([i, j, k]);
        if is_tip {
            found.tips.insert([k, j, i]);
        }
    };
    let ranges = image_box(on_own, own, image, dimensions);
    if ranges.iter().map(|range| range.len() as u64).product::<u64>() > MAX_BOX {
        return Err("oblique contours around more of the image than a drawn structure fills".into());
    }
    for k in ranges[2].clone() {
        for j in ranges[1].clone() {
            for i in ranges[0].clone() {
                let at = own.to_voxel(image.to_mm(Voxel([i, j, k].map(|index| index as f64))));
                let Some([a, b, c]) = at.nearest([usize::MAX; 3]).map(|index| index.map(|n| n as u32)) else {
                    continue;
                };
                if set.contains(&[a, b, c]) {
                    add([i as u32, j as u32, k as u32], on_own.tips.contains(&[c, b, a]));
                }
            }
        }
    }
    if found.voxels.is_empty() {
        for &[a, b, c] in &on_own.voxels {
            let at = image.to_voxel(own.to_mm(Voxel([a, b, c].map(f64::from)))).nearest(dimensions);
            if let Some([i, j, k]) = at {
                found.voxels.push([i as u32, j as u32, k as u32]);
                found.tips.insert([k as u32, j as u32, i as u32]);
            }
        }
        found.voxels.sort_unstable_by_key(|&[i, j, k]| [k, j, i]);
        found.voxels.dedup();
    }
    if found.voxels.len() > limits.max_set_voxels {
        return Err(limits.too_many_set_voxels());
    }
    Ok(found)
}

/// The part of the image that the set voxels of the other grid can reach.
fn image_box(on_own: &Filled, own: &Affine, image: &Affine, dimensions: [usize; 3]) -> [std::ops::Range<usize>; 3] {
    let mut reach = [(f64::INFINITY, f64::NEG_INFINITY); 3];
    let sides: [(f64, f64); 3] =
        std::array::from_fn(|axis| range(on_own.voxels.iter().map(|voxel| f64::from(voxel[axis]))));
    for corner in 0..8 {
        let index = |axis: usize| if corner >> axis & 1 == 1 { sides[axis].1 + 0.5 } else { sides[axis].0 - 0.5 };
        let at = image.to_voxel(own.to_mm(Voxel(std::array::from_fn(index)))).0;
        for axis in 0..3 {
            reach[axis] = (reach[axis].0.min(at[axis]), reach[axis].1.max(at[axis]));
        }
    }
    std::array::from_fn(|axis| {
        let (low, high) = reach[axis];
        (low.floor().max(0.0) as usize)..((high.ceil() + 1.0).max(0.0) as usize).min(dimensions[axis])
    })
}
