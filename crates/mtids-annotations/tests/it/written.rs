//! SEG, RTSTRUCT and SR that are written by mtids-dicom come back with their voxels and words.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_annotations::{RegionOfInterest, read_report, read_segmentation, read_structures};
use mtids_dicom::write::{
    Measurement, ReportedFinding, Segment, StudyIdentity, write_report, write_segmentation, write_structures,
};
use mtids_dicom::{FileKind, Limits, read_header};
use mtids_domain::annotation::{Extent, Mask};
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use proptest::prelude::*;

use crate::segmented;

pub(crate) fn identity() -> StudyIdentity {
    StudyIdentity {
        patient_id: "TEST-1".into(),
        patient_name: "TEST^SYNTHETIC".into(),
        study_uid: "2.25.1".into(),
        frame_of_reference_uid: "2.25.2".into(),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    }
}

/// An upright grid of 0.7 × 0.8 × 2.5 mm.
pub(crate) fn grid() -> Affine {
    let steps = [[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]];
    Affine::new(PointMm::new(-12.5, 30.25, -100.0), steps).unwrap()
}

#[test]
fn a_written_segmentation_reads_back_with_its_voxels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seg.dcm");
    let affine = grid();
    let first = vec![[1, 1, 1], [2, 1, 1], [2, 2, 2]];
    let second = vec![[5, 4, 3]];
    let segments =
        [&first, &second].map(|voxels| Segment { label: "node".into(), mask: Mask { affine, voxels: voxels.clone() } });
    write_segmentation(&path, &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    assert!(matches!(read_header(&path, &Limits::default()), Ok(FileKind::Segmentation { .. })));
    let findings = segmented(&path).unwrap();
    assert_eq!(findings.len(), 2);
    for (finding, voxels) in findings.iter().zip([first, second]) {
        assert_eq!(finding.target.series_uid.as_deref(), Some("2.25.3"));
        let Extent::Mask(mask) = &finding.extent else { panic!("a mask") };
        // The grid of the object may begin elsewhere: compared by place, voxel by voxel.
        let on_ct = |voxel: &[u32; 3]| {
            let place = affine.to_voxel(mask.affine.to_mm(Voxel(voxel.map(f64::from))));
            assert!(place.0.iter().all(|x| (x - x.round()).abs() < 1e-6), "{place:?}");
            place.0.map(|x| x.round() as u32)
        };
        assert_eq!(mask.voxels.iter().map(on_ct).collect::<Vec<_>>(), voxels);
    }
}

#[test]
fn a_written_report_adds_its_words_to_the_segments_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let (mask, report) = (folder.path().join("seg.dcm"), folder.path().join("sr.dcm"));
    let affine = grid();
    let segments = [vec![[1, 1, 1]], vec![[5, 4, 3]]]
        .map(|voxels| Segment { label: "node".into(), mask: Mask { affine, voxels } });
    write_segmentation(&mask, &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    let findings = [(1, 9.25), (2, 11.0), (3, 5.0)].map(|(segment, mm)| ReportedFinding {
        name: format!("Lymph node {segment}"),
        segment,
        measurements: vec![Measurement::short_axis_mm(mm)],
    });
    write_report(&report, &findings, 4, &identity(), "2.25.3").unwrap();
    assert!(matches!(read_header(&report, &Limits::default()), Ok(FileKind::Report { .. })));
    let segmentation = read_segmentation(&mask, &Limits::default()).unwrap();
    let report = read_report(&report, &Limits::default()).unwrap();
    let placed = segmentation.findings_on(None, &Limits::default());
    let found = report.findings(std::slice::from_ref(&placed));
    let words: Vec<_> = found.iter().map(|one| (one.finding.as_str(), one.short_axis_mm)).collect();
    assert_eq!(words, [("Lymph node 1", Some(9.25)), ("Lymph node 2", Some(11.0))]);
    assert_eq!(found[1].codes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["SCT:59441001", "SCT:72410000"]);
    let unread = report.unread(std::slice::from_ref(&placed)).unwrap();
    assert!(unread.starts_with("1 of 3 groups") && unread.contains("(`Lymph node 3`)"), "{unread}");
    let plain = placed.into_findings();
    assert_eq!(
        found.iter().map(|one| &one.extent).collect::<Vec<_>>(),
        plain.iter().map(|one| &one.extent).collect::<Vec<_>>()
    );
    assert!(report.findings(&[]).is_empty(), "without the segmentation there are no voxels");
}

