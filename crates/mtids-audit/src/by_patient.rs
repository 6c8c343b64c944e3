//! Findings patient by patient: how many patients have what, in one pass.
//!
//! Purpose: a patient counts once for each scanner, region or status, however many nodes say so. A sort of the keys of each group, which is what a
//! query would do, took a quarter of an audit of ten million rows. Here rows are taken in the order of patients, so a group only has to
//! remember the last one. Invariant: rows that name no patient stand apart, and count for nobody.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use mtids_shards::NO_CODE;
use polars::prelude::{col, lit};

use crate::distribution::SPLITS;
use crate::error::AuditError;
use crate::index::{Index, Rows};

/// Regions that are told apart; an index with more names has names that are none.
const MOST_REGIONS: u32 = 128;

/// Findings, with their patients in order.
pub(crate) struct Findings {
    /// 0 or 1; [`NO_CODE`] where it is not known.
    status: Vec<u32>,
    /// Place of the name among all; [`NO_CODE`] where it is not known.
    region: Vec<u32>,
    /// Numbers of the rows, patient by patient.
    order: Vec<u32>,
    /// Where the rows of each patient end in `order`.
    ends: Vec<u32>,
    /// Numbers of the rows that name no patient.
    of_nobody: Vec<u32>,
    /// Names of the regions.
    pub(crate) regions: Vec<String>,
}

/// What is asked of the nodes of patients, beside [`Findings`].
pub(crate) struct Nodes {
    /// Whether the status of a row is that of a node.
    is_of_node: Vec<bool>,
    /// First row of the series.
    series: Vec<u32>,
    /// Part of a node that a row is: samples share a weight of 1.
    part: Vec<f32>,
}

impl Nodes {
    /// Of all findings, in the order of the file.
    pub(crate) fn of(index: &Index) -> Result<Self, AuditError> {
        let level = index.is("level", "node")?.fill_null(lit(false)).alias("level");
        let answer = index.query(|frame| frame.select([level]))?;
        let is_of_node = answer.codes("level")?.into_iter().map(|of_node| of_node == 1).collect();
        let series = index.query(|frame| frame.select([col("series_key")]))?.codes("series_key")?;
        let weights = index.query(|frame| frame.select([col("weight")]))?.values("weight")?;
        // A weight that is none, or above 1, is of a whole node.
        let part = weights.into_iter().map(|weight| if weight < 1.0 { weight as f32 } else { 1.0 }).collect();
        Ok(Self { is_of_node, series, part })
    }

    /// Of a row whose status is of a node, its series and the part of a node that it is.
    pub(crate) fn node(&self, row: u32) -> Option<(u32, f32)> {
        let row = row as usize;
        self.is_of_node[row].then(|| (self.series[row], self.part[row]))
    }
}

/// A property of findings: a value of each, and what the values are.
pub(crate) struct Property {
    codes: Vec<u32>,
    /// The values, as people read them.
    pub(crate) values: Vec<String>,
    /// Whether the values are numbers, and stand in the order in which they were met.
    are_numbers: bool,
}

impl Property {
    /// A column of texts, numbers or truth values.
    pub(crate) fn of(index: &Index, column: &str) -> Result<Self, AuditError> {
        Self::of_rows(index, Rows::Findings, column)
    }

    /// A column of numbers in mm, to the next half mm: many series have a thickness of their own.
    pub(crate) fn in_half_mm(index: &Index, column: &str) -> Result<Self, AuditError> {
        let exact = Self::of(index, column)?;
        let mut values: Vec<String> = Vec::new();
        let code_of = |value: &String| {
            let rounded =
                value.parse().map_or_else(|_| value.clone(), |mm: f32| format!("{:?}", (2.0 * mm).round() / 2.0));
            values.iter().position(|known| *known == rounded).unwrap_or_else(|| {
                values.push(rounded);
                values.len() - 1
            }) as u32
        };
        let codes: Vec<u32> = exact.values.iter().map(code_of).collect();
        let codes = exact.codes.iter().map(|code| codes.get(*code as usize).copied().unwrap_or(NO_CODE)).collect();
        Ok(Self { codes, values, are_numbers: true })
    }

    /// The same of every row, negatives among them.
    pub(crate) fn all(index: &Index, column: &str) -> Result<Self, AuditError> {
        Self::of_rows(index, Rows::All, column)
    }

