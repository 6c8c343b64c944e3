//! The images that a written object speaks of, and what the object says of itself.
//!
//! Invariants: an object joins the study of its images, with the words of their first file about patient and study; slices stand in the order of
//! the grid. Nothing of the clock is written.

use std::collections::BTreeSet;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::dataset::{Elements, open};
use crate::element::text;
use crate::error::DicomError;
use crate::limits::Limits;
use crate::series::Series;
use crate::write::ct::slice_uid;
use crate::write::identity::StudyIdentity;
use crate::write::parts::{put, put_items, put_number, reference};

/// A slice of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSlice {
    /// SOP Instance UID.
    pub instance_uid: String,
    /// Number of the frame, from 1, in an object of several.
    pub frame: Option<u32>,
}

/// The images of a series, and whose study they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceImages {
    /// Patient and study.
    pub identity: StudyIdentity,
    /// Series Instance UID.
    pub series_uid: String,
    /// SOP class.
    pub class_uid: String,
    /// Slices in the order of the grid.
    pub slices: Vec<SourceSlice>,
}

impl SourceImages {
    /// The images of a series that this crate wrote.
    pub fn written(identity: &StudyIdentity, series_uid: &str, slices: usize) -> Self {
        let slice = |k| SourceSlice { instance_uid: slice_uid(series_uid, k), frame: None };
        Self {
            identity: identity.clone(),
            series_uid: series_uid.to_owned(),
            class_uid: uids::CT_IMAGE_STORAGE.to_owned(),
            slices: (0..slices).map(slice).collect(),
        }
    }

    /// The images of a series that was read.
    ///
    /// # Errors
    /// [`DicomError`] where its first file cannot be read any more, or where the series has no frame of reference.
    pub fn of_series(series: &Series, limits: &Limits) -> Result<Self, DicomError> {
        let first =
            series.instances.first().ok_or_else(|| DicomError::write("".as_ref(), "a series without slices"))?;
        let opened = open(&first.path, limits, Elements::All)?;
        let said = |tag| text(&opened.object, tag).unwrap_or_default();
        let Some(frame_of_reference_uid) = series.frame_of_reference_uid.as_deref() else {
            return Err(DicomError::write(&first.path, "the series has no frame of reference"));
        };
        let identity = StudyIdentity {
            patient_id: said(tags::PATIENT_ID),
            patient_name: said(tags::PATIENT_NAME),
            birth_date: said(tags::PATIENT_BIRTH_DATE),
            sex: said(tags::PATIENT_SEX),
            study_uid: series.study_uid.to_string(),
            frame_of_reference_uid: frame_of_reference_uid.to_owned(),
            study_date: said(tags::STUDY_DATE),
            study_time: said(tags::STUDY_TIME),
            study_id: said(tags::STUDY_ID),
            accession_number: said(tags::ACCESSION_NUMBER),
            referring_physician: said(tags::REFERRING_PHYSICIAN_NAME),
        };
        let class_uid = text(&opened.object, tags::SOP_CLASS_UID).or(opened.sop_class_uid).unwrap_or_default();
        let has_frames = class_uid != uids::CT_IMAGE_STORAGE;
        let slices = series.instances.iter().map(|slice| SourceSlice {
            instance_uid: slice.sop_instance_uid.clone(),
            frame: has_frames.then_some(slice.frame + 1),
        });
        Ok(Self { identity, series_uid: series.series_uid.to_string(), class_uid, slices: slices.collect() })
    }

    /// A reference to slice `k`, with its frame where the object has several; `None` beyond the last.
    pub(crate) fn slice(&self, k: usize) -> Option<InMemDicomObject> {
        let SourceSlice { instance_uid, frame } = self.slices.get(k)?;
        let mut item = reference(&self.class_uid, instance_uid);
        if let Some(frame) = frame {
            put_number(&mut item, tags::REFERENCED_FRAME_NUMBER, *frame);
        }
        Some(item)
    }

    /// References to the instances, each once.
    pub(crate) fn instances(&self) -> Vec<InMemDicomObject> {
        let mut seen = BTreeSet::new();
        let once = self.slices.iter().filter(|slice| seen.insert(&slice.instance_uid));
        once.map(|slice| reference(&self.class_uid, &slice.instance_uid)).collect()
    }

    /// The series and its instances, these in the sequence `of`.
    pub(crate) fn series_item(&self, of: dicom_core::Tag) -> InMemDicomObject {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::SERIES_INSTANCE_UID, VR::UI, &self.series_uid);
        put_items(&mut item, of, self.instances());
        item
    }
}

/// What a written object says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedObject {
    /// Series Instance UID.
    pub series_uid: String,
    /// SOP Instance UID.
    pub instance_uid: String,
    /// SeriesNumber.
    pub series_number: u32,
    /// SeriesDescription; none is left out.
    pub series_description: Option<String>,
    /// ContentDescription.
    pub description: String,
    /// Name and version of the program that made it; `None` where it was drawn.
    pub algorithm: Option<[String; 2]>,
    /// What that program ran with, as the digest of its weights; `None` is left out.
    pub algorithm_parameters: Option<String>,
}