/// Rotated about two axes, with an uneven origin.
fn oblique() -> Affine {
    let ((s, c), (t, d)) = (0.4f64.sin_cos(), 0.7f64.sin_cos());
    let axes = [[c, s, 0.0], [-s * d, c * d, t], [s * t, -c * t, d]];
    let sizes = [0.68, 0.71, 1.25];
    let steps = std::array::from_fn(|n| axes[n].map(|x| x * sizes[n]));
    Affine::new(PointMm::new(-171.3, -203.77, -1012.5), steps).unwrap()
}

/// The voxels of each region, its components put together.
fn back(path: &Path, affine: &Affine, dimensions: [usize; 3]) -> BTreeMap<String, Vec<[u32; 3]>> {
    let read = read_structures(path, &Limits::default()).unwrap();
    assert_eq!(read.target.series_uid.as_deref(), Some("2.25.3"));
    assert_eq!(read.target.frame_of_reference_uid.as_deref(), Some("2.25.2"));
    let mut regions: BTreeMap<String, Vec<[u32; 3]>> = BTreeMap::new();
    let of_region = |region: &RegionOfInterest| region.findings(affine, dimensions, &Limits::default()).unwrap();
    for finding in read.regions.iter().flat_map(of_region) {
        let Extent::Mask(mask) = finding.extent else { panic!("a mask") };
        regions.entry(finding.finding).or_default().extend(&mask.voxels);
    }
    regions.values_mut().for_each(|voxels| voxels.sort_unstable_by_key(|&[i, j, k]| [k, j, i]));
    regions
}

#[test]
fn the_points_of_a_large_contour_need_more_than_64_kib() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rs.dcm");
    // A comb: every second column hangs on the first row.
    let comb = (0..8u32).flat_map(|j| (0..4000u32).filter(move |i| j == 0 || i % 2 == 0).map(move |i| [i, j, 1]));
    let mask = Mask { affine: oblique(), voxels: comb.collect() };
    let segments = [Segment { label: "comb".into(), mask: mask.clone() }];
    write_structures(&path, &segments, [4000, 8, 3], &identity(), "2.25.3").unwrap();
    assert_eq!(back(&path, &oblique(), [4000, 8, 3])["comb"], mask.voxels);
}

#[test]
fn an_empty_mask_is_a_region_without_contours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rs.dcm");
    let empty = Segment { label: "none".into(), mask: Mask { affine: oblique(), voxels: Vec::new() } };
    write_structures(&path, &[empty], [4, 4, 4], &identity(), "2.25.3").unwrap();
    let read = read_structures(&path, &Limits::default()).unwrap();
    assert_eq!((read.regions.len(), read.regions[0].contours.len()), (1, 0));
    assert!(write_structures(&path, &[], [4, 4, 4], &identity(), "2.25.3").is_err());
}

proptest! {
    /// On two slices: what lies between drawn slices is filled, and is not in the mask.
    #[test]
    fn any_mask_comes_back(
        sets in prop::collection::vec(prop::collection::btree_set((0u32..2, 0u32..7, 0u32..8), 1..120), 1..3),
        tilted: bool,
    ) {
        let upright = Affine::new(PointMm::new(0.0, 0.0, 0.0), [[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 0.5]]);
        let affine = if tilted { oblique() } else { upright.unwrap() };
        let segments: Vec<Segment> = sets
            .iter()
            .zip(["a", "b"])
            .map(|(set, label)| {
                let voxels = set.iter().map(|&(k, j, i)| [i, j, k]).collect();
                Segment { label: label.into(), mask: Mask { affine, voxels } }
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rs.dcm");
        write_structures(&path, &segments, [8, 7, 3], &identity(), "2.25.3").unwrap();
        let read = back(&path, &affine, [8, 7, 3]);
        for segment in &segments {
            prop_assert_eq!(&read[&segment.label], &segment.mask.voxels);
        }
    }
}
