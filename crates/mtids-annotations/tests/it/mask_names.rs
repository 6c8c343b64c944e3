//! Masks whose file or folder names one patient, and whose grid or UID is that of another.

use std::path::Path;

use mtids_annotations::assign::SeriesIndex;
use mtids_annotations::write::write_mask_nifti;
use mtids_annotations::{Images, MaskFile, RejectReason, SeriesGeometry, read_mask};
use mtids_dicom::Limits;
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::same_person::SamePerson;

use crate::load::series;
use crate::written::grid;

const UID_A: &str = "1.2.826.0.1.3680043.8.498.7001";
const UID_B: &str = "1.2.826.0.1.3680043.8.498.7002";
const STUDY_B: &str = "1.2.826.0.1.3680043.8.498.7003";

/// Two patients on grids of different sides.
fn patients() -> [SeriesGeometry<'static>; 2] {
    let a =
        SeriesGeometry { patient_id: "LUNG-001", series_uid: UID_A, frame_of_reference_uid: Some("3.1"), ..series() };
    let b = SeriesGeometry {
        patient_id: "LUNG-004",
        series_uid: UID_B,
        study_uid: STUDY_B,
        frame_of_reference_uid: Some("3.2"),
        dimensions: [6, 5, 4],
        ..a
    };
    [a, b]
}

fn mask(affine: Affine, dimensions: [usize; 3]) -> MaskFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    write_mask_nifti(&path, &[Mask { affine, voxels: vec![[1, 1, 1]] }], &affine, dimensions).unwrap();
    read_mask(&path, &Limits::default()).unwrap()
}

