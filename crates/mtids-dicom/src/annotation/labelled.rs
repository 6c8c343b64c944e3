//! Voxels of one label become findings: one connected component, one finding.
//!
//! Invariant: every mask format goes through here, so that all of them mean the same by a finding.

use mtids_core::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent, Mask};
use mtids_core::geometry::Affine;
use mtids_core::label::{Evidence, LabelLevel};

use crate::annotation::components::components;
use crate::annotation::measure::short_axis_mm;

/// The findings of the set voxels `[i, j, k]` of one label; `name` is for people, never a label.
pub(crate) fn findings(target: &AnnotationTarget, name: &str, affine: Affine, voxels: &[[u32; 3]]) -> Vec<Annotation> {
    components(voxels)
        .into_iter()
        .filter_map(|voxels| {
            let mask = Mask { affine, voxels };
            Some(Annotation {
                target: target.clone(),
                center: mask.centroid()?,
                finding: name.to_owned(),
                station: None,
                metastasis: None,
                evidence: Evidence::U,
                level: LabelLevel::Node,
                short_axis_mm: short_axis_mm(&mask),
                source: AnnotationSource::Segmentation,
                extent: Extent::Mask(mask),
            })
        })
        .collect()
}
