//! Regions: the classes of the region dimension, gathered from stations.
//!
//! Invariant: a place has the code of a region only where all its stations lie in it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::location::Location;
use super::station::{Station, Zone};

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

    /// Code of the region that holds a station, or all stations of a place; `None` where this scheme covers none, or they lie in several
    /// regions.
    pub fn code_of(&self, place: impl Into<Location>) -> Option<i8> {
        let region = |station| self.regions.iter().position(|region| region.stations.contains(&station));
        let mut stations = place.into().stations();
        let first = stations.next().and_then(region)?;
        if stations.all(|station| region(station) == Some(first)) { i8::try_from(first).ok() } else { None }
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
