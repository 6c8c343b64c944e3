//! Structures whose type, label, offset or frame of reference says something else than their name and contours.

use std::path::{Path, PathBuf};

use dicom_core::{DataElement, VR, dicom_value};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};
use mtids_annotations::{RejectReason, Resolved};
use mtids_dicom::write::{Segment, write_structures};
use mtids_domain::annotation::Mask;
use mtids_domain::taxonomy::Station;

use crate::told::{edited, loaded, rules_of_the_guide};
use crate::written::{grid, identity};

const OBSERVATION_LABEL: Tag = Tag(0x3006, 0x0085);
const CONTOUR_OFFSET: Tag = Tag(0x3006, 0x0045);

/// An RTSTRUCT of one node named `LN 4R`, changed and read.
fn read(edit: impl FnMut(&mut InMemDicomObject)) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("rs.dcm");
    let voxels: Vec<[u32; 3]> = (0..9).map(|n| [1 + n % 3, 1 + n / 3, 1]).collect();
    let regions = [Segment { label: "LN 4R".into(), mask: Mask { affine: grid(), voxels } }];
    write_structures(&path, &regions, [7, 5, 4], &identity(), "2.25.3").unwrap();
    edited(Path::new(&path), edit);
    loaded(&[], [&[], &[], &[path]], &rules_of_the_guide())
}

/// The same with a text put into its observation.
fn observed(tag: Tag, vr: VR, text: &str) -> Resolved {
    read(|item| {
        if item.element(tags::OBSERVATION_NUMBER).is_ok() {
            item.put_str(tag, vr, text.to_owned());
        }
    })
}

#[test]
fn a_structure_whose_type_is_that_of_no_node_is_told() {
    let typed = |kind: &str| observed(tags::RTROI_INTERPRETED_TYPE, VR::CS, kind);
    for kind in ["PTV", "AVOIDANCE", "ORGAN"] {
        let read = typed(kind);
        let said = format!("`LN 4R` ({kind})");
        assert!(read.told.len() == 1 && read.told[0].contains(&said), "{:?}", read.told);
        assert_eq!(read.findings[0][0].station, Some(Station::S4R.into()));
    }
    assert_eq!((typed("GTV").told, typed("").told), (Vec::<String>::new(), Vec::new()));
}

#[test]
fn a_label_that_contradicts_the_name_leaves_the_station_unknown() {
    for label in ["LN 10L", "10L"] {
        let read = observed(OBSERVATION_LABEL, VR::SH, label);
        assert!(read.told.len() == 1 && read.told[0].contains("contradicts its name"), "{:?}", read.told);
        assert_eq!((read.findings[0].len(), read.findings[0][0].station), (1, None), "{label}");
    }
    for label in ["LN 4R", "4R", "7", "nodule", "Dr 2"] {
        let read = observed(OBSERVATION_LABEL, VR::SH, label);
        assert_eq!((read.told, read.findings[0][0].station), (Vec::new(), Some(Station::S4R.into())), "{label}");
    }
}

#[test]
fn an_offset_of_a_contour_and_another_frame_of_reference_are_not_passed_over() {
    let moved = |by: f64| {
        read(|item| {
            if item.element(tags::CONTOUR_DATA).is_ok() {
                item.put(DataElement::new(CONTOUR_OFFSET, VR::DS, dicom_value!(F64, [by, 0.0, 0.0])));
            }
        })
    };
    let read_moved = moved(30.0);
    assert_eq!((read_moved.findings[0].len(), read_moved.rejects[0].reason), (0, RejectReason::UnreadableStructure));
    assert!(read_moved.rejects[0].detail.contains("ContourOffsetVector"), "{}", read_moved.rejects[0].detail);
    assert_eq!((moved(0.0).findings[0].len(), moved(0.0).rejects), (1, Vec::new()));
    let framed = read(|item| {
        for tag in [tags::FRAME_OF_REFERENCE_UID, tags::REFERENCED_FRAME_OF_REFERENCE_UID] {
            if item.element(tag).is_ok() {
                item.put_str(tag, VR::UI, "1.2.3.4".to_owned());
            }
        }
    });
    assert!(framed.told.len() == 1 && framed.told[0].contains("1.2.3.4, and"), "{:?}", framed.told);
    assert_eq!(framed.findings[0].len(), 1);
}
