//! Calendar days of DICOM dates (VR DA).
//!
//! Units: days since 1970-01-01. Invariant: a text that is no date is `None`, never another day.

use dicom_core::chrono::{Datelike, NaiveDate};
use dicom_core::value::deserialize::parse_date;

/// The day of `YYYYMMDD` (also `YYYY.MM.DD`, of old).
pub fn day(text: &str) -> Option<i32> {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    // The parser looks at the first eight characters only.
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let date = parse_date(digits.as_bytes()).ok().filter(|date| date.year() >= 1)?;
    Some(date.num_days_from_ce() - NaiveDate::default().num_days_from_ce())
}

/// The date `YYYYMMDD` of a day; `None` outside the years 1 to 9999.
pub(crate) fn date_of(day: i32) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(day.checked_add(NaiveDate::default().num_days_from_ce())?)?;
    (1..=9999).contains(&date.year()).then(|| format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar_and_other_texts_are_none() {
        assert_eq!((day("19700101"), day("2000.03.01"), day("20000229")), (Some(0), Some(11_017), Some(11_016)));
        assert_eq!(day("20240301"), day("20240229").map(|day| day + 1));
        assert_eq!(
            ["00010101", "20000229", "99991231"].map(|text| date_of(day(text).unwrap()).unwrap()),
            ["00010101", "20000229", "99991231"]
        );
        assert_eq!((date_of(i32::MAX), date_of(day("00010101").unwrap() - 1)), (None, None));
        for text in [
            "20201301",
            "20200100",
            "20230229",
            "20230431",
            "19000229",
            "00000101",
            "2020",
            "202O0101",
            "",
            "20200101120000",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
