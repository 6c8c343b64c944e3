//! Numbers and counts of nodes behind a station: `4R_2`, `4R node 2`, `4R (2 nodes)`.
//!
//! Invariants: a number is left aside only where it can be no station; where it may be one, the text is doubtful, and nobody guesses. Time is
//! linear in the length of the text.

use super::words::{is_dash, is_separator, letters, part_of_3, part_of_11};

/// A text about a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split<'a> {
    /// The text, without the number of a node.
    pub(super) text: &'a str,
    /// A number in it that may be another station, or the number of a node.
    pub(super) doubtful: Option<&'a str>,
}

/// A lower-case text without the number or count of nodes that may stand behind its station.
pub(super) fn without_node_number(text: &str) -> Split<'_> {
    let parts = Parts::of(text);
    match parts.as_ref().map(Parts::second) {
        Some(Second::Node) => Split { text: parts.map_or(text, |parts| parts.station), doubtful: None },
        Some(Second::Doubtful) => Split { text, doubtful: parts.map(|parts| parts.digits) },
        Some(Second::Station) => Split { text, doubtful: None },
        None => Split { text, doubtful: numbers_in_brackets(text) },
    }
}

/// Numbers alone in brackets behind another number, such as `4R (2/4)`.
fn numbers_in_brackets(text: &str) -> Option<&str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let (before, behind) = text.split_once(['(', '['])?;
    let inside = behind.split([')', ']']).next()?;
    let is_numbers = before.contains(is_digit) && inside.contains(is_digit);
    Some(inside).filter(|inside| is_numbers && !inside.contains(char::is_alphabetic))
}

/// What the second number of a text is.
enum Second {
    /// The number or the count of nodes.
    Node,
    /// A station, or no station at all: the grammar of stations says which.
    Station,
    /// A station, or the number of a node.
    Doubtful,
}

/// A text of two numbers without side behind the second.
struct Parts<'a> {
    /// The text up to the end of the first number with its side.
    station: &'a str,
    /// The first number.
    number: u32,
    /// A side, or the part of station 3, stands behind the first number.
    marked: bool,
    /// A side stands before the first number.
    sides_first: bool,
    /// Between the first number with its side and the second number.
    joiner: &'a str,
    /// The second number.
    digits: &'a str,
    /// Behind the second number.
    behind: &'a str,
}

impl<'a> Parts<'a> {
    /// The parts; `None` for a text of another form.
    fn of(text: &'a str) -> Option<Self> {
        let numbers = runs(text, |c| c.is_ascii_digit());
        let [(first_start, first_end), (start, end)] = *numbers.as_slice() else { return None };
        let digits = &text[first_start..first_end];
        // Of `04R` the zero fills up to two digits; that of a second number counts nodes (`4R_01`).
        let number = station_number(digits.strip_prefix('0').filter(|rest| rest.len() == 1).unwrap_or(digits))?;
        let sides_first = marks(&text[..first_start])?.is_some();
        let (between, behind) = (&text[first_end..start], &text[end..]);
        let is_plain = |c: char| c.is_ascii_lowercase() || is_separator(c);
        if marks(behind)?.is_some() || !behind.chars().all(is_plain) || !between.chars().all(is_plain) {
            return None;
        }
        let mark = marks(between)?;
        // Where sides come first, one between the numbers is that of the second.
        if sides_first && mark.is_some() {
            return None;
        }
        let joiner = &between[mark.unwrap_or(0)..];
        let station = &text[..start - joiner.len()];
        let found =
            Self { station, number, marked: mark.is_some(), sides_first, joiner, digits: &text[start..end], behind };
        (!joiner.is_empty()).then_some(found)
    }

    fn second(&self) -> Second {
        let is_number_word = |word: &str| matches!(word, "node" | "no" | "nr" | "number");
        let is_node_word = |word: &str| matches!(word, "nodes" | "ln" | "lns" | "lk" | "lymph" | "lymphknoten");
        let has = |signs: &[char]| self.joiner.contains(signs);
        let says_number = has(&['#']) || words(self.joiner).any(is_number_word);
        let names_nodes = words(self.joiner).any(is_node_word);
        // A list of stations; the point is that of an abbreviation where a word for numbers stands there (`no. 2`).
        let is_list = words(self.joiner).any(|word| !is_number_word(word) && !is_node_word(word))
            || has(&[',', ';', ':', '/', '\\', '|', '+', '&', '"', '\''])
            || (has(&['.']) && !says_number && self.joiner != ".");
        let (is_range, in_brackets) = (self.joiner.contains(is_dash), has(&['(', '[']));
        // 5 to 9 are stations without side; all others need one.
        let alone = |number: u32| (5..=9).contains(&number);
        let sided = self.marked || self.sides_first;
        if is_list || !(sided || alone(self.number)) {
            return Second::Station;
        }
        if in_brackets && words(self.behind).any(|word| is_number_word(word) || is_node_word(word)) {
            return Second::Node;
        }
        let Some(other) = station_number(self.digits) else {
            let is_index = !is_range || (sided && self.digits.starts_with('0'));
            return if is_index && self.digits.len() <= 3 { Second::Node } else { Second::Station };
        };
        // A larger number may be the end of a range, or the next station.
        let (can_be_index, follows) = (!alone(other), other > self.number);
        let underscore = (has(&['_']) || self.joiner == ".") && !is_range && !in_brackets;
        match (self.marked, self.sides_first) {
            // `R 1 2` are two stations, so `R4_2` may be.
            (false, true) if (says_number || underscore) && !follows => Second::Doubtful,
            (false, true) => Second::Station,
            _ if says_number && can_be_index => Second::Node,
            (true, _) if self.number >= 12 && other > self.number => Second::Station,
            (true, _) => {
                let is_plain = !is_range && !in_brackets && !says_number && !names_nodes;
                if is_plain && can_be_index && !follows { Second::Node } else { Second::Doubtful }
            }
            (false, false) if underscore && can_be_index && !follows => Second::Node,
            (false, false) => Second::Station,
        }
    }
}

