//! Tables of counts along both label dimensions, with the intervals of their shares, patient by patient.
//!
//! Invariants: rows of a patient are dependent; one pass over the rows, in the order of patients, for each table, since a query that counts patients
//! of each group took three times as long on ten million rows; groups come in the order of their values, unknown first; rows that name no patient are
//! counted, and add to no patient and no interval.

use std::cmp::Ordering;
use std::collections::HashMap;

use mtids_metrics::{Interval, ShareSums};
use rayon::prelude::*;

use crate::by_patient::{Findings, Property};
use crate::count::{Count, Group, Intervals};
use crate::error::AuditError;
use crate::index::Index;

/// A column whose values are put together by half mm.
const THICKNESS: &str = "slice_thickness_mm";

/// Most tables at a time: each takes the codes of its columns, four bytes a row, meanwhile.
const AT_ONCE: usize = 2;

/// What a patient has of one group.
struct Part {
    group: usize,
    count: Count,
}

/// Sums of a group over its patients.
#[derive(Clone, Copy)]
struct Sums {
    count: Count,
    rows: ShareSums,
    metastatic: ShareSums,
    unknown: ShareSums,
}

/// The groups of a table that were met so far.
struct Groups<'a> {
    properties: &'a [Property],
    /// Place of each number of values.
    places: HashMap<u64, usize>,
    codes: Vec<u64>,
    sums: Vec<Sums>,
    /// Rows of a series mostly have one value, and lie together.
    last: Option<(u64, usize)>,
    /// Sums without a row of the group.
    none: Sums,
}

/// A table for each list of columns.
pub(crate) fn tables<const N: usize>(
    index: &Index,
    findings: &Findings,
    columns: [&[&str]; N],
) -> Result<[Vec<Group>; N], AuditError> {
    // All rows of each patient: what the share of a group is of.
    let mut of_all = ShareSums::default();
    findings.by_patient().for_each(|rows| of_all.add(rows.len() as f64, 0.0));
    let mut tables = [const { Vec::new() }; N];
    for (tables, columns) in tables.chunks_mut(AT_ONCE).zip(columns.chunks(AT_ONCE)) {
        tables.par_iter_mut().zip(columns).try_for_each(|(table, columns)| {
            *table = of_columns(index, findings, of_all, columns)?;
            Ok::<(), AuditError>(())
        })?;
    }
    Ok(tables)
}

/// The table of some columns; none where the index lacks one, or it is unknown in every row.
fn of_columns(
    index: &Index,
    findings: &Findings,
    of_all: ShareSums,
    columns: &[&str],
) -> Result<Vec<Group>, AuditError> {
    if !columns.iter().all(|column| index.has(column)) {
        return Ok(Vec::new());
    }
    let property = |column: &&str| match *column {
        THICKNESS => Property::in_half_mm(index, THICKNESS),
        column => Property::of(index, column),
    };
    let properties = columns.iter().map(property).collect::<Result<Vec<_>, _>>()?;
    let none =
        Sums { count: Count::default(), rows: of_all, metastatic: ShareSums::default(), unknown: ShareSums::default() };
    let mut groups = Groups {
        properties: &properties,
        places: HashMap::new(),
        codes: Vec::new(),
        sums: Vec::new(),
        last: None,
        none,
    };
    let mut parts: Vec<Part> = Vec::new();
    for rows in findings.by_patient() {
        parts.clear();
        for &row in rows {
            let group = groups.of(row);
            let place = parts.iter().position(|part| part.group == group).unwrap_or_else(|| {
                parts.push(Part { group, count: Count { patients: 1, ..Count::default() } });
                parts.len() - 1
            });
            add_row(findings, row, &mut parts[place].count);
        }
        parts.iter().for_each(|part| groups.sums[part.group].add(rows.len(), part.count));
    }
    for &row in findings.of_nobody() {
        let group = groups.of(row);
        add_row(findings, row, &mut groups.sums[group].count);
    }
    Ok(groups.named())
}

/// Adds a row to the count of its group.
fn add_row(findings: &Findings, row: u32, count: &mut Count) {
    count.rows += 1;
    match findings.status(row) {
        Some(0) => count.benign += 1,
        Some(_) => count.metastatic += 1,
        None => count.unknown += 1,
    }
}

impl Sums {
    /// Adds what a patient of so many rows has of the group.
    fn add(&mut self, rows: usize, part: Count) {
        let all = &mut self.count;
        for (all, part) in [
            (&mut all.rows, part.rows),
            (&mut all.patients, part.patients),
            (&mut all.benign, part.benign),
            (&mut all.metastatic, part.metastatic),
            (&mut all.unknown, part.unknown),
        ] {
            *all += part;
        }
        self.rows.add_counted(rows as f64, part.rows as f64);
        self.metastatic.add((part.benign + part.metastatic) as f64, part.metastatic as f64);
        self.unknown.add(part.rows as f64, part.unknown as f64);
    }

    fn intervals(&self) -> Intervals {
        let ends = |sums: &ShareSums| sums.interval().map(|Interval { low, high }| [low, high]);
        Intervals {
            rows: ends(&self.rows).filter(|_| self.count.patients > 0),
            metastatic: ends(&self.metastatic),
            unknown: ends(&self.unknown),
        }
    }
}

impl Groups<'_> {
    /// The group of a row.
    fn of(&mut self, row: u32) -> usize {
        // One number for all values of the row; a missing value is one more of each column.
        let code = self.properties.iter().fold(0, |code, property| {
            let value = property.code(row).unwrap_or(property.values.len());
            code * (property.values.len() as u64 + 1) + value as u64
        });
        if let Some((_, group)) = self.last.filter(|(last, _)| *last == code) {
            return group;
        }
        let group = *self.places.entry(code).or_insert_with(|| {
            self.codes.push(code);
            self.sums.push(self.none);
            self.sums.len() - 1
        });
        self.last = Some((code, group));
        group
    }

    /// The groups with their names, in the order of their values.
    fn named(self) -> Vec<Group> {
        let names = |mut code: u64| -> Vec<Option<String>> {
            let mut names = Vec::new();
            for property in self.properties.iter().rev() {
                let values = property.values.len() as u64 + 1;
                names.push(property.values.get((code % values) as usize).cloned());
                code /= values;
            }
            names.reverse();
            names
        };
        let groups = self.codes.iter().zip(&self.sums);
        let mut groups: Vec<Group> = groups
            .map(|(&code, sums)| Group { names: names(code), count: sums.count, intervals: Some(sums.intervals()) })
            .collect();
        groups.sort_by(|a, b| {
            let names = self.properties.iter().zip(a.names.iter().zip(&b.names));
            names.fold(Ordering::Equal, |order, (property, (a, b))| order.then_with(|| property.order(a, b)))
        });
        // A column that nobody fills makes no table.
        match groups.as_slice() {
            [one] if one.names.iter().all(Option::is_none) => Vec::new(),
            _ => groups,
        }
    }
}
