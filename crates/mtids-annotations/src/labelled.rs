//! Voxels of one label become findings: one connected component, one finding.
//!
//! Invariant: every mask format goes through here, so that all of them mean the same by a finding.

use std::sync::Arc;

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Code, Extent, Mask};
use mtids_domain::geometry::Affine;
use mtids_domain::label::{Evidence, LabelLevel};

use crate::components::components;
use crate::said::Said;

/// What a label says of all its findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelMeaning {
    /// For people, never a label.
    pub(crate) name: String,
    pub(crate) codes: Vec<Code>,
    /// Unique identifier by which the label is tracked as one finding, of pieces that lie near each other.
    pub(crate) tracking_uid: Option<String>,
    /// What a code of it means that seems to tell a status.
    pub(crate) status: Option<String>,
    /// What its codes and their modifiers say of one.
    pub(crate) said: Vec<Said>,
}

impl LabelMeaning {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Pieces of a tracked label that lie farther apart are no pieces of one node, mm.
pub(crate) const NEAR_MM: f64 = 10.0;

/// The least and the greatest index along each axis.
type Bounds = ([u32; 3], [u32; 3]);

/// Joins the pieces whose boxes lie near each other.
fn tracked(parts: Vec<Vec<[u32; 3]>>, affine: &Affine) -> Vec<Vec<[u32; 3]>> {
    let spacing = affine.spacing();
    let box_of = |part: &[[u32; 3]]| {
        part.iter().fold(([u32::MAX; 3], [0; 3]), |(low, high), voxel| {
            (
                std::array::from_fn(|axis| low[axis].min(voxel[axis])),
                std::array::from_fn(|axis| high[axis].max(voxel[axis])),
            )
        })
    };
    let are_near = |a: Bounds, b: Bounds| {
        let gap =
            |axis: usize| f64::from(a.0[axis].max(b.0[axis]).saturating_sub(a.1[axis].min(b.1[axis]))) * spacing[axis];
        (0..3).map(gap).map(|mm| mm * mm).sum::<f64>() <= NEAR_MM * NEAR_MM
    };
    // Each piece with its box, which is made once: there may be thousands of specks beside a large piece.
    let mut groups: Vec<Vec<(Bounds, Vec<[u32; 3]>)>> = Vec::new();
    for part in parts {
        let own = box_of(&part);
        let is_near = |group: &Vec<(Bounds, Vec<[u32; 3]>)>| group.iter().any(|(other, _)| are_near(own, *other));
        let (near, mut rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_near);
        let mut group: Vec<(Bounds, Vec<[u32; 3]>)> = near.into_iter().flatten().collect();
        group.push((own, part));
        rest.push(group);
        groups = rest;
    }
    let whole = |group: Vec<(Bounds, Vec<[u32; 3]>)>| group.into_iter().flat_map(|(_, part)| part).collect();
    let mut wholes: Vec<Vec<[u32; 3]>> = groups.into_iter().map(whole).collect();
    let order = |&[i, j, k]: &[u32; 3]| [k, j, i];
    wholes.iter_mut().for_each(|whole| whole.sort_unstable_by_key(order));
    wholes.sort_unstable_by_key(|whole| whole.first().map(order));
    wholes
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
    if meaning.tracking_uid.is_some() && parts.len() > 1 {
        parts = tracked(parts, &affine);
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

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::PointMm;

    #[test]
    fn a_tracked_label_is_one_finding_of_near_pieces_and_several_of_far_ones() {
        let steps = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]];
        let affine = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps).unwrap();
        let tracked = LabelMeaning { tracking_uid: Some("2.25.9".into()), ..LabelMeaning::named("LN") };
        let count = |voxels: &[[u32; 3]]| {
            findings(&AnnotationTarget::default(), &tracked, affine, voxels, &Limits::default()).unwrap().len()
        };
        // 10 mm apart along the body, which is five slices; then 12 mm.
        assert_eq!(count(&[[0, 0, 0], [0, 0, 5]]), 1);
        assert_eq!(count(&[[0, 0, 0], [0, 0, 6]]), 2);
        // A chain: each piece is near the next one, in whatever order they come.
        assert_eq!(count(&[[0, 0, 0], [9, 0, 0], [18, 0, 0]]), 1);
        assert_eq!(count(&[[0, 0, 0], [18, 0, 0], [9, 0, 1]]), 1);
        let found = tracked_places(&affine);
        assert_eq!(found, [[0, 0, 0], [40, 0, 0]]);
    }

    /// First voxels of two pieces far apart.
    fn tracked_places(affine: &Affine) -> Vec<[u32; 3]> {
        tracked(vec![vec![[40, 0, 0]], vec![[2, 0, 1]], vec![[0, 0, 0]]], affine)
            .iter()
            .filter_map(|part| part.first().copied())
            .collect()
    }
}
