//! One lesion in many formats: every reader must find the same one.

use mtids_annotations::{
    SeriesGeometry, findings_of_boxes, read_mask, read_report, read_segmentation, read_structures, read_table, read_voc,
};
use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationTarget, Extent, Mask};
use mtids_domain::geometry::Affine;

use crate::{ct, segmented, shared};

/// Set voxels on the grid of the CT, whatever the grid of the mask.
fn on_grid(mask: &Mask, grid: &Affine) -> Vec<[i64; 3]> {
    let mut voxels: Vec<[i64; 3]> = mask
        .voxels
        .iter()
        .map(|voxel| {
            let at = grid.to_voxel(mask.affine.to_mm(mtids_domain::geometry::Voxel(voxel.map(f64::from)))).0;
            assert!(at.iter().all(|x| (x - x.round()).abs() < 1e-2), "{at:?} lies between voxels");
            at.map(|x| x.round() as i64)
        })
        .collect();
    voxels.sort_unstable();
    voxels
}

#[test]
#[ignore = "needs ../shared/data"]
fn every_reader_finds_the_same_lesion() {
    let folder = shared("chest-ct-lung1");
    let limits = Limits::default();
    let (series, grid) = ct(&folder);
    let affine = grid.affine;
    let geometry = SeriesGeometry::of(&series, grid);
    let target = AnnotationTarget { series_uid: Some(series.series_uid.as_ref().to_owned()), ..Default::default() };
    let path = |name: &str| folder.join(name);
    let table = |name: &str| -> Vec<Annotation> {
        read_table(&path(name)).unwrap().iter().map(|row| row.resolve(&geometry).unwrap()).collect()
    };
    let readers: Vec<(&str, Vec<Annotation>)> = vec![
        ("SEG, binary", segmented(&path("seg_binary.dcm")).unwrap()),
        ("SEG, fractional", segmented(&path("seg_fractional.dcm")).unwrap()),
        ("SEG, label map", segmented(&path("seg_labelmap.dcm")).unwrap()),
        ("SR on a SEG", {
            let segmentations =
                [read_segmentation(&path("seg_binary.dcm"), &limits).unwrap().findings_on(None, &limits)];
            let found = read_report(&path("sr_tid1500.dcm"), &limits).unwrap().findings(&segmentations);
            assert_eq!(
                (found[0].finding.as_str(), found[0].codes[0].to_string()),
                ("lesion-1", "SCT:27925004".to_owned())
            );
            found
        }),
        ("NIfTI", read_mask(&path("mask.nii.gz"), &limits).unwrap().findings(&target, &limits).unwrap()),
        ("NRRD", read_mask(&path("mask.nrrd"), &limits).unwrap().findings(&target, &limits).unwrap()),
        (
            "RTSTRUCT",
            read_structures(&path("rtstruct.dcm"), &limits)
                .unwrap()
                .regions
                .iter()
                .flat_map(|region| region.findings(&affine, geometry.dimensions, &limits).unwrap())
                .collect(),
        ),
        ("PASCAL VOC", {
            let boxes: Vec<_> = crate::files(&path("voc")).iter().flat_map(|path| read_voc(path).unwrap()).collect();
            findings_of_boxes(&boxes, &geometry)
        }),
        ("table, mm", table("annotations_mm.csv")),
        ("table, voxels", table("annotations_voxel.csv")),
    ];
    let Extent::Mask(truth) = &readers[0].1[0].extent else { panic!("the first reader gives a mask") };
    let (truth, center) = (on_grid(truth, &affine), affine.to_voxel(readers[0].1[0].center).0);
    assert_eq!(truth.len(), 837);
    for (name, found) in readers {
        assert_eq!(found.len(), 1, "{name}: one lesion");
        let lesion = &found[0];
        assert_eq!(lesion.target.series_uid.as_deref(), Some(&*series.series_uid), "{name}");
        let at = affine.to_voxel(lesion.center).0;
        let off: Vec<f64> = at.iter().zip(center).map(|(a, b)| (a - b).abs()).collect();
        assert!(off.iter().all(|x| *x <= 0.5), "{name}: centre {at:?}, not {center:?}");
        match &lesion.extent {
            Extent::Mask(mask) => assert_eq!(on_grid(mask, &affine), truth, "{name}"),
            Extent::Box { minimum, maximum } => {
                let corners = [minimum, maximum].map(|corner| affine.to_voxel(*corner).0);
                for axis in 0..3 {
                    let (low, high) =
                        (truth.iter().map(|voxel| voxel[axis]).min(), truth.iter().map(|voxel| voxel[axis]).max());
                    let near = |x: f64, edge: Option<i64>| (x - edge.unwrap() as f64).abs() <= 0.51;
                    assert!(
                        near(corners[0][axis], low) && near(corners[1][axis], high),
                        "{name}: {corners:?}, {low:?} {high:?}"
                    );
                }
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
