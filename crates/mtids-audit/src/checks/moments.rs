//! What patients add to each value of a property beside other rows: status, what is not known of it, and regions.
//!
//! Invariant: one pass over the rows, in the order of patients.

use mtids_metrics::{Moments, PatientSums};

use crate::by_patient::{Findings, Property};

/// A property with more values than these is a measurement, and no grouping.
const MOST_GROUPS: usize = 200;

/// Places of a patient's counts: rows, those of known status, those of known region; then for each question those that count.
const ROWS: usize = 0;
const OF_STATUS: usize = 1;
const OF_REGION: usize = 2;
const ANSWERS: usize = 3;

/// Places of the questions: whether a row is metastatic, whether its status is unknown, then for each region whether it lies there.
pub(super) const METASTATIC: usize = 0;
pub(super) const UNKNOWN: usize = 1;
pub(super) const REGIONS: usize = 2;

fn count(findings: &Findings, row: u32, counts: &mut [u32]) {
    counts[ROWS] += 1;
    match findings.status(row) {
        Some(status) => {
            counts[OF_STATUS] += 1;
            counts[ANSWERS + METASTATIC] += u32::from(status == 1);
        }
        None => counts[ANSWERS + UNKNOWN] += 1,
    }
    if let Some(region) = findings.region(row) {
        counts[OF_REGION] += 1;
        counts[ANSWERS + REGIONS + region] += 1;
    }
}

/// For each value of a property, last for none, and each question, what patients add to the value (second side) beside another value, or beside all others (first
/// side).
pub(super) fn moments(findings: &Findings, property: &Property, beside: Option<usize>) -> Vec<Vec<Moments>> {
    if property.values.len() > MOST_GROUPS {
        return Vec::new();
    }
    let questions = REGIONS + findings.regions.len();
    // Patients as if none had the value.
    let mut without = vec![Moments::default(); questions];
    // Patients of the value, less what they are there; last those of rows without any.
    let mut own = vec![vec![Moments::default(); questions]; property.values.len() + 1];
    let mut whole = vec![0u32; ANSWERS + questions];
    let mut parts: Vec<(usize, Vec<u32>)> = Vec::new();
    for rows in findings.by_patient() {
        whole.fill(0);
        parts.clear();
        for &row in rows {
            let value = property.code(row).unwrap_or(property.values.len());
            if beside.is_none_or(|beside| beside == value) {
                count(findings, row, &mut whole);
            }
            let place = parts.iter().position(|(one, _)| *one == value).unwrap_or_else(|| {
                parts.push((value, vec![0; ANSWERS + questions]));
                parts.len() - 1
            });
            count(findings, row, &mut parts[place].1);
        }
        for question in 0..questions {
            let asked = match question {
                METASTATIC => OF_STATUS,
                UNKNOWN => ROWS,
                _ => OF_REGION,
            };
            let of = |counts: &[u32]| (f64::from(counts[asked]), f64::from(counts[ANSWERS + question]));
            let (samples, sum) = of(&whole);
            let of_first = PatientSums { samples: [samples, 0.0], sums: [sum, 0.0] };
            without[question].add(of_first);
            for (value, part) in &parts {
                let (known, counted) = of(part);
                let first = if beside.is_some() { (samples, sum) } else { (samples - known, sum - counted) };
                let own = &mut own[*value][question];
                own.remove(of_first);
                own.add(PatientSums { samples: [first.0, known], sums: [first.1, counted] });
            }
        }
    }
    for value in &mut own {
        value.iter_mut().zip(&without).for_each(|(own, without)| *own = own.and(without));
    }
    own
}
