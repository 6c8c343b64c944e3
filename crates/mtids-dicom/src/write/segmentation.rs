//! Masks as a binary DICOM SEG that refers to the images that they lie on.
//!
//! Invariants: one segment per mask, in the given order; only frames with set voxels are stored; bits run on across frames.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, Voxel, norm};

use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::encoding::Encoding;
use crate::write::identity::StudyIdentity;
use crate::write::parts::{
    code, dimension_index, put, put_bytes, put_decimals, put_equipment, put_identity, put_items, put_longs, put_number,
    put_series_time, put_short,
};
use crate::write::source::{DerivedObject, SourceImages};

/// A mask and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// SegmentLabel.
    pub label: String,
    /// Voxels on the grid of the referenced series.
    pub mask: Mask,
}

/// A segment with what more is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedSegment {
    /// Name and mask.
    pub segment: Segment,
    /// SegmentDescription.
    pub description: Option<String>,
    /// Identifier and UID by which the node is tracked.
    pub tracking: Option<[String; 2]>,
}

/// Series Instance UID of the segmentation of a CT series.
pub(crate) fn segmentation_series_uid(ct_series_uid: &str) -> String {
    uid_from(&["segmentation", ct_series_uid])
}

/// SOP Instance UID of the segmentation of a CT series.
pub(crate) fn segmentation_uid(ct_series_uid: &str) -> String {
    uid_from(&["segmentation instance", ct_series_uid])
}

/// The grid of the masks, which all must lie on.
///
/// # Errors
/// [`DicomError::Write`] for an empty list or a mask off the grid.
pub(crate) fn check_grid(path: &Path, segments: &[&Segment], dimensions: [usize; 3]) -> Result<Affine, DicomError> {
    let Some(grid) = segments.first().map(|segment| segment.mask.affine) else {
        return Err(DicomError::write(path, "at least one mask is needed"));
    };
    let inside = |voxel: &[u32; 3]| voxel.iter().zip(dimensions).all(|(&index, length)| (index as usize) < length);
    match segments.iter().find(|s| s.mask.affine != grid || !s.mask.voxels.iter().all(inside)) {
        Some(segment) => {
            let detail = format!("segment `{}` does not lie on the grid of the series", segment.label);
            Err(DicomError::write(path, detail))
        }
        None => Ok(grid),
    }
}

/// Writes drawn `segments`, whose masks share the grid of the CT series `ct_series_uid`, which this crate wrote, with `dimensions` (columns,
/// rows, slices).
///
/// # Errors
/// As [`write_described_segmentation`].
pub fn write_segmentation(
    path: &Path,
    segments: &[Segment],
    dimensions: [usize; 3],
    identity: &StudyIdentity,
    ct_series_uid: &str,
) -> Result<(), DicomError> {
    let described =
        |segment: &Segment| DescribedSegment { segment: segment.clone(), description: None, tracking: None };
    let segments: Vec<DescribedSegment> = segments.iter().map(described).collect();
    let source = SourceImages::written(identity, ct_series_uid, dimensions[2]);
    write_described_segmentation(path, &segments, dimensions, &source, &drawn(ct_series_uid))
}

/// A drawn segmentation of a synthetic study.
fn drawn(ct_series_uid: &str) -> DerivedObject {
    DerivedObject {
        series_uid: segmentation_series_uid(ct_series_uid),
        instance_uid: segmentation_uid(ct_series_uid),
        series_number: 2,
        series_description: None,
        description: "Lymph nodes of a synthetic study".to_owned(),
        algorithm: None,
        algorithm_parameters: None,
    }
}

/// Writes `segments`, whose masks share the grid of `source` with `dimensions` (columns, rows, slices).
///
/// # Errors
/// [`DicomError::Write`] for an empty list, a mask off the grid, or an error of writing.
pub fn write_described_segmentation(
    path: &Path,
    segments: &[DescribedSegment],
    dimensions: [usize; 3],
    source: &SourceImages,
    derived: &DerivedObject,
) -> Result<(), DicomError> {
    let [columns, rows, _] = dimensions;
    let plain: Vec<&Segment> = segments.iter().map(|one| &one.segment).collect();
    let grid = check_grid(path, &plain, dimensions)?;
    let small =
        |n: usize| u16::try_from(n).map_err(|_| DicomError::write(path, format!("{n} does not fit a DICOM image")));
    let (rows_u16, columns_u16) = (small(rows)?, small(columns)?);
    let instance = &derived.instance_uid;

    let mut frames: BTreeMap<(u16, u32), Vec<usize>> = BTreeMap::new();
    for (n, segment) in plain.iter().enumerate() {
        let number = small(n + 1)?;
        for &[i, j, k] in &segment.mask.voxels {
            frames.entry((number, k)).or_default().push(j as usize * columns + i as usize);
        }
    }
    let mut bits = vec![0u8; (frames.len() * rows * columns).div_ceil(8)];
    let mut groups = Vec::with_capacity(frames.len());
    for (n, ((number, k), pixels)) in frames.iter().enumerate() {
        for pixel in pixels {
            let bit = n * rows * columns + pixel;
            // `pixel` < rows·columns, so `bit` lies in the buffer sized for all frames.
            bits[bit / 8] |= 1 << (bit % 8);
        }
        groups.push(frame_group(*number, *k, &grid, source));
    }

    let mut object = InMemDicomObject::new_empty();
    put_identity(&mut object, &source.identity, &derived.series_uid, "SEG");
    put_series_time(&mut object, &source.identity);
    put_equipment(&mut object);
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, instance);
    put(&mut object, tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY");
    put_number(&mut object, tags::SERIES_NUMBER, derived.series_number);
    if let Some(description) = &derived.series_description {
        put(&mut object, tags::SERIES_DESCRIPTION, VR::LO, description);
    }
    put(&mut object, tags::INSTANCE_NUMBER, VR::IS, "1");
    for (tag, vr, value) in [
        (tags::CONTENT_LABEL, VR::CS, "NODES"),
        (tags::CONTENT_DESCRIPTION, VR::LO, derived.description.as_str()),
        (tags::CONTENT_CREATOR_NAME, VR::PN, "mtids^"),
        (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
        (tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ] {
        put(&mut object, tag, vr, value);
    }
    put(&mut object, tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string());
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, rows_u16),
        (tags::COLUMNS, columns_u16),
        (tags::BITS_ALLOCATED, 1),
        (tags::BITS_STORED, 1),
        (tags::HIGH_BIT, 0),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        put_short(&mut object, tag, value);
    }
    let referenced = source.series_item(tags::REFERENCED_INSTANCE_SEQUENCE);
    put_items(&mut object, tags::REFERENCED_SERIES_SEQUENCE, vec![referenced]);
    let dimension_uid = uid_from(&["dimension organisation", &source.series_uid]);
    let mut organisation = InMemDicomObject::new_empty();
    put(&mut organisation, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &dimension_uid);
    put_items(&mut object, tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![organisation]);
    let dimensions = [
        (tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE),
        (tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE),
    ]
    .map(|(pointer, group)| dimension_index(&dimension_uid, pointer, group));
    put_items(&mut object, tags::DIMENSION_INDEX_SEQUENCE, dimensions.into());
    let items = segments.iter().zip(1u16..).map(|(segment, number)| segment_item(segment, number, derived)).collect();
    put_items(&mut object, tags::SEGMENT_SEQUENCE, items);
    put_items(&mut object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared_group(&grid)]);
    put_items(&mut object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups);
    put_bytes(&mut object, bits);
    Encoding::ExplicitLittle.write(path, object, uids::SEGMENTATION_STORAGE, instance)
}

