//! Writing DICOM: CT and PET series, segmentations and reports, for phantoms and for predictions.
//!
//! Invariants: the same input gives the same bytes (fixed implementation identifiers, no clock); every object is marked as
//! synthetic by the identity that the caller gives. Units: LPS mm, HU.

mod ct;
mod image;
mod parts;
mod pet;
mod report;
mod segmentation;

pub use ct::{CtOptions, write_ct_series};
pub use pet::{PetOptions, write_pet_series};
pub use report::{Measurement, ReportedFinding, write_report};
pub use segmentation::{Segment, write_segmentation};

/// Whose study an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyIdentity {
    /// PatientID.
    pub patient_id: String,
    /// PatientName.
    pub patient_name: String,
    /// Study Instance UID.
    pub study_uid: String,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: String,
    /// Study date, `YYYYMMDD`.
    pub study_date: String,
}
