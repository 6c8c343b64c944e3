//! Lymph-node stations of the IASLC map, the zones they form, and their spellings.
//!
//! Purpose: one canonical code per station, however a source spells it; the zone is derived, never typed. Source: Rusch et
//! al., J Thorac Oncol 2009;4:568. Invariants: every station lies in exactly one zone; mirroring twice is the identity;
//! stations 5 and 6 have no mirror image. `schemas/taxonomy.json` says the same to a machine and is generated from here.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::{Display, IntoStaticStr, VariantArray};

/// Version of this taxonomy; written into every data set.
pub const TAXONOMY_VERSION: &str = "iaslc-2009.1";

/// A zone of the IASLC map.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Zone {
    /// Stations 1R, 1L. Any metastasis here is N3.
    Supraclavicular,
    /// Stations 2, 3a, 3p, 4.
    Upper,
    /// Stations 5, 6.
    Aortopulmonary,
    /// Station 7.
    Subcarinal,
    /// Stations 8, 9.
    Lower,
    /// Stations 10, 11.
    Hilar,
    /// Stations 12 to 14.
    Peripheral,
}

impl Zone {
    /// All zones, head to foot and centre to periphery.
    pub const ALL: &'static [Zone] = Zone::VARIANTS;

    /// Lower-case name, as written in configurations and data sets.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A lymph-node station. Stations 8 and 9 exist without side too, for sources that give none; 12 to 14 are seldom
/// separable on CT and are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, VariantArray)]
#[expect(missing_docs, reason = "the variants are the station codes themselves")]
pub enum Station {
    S1R,
    S1L,
    S2R,
    S2L,
    S3A,
    S3P,
    S4R,
    S4L,
    S5,
    S6,
    S7,
    S8,
    S8R,
    S8L,
    S9,
    S9R,
    S9L,
    S10R,
    S10L,
    S11R,
    S11L,
    S12R,
    S12L,
}

impl Station {
    /// Every station.
    pub const ALL: &'static [Station] = Station::VARIANTS;

    /// Canonical code, zone and mirror image: the whole table in one place.
    fn row(self) -> (&'static str, Zone, Option<Station>) {
        use Station::*;
        match self {
            S1R => ("1R", Zone::Supraclavicular, Some(S1L)),
            S1L => ("1L", Zone::Supraclavicular, Some(S1R)),
            S2R => ("2R", Zone::Upper, Some(S2L)),
            S2L => ("2L", Zone::Upper, Some(S2R)),
            S3A => ("3a", Zone::Upper, Some(S3A)),
            S3P => ("3p", Zone::Upper, Some(S3P)),
            S4R => ("4R", Zone::Upper, Some(S4L)),
            S4L => ("4L", Zone::Upper, Some(S4R)),
            S5 => ("5", Zone::Aortopulmonary, None),
            S6 => ("6", Zone::Aortopulmonary, None),
            S7 => ("7", Zone::Subcarinal, Some(S7)),
            S8 => ("8", Zone::Lower, Some(S8)),
            S8R => ("8R", Zone::Lower, Some(S8L)),
            S8L => ("8L", Zone::Lower, Some(S8R)),
            S9 => ("9", Zone::Lower, Some(S9)),
            S9R => ("9R", Zone::Lower, Some(S9L)),
            S9L => ("9L", Zone::Lower, Some(S9R)),
            S10R => ("10R", Zone::Hilar, Some(S10L)),
            S10L => ("10L", Zone::Hilar, Some(S10R)),
            S11R => ("11R", Zone::Hilar, Some(S11L)),
            S11L => ("11L", Zone::Hilar, Some(S11R)),
            S12R => ("12-14R", Zone::Peripheral, Some(S12L)),
            S12L => ("12-14L", Zone::Peripheral, Some(S12R)),
        }
    }

    /// Canonical code, for example `4R`, `3a`, `12-14L`.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// The zone this station belongs to.
    pub fn zone(self) -> Zone {
        self.row().1
    }

    /// The station at the mirrored place, or `None` where there is none (5 and 6 lie on the left only).
    pub fn mirror(self) -> Option<Station> {
        self.row().2
    }
}

impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that names no station.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a lymph-node station; write for example 4R, 7, 3a, 10L or 12-14R")]
pub struct ParseStationError(String);

impl FromStr for Station {
    type Err = ParseStationError;

