//! How far a point lies from the surface of a drawn node.
//!
//! Purpose: who clicks beside the edge of a large node means that node, far as its centre may be. Invariant: the distance is to voxels, each as large
//! as its cell. Units: LPS mm.

use mtids_domain::annotation::{Extent, Mask};
use mtids_domain::geometry::PointMm;

/// A point may lie so far outside the surface of a mask that is its node, mm: a reader clicks beside the edge of a node, and masks are drawn
/// roughly. Two nodes may be as near, so the mask must be the only one.
pub(crate) const BESIDE_MM: f64 = 3.0;

/// Larger masks are no nodes, and are not searched for their surface.
const MOST_SURFACE_VOXELS: usize = 1_000_000;

/// Distance of a point to the nearest voxel of a mask, mm; its axes are taken as orthogonal.
fn distance_to_surface(mask: &Mask, point: PointMm) -> f64 {
    let (place, spacing) = (mask.affine.to_voxel(point).0, mask.affine.spacing());
    let along = |voxel: &[u32; 3], axis: usize| {
        let steps = (f64::from(voxel[axis]) - place[axis]).abs() - 0.5;
        (steps.max(0.0) * spacing[axis]).powi(2)
    };
    let squared = mask.voxels.iter().map(|voxel| (0..3).map(|axis| along(voxel, axis)).sum::<f64>());
    squared.fold(f64::INFINITY, f64::min).sqrt()
}

/// Distance of a point to the surface of a mask, mm, where it lies beside it.
pub(crate) fn distance_beside(extent: &Extent, point: PointMm) -> Option<f64> {
    let Extent::Mask(mask) = extent else { return None };
    let is_searched = mask.voxels.len() <= MOST_SURFACE_VOXELS;
    is_searched.then(|| distance_to_surface(mask, point)).filter(|mm| *mm <= BESIDE_MM)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::join::join;
    use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget};
    use mtids_domain::geometry::Affine;
    use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
    use mtids_domain::taxonomy::Station;

    fn annotation(x: f64, metastasis: Option<Metastasis>) -> Annotation {
        Annotation {
            target: AnnotationTarget::default(),
            center: PointMm::new(x, 0.0, 0.0),
            extent: Extent::Point,
            finding: String::new(),
            codes: Vec::new(),
            station: None,
            metastasis,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm: None,
            source: AnnotationSource::Table,
        }
    }

    /// A drawn cube of 11 mm around `x`.
    fn cube(x: f64) -> Annotation {
        let steps = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let affine = Affine::new(PointMm::new(x - 5.0, -5.0, -5.0), steps).unwrap();
        let voxels = (0..11).flat_map(|k| (0..11).flat_map(move |j| (0..11).map(move |i| [i, j, k]))).collect();
        Annotation {
            extent: Extent::Mask(Arc::new(Mask { affine, voxels })),
            center: PointMm::new(x, 0.0, 0.0),
            ..annotation(x, None)
        }
    }

    #[test]
    fn a_point_beside_the_surface_of_one_mask_alone_is_of_that_node() {
        let joined = |others: &[Annotation], x: f64| {
            let row = (1, annotation(x, Some(Metastasis::Metastatic)));
            let all = others.iter().map(|one| (0, one.clone())).chain([row]).collect();
            let joined = join(all, 5.0);
            (joined.findings.len(), joined.beside.len())
        };
        // The surface lies 5.5 mm from the centre.
        assert_eq!(joined(&[cube(0.0)], 7.5), (1, 1));
        assert_eq!(joined(&[cube(0.0)], 8.9), (2, 0), "too far");
        assert_eq!(joined(&[cube(0.0)], 4.0), (1, 0), "inside");
        assert_eq!(joined(&[cube(0.0), cube(15.0)], 7.5), (3, 0), "between two nodes");
        assert_eq!(joined(&[cube(0.0), cube(30.0)], 7.5), (2, 1));
        let of_station = |station: Station| Annotation { station: Some(station.into()), ..cube(0.0) };
        let row = |station: Station| (1, Annotation { station: Some(station.into()), ..annotation(7.5, None) });
        for (station, findings) in [(Station::S7, 1), (Station::S4R, 2)] {
            assert_eq!(join(vec![(0, of_station(Station::S7)), row(station)], 5.0).findings.len(), findings);
        }
        // Two findings of one source are two nodes: a report that names the mask and draws a point beside it.
        let named = |source: usize| join(vec![(0, cube(0.0)), (1, cube(0.0)), (source, annotation(7.5, None))], 5.0);
        assert_eq!((named(1).findings.len(), named(1).beside.len()), (2, 0));
        assert_eq!((named(2).findings.len(), named(2).beside.len()), (1, 1));
        // A row of its own lies in the mask.
        let inside = (1, annotation(1.0, Some(Metastasis::Benign)));
        let both = join(vec![(0, cube(0.0)), inside, (1, annotation(7.5, Some(Metastasis::Metastatic)))], 5.0);
        assert_eq!((both.findings.len(), both.beside.len()), (2, 0));
        assert_eq!(both.findings[0].metastasis, Some(Metastasis::Benign));
        // Also where it is of another table.
        let inside = (2, annotation(1.0, None));
        let both = join(vec![(0, cube(0.0)), inside, (1, annotation(7.5, Some(Metastasis::Metastatic)))], 5.0);
        assert_eq!((both.findings.len(), both.findings[0].metastasis), (2, None));
    }
}
