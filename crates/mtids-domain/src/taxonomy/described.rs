//! What people put around a station that names no other: wide characters, and a description in brackets behind it.
//!
//! Invariants: a bracket is left aside only where each of its words is of anatomy or of the grammar, so that no status, doubt or second station
//! is lost; the sides in it count, and a side or a name that contradicts the station is an error. Time is linear in the length of the text.

use std::borrow::Cow;

use super::anatomy::contradiction;
use super::location::Location;
use super::words::{Mark, is_dash, letters, part_of_11};

/// Words that describe where a station lies, in lower case.
const ANATOMY: [&str; 58] = [
    "anterior",
    "aorta",
    "aortal",
    "aortic",
    "aortopulmonary",
    "ap",
    "azygos",
    "azygoesophageal",
    "bronchial",
    "bronchus",
    "carina",
    "carinal",
    "cervical",
    "esophageal",
    "fenster",
    "hilar",
    "hilum",
    "hilär",
    "hilus",
    "high",
    "inferior",
    "interlobar",
    "interlobär",
    "ligament",
    "lobar",
    "lobär",
    "low",
    "lower",
    "main",
    "mediastinal",
    "mediastinum",
    "mid",
    "middle",
    "oesophageal",
    "para",
    "paraaortal",
    "paraaortic",
    "paraesophageal",
    "paraoesophageal",
    "paraösophageal",
    "paratracheal",
    "posterior",
    "prevascular",
    "pulmonary",
    "retrotracheal",
    "segmental",
    "subaortal",
    "subaortic",
    "subcarinal",
    "subkarinal",
    "subsegmental",
    "superior",
    "supraclavicular",
    "tracheal",
    "tracheobronchial",
    "upper",
    "vascular",
    "window",
];

/// A text with the half-width form of full-width characters (`４Ｒ`), which Japanese and Chinese keyboards give. The
/// compatibility form of Unicode would do more: of `7²` it makes 72.
pub fn half_width(text: &str) -> Cow<'_, str> {
    let is_wide = |c: char| ('\u{ff01}'..='\u{ff5e}').contains(&c);
    if !text.contains(is_wide) {
        return Cow::Borrowed(text);
    }
    // The block repeats ASCII from `!` to `~`.
    let narrow = |c: char| if is_wide(c) { char::from((c as u32 - 0xfee0) as u8) } else { c };
    Cow::Owned(text.chars().map(narrow).collect())
}

/// A text as the grammar reads it: in lower case, half-width, and with nothing but sides in a bracket at its end.
///
/// # Errors
/// What is wrong where the bracket names another side than the text before it.
pub(super) fn plain(text: &str) -> Result<String, String> {
    let lower = half_width(text).to_lowercase();
    let Some((before, inside)) = description(&lower) else { return Ok(lower) };
    let (own, described) = (sides(before), sides(inside));
    if !own.is_empty() && described.iter().any(|side| !own.contains(side)) {
        return Err("the brackets name another side".into());
    }
    let kept: Vec<&str> = words(inside).filter(|word| !ANATOMY.contains(word)).collect();
    Ok(if kept.is_empty() { before.to_owned() } else { format!("{before}({})", kept.join(" ")) })
}

/// Checks that the description in the brackets of a text, if any, can be one of its place.
///
/// # Errors
/// What is wrong where it names another station.
pub(super) fn check_description(text: &str, place: Location) -> Result<(), String> {
    let lower = half_width(text).to_lowercase();
    let contradiction = description(&lower).and_then(|(_, inside)| contradiction(inside, place));
    contradiction.map_or(Ok(()), Err)
}

/// What stands before and in the bracket at the end of a lower-case text, where each word in it is of anatomy or of the grammar.
fn description(text: &str) -> Option<(&str, &str)> {
    let (before, inside) = last_bracket(text)?;
    let is_between = |c: char| c.is_alphabetic() || c.is_whitespace() || is_dash(c) || ",/&.".contains(c);
    let is_known = |word: &str| ANATOMY.contains(&word) || letters(word).is_some();
    let is_description =
        words(inside).next().is_some() && inside.chars().all(is_between) && words(inside).all(is_known);
    is_description.then_some((before, inside))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty())
}

/// What stands before and in the only bracket of a text, which has no digit and ends a text with a number.
fn last_bracket(text: &str) -> Option<(&str, &str)> {
    let (before, behind) = text.trim_end().split_once(['(', '['])?;
    let inside = behind.strip_suffix([')', ']'])?;
    let has_digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    (has_digit(before) && !has_digit(inside)).then_some((before, inside))
}

/// The sides that the words of a text name.
fn sides(text: &str) -> Vec<Mark> {
    let words = text.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty());
    let marks = words.filter_map(|word| letters(word).or_else(|| part_of_11(word))?);
    marks.filter(|mark| matches!(mark, Mark::Right | Mark::Left)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::{StationMap, StationText};

    fn read(text: &str) -> Result<String, String> {
        let read = StationText::read(text, StationMap::Iaslc).map_err(|error| error.to_string())?;
        Ok(read.location().to_string())
    }

    #[test]
    fn a_description_in_brackets_leaves_its_station() {
        for (text, station) in [
            ("4R (right lower paratracheal)", "4R"),
            ("4R (lower paratracheal)", "4R"),
            ("7 (subcarinal)", "7"),
            ("7 [Subkarinal]", "7"),
            ("5 (AP window)", "5"),
            ("6 (para-aortic, left)", "6"),
            ("3a (prevascular)", "3a"),
            ("11Rs (superior interlobar)", "11R"),
            ("10 (left hilar)", "10L"),
            ("10R/11R (hilar, interlobar)", "10R or 11R"),
            ("LN 4R (paratracheal) ", "4R"),
            // What the grammar read before.
            ("10 (L)", "10L"),
            ("4R (R)", "4R"),
            ("4 (R/L)", "4R or 4L"),
            ("(R)4", "4R"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(station), "{text}");
        }
    }

    #[test]
    fn another_side_a_status_or_a_doubt_in_brackets_is_an_error() {
        for text in ["4R (left lower paratracheal)", "4R (left)", "10L (R)", "Station 4 right (links)", "11Rs (left)"] {
            assert!(read(text).unwrap_err().contains("the brackets name another side"), "{text}");
        }
        for text in [
            "4R (malignant)",
            "4R (lower paratracheal, positive)",
            "4R (?)",
            "4R (not sampled)",
            "4 (paratracheal)",
            "7 (right subcarinal)",
            "(subcarinal)",
            "4R (paratracheal) (hilar)",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wide_characters_are_those_of_ascii() {
        assert_eq!(half_width("４Ｒ（＋）〜"), "4R(+)〜");
        assert!(matches!(half_width("4R ü"), Cow::Borrowed("4R ü")));
        assert_eq!(read("４Ｒ").as_deref(), Ok("4R"));
        assert!(read("7²").is_err());
        assert_eq!(read("１０Ｌ\u{3000}＃２").as_deref(), Ok("10L"));
        assert_eq!("１２－１４Ｒ".parse::<crate::taxonomy::Station>().map(|station| station.code()), Ok("12-14R"));
    }

    #[test]
    fn long_brackets_take_no_long_time() {
        for part in ["hilar ", "(", "4R (hilar)", "right "] {
            let long = format!("4R ({})", part.repeat(100_000));
            let _ = read(&long);
        }
    }
}
