//! Whose study a written object belongs to.

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
