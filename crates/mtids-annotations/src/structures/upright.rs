//! Contours in slice planes of a grid become voxels.
//!
//! Invariant: a contour between two slices goes to the nearer one. Units: LPS mm; depths in slices.

use std::collections::BTreeMap;

use mtids_dicom::Limits;
use mtids_domain::geometry::Affine;

use super::area::{Budget, Curves, area};
use super::chains::SAME_PLANE_MM;
use super::stack::{Filled, Slice, fill};
use super::{Contour, ContourKind};

/// How far a point may lie from the plane of its contour, in slices.
pub(super) const FLAT: f64 = 0.25;

/// Largest index of a contour's point: no image has so many columns.
const FARTHEST: f64 = 1e5;

/// The voxels inside contours that lie in slice planes of the grid.
///
/// # Errors
/// A sentence for a contour far outside the grid, or more work, pieces or voxels than the limits allow.
pub(super) fn filled(
    contours: &[&Contour],
    plane_step_mm: Option<f64>,
    affine: &Affine,
    [columns, rows, slices]: [usize; 3],
    limits: &Limits,
) -> Result<Filled, String> {
    let mut drawn: Vec<(f64, ContourKind, Vec<[f64; 2]>)> = Vec::with_capacity(contours.len());
    for contour in contours {
        let indices: Vec<[f64; 3]> = contour.points.iter().map(|point| affine.to_voxel(*point).0).collect();
        if indices.iter().flatten().any(|x| !x.is_finite() || x.abs() > FARTHEST) {
            return Err("a contour is far outside the image".into());
        }
        let depth = indices.iter().map(|index| index[2]).sum::<f64>() / indices.len() as f64;
        drawn.push((depth, contour.kind, indices.iter().map(|index| [index[0], index[1]]).collect()));
    }
    // Stable: contours of one plane stay in file order.
    drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
    let step_mm = affine.spacing()[2];
    let mut planes: Vec<(f64, Curves)> = Vec::new();
    for (depth, kind, curve) in drawn {
        if planes.last().is_none_or(|(last, _)| (depth - last) * step_mm > SAME_PLANE_MM) {
            planes.push((depth, Curves::default()));
        }
        let Some((_, curves)) = planes.last_mut() else { continue };
        match kind {
            ContourKind::Xor => curves.xor.push(curve),
            _ => curves.closed.push(curve),
        }
    }
    let mut budget = Budget::new();
    let mut on_slices: BTreeMap<u32, Slice> = BTreeMap::new();
    let mut set = 0;
    for (depth, curves) in planes {
        let k = depth.round() + 0.0;
        if !(0.0..slices as f64).contains(&k) {
            continue;
        }
        let area = area(&curves, [columns, rows], &mut budget)?;
        set += area.solid.len() + area.tips.len();
        if set > limits.max_set_voxels {
            return Err(limits.too_many_set_voxels());
        }
        on_slices.entry(k as u32).or_default().add(depth, area);
    }
    fill(on_slices, u32::try_from(slices).unwrap_or(u32::MAX), step_mm, plane_step_mm, limits)
}
