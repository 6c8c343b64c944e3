//! Stations as people write them: one grammar for tables, names and configurations.
//!
//! Grammar, whatever the case: numbers from 1 to 14, with sides (`R`, `rt`, `right`, `rechts`, `L`, `lt`, `left`, `links`), or the `a` or `p`
//! of station 3, either behind each number (`4R`, `2 R`) or before each (`R4`); words such as `station`, `LN`, `node`, `No.` and separators
//! anywhere. Several numbers are several stations: `1/2R`, `4R+7`, `4R & 7`, `4R, 7`, `2R and 4R`; two with a dash are a range (`10-11R`).
//! A number without a side has the side of the next one (`1/2R`), or of the one before where sides come first (`R 1/2`), or both sides.
//! `11s` and `11i` are parts of 11; a side behind 3a, 3p, 5 and 6 says nothing else. A small l that touches 12 to 14 may be the lower lobe,
//! and is an error. The number or count of nodes behind a station is left aside (`4R_2`, `4R node 2`, `4R (2 nodes)`), if it can be no
//! station, and so is a description in brackets (`7 (subcarinal)`).
//!
//! Invariants: two numbers never make a third; a lone number that needs a side and has none is an error; a text with a character or word that
//! is not of the grammar is an error. Roman numbers and levels are of another map ([`StationMap`]).

use std::str::FromStr;

use super::described::{check_description, plain};
use super::level::{Level, levels};
use super::location::Location;
use super::map::{StationMap, of_naruke, of_neck};
use super::mention::{Mentions, whole_number};
use super::node_number::{Split, without_node_number};
use super::small_l::check_small_l;
use super::station::Station;

/// A text that names no station.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a lymph-node station{detail}; write for example 4R, 7, 3a, 10L or 12-14R, or several as 10-11R or 2R/4R, or leave it empty"
)]
pub struct ParseStationError {
    text: String,
    /// Empty, or what is missing, beginning with a colon.
    detail: String,
}

impl ParseStationError {
    fn new(text: &str, detail: &str) -> Self {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        Self { text: text.to_owned(), detail }
    }
}

/// What a text says of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationText {
    /// One station, or several of one zone.
    At(Location),
    /// Stations of different zones: neither station nor zone is known.
    Apart,
    /// Numbers of another map: without a place on the IASLC map.
    OtherMap,
}

impl StationText {
    /// Reads a text whose numbers are of `map`.
    ///
    /// # Errors
    /// [`ParseStationError`] where the text does not follow the grammar.
    pub fn read(text: &str, map: StationMap) -> Result<Self, ParseStationError> {
        let fail = |detail: String| ParseStationError::new(text, &detail);
        let lower = plain(text).map_err(fail)?;
        let found = levels(whole_number(&lower));
        if map == StationMap::Neck {
            return found.map(|found| on_neck(&found)).ok_or_else(|| fail("no level of the neck (station_map)".into()));
        }
        if found.is_some_and(|found| found.iter().any(|level| level.foreign)) {
            return Ok(Self::OtherMap);
        }
        check_small_l(text).map_err(fail)?;
        let Split { text: without_number, doubtful } = without_node_number(&lower);
        let place = Mentions::read(without_number).and_then(Mentions::place).map_err(fail)?;
        if let (Some(number), Location::OneOf(_)) = (doubtful, place) {
            return Err(fail(format!(
                "`{number}` may be another station, or the number of a node; write the station alone"
            )));
        }
        Ok(match (map, place) {
            (_, Location::Unplaced) => Self::Apart,
            (StationMap::Naruke, place) if of_naruke(place) == Location::Unplaced => Self::OtherMap,
            (_, place) => {
                check_description(text, place).map_err(fail)?;
                Self::At(place)
            }
        })
    }

    /// The place.
    pub fn location(self) -> Location {
        match self {
            Self::At(location) => location,
            Self::Apart | Self::OtherMap => Location::Unplaced,
        }
    }

    /// Why there is no place, for people; `None` where there is one.
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Self::At(_) => None,
            Self::Apart => Some("stations of different regions"),
            Self::OtherMap => Some("a number of another map, which `station_map` may name"),
        }
    }
}

