//! One region on a grid: its points and its filled contours become findings.
//!
//! Rule: a POINT at the voxels of a node of its region is a voxel of that node, since programs that trace masks write lone voxels so
//! (qurit/rt-utils#16). Invariants: a contour lies in a slice plane of the grid, or all contours lie in planes of their own (`oblique`); a component that only tips
//! gave is a point in its middle, since it has no extent that could be measured. Units: LPS mm.

use std::collections::{BTreeMap, BTreeSet};

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationSource, Extent};
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::label::{Evidence, LabelLevel};

use super::area::{Budget, Curves, area};
use super::oblique;
use super::stack::{Filled, Slice, fill};
use super::{Contour, ContourKind, RegionOfInterest};
use crate::labelled::{LabelMeaning, findings};

/// How far a point may lie from the plane of its contour, in slices.
pub(super) const FLAT: f64 = 0.25;

/// Planes nearer than this are one plane, mm: coordinates are written with few digits.
const SAME_PLANE_MM: f64 = 0.05;

/// Largest index of a contour's point: no image has so many columns.
const FARTHEST: f64 = 1e5;

impl RegionOfInterest {
    /// The findings on a grid of `dimensions` (columns, rows, slices); of a contour that lies outside it nothing is left.
    ///
    /// # Errors
    /// A sentence with the fault of the region: that of reading, contours in no common orientation, or contours that enclose nothing of the
    /// image.
    pub fn findings(
        &self,
        affine: &Affine,
        dimensions: [usize; 3],
        limits: &Limits,
    ) -> Result<Vec<Annotation>, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let (points, curves): (Vec<&Contour>, Vec<&Contour>) =
            self.contours.iter().partition(|contour| contour.kind == ContourKind::Point);
        let mut places = BTreeSet::new();
        let mut points: Vec<PointMm> = points.iter().flat_map(|contour| &contour.points).copied().collect();
        points.retain(|point| places.insert(point.0.map(f64::to_bits)));
        if curves.is_empty() {
            return Ok(points.into_iter().map(|point| self.point(point)).collect());
        }
        let mut filled = match oblique::is_needed(&curves, affine) {
            false => filled(&curves, self.plane_step_mm, affine, dimensions, limits)?,
            true => oblique::filled(&curves, self.plane_step_mm, affine, dimensions, limits)?,
        };
        if filled.voxels.is_empty() {
            return Err(format!(
                "its {} contours enclose no voxel of the image: they lie outside it, or cancel one another",
                curves.len()
            ));
        }
        let alone = filled.add_points(points, affine, dimensions);
        let mut found: Vec<Annotation> = alone.into_iter().map(|point| self.point(point)).collect();
        let meaning = LabelMeaning::named(&self.name);
        for finding in findings(&self.target, &meaning, *affine, &filled.voxels, limits)? {
            let only_tips = match &finding.extent {
                Extent::Mask(mask) => mask.voxels.iter().all(|&[i, j, k]| filled.tips.contains(&[k, j, i])),
                _ => false,
            };
            found.push(if only_tips { self.point(finding.center) } else { finding });
        }
        Ok(found)
    }

    /// A finding without extent.
    fn point(&self, center: PointMm) -> Annotation {
        Annotation {
            target: self.target.clone(),
            center,
            finding: self.name.clone(),
            codes: Vec::new(),
            station: None,
            metastasis: None,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm: None,
            source: AnnotationSource::Segmentation,
            extent: Extent::Point,
        }
    }
}

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
    fill(on_slices, step_mm, plane_step_mm, limits)
}
