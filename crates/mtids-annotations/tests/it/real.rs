//! Real annotations: every reader finds the same lesion, and every odd object ends in findings or a named reason.

use mtids_annotations::{SeriesGeometry, Shape, Space, read_report, read_structures, read_table};
use mtids_dicom::{FileKind, Limits, read_header};
use mtids_domain::annotation::Extent;
use mtids_domain::geometry::PointMm;

use crate::{ct, files, segmented, shared};

/// The lesion as annotations_mm.csv states it.
const CENTER: PointMm = PointMm::new(-21.8586, -120.5358, -611.4964);

#[test]
#[ignore = "needs ../shared/data"]
fn binary_fractional_and_label_map_hold_the_same_837_voxels() {
    let folder = shared("chest-ct-lung1");
    for name in ["seg_binary.dcm", "seg_fractional.dcm", "seg_labelmap.dcm"] {
        let findings = segmented(&folder.join(name)).unwrap();
        assert_eq!(findings.len(), 1, "{name}");
        let Extent::Mask(mask) = &findings[0].extent else { panic!("a mask") };
        assert_eq!(mask.voxels.len(), 837, "{name}");
        assert!(findings[0].center.distance(CENTER) < 0.01, "{name}: {:?}", findings[0].center);
        // annotations_mm.csv gives the outer edges of the voxels, half a voxel beyond the centres on each side.
        let (low, high) = mask.bounds().unwrap();
        let half = mask.affine.spacing().map(|step| step / 2.0);
        let outer =
            |corner: PointMm, sign: f64| PointMm(std::array::from_fn(|axis| corner.0[axis] + sign * half[axis]));
        let (low, high) = (outer(low, -1.0), outer(high, 1.0));
        assert!(low.distance(PointMm::new(-28.8008, -127.3867, -620.0)) < 1e-3, "{name}: {low:?}");
        assert!(high.distance(PointMm::new(-15.1133, -112.5586, -605.0)) < 1e-3, "{name}: {high:?}");
        // The object names the image that it was drawn on.
        let (series, _) = ct(&folder.join("ct"));
        assert_eq!(findings[0].target.series_uid.as_deref(), Some(&*series.series_uid), "{name}");
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn segmentations_of_other_makers_hold_the_voxels_that_pydicom_counts() {
    for (name, voxels) in [
        ("dcmqi/segmentations/liver.dcm", 107_098),
        ("dcmqi/segmentations/23x38x3/seg/label.seg", 322),
        ("pydicom-data/liver.dcm", 107_098),
        ("pydicom-data/liver_deflate.dcm", 107_098),
        ("pydicom-data/liver_expb.dcm", 107_098),
        ("pydicom-data/liver_j2k.dcm", 107_098),
        ("pydicom-data/liver_rle.dcm", 107_098),
        ("highdicom/seg_image_ct_binary.dcm", 638),
        ("highdicom/seg_image_ct_binary_fractional.dcm", 638),
        ("highdicom/seg_image_ct_binary_overlap.dcm", 80),
        ("highdicom/seg_image_ct_binary_single_frame.dcm", 1832),
        ("highdicom/seg_image_ct_true_fractional.dcm", 638),
    ] {
        let path = shared(name);
        let findings = segmented(&path).unwrap();
        let count = |extent: &Extent| if let Extent::Mask(mask) = extent { mask.voxels.len() } else { 0 };
        assert_eq!(findings.iter().map(|finding| count(&finding.extent)).sum::<usize>(), voxels, "{name}");
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn both_tables_point_at_the_lesion() {
    let folder = shared("chest-ct-lung1");
    let (series, grid) = ct(&folder.join("ct"));
    let geometry = SeriesGeometry::of(&series, grid);
    for name in ["annotations_mm.csv", "annotations_voxel.csv"] {
        let rows = read_table(&folder.join(name)).unwrap();
        assert_eq!(rows.len(), 1);
        let annotation = rows[0].resolve(&geometry).unwrap();
        assert!(annotation.center.distance(CENTER) < 0.01, "{name}: {:?}", annotation.center);
        assert_eq!((annotation.station, annotation.metastasis), (None, None));
        assert!(matches!(annotation.extent, Extent::Box { .. }));
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn every_odd_object_ends_in_findings_or_a_reason() {
    let limits = Limits::default();
    let mut read = 0;
    for what in ["pydicom", "pydicom-data", "highdicom", "dcmqi", "rt-utils", "fo-dicom"] {
        for path in files(&shared(what)) {
            let result = match read_header(&path, &limits) {
                Ok(FileKind::Report { path }) => read_report(&path, &limits).map(|_| ()),
                Ok(FileKind::Segmentation { path }) => segmented(&path).map(|_| ()),
                Ok(FileKind::Structures { path }) => read_structures(&path, &limits).map(|_| ()),
                _ => continue,
            };
            read += usize::from(result.is_ok());
        }
    }
    assert!(read >= 10, "{read}");
}

#[test]
#[ignore = "needs ../shared/data"]
fn coordinates_of_another_maker_are_read_shape_by_shape() {
    let report = |name: &str| read_report(&shared(name), &Limits::default()).unwrap();
    let several = report("highdicom/sr_document_with_multiple_groups.dcm");
    let shapes: Vec<Option<Shape>> =
        several.groups.iter().map(|group| group.coordinates.first().map(|one| one.shape)).collect();
    assert_eq!(shapes, [None, Some(Shape::Circle), Some(Shape::Polyline), Some(Shape::Point)]);
    assert!(several.unplaced().unwrap().contains("1 of 4 groups") && !several.context.by_device);
    let frame = Space::Patient { frame_of_reference_uid: "1.3.6.1.4.1.5962.1.4.1.1.20040119072730.12322".into() };
    assert_eq!(several.groups[3].coordinates[0].space, frame);
    let one = report("highdicom/sr_document.dcm");
    assert!(one.groups.iter().all(|group| group.is_placed() && group.unreadable.is_none()), "{:?}", one.groups);
}
