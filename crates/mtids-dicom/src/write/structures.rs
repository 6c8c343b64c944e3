//! Masks as an RTSTRUCT that refers to a CT series written by [`super::write_ct_series`].
//!
//! Method: contours run along the edges of the voxels ([`super::outline`]), so the even-odd rule gives the same voxels back, whoever applies
//! it; a hole is a contour of its own. Invariant: one region of interest for each mask, in the given order. Units: LPS mm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Voxel;

use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::ct::slice_uid;
use crate::write::outline::outline;
use crate::write::parts::{put, put_equipment, put_identity, put_items, put_series_time, reference};
use crate::write::segmentation::check_grid;
use crate::write::{Encoding, Segment, StudyIdentity};

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
    check_grid(path, segments, dimensions)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::read_structures;
    use crate::limits::Limits;
    use mtids_domain::annotation::Extent;
    use mtids_domain::geometry::{Affine, PointMm};
    use proptest::prelude::*;

    fn identity() -> StudyIdentity {
        StudyIdentity {
            patient_id: "P".into(),
            patient_name: "P".into(),
            study_uid: "2.25.1".into(),
            frame_of_reference_uid: "2.25.2".into(),
            study_date: "20260101".into(),
        }
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
        for finding in read.findings(affine, dimensions, &Limits::default()).unwrap() {
            let Extent::Mask(mask) = finding.extent else { panic!("a mask") };
            regions.entry(finding.finding).or_default().extend(mask.voxels);
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
        #[test]
        fn any_mask_comes_back(
            sets in prop::collection::vec(prop::collection::btree_set((0u32..3, 0u32..7, 0u32..8), 1..120), 1..3),
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
}
