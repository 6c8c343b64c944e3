//! Masks as an RTSTRUCT that refers to a CT series written by [`super::write_ct_series`].
//!
//! Method: contours run along the edges of the voxels ([`super::outline`]), so the even-odd rule gives the same voxels back, whoever applies
//! it; a hole is a contour of its own. Invariant: one region of interest for each mask, in the given order. Units: LPS mm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Voxel;

use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::ct::slice_uid;
use crate::write::encoding::Encoding;
use crate::write::identity::StudyIdentity;
use crate::write::outline::outline;
use crate::write::parts::{put, put_equipment, put_identity, put_items, put_series_time, reference};
use crate::write::segmentation::Segment;
use crate::write::segmentation::check_grid;

/// Detached Study Management, retired: what RT objects name as the class of a study.
const STUDY_CLASS: &str = "1.2.840.10008.3.1.2.3.1";

/// Writes `segments`, whose masks share the grid of the CT series `ct_series_uid` with `dimensions` (columns, rows, slices), as contours.
///
/// # Errors
/// [`DicomError::Write`] for an empty list, a mask off the grid, or an error of writing.
pub fn write_structures(
    path: &Path,
    segments: &[Segment],
    dimensions: [usize; 3],
    identity: &StudyIdentity,
    ct_series_uid: &str,
) -> Result<(), DicomError> {
    check_grid(path, &segments.iter().collect::<Vec<_>>(), dimensions)?;
    let instance = uid_from(&["structure set instance", ct_series_uid]);
    let mut object = InMemDicomObject::new_empty();
    put_identity(&mut object, identity, &uid_from(&["structure set", ct_series_uid]), "RTSTRUCT");
    put_series_time(&mut object, identity);
    put_equipment(&mut object);
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, instance.as_str()),
        (tags::SERIES_NUMBER, VR::IS, "5"),
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
        (tags::OPERATORS_NAME, VR::PN, ""),
        (tags::STRUCTURE_SET_LABEL, VR::SH, "NODES"),
        (tags::STRUCTURE_SET_DATE, VR::DA, &identity.study_date),
        (tags::STRUCTURE_SET_TIME, VR::TM, "120000"),
        (tags::APPROVAL_STATUS, VR::CS, "UNAPPROVED"),
    ] {
        put(&mut object, tag, vr, value);
    }
    let frame = referenced_frame(dimensions[2], identity, ct_series_uid);
    put_items(&mut object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, vec![frame]);
    let numbered = || segments.iter().zip(1usize..);
    let regions = numbered().map(|(segment, number)| {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::ROI_NUMBER, VR::IS, &number.to_string());
        put(&mut item, tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, &identity.frame_of_reference_uid);
        put(&mut item, tags::ROI_NAME, VR::LO, &segment.label);
        put(&mut item, tags::ROI_GENERATION_ALGORITHM, VR::CS, "MANUAL");
        item
    });
    put_items(&mut object, tags::STRUCTURE_SET_ROI_SEQUENCE, regions.collect());
    let contours = numbered().map(|(segment, number)| {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::REFERENCED_ROI_NUMBER, VR::IS, &number.to_string());
        let contours = contours(&segment.mask, ct_series_uid);
        if !contours.is_empty() {
            put_items(&mut item, tags::CONTOUR_SEQUENCE, contours);
        }
        item
    });
    put_items(&mut object, tags::ROI_CONTOUR_SEQUENCE, contours.collect());
    let observations = numbered().map(|(_, number)| {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::OBSERVATION_NUMBER, VR::IS, &number.to_string());
        put(&mut item, tags::REFERENCED_ROI_NUMBER, VR::IS, &number.to_string());
        put(&mut item, tags::RTROI_INTERPRETED_TYPE, VR::CS, "");
        put(&mut item, tags::ROI_INTERPRETER, VR::PN, "");
        item
    });
    put_items(&mut object, tags::RTROI_OBSERVATIONS_SEQUENCE, observations.collect());
    // Implicit, because explicit lengths of text end at 64 KiB, and the points of a large contour do not.
    Encoding::ImplicitLittle.write(path, object, uids::RT_STRUCTURE_SET_STORAGE, &instance)
}

/// The frame of reference, with the series and all its slices.
fn referenced_frame(slices: usize, identity: &StudyIdentity, ct_series_uid: &str) -> InMemDicomObject {
    let images = (0..slices).map(|k| reference(uids::CT_IMAGE_STORAGE, &slice_uid(ct_series_uid, k)));
    let mut series = InMemDicomObject::new_empty();
    put(&mut series, tags::SERIES_INSTANCE_UID, VR::UI, ct_series_uid);
    put_items(&mut series, tags::CONTOUR_IMAGE_SEQUENCE, images.collect());
    let mut study = reference(STUDY_CLASS, &identity.study_uid);
    put_items(&mut study, tags::RT_REFERENCED_SERIES_SEQUENCE, vec![series]);
    let mut frame = InMemDicomObject::new_empty();
    put(&mut frame, tags::FRAME_OF_REFERENCE_UID, VR::UI, &identity.frame_of_reference_uid);
    put_items(&mut frame, tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study]);
    frame
}

/// The contours of a mask, slice by slice.
fn contours(mask: &Mask, ct_series_uid: &str) -> Vec<InMemDicomObject> {
    let mut slices: BTreeMap<u32, BTreeSet<[u32; 2]>> = BTreeMap::new();
    for &[i, j, k] in &mask.voxels {
        slices.entry(k).or_default().insert([i, j]);
    }
    let mut items = Vec::new();
    for (k, pixels) in slices {
        for polygon in outline(&pixels) {
            let place = |&[i, j]: &[f64; 2]| mask.affine.to_mm(Voxel([i, j, f64::from(k)])).0;
            let numbers: Vec<String> = polygon.iter().flat_map(place).map(millimetres).collect();
            let mut item = InMemDicomObject::new_empty();
            let image = reference(uids::CT_IMAGE_STORAGE, &slice_uid(ct_series_uid, k as usize));
            put_items(&mut item, tags::CONTOUR_IMAGE_SEQUENCE, vec![image]);
            put(&mut item, tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR");
            put(&mut item, tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, &polygon.len().to_string());
            put(&mut item, tags::CONTOUR_NUMBER, VR::IS, &(items.len() + 1).to_string());
            item.put(DataElement::new(tags::CONTOUR_DATA, VR::DS, PrimitiveValue::Strs(numbers.into())));
            items.push(item);
        }
    }
    items
}

/// A coordinate to a nanometre, without trailing zeros: at most 16 characters for anything that fits a room.
fn millimetres(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}
