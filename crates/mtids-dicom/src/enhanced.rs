//! Enhanced multi-frame CT and PET: each frame is a slice with a place of its own.
//!
//! Purpose: one object becomes the same slices that single frames would give, so that everything behind sees no difference. Sources: PS3.3
//! A.38.1, A.56, A.72, C.7.6.16.2; legacy converted objects keep what they can in the same groups. Invariant: a frame without place is an
//! error, never a guess from its neighbours.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::PointMm;

use crate::acquisition::Acquired;
use crate::dataset::DataSet;
use crate::element::{array, first_item, integer, number, text};
use crate::error::{DicomError, ReasonCode};
use crate::functional::FunctionalGroups;
use crate::header_parts::{Identity, Plane, is_hu, lossy, named_scout, scanner, stored};
use crate::image_header::{AcquisitionFacts, InstanceHeader, SliceFacts};
use crate::image_type::{refuse_computed_frame, refuse_unmeasured};
use crate::limits::Limits;
use crate::pet::{PetFrames, PetValues};
use crate::pixels::modality::Modality;

/// What an enhanced object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramesOf {
    /// CT in HU.
    Ct,
    /// PET.
    Pet {
        /// Converted from single frames (legacy converted).
        converted: bool,
    },
}

impl FramesOf {
    /// Where a frame's type stands.
    fn type_group(self) -> Tag {
        match self {
            Self::Ct => tags::CT_IMAGE_FRAME_TYPE_SEQUENCE,
            Self::Pet { .. } => tags::PET_FRAME_TYPE_SEQUENCE,
        }
    }
}

/// The slices of a scanned and parsed object, in the order of its frames.
///
/// # Errors
/// [`DicomError::File`] with the reason why the object cannot be used.
pub(crate) fn frames(
    path: &Path,
    opened: &DataSet,
    limits: &Limits,
    of: FramesOf,
) -> Result<Vec<InstanceHeader>, DicomError> {
    let object = &opened.object;
    refuse_unmeasured(path, &text(object, tags::IMAGE_TYPE).unwrap_or_default())?;
    let identity = Identity::read(path, object)?;
    let (pixels, at) = stored(path, opened, limits)?;
    let groups = FunctionalGroups::new(object, pixels.frames)
        .map_err(|detail| DicomError::file(path, ReasonCode::MissingGeometry, detail))?;
    let (lossy, named_scout) = (lossy(object, &pixels), named_scout(object));
    let contrast = first_item(object, tags::CONTRAST_BOLUS_AGENT_SEQUENCE).map(|_| true);
    let modality: Arc<str> = if of == FramesOf::Ct { "CT" } else { "PT" }.into();
    let mut pet = match of {
        FramesOf::Ct => None,
        FramesOf::Pet { converted } => {
            refuse_time_series(path, &groups, pixels.frames)?;
            Some(PetFrames::new(object, &groups, converted))
        }
    };
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
            let kind = groups.get(frame, of.type_group());
            let frame_type = kind.and_then(|group| text(group, tags::FRAME_TYPE)).unwrap_or_default();
            let technique = kind.and_then(|group| text(group, tags::VOLUME_BASED_CALCULATION_TECHNIQUE));
            refuse_unmeasured(path, &frame_type)
                .and_then(|()| refuse_computed_frame(path, &frame_type, technique.as_deref()))
                .map_err(in_frame)?;
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
            let refuse = |detail: String| {
                DicomError::file(path, ReasonCode::InvalidImageModule, format!("frame {frame}: {detail}"))
            };
            let (modality_lut, pet) = match &mut pet {
                None => (to_hu(&groups, frame, object).map_err(refuse)?, None),
                Some(pet) => {
                    let values = PetValues::read(&groups, frame, object).map_err(refuse)?;
                    let facts = pet.facts(frame, &values);
                    (values.modality, Some(facts))
                }
            };
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
                origin: Arc::clone(&identity.origin),
                modality: Arc::clone(&modality),
                rows: u32::from(pixels.shape.rows),
                columns: u32::from(pixels.shape.columns),
                orientation: plane.orientation,
                pixel_spacing: plane.pixel_spacing,
                named_scout,
                image_type: Some(frame_type.as_str()).filter(|kind| !kind.is_empty()).map(Arc::from),
                cardiac_phase: groups
                    .get(frame, tags::CARDIAC_SYNCHRONIZATION_SEQUENCE)
                    .and_then(|group| number(group, tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE))
                    .map(|x| x as f32),
                stack: content.and_then(|content| text(content, tags::STACK_ID)).map(Arc::from),
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
                pet,
            })
        })
        .collect()
}

/// The transform of a CT frame. Rescale alone: functional groups have no tables.
fn to_hu(groups: &FunctionalGroups<'_>, frame: usize, object: &InMemDicomObject) -> Result<Modality, String> {
    let transform = groups.get(frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).unwrap_or(object);
    let modality = Modality::rescale(transform)?.ok_or("no rescale to HU")?;
    match text(transform, tags::RESCALE_TYPE).filter(|kind| !is_hu(kind)) {
        None => Ok(modality),
        Some(kind) => Err(format!("values are {kind}, not HU")),
    }
}

/// Refuses frames of several times: at one place they hold different values, and none of them is the uptake.
fn refuse_time_series(path: &Path, groups: &FunctionalGroups<'_>, frames: u32) -> Result<(), DicomError> {
    let time = |frame: u32| {
        let content = groups.get(frame as usize, tags::FRAME_CONTENT_SEQUENCE)?;
        integer(content, tags::TEMPORAL_POSITION_INDEX)
    };
    let times: BTreeSet<u32> = (0..frames).filter_map(time).collect();
    if times.len() <= 1 {
        return Ok(());
    }
    let detail = format!(
        "a dynamic PET of {} times (TemporalPositionIndex); one volume of SUV is read, so give the static series",
        times.len()
    );
    Err(DicomError::file(path, ReasonCode::UnsupportedObject, detail))
}
