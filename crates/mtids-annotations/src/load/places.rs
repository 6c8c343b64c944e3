//! Places of one table that may be none: one place that rows of several patients share, places in cm, and a coordinate that is 0 throughout.
//!
//! Purpose: a place that stands for unknown, and a table in cm, may lie in every image. Invariant: rows are only told, never left out. Units: mm.

use std::collections::{BTreeMap, BTreeSet};

use mtids_domain::geometry::PointMm;
use mtids_domain::taxonomy::Location;

use crate::geometry::SeriesGeometry;
use crate::join::place_key;
use crate::table::row::{TablePosition, TableRow};

/// Nodes of a chest lie in a box of more than this on some side, mm; in cm, in a box of less.
const CHEST_MM: f64 = 40.0;

/// Nodes of three stations of one patient lie farther apart than this, mm.
const STATIONS_MM: f64 = 15.0;

/// So many rows of several series tell where their nodes lie.
const FEWEST_ROWS: usize = 5;

/// In so many rows a coordinate is not 0 by chance.
const FEWEST_ZEROS: usize = 2;

/// A row with a place in mm.
struct Placed<'a> {
    patient: &'a str,
    series: usize,
    place: PointMm,
    station: Option<Location>,
    line: u64,
    /// Ten times the place lies in the image too.
    may_be_cm: bool,
}

/// The rows of a table with a place in mm.
#[derive(Default)]
pub(super) struct Places<'a>(Vec<Placed<'a>>);

impl<'a> Places<'a> {
    /// Adds a row by its series, the id that stands for its patient, the number of the series, its place, station and line.
    pub(super) fn add(
        &mut self,
        series: &SeriesGeometry<'a>,
        patient: &'a str,
        number: usize,
        place: PointMm,
        station: Option<Location>,
        line: u64,
    ) {
        let may_be_cm = series.holds(PointMm(place.0.map(|x| 10.0 * x)));
        self.0.push(Placed { patient, series: number, place, station, line, may_be_cm });
    }

    /// A sentence for each doubt.
    pub(super) fn sentences(&self) -> Vec<String> {
        [self.shared(), self.in_cm()].into_iter().flatten().collect()
    }

    /// Whether rows of several patients have one and the same place.
    fn shared(&self) -> Option<String> {
        let mut by_place: BTreeMap<String, Vec<&Placed<'_>>> = BTreeMap::new();
        for row in &self.0 {
            by_place.entry(place_key(row.place)).or_default().push(row);
        }
        let is_doubtful = |rows: &&Vec<&Placed<'_>>| {
            let patients = rows.iter().map(|row| row.patient).collect::<BTreeSet<_>>().len();
            // Of places in whole mm two may be alike by chance.
            let is_fine = rows[0].place.0.iter().any(|x| (2.0 * x).fract() != 0.0);
            patients > 2 || (patients > 1 && is_fine)
        };
        let doubtful: Vec<&Vec<&Placed<'_>>> = by_place.values().filter(is_doubtful).collect();
        let first = doubtful.iter().min_by_key(|rows| rows[0].line)?;
        let [x, y, z] = first[0].place.0;
        Some(format!(
            "{} rows of several patients have one and the same place in mm (first: ({x:.1}, {y:.1}, {z:.1}) in lines {} and {}): does it stand for \
             unknown, or was it copied?",
            doubtful.iter().map(|rows| rows.len()).sum::<usize>(),
            first[0].line,
            first.iter().find(|row| row.patient != first[0].patient).map_or(first[0].line, |row| row.line)
        ))
    }

    /// Whether the places lie so near each other that they may be in cm.
    fn in_cm(&self) -> Option<String> {
        if self.0.is_empty() || !self.0.iter().all(|row| row.may_be_cm) {
            return None;
        }
        let mut by_series: BTreeMap<usize, Vec<&Placed<'_>>> = BTreeMap::new();
        for row in &self.0 {
            by_series.entry(row.series).or_default().push(row);
        }
        let all: Vec<&Placed<'_>> = self.0.iter().collect();
        let is_near = all.len() >= FEWEST_ROWS && by_series.len() > 1 && longest_side(&all) < CHEST_MM;
        let has_stations =
            |rows: &&Vec<&Placed<'_>>| rows.iter().filter_map(|row| row.station).collect::<BTreeSet<_>>().len() > 2;
        let of_stations: Vec<&Vec<&Placed<'_>>> = by_series.values().filter(has_stations).collect();
        let are_near = !of_stations.is_empty() && of_stations.iter().all(|rows| longest_side(rows) < STATIONS_MM);
        (is_near || are_near).then(|| {
            format!(
                "all places of the table lie in a box of {:.0} mm, and ten times as far they would lie in their images too: are they in cm? Write mm",
                longest_side(&all)
            )
        })
    }
}

