//! Values of kept attributes: checked for what their attribute may hold, and written anew.
//!
//! Invariant: a value that is not what its attribute holds is dropped, never passed on. Units: days, years.

use crate::acquisition::AcquisitionTime;
use crate::date::{date_of, day};

/// Longest text that is kept, in letters.
const LONGEST: usize = 64;
/// Highest age that is told, in years.
const HIGHEST_AGE: u32 = 89;

/// Coding schemes whose values are public.
const SCHEMES: &[&str] = &["DCM", "SCT", "SRT", "SNM3", "99SDM", "UCUM", "FMA", "RADLEX", "NCIt", "LN", "I10", "I11"];

/// The parts of a value, each of which has to pass.
fn each(text: &str, mut part: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let parts: Vec<String> = text.split('\\').map(|value| part(value.trim())).collect::<Option<_>>()?;
    Some(parts.join("\\"))
}

/// Decimal numbers.
pub(super) fn number(text: &str) -> Option<String> {
    each(text, |value| {
        let is_plain = value.len() <= LONGEST && value.bytes().all(|byte| b"0123456789+-.eE".contains(&byte));
        (is_plain && value.parse::<f64>().is_ok_and(f64::is_finite)).then(|| value.to_owned())
    })
}

/// Words of the standard. Small letters become capitals: some writers use them.
pub(super) fn word(text: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '_' | '-' | '.' | '/');
    each(text, |value| (value.len() <= LONGEST && value.to_uppercase().chars().all(is_word)).then(|| value.to_owned()))
}

/// Printable ASCII of a sane length.
pub(super) fn makers_text(text: &str) -> Option<String> {
    each(text, |value| {
        let printable = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        (value.len() <= LONGEST && printable).then(|| value.to_owned())
    })
}

/// A UID of the standard.
pub(super) fn standard_uid(text: &str) -> Option<String> {
    let is_uid = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_uid && text.starts_with("1.2.840.10008.")).then(|| text.to_owned())
}

/// A date, `days` earlier.
pub(super) fn date(text: &str, days: i32) -> Option<String> {
    date_of(day(text)?.checked_sub(days)?)
}

/// A time of the day.
pub(super) fn time(text: &str) -> Option<String> {
    let digits = text.replace(':', "");
    AcquisitionTime::of_time(&digits).map(|_| digits)
}

/// A time of the day or an offset from UTC.
pub(super) fn time_or_offset(text: &str) -> Option<String> {
    offset(text).or_else(|| time(text))
}

fn offset(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['+', '-'])?.replace(':', "");
    (digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

/// A date with a time, `days` earlier.
pub(super) fn date_time(text: &str, days: i32) -> Option<String> {
    let end = text.find(['+', '-', 'Z']).unwrap_or(text.len());
    let (clock, zone) = (text.get(..end)?.trim(), text.get(end..)?);
    let zone = if zone.is_empty() || zone == "Z" { zone.to_owned() } else { offset(zone)? };
    let shifted = date(clock.get(..8)?, days)?;
    let rest = clock.get(8..).unwrap_or_default();
    let rest = if rest.is_empty() { String::new() } else { time(rest)? };
    Some(shifted + &rest + &zone)
}

/// An age, which above 89 years is `090Y`.
pub(super) fn age(text: &str) -> Option<String> {
    let (number, unit) = text.split_at_checked(3)?;
    let number: u32 = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    let years = match unit {
        "Y" => number,
        "M" => number / 12,
        "W" => number / 52,
        "D" => number / 365,
        _ => return None,
    };
    Some(if years > HIGHEST_AGE { "090Y".to_owned() } else { text.to_owned() })
}

/// The name of a scheme whose codes are public.
pub(super) fn scheme(text: &str) -> Option<String> {
    SCHEMES.contains(&text).then(|| text.to_owned())
}

/// A code: no spaces, so no sentence.
pub(super) fn code(text: &str) -> Option<String> {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/%*'[]{}()^:".contains(&byte);
    (text.len() <= LONGEST && text.bytes().all(is_code)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_of_their_kind_are_dropped() {
        assert_eq!(number(" 1.5 \\-2e3").as_deref(), Some("1.5\\-2e3"));
        assert_eq!([number("1\\DOE"), number(""), number("inf"), number("1e999")], [const { None }; 4]);
        assert_eq!(word("ORIGINAL\\PRIMARY\\CT_SOM5 SPI").as_deref(), Some("ORIGINAL\\PRIMARY\\CT_SOM5 SPI"));
        assert_eq!([word("DOE^JOHN"), word("Müller"), word(&"A".repeat(65))], [const { None }; 3]);
        assert_eq!(makers_text("B30f\\3").as_deref(), Some("B30f\\3"));
        assert_eq!([makers_text("Zoë"), makers_text(&"A".repeat(65))], [const { None }; 2]);
        assert_eq!(standard_uid("1.2.840.10008.5.1.4.1.1.2").as_deref(), Some("1.2.840.10008.5.1.4.1.1.2"));
        assert_eq!([standard_uid("1.2.840.113619.2"), standard_uid("1.2.840.10008.x")], [const { None }; 2]);
        assert_eq!((scheme("SCT").is_some(), scheme("99CITY"), code("59441001").is_some()), (true, None, true));
        assert_eq!(code("John Doe"), None);
    }

    #[test]
    fn dates_are_shifted_and_times_are_not() {
        assert_eq!(date("20240301", 1).as_deref(), Some("20240229"));
        assert_eq!(date("2024.03.01", 366).as_deref(), Some("20230301"));
        assert_eq!([date("DOE", 1), date("2024", 1), date("00010101", 1)], [const { None }; 3]);
        assert_eq!(date_time("20240301101500.25+0100", 1).as_deref(), Some("20240229101500.25+0100"));
        assert_eq!(date_time("20240301", 1).as_deref(), Some("20240229"));
        assert_eq!(date_time("2024030110Z", 0).as_deref(), Some("2024030110Z"));
        assert_eq!(
            [date_time("2024", 1), date_time("20240301DOE", 1), date_time("20240301+DOE", 1)],
            [const { None }; 3]
        );
        assert_eq!((time("10:15:00").as_deref(), time("DOE"), time("+0100")), (Some("101500"), None, None));
        assert_eq!((time_or_offset("+0100").as_deref(), time_or_offset("+DOE")), (Some("+0100"), None));
    }

    #[test]
    fn high_ages_are_one() {
        assert_eq!(
            ["089Y", "090Y", "101Y", "011M", "DOE", "1Y", "9999D", "0x1Y"].map(age),
            [
                Some("089Y".into()),
                Some("090Y".into()),
                Some("090Y".into()),
                Some("011M".into()),
                None,
                None,
                None,
                None
            ]
        );
    }
}