fn on_neck(found: &[Level]) -> StationText {
    let places: Vec<Location> =
        found.iter().map(|level| of_neck(level.number, level.part, level.right, level.left)).collect();
    if places.contains(&Location::Unplaced) {
        return StationText::OtherMap;
    }
    match Location::of(places.into_iter().flat_map(Location::stations)) {
        Some(Location::Unplaced) => StationText::Apart,
        Some(place) => StationText::At(place),
        None => StationText::OtherMap,
    }
}

impl FromStr for Station {
    type Err = ParseStationError;

    /// Reads one station: one number, or `12-14` with a side.
    ///
    /// # Errors
    /// [`ParseStationError`] for anything else, so also for a text that names several stations.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |detail: String| ParseStationError::new(text, &detail);
        check_small_l(text).map_err(fail)?;
        let found = plain(text).and_then(|plain| Mentions::read(&plain)).map_err(fail)?;
        let is_one = found.is_one_station();
        let place = found.place().map_err(fail)?;
        check_description(text, place).map_err(fail)?;
        place.station().filter(|_| is_one).ok_or_else(|| fail("one station is needed here".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::Zone;
    use proptest::prelude::*;

    fn read(text: &str) -> StationText {
        StationText::read(text, StationMap::Iaslc).unwrap()
    }

    #[test]
    fn spellings_reach_one_code() {
        for (text, code) in [
            ("4R", "4R"),
            ("R4", "4R"),
            ("#4r", "4R"),
            ("station 4 right", "4R"),
            ("Station 7", "7"),
            ("3A", "3a"),
            ("3p", "3p"),
            ("10 (L)", "10L"),
            ("12-14R", "12-14R"),
            ("11Rs", "11R"),
            ("11s R", "11R"),
            ("11Li", "11L"),
            ("L11i", "11L"),
            ("13L", "12-14L"),
            ("8", "8"),
            ("10-R", "10R"),
            ("R 10", "10R"),
            ("(R)4", "4R"),
            ("4.R", "4R"),
            ("LEFT-2", "2L"),
            ("4RIGHT", "4R"),
            ("right station 4", "4R"),
            ("Station_11_L", "11L"),
            ("station4stationR", "4R"),
            ("3 a", "3a"),
            ("P3", "3p"),
            ("9 (left)", "9L"),
            ("12R", "12-14R"),
            ("L14", "12-14L"),
            ("12–14 left", "12-14L"),
            ("12/14R", "12-14R"),
            ("1214R", "12-14R"),
            ("R12-14", "12-14R"),
            ("[7]", "7"),
            (" 5 ", "5"),
            ("5L", "5"),
            ("L6", "6"),
            ("6 left", "6"),
            ("3aR", "3a"),
            ("3AL", "3a"),
            ("3pR", "3p"),
            ("3Lp", "3p"),
            ("3a right", "3a"),
            ("04R", "4R"),
            ("R04", "4R"),
            ("07", "7"),
            ("St. 4R", "4R"),
            ("St.4R", "4R"),
            ("No. 7", "7"),
            ("LN No.4R", "4R"),
            ("No. R4", "4R"),
            ("station no 4R", "4R"),
            ("node no 4R", "4R"),
            ("St. no. 10 left", "10L"),
        ] {
            assert_eq!(text.parse::<Station>().unwrap().code(), code, "{text}");
        }
        for text in [
            "", "4", "15R", "7R", "lung", "4RL", "10-14", "1 2 R L", "R4R", "4R7", "station", "12R-14R", "4左", "11s",
            "10Rs", "5R", "R6", "5 right", "5RL", "3R", "3L", "4aR", "3apR", "004R", "0", "00", "0R", "7L", "Rst4",
        ] {
            assert!(text.parse::<Station>().is_err(), "{text}");
        }
    }

    #[test]
    fn two_stations_are_not_a_third() {
        for text in [
            "1/2R", "1-2 R", "1+4L", "1-3R", "1, 2 R", "1.0L", "R1/2", "1 0 R", "121-4R", "1-2-14R", "12-13R", "14-12R",
        ] {
            assert!(text.parse::<Station>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn two_numbers_never_make_one(
            // 1 and a digit to 4 are what digits run together turn into another station.
            (a, b) in prop_oneof![(Just(1u32), 0u32..5), (0u32..200, 0u32..200)],
            between in prop_oneof!["[-/+,;. &_]", "[^0-9０-９]{0,4}[-/+,;. &_][^0-9０-９]{0,4}"],
            around in prop::sample::select(vec![("", "R"), ("", "L"), ("R", ""), ("", ""), ("station ", " left"), ("#", "a"), ("", " p")]),
        ) {
            let text = format!("{}{a}{between}{b}{}", around.0, around.1);
            let station = text.parse::<Station>();
            let is_range = (a, b) == (12, 14);
            let is_whole_number = b == 0 && matches!(between.as_str(), "." | ",");
            prop_assert!(station.is_err() || is_whole_number || (is_range && matches!(station, Ok(Station::S12R | Station::S12L))), "{text}: {station:?}");
        }

        #[test]
        fn any_separator_around_the_parts_keeps_the_station(
            station in prop::sample::select(Station::ALL.to_vec()),
            separator in "[-/+,;. &_()#]{0,3}",
        ) {
            let code = station.code();
            let (number, letters) = code.split_at(code.rfind(|c: char| c.is_ascii_digit()).map_or(0, |at| at + 1));
            for text in [
                format!("{separator}{number}{separator}{letters}{separator}"),
                format!("{letters}{separator}{number}"),
                format!("Station{separator}{number}{separator}{letters}"),
            ] {
                prop_assert_eq!(text.parse::<Station>(), Ok(station), "{}", text);
            }
        }
    }

    #[test]
    fn several_stations_of_one_zone_keep_it() {
        for (text, places, zone) in [
            ("10-11R", "10R or 11R", Zone::Hilar),
            ("10-11", "10R or 10L or 11R or 11L", Zone::Hilar),
            ("10R-11R", "10R or 11R", Zone::Hilar),
            ("R 10/11", "10R or 11R", Zone::Hilar),
            ("10L, 11L", "10L or 11L", Zone::Hilar),
            ("2R/4R", "2R or 4R", Zone::Upper),
            ("2/4R", "2R or 4R", Zone::Upper),
            ("2-4R", "2R or 3a or 3p or 4R", Zone::Upper),
            ("stations 2R and 4R", "2R or 4R", Zone::Upper),
            ("LN 2R + LN 4R", "2R or 4R", Zone::Upper),
            ("4R/L", "4R or 4L", Zone::Upper),
            ("4R or L", "4R or 4L", Zone::Upper),
            ("LN 12R_13", "12-14R", Zone::Peripheral),
            ("3a/p", "3a or 3p", Zone::Upper),
            ("5/6", "5 or 6", Zone::Aortopulmonary),
            ("8/9R", "8R or 9R", Zone::Lower),
            ("8, 9", "8 or 8R or 8L or 9 or 9R or 9L", Zone::Lower),
            ("12-14", "12-14R or 12-14L", Zone::Peripheral),
        ] {
            let place = read(text).location();
            assert_eq!((place.to_string().as_str(), place.zone()), (places, Some(zone)), "{text}");
        }
        assert_eq!(read("12-13R").location(), Location::One(Station::S12R), "both are of one class");
    }

    #[test]
    fn stations_of_several_zones_and_other_maps_have_no_place() {
        for text in
            ["1/2R", "4R+7", "4R & 7", "4R, 7", "stations 4R and 7", "10-14R", "7-10", "4R 7", "R4/L10", "4, 7 and 10L"]
        {
            assert_eq!(read(text), StationText::Apart, "{text}");
        }
        for text in ["IIA", "level 4R", "Level IV right", "VII", "IVb L", "levels 2a and 3", "level4", "IV/7"] {
            assert_eq!(read(text), StationText::OtherMap, "{text}");
            assert!(text.parse::<Station>().is_err(), "{text}");
        }
    }

    #[test]
    fn nonsense_is_an_error_that_says_what_to_write() {
        for (text, why) in [
            ("lung", "`lung` is not understood"),
            ("4RL", "`rl` is not understood"),
            ("10-Nov", "`nov` is not understood"),
            ("4R?", "`?` is not understood"),
            ("4.0", "the side is missing"),
            ("10.11R", "a number with a point"),
            ("2009-11-10", "write for example"),
            ("45240", "write for example"),
            ("R4R", "sides on both sides"),
            ("10R, L11", "sides on both sides"),
            ("4R left", "two sides that contradict"),
            ("4R links", "two sides that contradict"),
            ("left R4", "two sides that contradict"),
            ("12l", "`12l` may be the left side or the lower lobe; write 12L"),
            ("LN-13l", "`13l` may be"),
            ("LN 14l (lobar)", "`14l` may be"),
            ("１２ｌ", "`12l` may be"),
            ("12u", "`u` is not understood"),
            ("nor 4", "`nor` is not understood"),
            ("4R no", "`no` may mean none or number"),
            ("4R: no", "`no` may mean none or number"),
            ("no 7", "`no` may mean none or number"),
            ("station 7 no 8", "`no` may mean none or number"),
            ("no LN 4R", "`no` may mean none or number"),
            ("7, no LN", "`no` may mean none or number"),
            ("LN 4R no", "`no` may mean none or number"),
            ("4R (no node)", "`no` may mean none or number"),
            ("level", "`level` is not understood"),
            ("", "write for example"),
        ] {
            let error = StationText::read(text, StationMap::Iaslc).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let long = "station".repeat(100_000);
        assert!(StationText::read(&long, StationMap::Iaslc).is_err());
        assert!(StationText::read(&long, StationMap::Neck).is_err());
    }

    #[test]
    fn numbers_of_a_named_map_are_translated() {
        let neck = |text: &str| StationText::read(text, StationMap::Neck).unwrap().location();
        assert_eq!(neck("Level IV right"), Location::One(Station::S1R));
        assert_eq!(neck("4L"), Location::One(Station::S1L), "Arabic numbers are levels too");
        assert_eq!(neck("Vb").zone(), Some(Zone::Supraclavicular));
        assert_eq!((neck("VII").zone(), neck("VII").station()), (Some(Zone::Upper), None));
        for outside in ["IIA", "level III L", "Va", "VI", "IV/VII"] {
            assert_eq!(neck(outside), Location::Unplaced, "{outside}");
        }
        assert!(StationText::read("lung", StationMap::Neck).is_err());
        let naruke = |text: &str| StationText::read(text, StationMap::Naruke).unwrap();
        assert_eq!(naruke("7").location(), Location::One(Station::S7));
        assert_eq!(naruke("11R").location(), Location::One(Station::S11R));
        for other in ["4R", "10L", "1R", "3a", "10-11R", "level IV"] {
            assert_eq!(naruke(other), StationText::OtherMap, "{other}");
        }
        assert_eq!(naruke("4R+7"), StationText::Apart);
    }

    /// Every pair of numbers, separator and side: what is read names no station of a third number.
    #[test]
    fn two_numbers_never_become_a_third() {
        let number_of = |station: Station| station.code().trim_end_matches(char::is_alphabetic).to_owned();
        let separators = ["-", "/", "+", ",", ", ", ";", " ", ".", " & ", " and ", "–", "_", "|", " to ", ""];
        let sides = [
            ("", "", ""),
            ("", "", "R"),
            ("", "", " left"),
            ("", "R", "R"),
            ("", "L", ""),
            ("R", "", ""),
            ("right ", "", ""),
            ("#", "", "L"),
            ("", "a", "p"),
        ];
        for (a, b) in (0..=20).flat_map(|a| (0..=20).map(move |b| (a, b))) {
            for separator in separators {
                for (before, middle, after) in sides {
                    let text = format!("{before}{a}{middle}{separator}{b}{after}");
                    let Ok(read) = StationText::read(&text, StationMap::Iaslc) else { continue };
                    // Run together they are one number, as `10` of 1 and 0; a whole number may end in `.0`.
                    let numbers: Vec<u32> = match (separator, middle) {
                        ("", "") => vec![format!("{a}{b}").parse().unwrap()],
                        _ if b == 0 => vec![a],
                        _ => vec![a, b],
                    };
                    let (low, high) = (numbers.iter().min().unwrap(), numbers.iter().max().unwrap());
                    for station in read.location().stations() {
                        let ok = match number_of(station).as_str() {
                            "12-14" => numbers.iter().any(|n| (12..=14).contains(n) || *n == 1214),
                            code => {
                                let n: u32 = code.parse().unwrap();
                                // 3 lies between 2 and 4; all others of a range are of the numbers themselves.
                                numbers.contains(&n) || (n == 3 && (*low, *high) == (2, 4))
                            }
                        };
                        assert!(ok, "{text}: {station}");
                    }
                    let single = text.parse::<Station>();
                    let is_class = numbers == [12, 14] || numbers == [1214];
                    assert!(single.is_err() || numbers.len() == 1 || is_class, "{text}: {single:?}");
                }
            }
        }
    }
}
