//! Rows of one table that may be one node with two statuses, as two readers of it write them.
//!
//! Invariant: rows are only told, never merged: two nodes of one station may lie as near.

use std::collections::BTreeMap;

use mtids_domain::geometry::PointMm;
use mtids_domain::label::Metastasis;
use mtids_domain::taxonomy::Location;

use crate::join::SAME_NODE_MM;

/// Place, status and line of a row.
type Labelled = (PointMm, Metastasis, u64);

/// The rows of a table that have a station and a status, by series and station.
#[derive(Debug, Default)]
pub(super) struct LabelledRows {
    rows: BTreeMap<(usize, Location), Vec<Labelled>>,
}

impl LabelledRows {
    pub(super) fn add(&mut self, series: usize, station: Location, place: PointMm, status: Metastasis, line: u64) {
        self.rows.entry((series, station)).or_default().push((place, status, line));
    }

    /// The lines of rows that lie within `tolerance_mm`, farther apart than one node's, and contradict each other; each with one other row.
    pub(super) fn contradictions(mut self, tolerance_mm: f64) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        for rows in self.rows.values_mut() {
            rows.sort_by(|a, b| a.0.0[2].total_cmp(&b.0.0[2]).then(a.2.cmp(&b.2)));
            for (at, (place, status, line)) in rows.iter().enumerate() {
                let near = rows[at + 1..].iter().take_while(|(other, ..)| other.0[2] - place.0[2] <= tolerance_mm);
                let mut other = near.filter(|(other, said, _)| {
                    let apart = place.distance(*other);
                    said != status && apart > SAME_NODE_MM && apart <= tolerance_mm
                });
                found.extend(other.next().map(|(.., other)| (*line.min(other), *line.max(other))));
            }
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::taxonomy::Station;

    #[test]
    fn two_readers_of_one_node_are_told() {
        let mut rows = LabelledRows::default();
        let mut add = |station: Station, z: f64, status, line| {
            rows.add(0, station.into(), PointMm::new(0.0, 0.0, z), status, line);
        };
        add(Station::S4R, 1.9, Metastasis::Metastatic, 2);
        add(Station::S4R, 0.0, Metastasis::Benign, 3);
        // Another station, another status of nobody, one place, and one far away.
        add(Station::S7, 1.0, Metastasis::Benign, 4);
        add(Station::S4R, 3.0, Metastasis::Metastatic, 5);
        add(Station::S10R, 0.0, Metastasis::Benign, 6);
        add(Station::S10R, 0.5, Metastasis::Metastatic, 7);
        add(Station::S10R, 20.0, Metastasis::Metastatic, 8);
        assert_eq!(rows.contradictions(5.0), [(2, 3)]);
    }
}
