//! Whose study a written object belongs to.

/// Whose study an object belongs to. What is not known is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyIdentity {
    /// PatientID.
    pub patient_id: String,
    /// PatientName.
    pub patient_name: String,
    /// PatientBirthDate, `YYYYMMDD`.
    pub birth_date: String,
    /// PatientSex.
    pub sex: String,
    /// Study Instance UID.
    pub study_uid: String,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: String,
    /// Study date, `YYYYMMDD`.
    pub study_date: String,
    /// Study time, `HHMMSS`.
    pub study_time: String,
    /// StudyID.
    pub study_id: String,
    /// AccessionNumber.
    pub accession_number: String,
    /// ReferringPhysicianName.
    pub referring_physician: String,
}

impl Default for StudyIdentity {
    /// A study at noon with the number 1, of nobody.
    fn default() -> Self {
        Self {
            patient_id: String::new(),
            patient_name: String::new(),
            birth_date: String::new(),
            sex: String::new(),
            study_uid: String::new(),
            frame_of_reference_uid: String::new(),
            study_date: String::new(),
            study_time: "120000".to_owned(),
            study_id: "1".to_owned(),
            accession_number: String::new(),
            referring_physician: String::new(),
        }
    }
}