/// The number of a station, as digits of a text say it.
fn station_number(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|number| (1..=14).contains(number) && !digits.starts_with('0'))
}

/// Where the only side of a text ends, or `Some(None)` where it has none; `None` where it has several, or a word that is not understood.
fn marks(text: &str) -> Option<Option<usize>> {
    let mut found = None;
    for (start, end) in runs(text, |c| c.is_ascii_lowercase()) {
        let run = &text[start..end];
        // `to` makes a range, and is no word beside a number.
        if run != "to"
            && letters(run).or_else(|| part_of_11(run)).or_else(|| part_of_3(run))?.is_some()
            && found.replace(end).is_some()
        {
            return None;
        }
    }
    Some(found)
}

/// The words of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty())
}

/// Where runs of such characters begin and end.
fn runs(text: &str, is: impl Fn(char) -> bool) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| is(*c)) {
        match found.last_mut() {
            Some((_, end)) if *end == at => *end += c.len_utf8(),
            _ => found.push((at, at + c.len_utf8())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::taxonomy::{StationMap, StationText};

    fn read(text: &str) -> Result<StationText, String> {
        StationText::read(text, StationMap::Iaslc).map_err(|error| error.to_string())
    }

    #[test]
    fn the_number_of_a_node_leaves_its_station() {
        for (text, station) in [
            ("4R_2", "4R"),
            ("4R.2", "4R"),
            ("LN 4R_1", "4R"),
            ("LN 4R node 2", "4R"),
            ("4R node 10", "4R"),
            ("4R #2", "4R"),
            ("4R no. 2", "4R"),
            ("4R 2", "4R"),
            ("4 (R)_2", "4R"),
            ("4R_01", "4R"),
            ("4R-01", "4R"),
            ("4R_15", "4R"),
            ("4R (2 nodes)", "4R"),
            ("4R (7 nodes)", "4R"),
            ("R4 (2 LN)", "4R"),
            ("10L_3", "10L"),
            ("3a_2", "3a"),
            ("7_2", "7"),
            ("LN 7 node 2", "7"),
            ("7 (2 nodes)", "7"),
            ("12R_2", "12-14R"),
            ("11Rs_2", "11R"),
            ("04R_2", "4R"),
            ("04R_02", "4R"),
            ("3aR_2", "3a"),
            ("5L_2", "5"),
            ("St. 4R #2", "4R"),
        ] {
            assert_eq!(read(text).unwrap().location().to_string(), station, "{text}");
        }
    }

    #[test]
    fn a_number_that_may_be_a_station_is_no_guess() {
        for text in [
            "4R-2",
            "2R.4",
            "2L-4",
            "2R_4",
            "10R (11)",
            "10R_11",
            "10R-11",
            "8R #9",
            "8R node 9",
            "4R (2)",
            "4R (2/4)",
            "R4_2",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("may be another station, or the number of a node"), "{text}: {error}");
        }
        // Stations of different regions are unknown and counted, as before.
        for text in ["4R_7", "4R 7", "4R-10", "1R_2", "7-10", "7_10", "7 2"] {
            assert_eq!(read(text), Ok(StationText::Apart), "{text}");
        }
    }

    #[test]
    fn lists_and_ranges_of_stations_stay() {
        for (text, stations) in [
            ("10-11R", "10R or 11R"),
            ("10R, 11R", "10R or 11R"),
            ("8R, 9", "8R or 9 or 9R or 9L"),
            ("R10_11", "10R or 11R"),
            ("R 10/11", "10R or 11R"),
            ("5_6", "5 or 6"),
            ("4R_4L", "4R or 4L"),
            ("12R-14", "12-14R"),
            ("4R (2R, 2L)", "2R or 2L or 4R"),
        ] {
            assert_eq!(read(text).unwrap().location().to_string(), stations, "{text}");
        }
        for text in ["4R_2023", "4R 2 mm", "7-15", "15R_2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