/// The patient of the chosen series and whether a warning tells something, or the reason of the refusal.
fn assigned(
    usable: &[SeriesGeometry<'static>],
    name: &str,
    mask: &MaskFile,
) -> Result<(&'static str, Option<String>), RejectReason> {
    let (images, people) = (Images { usable, refused: &[], unread_files: 0 }, SamePerson::default());
    let chosen = SeriesIndex::new(&images, &people).assign_mask_file(Path::new(name), mask);
    chosen.map(|chosen| (usable[chosen.series].patient_id, chosen.warning)).map_err(|error| error.reason)
}

/// As above, with the warning as told or not.
fn told(usable: &[SeriesGeometry<'static>], name: &str, mask: &MaskFile) -> Result<(&'static str, bool), RejectReason> {
    assigned(usable, name, mask).map(|(patient, warning)| (patient, warning.is_some()))
}

#[test]
fn a_mask_with_the_uid_of_one_patient_on_the_grid_of_another_is_refused() {
    let both = patients();
    let (on_a, on_b) = (mask(grid(), [7, 5, 4]), mask(grid(), [6, 5, 4]));
    let other = Err(RejectReason::OtherPatient);
    for name in [
        format!("{UID_A}.nii.gz"),
        format!("LUNG-004_{UID_A}.nii.gz"),
        format!("LUNG-001_{UID_A}.nii.gz"),
        format!("LUNG-004/{UID_A}.nii.gz"),
        format!("{UID_B}/LUNG-001.nii.gz"),
        format!("{STUDY_B}/{UID_A}.nii.gz"),
    ] {
        assert_eq!(told(&both, &name, &on_b), other, "{name}");
    }
    let [a, b] = both;
    // The grid of both settles nothing, nor does a cropped one.
    let alike = SeriesGeometry { dimensions: a.dimensions, ..b };
    assert_eq!(told(&[a, alike], &format!("LUNG-004_{UID_A}.nii.gz"), &on_a), other);
    assert_eq!(told(&both, &format!("LUNG-004/{UID_A}.nii.gz"), &mask(grid(), [7, 5, 3])), other);
    // Of one's own grid alone it is told.
    for name in [format!("LUNG-004_{UID_A}.nii.gz"), format!("LUNG-004/{UID_A}.nii.gz")] {
        assert_eq!(told(&both, &name, &on_a), Ok(("LUNG-001", true)), "{name}");
    }
    // The mask of another day of the patient.
    let later = SeriesGeometry { patient_id: "LUNG-001", ..b };
    assert_eq!(told(&[a, later], &format!("{UID_A}.nii.gz"), &on_b), Err(RejectReason::NoImageOfThisGrid));
}

#[test]
fn a_mask_whose_names_agree_is_read_without_a_word() {
    let both = patients();
    let (on_a, cropped) = (mask(grid(), [7, 5, 4]), mask(grid(), [7, 5, 3]));
    for name in [
        format!("{UID_A}.nii.gz"),
        format!("LUNG-001_{UID_A}.nii.gz"),
        format!("LUNG-001/{UID_A}_100.nii.gz"),
        format!("{UID_A}/mask.nii.gz"),
        "LUNG-001/LN.nii.gz".to_owned(),
        "masks/LUNG-001.nii.gz".to_owned(),
        "LUNG-001/LUNG-001_LN.nii.gz".to_owned(),
    ] {
        assert_eq!(told(&both, &name, &on_a), Ok(("LUNG-001", false)), "{name}");
    }
    assert_eq!(told(&both, &format!("LUNG-001/{UID_A}.nii.gz"), &cropped), Ok(("LUNG-001", false)));
    let [a, b] = both;
    // Another reconstruction of one frame of reference has other sides and the same places.
    let thick = SeriesGeometry { patient_id: a.patient_id, frame_of_reference_uid: a.frame_of_reference_uid, ..b };
    assert_eq!(told(&[a, thick], &format!("{UID_A}.nii.gz"), &mask(grid(), [6, 5, 4])), Ok(("LUNG-001", false)));
    // Digits alone may count masks, stand in a UID, or name a folder of a hundred.
    let counted = [a, SeriesGeometry { patient_id: "826", ..b }, SeriesGeometry { patient_id: "100", ..b }];
    for name in [format!("{UID_A}_100.nii.gz"), format!("{UID_A}.nii.gz"), format!("masks_100/{UID_A}.nii.gz")] {
        assert_eq!(told(&counted, &name, &on_a), Ok(("LUNG-001", false)), "{name}");
    }
    assert_eq!(told(&counted, &format!("{UID_A}_100.nii.gz"), &cropped), Ok(("LUNG-001", true)));
    // An id that is the beginning of another one is not meant.
    let longer = [a, SeriesGeometry { patient_id: "LUNG-001-B", ..b }];
    assert_eq!(told(&longer, "LUNG-001-B_LN.nii.gz", &on_a), Err(RejectReason::OtherPatient));
}

#[test]
fn a_file_of_one_patient_in_the_folder_of_another_is_refused_or_told() {
    let both = patients();
    let (on_a, on_b) = (mask(grid(), [7, 5, 4]), mask(grid(), [6, 5, 4]));
    assert_eq!(told(&both, "LUNG-004/LUNG-001_LN.nii.gz", &on_b), Err(RejectReason::OtherPatient));
    let (patient, warning) = assigned(&both, "LUNG-004/LUNG-001_LN.nii.gz", &on_a).unwrap();
    let warning = warning.unwrap();
    assert!(
        patient == "LUNG-001" && warning.contains("patient LUNG-001, and its folder of patient LUNG-004"),
        "{warning}"
    );
    // Numbers of masks in the folder of a patient.
    let [a, b] = both;
    let numbered = [a, SeriesGeometry { patient_id: "101", ..b }];
    assert_eq!(told(&numbered, "LUNG-001/101.nii.gz", &on_a), Ok(("LUNG-001", true)));
    assert_eq!(told(&numbered, "masks_101/LUNG-001.nii.gz", &on_a), Ok(("LUNG-001", false)));
}

#[test]
fn a_mask_with_a_lost_affine_is_refused_or_told() {
    let [a, _] = patients();
    let name = format!("{UID_A}.nii.gz");
    let of = |affine: Affine, dimensions| assigned(&[a], &name, &mask(affine, dimensions));
    let ras = Affine::new(PointMm([0.0; 3]), [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
    assert_eq!(of(ras, [5, 4, 3]), Err(RejectReason::NoImageOfThisGrid));
    // The CT may have that grid.
    let plain = SeriesGeometry { affine: ras, ..a };
    assert_eq!(assigned(&[plain], &name, &mask(ras, a.dimensions)), Ok(("LUNG-001", None)));
    let [x, y, z] = grid().origin().0;
    let moved = |to: [f64; 3]| Affine::new(PointMm(to), grid().steps()).unwrap();
    let (_, warning) = of(grid(), [4, 3, 4]).unwrap();
    assert!(warning.unwrap().contains("starts at the first voxel of the CT"));
    let (_, warning) = of(moved([x + 0.3, y, z]), [4, 3, 4]).unwrap();
    assert!(warning.unwrap().contains("do not lie on those of the CT"));
    assert_eq!(of(moved([x, y, z + grid().steps()[2][2]]), [4, 3, 2]), Ok(("LUNG-001", None)), "a crop");
}

#[test]
fn a_mask_with_a_short_id_of_another_patient_is_refused() {
    let [a, b] = patients();
    let both = [SeriesGeometry { patient_id: "A1", ..a }, SeriesGeometry { patient_id: "B7", ..b }];
    let on_a = mask(grid(), [7, 5, 4]);
    for name in ["B7.nii.gz", "B7_mask.nii.gz", "B7/mask.nii.gz", "B7/seg/mask.nii.gz"] {
        assert_eq!(told(&both, name, &on_a), Err(RejectReason::OtherPatient), "{name}");
    }
    // Nodes are named so too: in the folder of a patient, behind a word for a node, or beside a UID.
    for name in ["A1/LN_B7.nii.gz", "LN_B7.nii.gz", &format!("{UID_A}/B7_{UID_A}.nii.gz"), "A1_mask.nii.gz"] {
        assert_eq!(told(&both, name, &on_a), Ok(("A1", false)), "{name}");
    }
    assert_eq!(told(&both, "A1/B7.nii.gz", &on_a), Ok(("A1", true)));
    let nodes = [SeriesGeometry { patient_id: "A1", ..a }, SeriesGeometry { patient_id: "4R", ..b }];
    assert_eq!(told(&nodes, "4R.nii.gz", &on_a), Ok(("A1", false)));
    // Two digits may count nodes, and are told.
    let numbered = [SeriesGeometry { patient_id: "01", ..a }, SeriesGeometry { patient_id: "02", ..b }];
    assert_eq!(told(&numbered, "02.nii.gz", &on_a), Ok(("01", true)));
    assert_eq!(told(&numbered, "01/02.nii.gz", &on_a), Ok(("01", false)));
}

#[test]
fn a_folder_of_another_patient_counts_above_the_folder_of_the_mask() {
    let both = patients();
    let (on_a, other) = (mask(grid(), [7, 5, 4]), Err(RejectReason::OtherPatient));
    for name in ["LUNG-004/seg/mask.nii.gz", "/d/LUNG-004/ct/seg/mask.nii.gz", &format!("{STUDY_B}/seg/mask.nii.gz")] {
        assert_eq!(told(&both, name, &on_a), other, "{name}");
    }
    for name in ["LUNG-001/seg/mask.nii.gz", "LUNG-004/LUNG-001/seg/mask.nii.gz"] {
        assert_eq!(told(&both, name, &on_a), Ok(("LUNG-001", false)), "{name}");
    }
    // A year of a collection is no patient.
    let [a, b] = both;
    let numbered = [a, SeriesGeometry { patient_id: "2021", ..b }];
    assert_eq!(told(&numbered, "/data/2021/masks/mask.nii.gz", &on_a), Ok(("LUNG-001", false)));
}
