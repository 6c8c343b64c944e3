//! What was drawn on a thick reconstruction stays one node on the thin one that is left.

use std::path::Path;

use mtids_annotations::{read_segmentation, read_structures};
use mtids_dicom::Limits;
use mtids_dicom::write::{Segment, write_segmentation, write_structures};
use mtids_domain::annotation::{Annotation, Extent, Mask};
use mtids_domain::geometry::{Affine, PointMm};

use crate::written::identity;

/// Slices of 5 mm, or those of 1.25 mm between them.
fn grid(step: f64) -> Affine {
    Affine::new(PointMm::new(-12.5, 30.25, -100.0), [[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, step]]).unwrap()
}

/// Squares of 3 × 3 pixels on slices of a grid.
fn drawn(step: f64, slices: &[u32]) -> Segment {
    let square = |&k: &u32| (1..4).flat_map(move |j| (1..4).map(move |i| [i, j, k]));
    let voxels = slices.iter().flat_map(square).collect();
    Segment { label: "node".into(), mask: Mask { affine: grid(step), voxels } }
}

fn volumes(findings: &[Annotation]) -> Vec<f64> {
    let volume = |finding: &Annotation| match &finding.extent {
        Extent::Mask(mask) => (mask.volume_mm3() * 100.0).round() / 100.0,
        other => panic!("{other:?}"),
    };
    findings.iter().map(volume).collect()
}

/// Volumes of the findings of a segmentation of 8 slices on the thin image.
fn segmented(folder: &Path, segment: Segment) -> Vec<f64> {
    let path = folder.join("seg.dcm");
    write_segmentation(&path, &[segment], [7, 6, 32], &identity(), "2.25.3").unwrap();
    let (limits, thin) = (Limits::default(), grid(1.25));
    let placed = read_segmentation(&path, &limits).unwrap().findings_on(Some((&thin, [7, 6, 32])), &limits);
    assert_eq!(placed.faults().count(), 0);
    volumes(&placed.into_findings())
}

#[test]
fn frames_of_thick_slices_are_one_node_on_thin_slices() {
    let folder = tempfile::tempdir().unwrap();
    let pixel = 0.7 * 0.8;
    let near = |found: Vec<f64>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.1), "{found:?} for {expected:?}");
    };
    near(segmented(folder.path(), drawn(5.0, &[2, 3, 4])), &[27.0 * pixel * 5.0]);
    // Drawn on the thin slices, every fourth of them: what was left out was not drawn.
    near(segmented(folder.path(), drawn(1.25, &[8, 12, 16])), &[9.0 * pixel * 1.25; 3]);
    near(segmented(folder.path(), drawn(1.25, &[8, 9, 10])), &[27.0 * pixel * 1.25]);
}

#[test]
fn two_contours_of_thick_slices_are_one_node_on_thin_slices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rs.dcm");
    let count = |step: f64, slices: &[u32]| {
        write_structures(&path, &[drawn(step, slices)], [7, 6, 32], &identity(), "2.25.3").unwrap();
        let read = read_structures(&path, &Limits::default()).unwrap();
        read.regions[0].findings(&grid(1.25), [7, 6, 32], &Limits::default()).unwrap().len()
    };
    assert_eq!(count(5.0, &[2, 3]), 1);
    assert_eq!(count(5.0, &[2, 3, 4]), 1);
    assert_eq!(count(5.0, &[2, 5]), 2, "15 mm apart: two nodes");
    assert_eq!(count(1.25, &[2, 3, 4, 8, 9]), 2, "drawn on thin slices, with a gap");
}
