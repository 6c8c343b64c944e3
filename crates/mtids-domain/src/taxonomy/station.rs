//! Stations of the IASLC map and their zones.
//!
//! Invariants: every station lies in exactly one zone; mirroring twice is the identity; stations 5 and 6 have no mirror image. Source: Rusch
//! et al., J Thorac Oncol 2009;4:568.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::{Display, IntoStaticStr, VariantArray};

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
