//! Statuses of stations and patients that rows of one table contradict.
//!
//! Purpose: a status of level `station` is that of all nodes of the station, and one of level `patient` that of the patient; two of them cannot both
//! be right. Invariant: rows are only told, and keep their status.

use std::collections::BTreeMap;

use mtids_domain::annotation::Annotation;
use mtids_domain::label::{LabelLevel, Metastasis};
use mtids_domain::taxonomy::Location;

/// The first status that was found, and its line; and the line of the first one that contradicts it.
type Said = (Metastasis, u64, Option<u64>);

/// Statuses by patient, and by station where the level is `station`.
#[derive(Debug, Default)]
pub(super) struct LevelStatuses<'a>(BTreeMap<(&'a str, Option<Location>), Said>);

impl<'a> LevelStatuses<'a> {
    /// Adds a row of a patient.
    pub(super) fn add(&mut self, patient: &'a str, row: &Annotation, line: u64) {
        let key = match (row.level, row.station) {
            (LabelLevel::Patient, _) => (patient, None),
            (LabelLevel::Station, Some(station)) => (patient, Some(station)),
            (LabelLevel::Station, None) | (LabelLevel::Node, _) => return,
        };
        let Some(status) = row.metastasis else { return };
        let (first, _, other) = self.0.entry(key).or_insert((status, line, None));
        if *first != status {
            other.get_or_insert(line);
        }
    }

    /// A sentence where statuses contradict each other.
    pub(super) fn sentence(&self) -> Option<String> {
        let found =
            self.0.iter().filter_map(|((_, station), (_, line, other))| Some((*line, (*other)?, station.is_some())));
        let mut found: Vec<(u64, u64, bool)> = found.collect();
        found.sort_unstable();
        let (line, other, is_station) = *found.first()?;
        let count = match found.len() {
            1 => "a station or patient has".to_owned(),
            several => format!("{several} stations or patients have"),
        };
        Some(format!(
            "{count} two statuses of its level `station` or `patient` (first: lines {line} and {other}, of one {}): correct one of them, or give the \
             level `node`",
            if is_station { "station" } else { "patient" }
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::{AnnotationSource, AnnotationTarget, Extent};
    use mtids_domain::geometry::PointMm;
    use mtids_domain::label::Evidence;
    use mtids_domain::taxonomy::Station;

    fn said(rows: &[(&'static str, LabelLevel, Station, Metastasis)]) -> Option<String> {
        let mut statuses = LevelStatuses::default();
        for (line, (patient, level, station, status)) in (2..).zip(rows) {
            let row = Annotation {
                target: AnnotationTarget::default(),
                center: PointMm([0.0; 3]),
                extent: Extent::Point,
                finding: String::new(),
                codes: Vec::new(),
                station: Some((*station).into()),
                metastasis: Some(*status),
                evidence: Evidence::A,
                level: *level,
                short_axis_mm: None,
                source: AnnotationSource::Table,
            };
            statuses.add(patient, &row, line);
        }
        statuses.sentence()
    }

    #[test]
    fn two_statuses_of_a_station_or_a_patient_are_told() {
        use LabelLevel::{Node, Patient, Station as OfStation};
        use Metastasis::{Benign, Metastatic};
        use Station::{S4R, S7};
        let told =
            said(&[("A", OfStation, S7, Metastatic), ("A", OfStation, S4R, Benign), ("A", OfStation, S7, Benign)]);
        assert!(told.unwrap().contains("lines 2 and 4, of one station"));
        let told = said(&[("A", Patient, S7, Metastatic), ("A", Patient, S4R, Benign)]);
        assert!(told.unwrap().contains("lines 2 and 3, of one patient"));
        // Nodes may differ, and so may stations and patients.
        assert_eq!(said(&[("A", Node, S7, Metastatic), ("A", Node, S7, Benign)]), None);
        assert_eq!(said(&[("A", OfStation, S7, Metastatic), ("A", OfStation, S4R, Benign)]), None);
        assert_eq!(
            said(&[("A", OfStation, S7, Metastatic), ("B", OfStation, S7, Benign), ("B", Patient, S7, Metastatic)]),
            None
        );
        assert_eq!(said(&[("A", Patient, S7, Benign), ("A", Patient, S4R, Benign), ("A", Node, S7, Metastatic)]), None);
    }
}