/// A sentence where one coordinate is 0 in all rows: a column that was lost, or filled.
pub(super) fn zero_coordinate(rows: &[TableRow]) -> Option<String> {
    let coordinates = rows.iter().map(|row| match &row.position {
        TablePosition::Mm(PointMm(place), _) => Some((["x_mm", "y_mm", "z_mm"], *place)),
        TablePosition::Voxel(index, _) => Some((["i", "j", "k"], *index)),
        TablePosition::Pixel(_) => None,
    });
    let coordinates: Vec<([&str; 3], [f64; 3])> = coordinates.collect::<Option<_>>()?;
    let (names, _) = coordinates.first().filter(|_| rows.len() >= FEWEST_ZEROS)?;
    let is_lost = |axis: &usize| coordinates.iter().all(|(kind, place)| kind == names && place[*axis] == 0.0);
    let axis = (0..3).find(is_lost)?;
    Some(format!(
        "{} is 0 in all {} rows: was the column empty, or filled with 0? Every place lies there as long as it stands so",
        names[axis],
        rows.len()
    ))
}

/// The longest side of the box around these places, mm.
fn longest_side(rows: &[&Placed<'_>]) -> f64 {
    let side = |axis: usize| {
        let along = || rows.iter().map(|row| row.place.0[axis]);
        along().fold(f64::NEG_INFINITY, f64::max) - along().fold(f64::INFINITY, f64::min)
    };
    (0..3).map(side).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SliceUids;
    use mtids_domain::geometry::Affine;
    use mtids_domain::taxonomy::Station;

    /// Rows of these patients, each at a place with a station.
    fn said(rows: &[(&'static str, [f64; 3], Station)]) -> Vec<String> {
        let steps = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]];
        let mut places = Places::default();
        for (n, (patient_id, place, station)) in rows.iter().enumerate() {
            let series = SeriesGeometry {
                patient_id,
                series_uid: "1",
                part: 0,
                study_uid: "2",
                frame_of_reference_uid: None,
                affine: Affine::new(PointMm::new(-150.0, -150.0, -150.0), steps).unwrap(),
                dimensions: [150, 150, 100],
                slices: SliceUids::Listed(&[]),
            };
            let number = usize::from(patient_id.ends_with('B'));
            places.add(&series, patient_id, number, PointMm(*place), Some((*station).into()), n as u64 + 2);
        }
        places.sentences()
    }

    #[test]
    fn one_place_of_several_patients_is_told() {
        let at = |patient, place| (patient, place, Station::S7);
        let told = said(&[at("A", [10.7, 20.2, 3.1]), at("A", [10.7, 20.2, 40.0]), at("B", [10.7, 20.2, 3.1])]);
        assert!(
            told.len() == 1 && told[0].contains("2 rows of several patients") && told[0].contains("lines 2 and 4"),
            "{told:?}"
        );
        let whole = [10.0, 20.0, 3.5];
        assert_eq!(said(&[at("A", whole), at("B", whole)]), Vec::<String>::new(), "by chance");
        assert_eq!(said(&[at("A", whole), at("B", whole), at("CB", whole)]).len(), 1);
        assert_eq!(said(&[at("A", [10.7, 20.2, 3.1]), at("A", [10.7, 20.2, 3.1])]), Vec::<String>::new(), "merged");
    }

    #[test]
    fn places_in_cm_are_told() {
        let in_mm = [
            ("A", [-23.0, -15.0, -30.0], Station::S4R),
            ("A", [17.0, -11.0, -6.0], Station::S7),
            ("A", [-3.0, 17.0, 24.0], Station::S10L),
            ("B", [-20.0, 30.0, 24.0], Station::S10L),
            ("B", [-20.0, 31.0, 64.0], Station::S11L),
        ];
        assert_eq!(said(&in_mm), Vec::<String>::new());
        let in_cm = in_mm.map(|(patient, place, station)| (patient, place.map(|x| x / 10.0), station));
        for rows in [&in_cm[..3], &in_cm[..]] {
            let told = said(rows);
            assert!(told.len() == 1 && told[0].contains("are they in cm?"), "{told:?}");
        }
        // Nodes of one station lie near each other, and far from the origin ten times as far is outside.
        let near = in_cm.map(|(_, place, _)| ("A", place, Station::S7));
        assert_eq!(said(&near), Vec::<String>::new());
        let far = in_cm.map(|(patient, [x, y, z], station)| (patient, [x, y + 60.0, z], station));
        assert_eq!(said(&far), Vec::<String>::new());
    }
}
