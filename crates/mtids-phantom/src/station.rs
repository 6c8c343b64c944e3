//! Stations with a place in the phantom.
//!
//! Invariant: the order is that of [`Station::ALL`]; random draws and saved states depend on it.

use mtids_domain::taxonomy::Station;

/// Number of stations with a place in the phantom.
pub(crate) const COUNT: usize = 15;

/// The stations of the domain that have a place in the phantom.
pub(crate) const STATIONS: [Station; COUNT] = {
    let mut placed = [Station::S7; COUNT];
    let (mut from, mut to) = (0, 0);
    while from < Station::ALL.len() {
        if has_place(Station::ALL[from]) {
            placed[to] = Station::ALL[from];
            to += 1;
        }
        from += 1;
    }
    assert!(to == COUNT, "a station has no place, or one too many");
    placed
};

/// Stations 1, 9 and 12 to 14 have no borders here; 8 stands with its side.
const fn has_place(station: Station) -> bool {
    !matches!(
        station,
        Station::S1R
            | Station::S1L
            | Station::S8
            | Station::S9
            | Station::S9R
            | Station::S9L
            | Station::S12R
            | Station::S12L
    )
}

/// Position of a station in [`STATIONS`]; names are checked when they are read, so every station here has one.
pub(crate) fn index(station: Station) -> usize {
    STATIONS.iter().position(|&known| known == station).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_pinned() {
        // Another order would change every cohort.
        let codes: Vec<&str> = STATIONS.iter().map(|station| station.code()).collect();
        assert_eq!(codes.join(" "), "2R 2L 3a 3p 4R 4L 5 6 7 8R 8L 10R 10L 11R 11L");
        assert!(STATIONS.iter().enumerate().all(|(n, &station)| index(station) == n));
    }
}
