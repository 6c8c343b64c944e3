//! SEG of type LABELMAP (Supplement 243): its background, and pixels that nothing describes.

use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use mtids_annotations::{AnnotationFiles, Images, RejectReason, Resolved, Sources, load};
use mtids_dicom::write::{Segment, write_segmentation};
use mtids_dicom::{FileOutcome, ReasonCode};
use mtids_domain::annotation::Mask;

use crate::load::{rules, series};
use crate::told::{put, put_numbers};
use crate::written::{grid, identity};

/// What a label map of one frame gives: a node of number 1 in the middle, `corner` in a corner, `outside` elsewhere. Segments 1 and `others` are described.
fn of(outside: u16, corner: u16, padding: Option<u16>, others: &[u16]) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seg.dcm");
    let mask = Mask { affine: grid(), voxels: vec![[3, 2, 1], [4, 2, 1]] };
    write_segmentation(&path, &[Segment { label: "LN 7".into(), mask }], [7, 5, 4], &identity(), "2.25.3").unwrap();
    let mut object = dicom_object::open_file(&path).unwrap();
    put(&mut object, tags::SEGMENTATION_TYPE, "LABELMAP");
    for (tag, value) in [(tags::BITS_ALLOCATED, 8), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)] {
        put_numbers(&mut object, tag, &[value]);
    }
    let value = |pixel: u16| match pixel {
        0 => corner,
        17 | 18 => 1,
        _ => outside,
    };
    // One more, for an even number of bytes.
    let values: Vec<u16> = (0..36).map(value).collect();
    put_numbers(&mut object, tags::PIXEL_DATA, &values);
    if let Some(padding) = padding {
        let other = object.element(tags::BITS_STORED).unwrap();
        let element = InMemElement::new(tags::PIXEL_PADDING_VALUE, other.vr(), other.value().clone());
        object.put_element(element);
        put_numbers(&mut object, tags::PIXEL_PADDING_VALUE, &[padding]);
    }
    object.update_value(tags::SEGMENT_SEQUENCE, |value| {
        let items = value.items_mut().unwrap();
        for number in others {
            let mut item = items[0].clone();
            put_numbers(&mut item, tags::SEGMENT_NUMBER, &[*number]);
            items.push(item);
        }
    });
    object.write_to_file(&path).unwrap();
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[path], reports: &[], structures: &[] };
    load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(&[]))
}

fn voxels(resolved: &Resolved) -> Vec<usize> {
    resolved.findings[0].iter().map(|one| one.mask.as_ref().unwrap().voxels.len()).collect()
}

#[test]
fn the_background_is_no_node_whatever_its_value() {
    for (outside, padding, others) in
        [(0, None, &[][..]), (0, Some(0), &[]), (255, Some(255), &[]), (255, Some(255), &[255])]
    {
        let resolved = of(outside, outside, padding, others);
        assert_eq!((voxels(&resolved), resolved.rejects.len()), (vec![2], 0), "{outside} {padding:?} {others:?}");
    }
    assert_eq!(voxels(&of(255, 2, Some(255), &[2])).len(), 2, "another segment");
}

#[test]
fn pixels_that_nothing_describes_are_no_node_and_are_told() {
    for (outside, corner) in [(0, 7), (255, 255)] {
        let resolved = of(outside, corner, None, &[]);
        assert_eq!(voxels(&resolved), [2]);
        let [reject] = resolved.rejects.as_slice() else { panic!("{resolved:?}") };
        assert_eq!(reject.reason, RejectReason::UnreadableSegment);
        assert!(reject.detail.contains(&format!("have number {corner}")), "{}", reject.detail);
        assert!(matches!(resolved.objects[..], [FileOutcome::Used { .. }]));
    }
    // All of it.
    let resolved = of(7, 7, Some(1), &[]);
    let [FileOutcome::Refused(refused)] = &resolved.objects[..] else { panic!("{:?}", resolved.objects) };
    assert_eq!((refused.reason, resolved.findings[0].len()), (ReasonCode::InvalidSegmentation, 0));
}
