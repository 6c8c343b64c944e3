//! Lymph-node stations of the IASLC map, the zones they form, and their spellings.
//!
//! Purpose: one canonical code per station, however a source spells it; the zone is derived, never typed. Source: Rusch et
//! al., J Thorac Oncol 2009;4:568. Invariants: every station lies in exactly one zone; mirroring twice is the identity;
//! stations 5 and 6 have no mirror image. `schemas/taxonomy.json` says the same to a machine and is generated from here.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version of this taxonomy; written into every data set.
pub const TAXONOMY_VERSION: &str = "iaslc-2009.1";

/// A zone of the IASLC map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    pub const ALL: [Zone; 7] = [
        Zone::Supraclavicular,
        Zone::Upper,
        Zone::Aortopulmonary,
        Zone::Subcarinal,
        Zone::Lower,
        Zone::Hilar,
        Zone::Peripheral,
    ];

    /// Lower-case name, as written in configurations and data sets.
    pub fn name(self) -> &'static str {
        match self {
            Zone::Supraclavicular => "supraclavicular",
            Zone::Upper => "upper",
            Zone::Aortopulmonary => "aortopulmonary",
            Zone::Subcarinal => "subcarinal",
            Zone::Lower => "lower",
            Zone::Hilar => "hilar",
            Zone::Peripheral => "peripheral",
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A lymph-node station. Stations 8 and 9 exist without side too, for sources that give none; 12 to 14 are seldom
/// separable on CT and are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    pub const ALL: [Station; 23] = [
        Station::S1R,
        Station::S1L,
        Station::S2R,
        Station::S2L,
        Station::S3A,
        Station::S3P,
        Station::S4R,
        Station::S4L,
        Station::S5,
        Station::S6,
        Station::S7,
        Station::S8,
        Station::S8R,
        Station::S8L,
        Station::S9,
        Station::S9R,
        Station::S9L,
        Station::S10R,
        Station::S10L,
        Station::S11R,
        Station::S11L,
        Station::S12R,
        Station::S12L,
    ];

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

    /// Accepts `4R`, `R4`, `#4R`, `station 4 right`, `4 (R)`, `3A`, `12R`, `13L`, `10-R`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseStationError(text.to_owned());
        let mut word = text.to_lowercase();
        for (long, short) in [("station", ""), ("right", "r"), ("left", "l")] {
            word = word.replace(long, short);
        }
        let word: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        let letters: String = word.chars().filter(char::is_ascii_alphabetic).collect();
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        // One run of letters before or after one run of digits; anything interleaved is not a station.
        if word != format!("{digits}{letters}") && word != format!("{letters}{digits}") {
            return Err(fail());
        }
        let code = match (digits.as_str(), letters.as_str()) {
            ("12" | "13" | "14" | "1214", "r") => "12-14R".to_owned(),
            ("12" | "13" | "14" | "1214", "l") => "12-14L".to_owned(),
            (number, "r" | "l") => format!("{number}{}", letters.to_uppercase()),
            (number, side) => format!("{number}{side}"),
        };
        Station::ALL.into_iter().find(|station| station.code() == code).ok_or_else(fail)
    }
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
                    stations: Station::ALL.into_iter().filter(|station| station.zone() == zone).collect(),
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

    /// Code of the region with this name.
    pub fn code_of_name(&self, name: &str) -> Option<i8> {
        let position = self.regions.iter().position(|region| region.name == name)?;
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
        "zones": Zone::ALL.map(Zone::name),
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
        ] {
            assert_eq!(text.parse::<Station>().unwrap().code(), code, "{text}");
        }
        for text in ["", "4", "15R", "7R", "lung", "4RL", "10-14", "1 2 R L"] {
            assert!(text.parse::<Station>().is_err(), "{text}");
        }
    }

    #[test]
    fn codes_parse_to_themselves_and_mirrors_are_involutions() {
        for station in Station::ALL {
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
        let scheme = RegionScheme::of_zones(&Zone::ALL).unwrap();
        for station in Station::ALL {
            let code = scheme.code_of(station).unwrap();
            assert_eq!(scheme.name_of(code), Some(station.zone().name()));
        }
        assert_eq!(RegionScheme::of_zones(&[]), Err(RegionSchemeError::Count(0)));
        assert!(RegionScheme::of_zones(&[Zone::Upper, Zone::Upper]).is_err());
        let narrow = RegionScheme::of_zones(&[Zone::Subcarinal]).unwrap();
        assert_eq!(narrow.code_of(Station::S4R), None);
    }
}
