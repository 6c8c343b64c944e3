//! Maps of lymph nodes other than the IASLC's, and what their numbers are on it.
//!
//! Invariant: a number of another map becomes a station only where the borders of both maps say so; all else has no place
//! ([`Location::Unplaced`]).
//!
//! * `neck`: levels of the neck (Robbins et al., Arch Otolaryngol 2002;128:751; Grégoire et al., Radiother Oncol 2014;110:172). Levels IV
//!   (IVa, IVb), Vb and Vc lie between the cricoid's lower margin and the clavicle. There lies IASLC station 1: from the lower margin of
//!   the cricoid to the clavicles and the upper border of the manubrium (Rusch et al., J Thorac Oncol 2009;4:568). Level VII lies below the
//!   manubrium's upper border and above the innominate artery: in stations 2, 3a or 3p, the upper zone. Levels I to III, Va and VI reach
//!   above the cricoid or lie in another compartment, and levels VIII to X are of the head: no place.
//! * `naruke`: Naruke's map, used in Japan before 2009. Stations 5, 6, 8, 9, 11 and 12 to 14 are named and numbered alike. Its 7 lies within
//!   the IASLC's. Its 1 to 4 are divided otherwise, and its 10 reaches into the IASLC's 7 (Rusch et al., as above): no place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::location::Location;
use super::station::Station;

/// The map that numbers of stations in tables and names belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StationMap {
    /// IASLC 2009. Roman numbers and levels have no place on it.
    #[default]
    Iaslc,
    /// Naruke's map.
    Naruke,
    /// Levels of the neck; Roman or Arabic numbers.
    Neck,
}

/// The place of a station of Naruke's map.
pub(super) fn of_naruke(place: Location) -> Location {
    use Station::*;
    let same = |station: &Station| !matches!(station, S1R | S1L | S2R | S2L | S3A | S3P | S4R | S4L | S10R | S10L);
    // Where one of several stations has no place, their zone is not known either.
    if place.stations().all(|station| same(&station)) { place } else { Location::Unplaced }
}

/// The place of a level of the neck, such as 5 and `b`, on these sides.
pub(super) fn of_neck(level: u32, part: Option<char>, right: bool, left: bool) -> Location {
    use Station::*;
    let stations: &[Station] = match (level, part) {
        (4, None | Some('a' | 'b')) | (5, Some('b' | 'c')) => match (right, left) {
            (true, false) => &[S1R],
            (false, true) => &[S1L],
            _ => &[S1R, S1L],
        },
        (7, None) => &[S2R, S2L, S3A, S3P],
        _ => &[],
    };
    Location::of(stations.iter().copied()).unwrap_or(Location::Unplaced)
}
