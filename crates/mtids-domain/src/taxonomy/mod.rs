//! Lymph-node stations of the IASLC map, the zones they form, and their spellings.
//!
//! Purpose: one canonical code per station, however a source spells it; the zone is derived, never typed. Source: Rusch et al., J Thorac
//! Oncol 2009;4:568. `schemas/taxonomy.json` says the same to a machine and is generated from here.

mod anatomy;
mod described;
mod level;
mod location;
mod map;
mod mention;
mod node_number;
mod region;
mod small_l;
mod station;
mod text;
mod words;

pub use described::half_width;
pub use location::{Location, StationSet};
pub use map::StationMap;
pub use region::{Region, RegionScheme, RegionSchemeError};
pub use station::{Station, Zone};
pub use text::{ParseStationError, StationText};

/// Version of this taxonomy; written into every data set.
pub const TAXONOMY_VERSION: &str = "iaslc-2009.1";

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
