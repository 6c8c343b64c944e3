//! Voxels of one label become findings: one connected component, one finding.
//!
//! Invariant: every mask format goes through here, so that all of them mean the same by a finding.

use std::sync::Arc;

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Code, Extent, Mask};
use mtids_domain::geometry::Affine;
use mtids_domain::label::{Evidence, LabelLevel};

use crate::components::components;

/// What a label says of all its findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelMeaning {
    /// For people, never a label.
    pub(crate) name: String,
    pub(crate) codes: Vec<Code>,
    /// The label is tracked as one finding, however many pieces it has.
    pub(crate) tracked: bool,
}

impl LabelMeaning {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// The findings of the set voxels `[i, j, k]` of one label.
///
/// # Errors
/// A sentence where there are more than [`Limits::max_findings`].
pub(crate) fn findings(
    target: &AnnotationTarget,
    meaning: &LabelMeaning,
    affine: Affine,
    voxels: &[[u32; 3]],
    limits: &Limits,
) -> Result<Vec<Annotation>, String> {
    let too_many = || format!("more than {} connected components; is this noise?", limits.max_findings);
    let mut parts = components(voxels, limits.max_findings).ok_or_else(too_many)?;
    if meaning.tracked && parts.len() > 1 {
        let mut whole = parts.concat();
        whole.sort_unstable_by_key(|&[i, j, k]| [k, j, i]);
        parts = vec![whole];
    }
    let found = parts
        .into_iter()
        .filter_map(|voxels| {
            let mask = Mask { affine, voxels };
            Some(Annotation {
                target: target.clone(),
                center: mask.centroid()?,
                finding: meaning.name.clone(),
                codes: meaning.codes.clone(),
                station: None,
                metastasis: None,
                evidence: Evidence::U,
                level: LabelLevel::Node,
                // Measured on the mask where all sources are joined, and none gives a length (`join`).
                short_axis_mm: None,
                source: AnnotationSource::Segmentation,
                extent: Extent::Mask(Arc::new(mask)),
            })
        })
        .collect();
    Ok(found)
}
