//! Whose an image is and where it was made, as a header says it.
//!
//! Invariants: birth date and age end here, in a band of ten years. Names of sites are identities: whoever writes them does so under a
//! pseudonym, or because an operator asked for the name.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_domain::person::{AgeBand, Sex};

use crate::date::day;
use crate::element::text;

/// What a header says of patient and site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// PatientSex (0010,0040).
    pub sex: Option<Sex>,
    /// From PatientAge (0010,1010), or from birth and study date.
    pub age_band: Option<AgeBand>,
    /// InstitutionName (0008,0080).
    pub institution: Option<String>,
    /// StationName (0008,1010).
    pub station: Option<String>,
    /// ClinicalTrialSiteID (0012,0030).
    pub trial_site: Option<String>,
}

impl Origin {
    pub(crate) fn read(object: &InMemDicomObject) -> Self {
        let stated = text(object, tags::PATIENT_AGE).and_then(|age| AgeBand::of_age_string(&age));
        let day_of = |tag| text(object, tag).and_then(|date| day(&date));
        let reckoned = || AgeBand::of_days(day_of(tags::STUDY_DATE)?.checked_sub(day_of(tags::PATIENT_BIRTH_DATE)?)?);
        Self {
            sex: text(object, tags::PATIENT_SEX).and_then(|letter| Sex::from_letter(&letter)),
            age_band: stated.or_else(reckoned),
            institution: text(object, tags::INSTITUTION_NAME),
            station: text(object, tags::STATION_NAME),
            trial_site: text(object, tags::CLINICAL_TRIAL_SITE_ID),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};

    fn band(age: Option<&str>, birth: &str, study: &str) -> Option<&'static str> {
        let mut object = InMemDicomObject::new_empty();
        let mut put = |tag, vr, text: &str| object.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
        put(tags::PATIENT_BIRTH_DATE, VR::DA, birth);
        put(tags::STUDY_DATE, VR::DA, study);
        put(tags::PATIENT_SEX, VR::CS, "F ");
        age.into_iter().for_each(|age| drop(put(tags::PATIENT_AGE, VR::AS, age)));
        let origin = Origin::read(&object);
        assert_eq!(origin.sex, Some(Sex::F));
        origin.age_band.map(AgeBand::name)
    }

    #[test]
    fn the_age_is_that_of_the_header_or_else_that_between_birth_and_study() {
        assert_eq!(band(Some("071Y"), "19500101", "20000101"), Some("70-79"));
        assert_eq!(band(None, "19500101", "20000201"), Some("50-59"));
        assert_eq!(band(Some("old"), "19000101", "20000201"), Some("90+"));
        assert_eq!(band(None, "20010101", "20000101"), None);
        assert_eq!(band(None, "", "20000101"), None);
    }
}
