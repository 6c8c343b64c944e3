//! Where a finding lies on the map: a station, or one of several.
//!
//! Purpose: a source that names several stations of one zone ("10-11R") still says the zone. Invariants: a set holds at least two stations,
//! all of one zone; what a source says of several zones, or on another map, is [`Location::Unplaced`], and never a station or a region.

use std::fmt;

use super::station::{Station, Zone};

/// Two or more stations of one zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationSet(u32);

impl StationSet {
    /// The stations, in the order of [`Station::ALL`].
    pub fn stations(self) -> impl Iterator<Item = Station> {
        Station::ALL.iter().copied().filter(move |station| self.0 & bit(*station) != 0)
    }
}

impl fmt::Debug for StationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.stations().map(Station::code)).finish()
    }
}

/// There are fewer than 32 stations.
fn bit(station: Station) -> u32 {
    1 << station as u32
}

/// What a source says of the place of a finding on the IASLC map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// This station.
    One(Station),
    /// One of these stations, which lie in one zone.
    OneOf(StationSet),
    /// The source names stations of several zones, or of another map: the finding has no place on this one.
    Unplaced,
}

impl Location {
    /// One of these stations; `None` where there are none.
    pub fn of(stations: impl IntoIterator<Item = Station>) -> Option<Self> {
        Self::from_bits(stations.into_iter().fold(0, |bits, station| bits | bit(station)))
    }

    fn from_bits(bits: u32) -> Option<Self> {
        let set = StationSet(bits);
        let first = set.stations().next()?;
        Some(match bits.count_ones() {
            1 => Self::One(first),
            _ if set.stations().all(|station| station.zone() == first.zone()) => Self::OneOf(set),
            _ => Self::Unplaced,
        })
    }

    /// The station, where the source says exactly one.
    pub fn station(self) -> Option<Station> {
        match self {
            Self::One(station) => Some(station),
            Self::OneOf(_) | Self::Unplaced => None,
        }
    }

    /// The stations that the source leaves open; empty where it has no place on this map.
    pub fn stations(self) -> impl Iterator<Item = Station> {
        StationSet(self.bits()).stations()
    }

    /// The zone, where there is a place.
    pub fn zone(self) -> Option<Zone> {
        self.stations().next().map(Station::zone)
    }

    /// What two sources say together: the stations that both leave open, or `None` where they contradict each other. A source without a
    /// place says nothing.
    pub fn meet(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Unplaced, said) | (said, Self::Unplaced) => Some(said),
            (one, two) => Self::from_bits(one.bits() & two.bits()),
        }
    }

    fn bits(self) -> u32 {
        match self {
            Self::One(station) => bit(station),
            Self::OneOf(set) => set.0,
            Self::Unplaced => 0,
        }
    }
}

impl From<Station> for Location {
    fn from(station: Station) -> Self {
        Self::One(station)
    }
}

impl fmt::Display for Location {
    /// `4R`, `10R or 11R`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<&str> = self.stations().map(Station::code).collect();
        f.write_str(&if codes.is_empty() { "none".to_owned() } else { codes.join(" or ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::RegionScheme;
    use proptest::prelude::*;

    fn any_location() -> impl Strategy<Value = Location> {
        prop::collection::vec(prop::sample::select(Station::ALL.to_vec()), 1..4)
            .prop_map(|stations| Location::of(stations).unwrap())
    }

    #[test]
    fn several_stations_keep_their_zone_and_no_station() {
        let hilar = Location::of([Station::S10R, Station::S11R]).unwrap();
        assert_eq!((hilar.station(), hilar.zone()), (None, Some(Zone::Hilar)));
        assert_eq!(hilar.to_string(), "10R or 11R");
        assert_eq!(Location::of([Station::S4R, Station::S4R]), Some(Location::One(Station::S4R)));
        assert_eq!(Location::of([Station::S4R, Station::S7]), Some(Location::Unplaced));
        assert_eq!(Location::of([]), None);
        let scheme = RegionScheme::of_zones(Zone::ALL).unwrap();
        assert_eq!(scheme.code_of(hilar), scheme.code_of(Station::S10L));
        assert_eq!(scheme.code_of(Location::Unplaced), None);
    }

    #[test]
    fn a_station_of_the_set_refines_it() {
        let hilar = Location::of([Station::S10R, Station::S11R]).unwrap();
        assert_eq!(hilar.meet(Station::S11R.into()), Some(Location::One(Station::S11R)));
        assert_eq!(hilar.meet(Station::S11L.into()), None, "the other side contradicts");
        assert_eq!(Location::Unplaced.meet(Station::S7.into()), Some(Location::One(Station::S7)));
    }

    proptest! {
        #[test]
        fn meeting_does_not_depend_on_the_order(a in any_location(), b in any_location(), c in any_location()) {
            prop_assert_eq!(a.meet(b), b.meet(a));
            let both = |x: Location, y: Location, z: Location| x.meet(y).and_then(|met| met.meet(z));
            prop_assert_eq!(both(a, b, c), both(c, b, a));
            prop_assert_eq!(a.meet(a), Some(a));
        }

        #[test]
        fn a_meeting_invents_no_station(a in any_location(), b in any_location()) {
            if let Some(met) = a.meet(b) {
                for station in met.stations() {
                    prop_assert!(a.stations().chain(b.stations()).any(|known| known == station));
                }
            }
        }
    }
}
