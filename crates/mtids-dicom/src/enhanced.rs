//! Enhanced multi-frame CT: each frame is a slice with a place of its own.
//!
//! Purpose: one object becomes the same slices that single-frame CT would give, so that everything behind sees no difference. Source: PS3.3
//! A.38.1, C.7.6.16.2; legacy converted objects keep what they can in the same groups. Invariant: a frame without place is an error, never
//! a guess from its neighbours.

use std::path::Path;
use std::sync::Arc;

use dicom_dictionary_std::tags;
use mtids_domain::geometry::PointMm;

use crate::acquisition::Acquired;
use crate::dataset::DataSet;
use crate::element::{array, first_item, number, text};
use crate::error::{DicomError, ReasonCode};
use crate::functional::FunctionalGroups;
use crate::header_parts::{Identity, Plane, is_hu, lossy, refuse_unmeasured, scanner, stored};
use crate::image_header::{AcquisitionFacts, InstanceHeader, SliceFacts};
use crate::limits::Limits;
use crate::pixels::modality::Modality;

/// The slices of a scanned and parsed object, in the order of its frames.
///
/// # Errors
/// [`DicomError::File`] with the reason why the object cannot be used.
pub(crate) fn frames(path: &Path, opened: &DataSet, limits: &Limits) -> Result<Vec<InstanceHeader>, DicomError> {
    let object = &opened.object;
    refuse_unmeasured(path, &text(object, tags::IMAGE_TYPE).unwrap_or_default())?;
    let identity = Identity::read(path, object)?;
    let (pixels, at) = stored(path, opened, limits)?;
    let groups = FunctionalGroups::new(object, pixels.frames)
        .map_err(|detail| DicomError::file(path, ReasonCode::MissingGeometry, detail))?;
    let lossy = lossy(object, &pixels);
    let contrast = first_item(object, tags::CONTRAST_BOLUS_AGENT_SEQUENCE).map(|_| true);
    let modality: Arc<str> = "CT".into();
    let scanner = AcquisitionFacts { contrast, ..scanner(object) };
    (0..pixels.frames)
        .map(|number_of_frame| {
            let frame = number_of_frame as usize;
            let in_frame = |error: DicomError| match error {
                DicomError::File { path, reason, detail } => {
                    DicomError::File { path, reason, detail: format!("frame {frame}: {detail}") }
                }
                other => other,
            };
            let frame_type = groups
                .get(frame, tags::CT_IMAGE_FRAME_TYPE_SEQUENCE)
                .and_then(|group| text(group, tags::FRAME_TYPE))
                .unwrap_or_default();
            refuse_unmeasured(path, &frame_type).map_err(in_frame)?;
            let measures = groups.get(frame, tags::PIXEL_MEASURES_SEQUENCE);
            let plane =
                Plane::read(path, groups.get(frame, tags::PLANE_ORIENTATION_SEQUENCE), measures).map_err(in_frame)?;
            let position = groups
                .get(frame, tags::PLANE_POSITION_SEQUENCE)
                .and_then(|group| array(group, tags::IMAGE_POSITION_PATIENT))
                .ok_or_else(|| {
                    let detail = format!("frame {frame}: ImagePositionPatient is missing or malformed");
                    DicomError::file(path, ReasonCode::MissingGeometry, detail)
                })?;
            let transform = groups.get(frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).unwrap_or(object);
            let refuse = |detail: String| {
                DicomError::file(path, ReasonCode::InvalidImageModule, format!("frame {frame}: {detail}"))
            };
            // Rescale alone: functional groups have no tables.
            let modality_lut =
                Modality::rescale(transform).map_err(refuse)?.ok_or_else(|| refuse("no rescale to HU".into()))?;
            if let Some(kind) = text(transform, tags::RESCALE_TYPE).filter(|kind| !is_hu(kind)) {
                return Err(refuse(format!("values are {kind}, not HU")));
            }
            let kernel = groups.get(frame, tags::CT_RECONSTRUCTION_SEQUENCE);
            let tube = groups.get(frame, tags::CTX_RAY_DETAILS_SEQUENCE);
            let content = groups.get(frame, tags::FRAME_CONTENT_SEQUENCE);
            let facts = AcquisitionFacts {
                kernel: kernel.and_then(|group| text(group, tags::CONVOLUTION_KERNEL)),
                slice_thickness_mm: measures.and_then(|group| number(group, tags::SLICE_THICKNESS)).map(|x| x as f32),
                kvp: tube.and_then(|group| number(group, tags::KVP)).map(|x| x as f32),
                ..scanner.clone()
            };
            let shared = SliceFacts {
                patient_id: identity.patient_id.clone(),
                study_uid: identity.study_uid.clone(),
                series_uid: identity.series_uid.clone(),
                frame_of_reference_uid: identity.frame_of_reference_uid.clone(),
                study_day: identity.study_day,
                modality: Arc::clone(&modality),
                rows: u32::from(pixels.shape.rows),
                columns: u32::from(pixels.shape.columns),
                orientation: plane.orientation,
                pixel_spacing: plane.pixel_spacing,
                lossy,
                facts: Arc::new(facts),
                pixels: pixels.clone(),
            };
            Ok(InstanceHeader {
                path: path.to_owned(),
                sop_instance_uid: identity.sop_instance_uid.clone(),
                frame: number_of_frame,
                position: PointMm(position),
                acquired: Acquired::of_frame(content),
                shared: Arc::new(shared),
                at: at.clone(),
                modality_lut,
                pet: None,
            })
        })
        .collect()
}