    fn of_rows(index: &Index, rows: Rows, column: &str) -> Result<Self, AuditError> {
        let answer = index.query_of(rows, |frame| frame.select([col(column)]))?;
        if index.coded()?.is_text(column) {
            let values = index.coded()?.kept(column)?.values.clone();
            return Ok(Self { codes: answer.codes(column)?, values, are_numbers: false });
        }
        let is_truth = answer.is_truth(column)?;
        let mut found: BTreeMap<u32, u32> = BTreeMap::new();
        let mut values = Vec::new();
        // Rows of a series mostly have one value, and lie together.
        let mut last = None;
        let codes = answer.numbers(column)?.into_iter().map(|number| {
            // Columns of numbers are of single precision.
            let Some(number) = number.map(|number| number as f32) else { return NO_CODE };
            let bits = number.to_bits();
            if let Some((_, code)) = last.filter(|(last, _)| *last == bits) {
                return code;
            }
            let code = *found.entry(bits).or_insert_with(|| {
                values.push(if is_truth { (number != 0.0).to_string() } else { format!("{number:?}") });
                values.len() as u32 - 1
            });
            last = Some((bits, code));
            code
        });
        let codes = codes.collect();
        Ok(Self { codes, values, are_numbers: !is_truth })
    }

    /// Whether a column has a value at all: one value, or none.
    pub(crate) fn presence(index: &Index, column: &str) -> Result<Self, AuditError> {
        let answer = index.query(|frame| frame.select([col(column).is_not_null().alias(column)]))?;
        let codes = answer.codes(column)?.into_iter().map(|known| if known == 1 { 0 } else { NO_CODE }).collect();
        Ok(Self { codes, values: vec!["known".to_owned()], are_numbers: false })
    }

    /// Value of a row; none where it has none.
    pub(crate) fn code(&self, row: u32) -> Option<usize> {
        Some(self.codes[row as usize]).filter(|code| *code != NO_CODE).map(|code| code as usize)
    }

    /// The order of two of its values, unknown first.
    pub(crate) fn order(&self, a: &Option<String>, b: &Option<String>) -> Ordering {
        let number = |value: &Option<String>| value.as_ref().and_then(|value| value.parse::<f32>().ok());
        match (number(a), number(b)) {
            (Some(a), Some(b)) if self.are_numbers => a.total_cmp(&b),
            _ => a.cmp(b),
        }
    }

    /// Calls `each` with the place and the value of every row that has one.
    pub(crate) fn visit(&self, mut each: impl FnMut(usize, usize)) {
        let known = self.codes.iter().enumerate().filter(|(_, code)| **code != NO_CODE);
        known.for_each(|(row, code)| each(row, *code as usize));
    }

    /// Whether all rows have one value, or all have none: nothing can be compared by it.
    pub(crate) fn is_constant(&self) -> bool {
        self.values.is_empty() || self.values.len() == 1 && !self.codes.contains(&NO_CODE)
    }
}

/// What a patient has of one value: regions and statuses as bits.
#[derive(Clone, Copy)]
struct Part {
    value: u32,
    regions: u128,
    statuses: u8,
}

/// Patients of one value of a property, or of all with a value or without any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patients {
    /// Those with a finding.
    pub(crate) all: u64,
    /// Those with a finding of a region, by its code.
    pub(crate) of_region: Vec<u64>,
    /// Those with a finding of any known region.
    pub(crate) of_known_region: u64,
    /// Those with a benign finding, and with a metastatic one.
    pub(crate) of_status: [u64; 2],
    /// Those without any metastatic finding, of this value or another, among those of known status, and those with one.
    pub(crate) by_worst: [u64; 2],
}

impl Patients {
    fn none(regions: usize) -> Self {
        Self { of_region: vec![0; regions], ..Self::default() }
    }

    /// Adds a patient, by what it has of the value and by the statuses of all its findings.
    fn add(&mut self, part: Part, worst: u8) {
        self.all += 1;
        self.of_known_region += u64::from(part.regions != 0);
        let mut regions = part.regions;
        while regions != 0 {
            self.of_region[regions.trailing_zeros() as usize] += 1;
            regions &= regions - 1;
        }
        for status in 0..2 {
            self.of_status[status] += u64::from(part.statuses >> status & 1);
        }
        // By all findings of the patient: a value with fewer of them would seem to have fewer sick patients.
        if part.statuses != 0 {
            self.by_worst[usize::from(worst >> 1 == 1)] += 1;
        }
    }
}

/// Patients by the values of a property.
pub(crate) struct ByValue {
    /// Of each value.
    pub(crate) each: Vec<Patients>,
    /// With any value.
    pub(crate) named: Patients,
    /// With a finding that has none.
    pub(crate) unnamed: Patients,
    /// Of all.
    pub(crate) all: Patients,
}

impl ByValue {
    /// Values with a patient that counts, and what `of` says of each, by name; those without a value are `unknown`.
    pub(crate) fn table(&self, values: &[String], of: impl Fn(&Patients) -> Vec<u64>) -> BTreeMap<String, Vec<u64>> {
        let named = values.iter().cloned().zip(&self.each);
        let mut table: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (name, patients) in named.chain([("unknown".to_owned(), &self.unnamed)]) {
            let counts = of(patients);
            if counts.iter().any(|count| *count > 0) {
                // A value may be called unknown itself.
                let row = table.entry(name).or_insert_with(|| vec![0; counts.len()]);
                row.iter_mut().zip(counts).for_each(|(all, more)| *all += more);
            }
        }
        table
    }
}

