//! One region on a grid: its points and its filled contours become findings.
//!
//! Rule: a POINT at the voxels of a node of its region is a voxel of that node, since programs that trace masks write lone voxels so
//! (qurit/rt-utils#16). Invariants: a contour lies in a slice plane of the grid, or all contours lie in planes of their own (`oblique`); a component that only tips
//! gave is a point in its middle, since it has no extent that could be measured. Units: LPS mm.

use std::collections::BTreeSet;

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationSource, Extent};
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::label::{Evidence, LabelLevel};

use super::{Contour, ContourKind, RegionOfInterest, oblique, upright};
use crate::labelled::{LabelMeaning, findings};

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
            false => upright::filled(&curves, self.plane_step_mm, affine, dimensions, limits)?,
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