    /// Reads a spelling such as `4R`, `R4`, `#4R`, `station 4 right`, `4 (R)`, `3A`, `12R`, `13L`, `10-R`, `12-14 R`.
    ///
    /// Grammar, whatever the case: `[letters] number [letters]`, with any separators between the parts, where
    /// * `number` is one run of digits, or 12 and 14 with a separator between them; `12`, `13`, `14` and `1214` mean 12-14;
    /// * `letters` stand on one side of the number only: a side (`R`, `right`, `L`, `left`), or the `a` or `p` of station 3; the word
    ///   `station` may stand anywhere;
    /// * a separator is any character that is neither letter nor digit.
    ///
    /// # Errors
    /// [`ParseStationError`] for anything else. Two numbers never make one: `1/2R` names two stations, and is an error.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (number, letters) = number_and_letters(&text.to_lowercase())?;
            let code = match (number.as_str(), letters.as_str()) {
                ("12" | "13" | "14" | "1214", "r") => "12-14R".to_owned(),
                ("12" | "13" | "14" | "1214", "l") => "12-14L".to_owned(),
                (_, "r" | "l") => format!("{number}{}", letters.to_uppercase()),
                _ => format!("{number}{letters}"),
            };
            Station::ALL.iter().copied().find(|station| station.code() == code)
        };
        parse().ok_or_else(|| ParseStationError(text.to_owned()))
    }
}

/// The one number of a lower-case spelling (`1214` for the range from 12 to 14) and the letters beside it; `None` where the spelling does
/// not follow the grammar.
fn number_and_letters(text: &str) -> Option<(String, String)> {
    let kind = |c: char| match c {
        '0'..='9' => Some(true),
        'a'..='z' => Some(false),
        _ => None,
    };
    // Letters of other scripts are no separators: nobody knows what they say.
    if text.chars().any(|c| c.is_alphanumeric() && kind(c).is_none()) {
        return None;
    }
    let mut numbers: Vec<&str> = Vec::new();
    let (mut before, mut after) = (String::new(), String::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        rest = behind;
        match kind(first) {
            None => {}
            Some(true) if after.is_empty() => numbers.push(run),
            // A number behind letters behind a number.
            Some(true) => return None,
            Some(false) => {
                let letters = run.replace("station", "").replace("right", "r").replace("left", "l");
                let side = if numbers.is_empty() { &mut before } else { &mut after };
                side.push_str(&letters);
            }
        }
    }
    if !before.is_empty() && !after.is_empty() {
        return None;
    }
    let number = match numbers.as_slice() {
        [number] => *number,
        ["12", "14"] => "1214",
        _ => return None,
    };
    Some((number.to_owned(), before + &after))
}

impl Serialize for Station {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Station {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Station {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Station".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<_> = Station::ALL.iter().map(|station| station.code()).collect();
        json_schema!({ "type": "string", "enum": codes, "description": "IASLC station, canonical code" })
    }
}

/// One class of the region dimension: a name and the stations it gathers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Name, lower case; a zone's name in the built-in schemes.
    pub name: String,
    /// Stations gathered in this region.
    pub stations: Vec<Station>,
}

/// The classes of the region dimension, in the order of their codes `0..K`.
///
/// Invariant: a station belongs to at most one region; names are distinct; there are at least one and at most 127
/// regions (the code is stored as `Int8`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RegionScheme {
    regions: Vec<Region>,
}

/// Why a list of regions is no scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionSchemeError {
    /// No region, or more than the code can hold.
    #[error("a region scheme has 1 to 127 regions, got {0}")]
    Count(usize),
    /// The same name twice.
    #[error("region `{0}` is named twice")]
    Name(String),
    /// A station in two regions.
    #[error("station {0} stands in two regions")]
    Station(Station),
}