impl Findings {
    /// Reads them, without those of a patient that `is_nobody`.
    pub(crate) fn of(index: &Index, is_nobody: impl Fn(u32) -> bool) -> Result<Self, AuditError> {
        let columns = ["patient_key", "metastasis", "region_name"].map(col);
        let answer = index.query(|frame| frame.select(columns))?;
        let patients = answer.codes("patient_key")?;
        let is_known = |row: &u32| !is_nobody(patients[*row as usize]);
        let (mut order, of_nobody): (Vec<u32>, Vec<u32>) = (0..patients.len() as u32).partition(is_known);
        // Most files have the rows of a patient together, and then keys, which are first rows, rise.
        if !patients.is_sorted() {
            order.sort_by_key(|&row| patients[row as usize]);
        }
        let mut status = answer.codes("metastasis")?;
        status.iter_mut().filter(|status| **status > 1).for_each(|status| *status = NO_CODE);
        let mut region = answer.codes("region_name")?;
        region.iter_mut().filter(|region| **region >= MOST_REGIONS).for_each(|region| *region = NO_CODE);
        let regions = index.coded()?.kept("region_name")?.values.clone();
        // An index has fewer than 2^32 rows.
        let ends = order.chunk_by(|a, b| patients[*a as usize] == patients[*b as usize]).scan(0, |end, rows| {
            *end += rows.len() as u32;
            Some(*end)
        });
        let ends = ends.collect();
        Ok(Self { status, region, order, ends, of_nobody, regions })
    }

    /// Rows that name no patient.
    pub(crate) fn of_nobody(&self) -> &[u32] {
        &self.of_nobody
    }

    /// Rows, patient by patient.
    pub(crate) fn by_patient(&self) -> impl Iterator<Item = &[u32]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(begin, end)| &self.order[*begin as usize..*end as usize])
    }

    /// Status of a row.
    pub(crate) fn status(&self, row: u32) -> Option<usize> {
        Some(self.status[row as usize]).filter(|status| *status != NO_CODE).map(|status| status as usize)
    }

    /// Code of the region of a row.
    pub(crate) fn region(&self, row: u32) -> Option<usize> {
        Some(self.region[row as usize]).filter(|region| *region != NO_CODE).map(|region| region as usize)
    }

    /// For each value of a property, and last for none, the patients by the place of their first row's split.
    pub(crate) fn patients_by_split(
        &self,
        property: &Property,
        split_of: impl Fn(u32) -> Option<usize>,
    ) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; SPLITS.len()]; property.values.len() + 1];
        let mut seen: Vec<usize> = Vec::new();
        for rows in self.by_patient() {
            let Some(split) = rows.first().and_then(|row| split_of(*row)) else { continue };
            seen.clear();
            seen.extend(rows.iter().map(|row| property.code(*row).unwrap_or(property.values.len())));
            seen.sort_unstable();
            seen.dedup();
            seen.iter().for_each(|value| counts[*value][split] += 1);
        }
        counts
    }

    /// Counts patients by the values of a property.
    pub(crate) fn patients_by(&self, property: &Property) -> ByValue {
        let regions = self.regions.len().min(MOST_REGIONS as usize);
        let none = || Patients::none(regions);
        let mut found =
            ByValue { each: vec![none(); property.values.len()], named: none(), unnamed: none(), all: none() };
        let mut parts: Vec<Part> = Vec::new();
        for rows in self.by_patient() {
            parts.clear();
            for &row in rows {
                let value = property.codes[row as usize];
                let regions = self.region(row).map_or(0, |region| 1 << region);
                let statuses = self.status(row).map_or(0, |status| 1 << status);
                match parts.iter_mut().find(|part| part.value == value) {
                    Some(part) => (part.regions, part.statuses) = (part.regions | regions, part.statuses | statuses),
                    None => parts.push(Part { value, regions, statuses }),
                }
            }
            let together = |parts: &[Part], counts: fn(&Part) -> bool| {
                let both = |a: Part, b: &Part| Part {
                    value: NO_CODE,
                    regions: a.regions | b.regions,
                    statuses: a.statuses | b.statuses,
                };
                let mut counted = parts.iter().filter(|part| counts(part));
                counted.next().map(|&first| counted.fold(first, both))
            };
            let worst = parts.iter().fold(0, |all, part| all | part.statuses);
            together(&parts, |_| true).into_iter().for_each(|part| found.all.add(part, worst));
            together(&parts, |part| part.value != NO_CODE).into_iter().for_each(|part| found.named.add(part, worst));
            for &part in &parts {
                match found.each.get_mut(part.value as usize) {
                    Some(patients) => patients.add(part, worst),
                    None => found.unnamed.add(part, worst),
                }
            }
        }
        found
    }
}