fn segment_item(described: &DescribedSegment, number: u16, derived: &DerivedObject) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put_short(&mut item, tags::SEGMENT_NUMBER, number);
    put(&mut item, tags::SEGMENT_LABEL, VR::LO, &described.segment.label);
    if let Some(description) = &described.description {
        put(&mut item, tags::SEGMENT_DESCRIPTION, VR::ST, description);
    }
    match &derived.algorithm {
        // Somebody else said where the node is.
        Some([name, _]) => {
            put(&mut item, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "SEMIAUTOMATIC");
            put(&mut item, tags::SEGMENT_ALGORITHM_NAME, VR::LO, name);
        }
        None => put(&mut item, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "MANUAL"),
    }
    if let Some([identifier, uid]) = &described.tracking {
        put(&mut item, tags::TRACKING_ID, VR::UT, identifier);
        put(&mut item, tags::TRACKING_UID, VR::UI, uid);
    }
    let structure = code("123037004", "SCT", "Anatomical Structure");
    put_items(&mut item, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![structure]);
    put_items(&mut item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![code("59441001", "SCT", "Lymph node")]);
    item
}

fn shared_group(grid: &Affine) -> InMemDicomObject {
    let [row, column, slice] = grid.steps();
    let mut measures = InMemDicomObject::new_empty();
    put_decimals(&mut measures, tags::PIXEL_SPACING, &[norm(column), norm(row)]);
    put_decimals(&mut measures, tags::SLICE_THICKNESS, &[norm(slice)]);
    put_decimals(&mut measures, tags::SPACING_BETWEEN_SLICES, &[norm(slice)]);
    let orientation: Vec<f64> =
        row.iter().map(|x| x / norm(row)).chain(column.iter().map(|x| x / norm(column))).collect();
    let mut plane = InMemDicomObject::new_empty();
    put_decimals(&mut plane, tags::IMAGE_ORIENTATION_PATIENT, &orientation);
    let mut group = InMemDicomObject::new_empty();
    put_items(&mut group, tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
    put_items(&mut group, tags::PLANE_ORIENTATION_SEQUENCE, vec![plane]);
    group
}

fn frame_group(number: u16, k: u32, grid: &Affine, source: &SourceImages) -> InMemDicomObject {
    let mut position = InMemDicomObject::new_empty();
    put_decimals(&mut position, tags::IMAGE_POSITION_PATIENT, &grid.to_mm(Voxel([0.0, 0.0, f64::from(k)])).0);
    let mut identification = InMemDicomObject::new_empty();
    put_short(&mut identification, tags::REFERENCED_SEGMENT_NUMBER, number);
    let mut content = InMemDicomObject::new_empty();
    put_longs(&mut content, tags::DIMENSION_INDEX_VALUES, &[u32::from(number), k + 1]);
    let images = source.slice(k as usize).map(|mut image| {
        let purpose = code("121322", "DCM", "Source image for image processing operation");
        put(&mut image, tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
        put_items(&mut image, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
        image
    });
    let mut derivation = InMemDicomObject::new_empty();
    put_items(&mut derivation, tags::SOURCE_IMAGE_SEQUENCE, images.into_iter().collect());
    put_items(&mut derivation, tags::DERIVATION_CODE_SEQUENCE, vec![code("113076", "DCM", "Segmentation")]);
    let mut group = InMemDicomObject::new_empty();
    put_items(&mut group, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
    put_items(&mut group, tags::PLANE_POSITION_SEQUENCE, vec![position]);
    put_items(&mut group, tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![identification]);
    put_items(&mut group, tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]);
    group
}
