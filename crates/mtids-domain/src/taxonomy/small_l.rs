//! A small l behind the number of a lobar, segmental or subsegmental station, which two schools read as two places.
//!
//! Invariant: capitals are never refused here; `l` is the left side behind every other number.

use super::described::half_width;
use super::words::is_dash;

/// The number of a lobar, segmental or subsegmental station with a small `l` behind it (`12l`), if a text has one. Japanese lists write the
/// lower lobe so, beside `12u` and `12m`, and others the left side. The capital (`12L`) is the side.
fn small_l_of_lobe(text: &str) -> Option<&str> {
    let is_digit = |c: char| c.is_ascii_digit();
    text.match_indices('l').find_map(|(at, _)| {
        let before = &text[..at];
        let (before, number) = before.split_at(before.trim_end_matches(is_digit).len());
        // Of a range of all three the side is the only reading.
        let first = before.trim_end_matches(is_dash);
        let is_range = first != before && first.ends_with(is_digit);
        let ends = !text[at + 1..].starts_with(char::is_alphanumeric);
        (ends && !is_range && matches!(number, "12" | "13" | "14")).then_some(number)
    })
}

/// Refuses `12l`, which two schools read as two places.
///
/// # Errors
/// What to write.
pub(super) fn check_small_l(text: &str) -> Result<(), String> {
    small_l_of_lobe(&half_width(text)).map_or(Ok(()), |number| {
        Err(format!(
            "`{number}l` may be the left side or the lower lobe; write {number}L for left, and {number}R or {number}L for a lobe of the right or the \
             left lung"
        ))
    })
}

#[cfg(test)]
mod tests {
    use crate::taxonomy::Station;

    #[test]
    fn a_small_l_is_left_where_it_can_be_nothing_else() {
        for (text, code) in [
            ("2l", "2L"),
            ("4l", "4L"),
            ("10l", "10L"),
            ("11l", "11L"),
            ("12L", "12-14L"),
            ("12 l", "12-14L"),
            ("l12", "12-14L"),
            ("12left", "12-14L"),
            ("12-14 l", "12-14L"),
            ("12-14l", "12-14L"),
            ("12r", "12-14R"),
        ] {
            assert_eq!(text.parse::<Station>().map(Station::code), Ok(code), "{text}");
        }
    }
}
