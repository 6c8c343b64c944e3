//! What a dataset says of a person: sex and age, as coarse as an audit needs them.
//!
//! Invariants: no birth date and no age in years leaves this module; 90 years and more are one band. Ids are folded, so that one id under two
//! spellings has one key, and only keyed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// PatientSex of DICOM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Sex {
    /// Female.
    F,
    /// Male.
    M,
    /// Other.
    O,
}

impl Sex {
    /// The letter of DICOM.
    pub fn letter(self) -> &'static str {
        match self {
            Self::F => "F",
            Self::M => "M",
            Self::O => "O",
        }
    }

    /// The sex with this letter, in either case.
    pub fn from_letter(text: &str) -> Option<Self> {
        [Self::F, Self::M, Self::O].into_iter().find(|sex| sex.letter().eq_ignore_ascii_case(text.trim()))
    }
}

/// Names of the bands, the youngest first.
const BANDS: [&str; 10] = ["0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80-89", "90+"];
/// Nobody was older, years.
const OLDEST: u32 = 130;
/// Days of a mean year.
const DAYS_OF_YEAR: f64 = 365.2425;

/// Ten years of age; 90 and more are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AgeBand(u8);

impl AgeBand {
    /// The band of an age in full years; `None` for one that nobody reaches.
    pub fn of_years(years: u32) -> Option<Self> {
        (years <= OLDEST).then(|| Self((years / 10).min(9) as u8))
    }

    /// The band of an age string of DICOM (`065Y`, `011M`, `006W`, `003D`).
    pub fn of_age_string(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit = text.chars().last()?;
        let number: u32 =
            text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        let days = match unit {
            'Y' => return Self::of_years(number),
            'M' => f64::from(number) * DAYS_OF_YEAR / 12.0,
            'W' => f64::from(number) * 7.0,
            'D' => f64::from(number),
            _ => return None,
        };
        Self::of_years((days / DAYS_OF_YEAR) as u32)
    }

    /// The band of an age in days, as between a birth and a study; within a day of a birthday it may be the neighbouring one.
    pub fn of_days(days: i32) -> Option<Self> {
        (days >= 0).then(|| (f64::from(days) / DAYS_OF_YEAR) as u32).and_then(Self::of_years)
    }

    /// Its name: `60-69`, `90+`.
    pub fn name(self) -> &'static str {
        BANDS.get(usize::from(self.0)).copied().unwrap_or("90+")
    }

    /// The band with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        BANDS.iter().position(|band| *band == name).map(|band| Self(band as u8))
    }
}

/// A text without blanks at its ends, in the compatibility form of Unicode (full and half width are one) and in lower case.
pub fn folded_id(id: &str) -> String {
    let normal = icu_normalizer::ComposingNormalizerBorrowed::new_nfkc();
    let lower = normal.normalize(id).to_lowercase();
    normal.normalize(lower.trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_bands_of_ten_years_and_ninety_is_the_last() {
        let of = |text: &str| AgeBand::of_age_string(text).map(AgeBand::name);
        assert_eq!(
            (of("069Y"), of("070Y"), of(" 007Y "), of("011M"), of("130M")),
            (Some("60-69"), Some("70-79"), Some("0-9"), Some("0-9"), Some("10-19"))
        );
        assert_eq!((of("089Y"), of("090Y"), of("104Y")), (Some("80-89"), Some("90+"), Some("90+")));
        for text in ["", "Y", "999Y", "-05Y", "065", "65y", "6.5Y", "é"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!((AgeBand::of_days(-1), AgeBand::of_days(24_000).map(AgeBand::name)), (None, Some("60-69")));
        for band in BANDS {
            assert_eq!(AgeBand::from_name(band).map(AgeBand::name), Some(band));
        }
        assert_eq!((Sex::from_letter(" f"), Sex::from_letter("X"), Sex::from_letter("")), (Some(Sex::F), None, None));
    }

    #[test]
    fn ids_that_differ_by_case_blanks_or_width_are_one() {
        for id in ["ab-1", " AB-1", "Ab-1  ", "ＡＢ－１", "\u{3000}ab-1"] {
            assert_eq!(folded_id(id), "ab-1");
        }
        assert_eq!(folded_id("ﬁ É"), folded_id("FI e\u{301}"));
        assert_ne!(folded_id("ab-1"), folded_id("ab-2"));
        assert_ne!(folded_id("a b"), folded_id("ab"));
    }
}
