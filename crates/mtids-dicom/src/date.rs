//! Calendar days of DICOM dates (VR DA).
//!
//! Units: days since 1970-01-01. Invariant: a text that is no date is `None`, never another day.

/// The day of `YYYYMMDD` (also `YYYY.MM.DD`, of old).
pub(crate) fn day(text: &str) -> Option<i32> {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i32>().ok();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    if year < 1 || !(1..=12).contains(&month) || !(1..=days).contains(&day) {
        return None;
    }
    // Days from the civil calendar, years counted from March (H. Hinnant's algorithm).
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar_and_other_texts_are_none() {
        assert_eq!((day("19700101"), day("2000.03.01"), day("20000229")), (Some(0), Some(11_017), Some(11_016)));
        assert_eq!(day("20240301"), day("20240229").map(|day| day + 1));
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