impl RegionScheme {
    /// A scheme from explicit regions.
    ///
    /// # Errors
    /// [`RegionSchemeError`] when the invariant of the type does not hold.
    pub fn new(regions: Vec<Region>) -> Result<Self, RegionSchemeError> {
        if regions.is_empty() || regions.len() > 127 {
            return Err(RegionSchemeError::Count(regions.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        let mut stations = std::collections::BTreeSet::new();
        for region in &regions {
            if !names.insert(region.name.as_str()) {
                return Err(RegionSchemeError::Name(region.name.clone()));
            }
            if let Some(twice) = region.stations.iter().find(|station| !stations.insert(**station)) {
                return Err(RegionSchemeError::Station(*twice));
            }
        }
        Ok(Self { regions })
    }

    /// One region per given zone.
    ///
    /// # Errors
    /// [`RegionSchemeError`] for no zone or a zone named twice.
    pub fn of_zones(zones: &[Zone]) -> Result<Self, RegionSchemeError> {
        Self::new(
            zones
                .iter()
                .map(|&zone| Region {
                    name: zone.name().to_owned(),
                    stations: Station::ALL.iter().copied().filter(|station| station.zone() == zone).collect(),
                })
                .collect(),
        )
    }

    /// The regions in the order of their codes.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Number of regions K.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Never true; present because `len` is.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// Code of the region that holds `station`, if this scheme covers it.
    pub fn code_of(&self, station: Station) -> Option<i8> {
        let position = self.regions.iter().position(|region| region.stations.contains(&station))?;
        i8::try_from(position).ok()
    }

    /// Name of the region with this code.
    pub fn name_of(&self, code: i8) -> Option<&str> {
        self.regions.get(usize::try_from(code).ok()?).map(|region| region.name.as_str())
    }
}

impl<'de> Deserialize<'de> for RegionScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            regions: Vec<Region>,
        }
        Self::new(Raw::deserialize(deserializer)?.regions).map_err(serde::de::Error::custom)
    }
}

/// The taxonomy as data: what `schemas/taxonomy.json` holds.
pub fn as_json() -> serde_json::Value {
    serde_json::json!({
        "version": TAXONOMY_VERSION,
        "source": "Rusch et al., J Thorac Oncol 2009;4:568 (IASLC map)",
        "zones": Zone::ALL.iter().map(|zone| zone.name()).collect::<Vec<_>>(),
        "stations": Station::ALL.iter().map(|station| serde_json::json!({
            "code": station.code(),
            "zone": station.zone().name(),
            "mirror": station.mirror().map(Station::code),
        })).collect::<Vec<_>>(),
        "metastasis": {"benign": 0, "metastatic": 1, "unknown": null},
        "evidence": {
            "A": "histology after resection or mediastinoscopy",
            "B": "needle cytology (EBUS, EUS)",
            "C": "FDG-PET",
            "D": "size on CT",
            "U": "none or unknown",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        ] {
            assert_eq!(text.parse::<Station>().unwrap().code(), code, "{text}");
        }
        for text in ["", "4", "15R", "7R", "lung", "4RL", "10-14", "1 2 R L", "R4R", "4R7", "station", "12R-14R", "4左"]
        {
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
            between in prop_oneof!["[-/+,;. &_]", "[^0-9]{0,4}[-/+,;. &_][^0-9]{0,4}"],
            around in prop::sample::select(vec![("", "R"), ("", "L"), ("R", ""), ("", ""), ("station ", " left"), ("#", "a"), ("", " p")]),
        ) {
            let text = format!("{}{a}{between}{b}{}", around.0, around.1);
            let station = text.parse::<Station>();
            let is_range = (a, b) == (12, 14);
            prop_assert!(station.is_err() || (is_range && matches!(station, Ok(Station::S12R | Station::S12L))), "{text}: {station:?}");
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
    fn codes_parse_to_themselves_and_mirrors_are_involutions() {
        for &station in Station::ALL {
            assert_eq!(station.code().parse::<Station>().unwrap(), station);
            if let Some(mirror) = station.mirror() {
                assert_eq!(mirror.mirror(), Some(station));
                assert_eq!(mirror.zone(), station.zone());
            }
        }
        assert_eq!(Station::S5.mirror(), None);
        assert_eq!(Station::S6.mirror(), None);
    }

    #[test]
    fn schemes_cover_each_station_once() {
        let scheme = RegionScheme::of_zones(Zone::ALL).unwrap();
        for &station in Station::ALL {
            let code = scheme.code_of(station).unwrap();
            assert_eq!(scheme.name_of(code), Some(station.zone().name()));
        }
        assert_eq!(RegionScheme::of_zones(&[]), Err(RegionSchemeError::Count(0)));
        assert!(RegionScheme::of_zones(&[Zone::Upper, Zone::Upper]).is_err());
        let narrow = RegionScheme::of_zones(&[Zone::Subcarinal]).unwrap();
        assert_eq!(narrow.code_of(Station::S4R), None);
    }
}
