//! Drift: how far means of columns and shares of labels differ between two datasets, beyond what chance explains.
//!
//! Both datasets are samples of patients, and mostly share some. So rows are clustered by patient over both, and what a patient adds to both
//! alike cancels. Invariants: one family of tests, adjusted by Holm; a column that one dataset lacks is left out; what few patients know is not
//! tested, but that it became unknown is; NaN and infinity are unknown. Units: those of the columns; standard deviations of a row for the
//! standardised difference.

use std::collections::{BTreeMap, BTreeSet};

use mtids_metrics::{PatientSums, holm, mean_difference_by_patient};
use polars::prelude::{DataType, Expr, LazyFrame, NULL, SortMultipleOptions, col, len, lit, when};

use super::comparison::Drift;
use super::config::CompareConfig;
use crate::error::AuditError;
use crate::index::{Answer, Index, Rows};

/// Columns whose mean is compared, besides measures. Flags count as shares.
const NUMBERS: [&str; 11] = [
    "midline_offset_mm",
    "metastasis",
    "short_axis_mm",
    "slice_thickness_mm",
    "slice_step_mm",
    "pixel_spacing_mm",
    "kvp",
    "contrast",
    "pet",
    "pad_fraction",
    "study_day",
];
/// The column of the site.
const SITE: &str = "site";
/// Columns of measures begin so.
const MEASURES: [&str; 2] = ["grown_", "mask_"];
/// Columns whose values are compared by their shares.
const TEXTS: [&str; 12] = [
    SITE,
    "sex",
    "age_band",
    "region_name",
    "station",
    "evidence",
    "level",
    "label_source",
    "split",
    "manufacturer",
    "model",
    "kernel",
];
/// Means that differ by less than this share of themselves differ by the rounding of sums.
const ROUNDING: f64 = 1e-12;
/// With fewer patients on a side nothing is tested: what they share by chance would look certain.
const FEWEST_PATIENTS: usize = 5;
/// Two constants that differ do so by any number of standard deviations; this one is shown.
const MOST_DEVIATIONS: f64 = 1000.0;
/// Name of the share of unknown rows.
const UNKNOWN: &str = "unknown";

/// One thing that is compared: its column, and the value whose share is meant.
#[derive(Default)]
struct Subject {
    column: String,
    value: Option<String>,
    /// Rows of this site alone.
    site: Option<String>,
}

impl Subject {
    /// The value of a row as a number; null where it does not count.
    fn of_row(&self) -> Expr {
        let number = match self.value.as_deref() {
            None => number(&self.column),
            Some(UNKNOWN) => is_unknown(&self.column).cast(DataType::Float64),
            Some(value) => col(self.column.as_str()).eq(lit(value.to_owned())).cast(DataType::Float64),
        };
        match &self.site {
            None => number,
            Some(site) => when(col(SITE).eq(lit(site.clone()))).then(number).otherwise(lit(NULL)),
        }
    }
}

/// A column of numbers; null where it is not finite, for one such number would make every sum none.
fn number(column: &str) -> Expr {
    let number = col(column).cast(DataType::Float64);
    when(number.clone().is_finite()).then(number).otherwise(lit(NULL))
}

/// Whether a row does not know a column.
fn is_unknown(column: &str) -> Expr {
    if is_number(column) { number(column).is_null() } else { col(column).is_null() }
}

fn is_number(column: &str) -> bool {
    NUMBERS.contains(&column) || is_measure(column)
}

fn is_measure(column: &str) -> bool {
    MEASURES.iter().any(|prefix| column.starts_with(prefix))
}

/// Columns of both datasets whose means are compared.
fn number_columns(first: &Index, second: &Index) -> Vec<String> {
    let measures = first.columns().iter().filter(|name| is_measure(name)).map(String::as_str);
    let all = NUMBERS.into_iter().chain(measures).filter(|name| first.has(name) && second.has(name));
    all.map(str::to_owned).collect()
}

/// All differences, those beyond chance first, then by name.
pub(super) fn drift(first: &Index, second: &Index, config: &CompareConfig) -> Result<Vec<Drift>, AuditError> {
    let subjects = subjects(first, second, config.most_values)?;
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut patients: Vec<Vec<PatientSums>> = subjects.iter().map(|_| Vec::new()).collect();
    let mut squares = vec![[0.0_f64; 2]; subjects.len()];
    for (side, index) in [first, second].into_iter().enumerate() {
        let answer = index.answer(sums(index.frame(Rows::Findings), &subjects))?;
        let at: Vec<usize> = answer
            .texts("patient_key")?
            .into_iter()
            .map(|key| {
                let next = places.len();
                *places.entry(key.unwrap_or_default()).or_insert(next)
            })
            .collect();
        for (n, sums) in patients.iter_mut().enumerate() {
            sums.resize(places.len(), PatientSums::default());
            let column = |what: &str| numbers(&answer, &format!("{what}{n}"));
            let (samples, values, squared) = (column("n")?, column("sum")?, column("square")?);
            for (row, &patient) in at.iter().enumerate() {
                sums[patient].samples[side] = samples[row];
                sums[patient].sums[side] = values[row];
                squares[n][side] += squared[row];
            }
        }
    }
    let tested = subjects.into_iter().zip(&patients).zip(&squares);
    let mut found: Vec<Drift> =
        tested.filter_map(|((subject, sums), squares)| tested_drift(subject, sums, squares)).collect();
    let adjusted = holm(&found.iter().map(|drift| drift.p).collect::<Vec<f64>>());
    found.iter_mut().zip(adjusted).for_each(|(drift, p)| drift.adjusted_p = p);
    let order = |drift: &Drift| (!drift.is_reported(config), drift.adjusted_p);
    found.sort_by(|a, b| {
        let by_chance = order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal);
        by_chance.then_with(|| (&a.column, &a.value, &a.site).cmp(&(&b.column, &b.value, &b.site)))
    });
    Ok(found)
}

/// Null sums are those of no row.
fn numbers(answer: &Answer, name: &str) -> Result<Vec<f64>, AuditError> {
    Ok(answer.numbers(name)?.into_iter().map(|number| number.unwrap_or(0.0)).collect())
}

/// Samples, sums and sums of squares by patient, in the order of the subjects.
fn sums(frame: LazyFrame, subjects: &[Subject]) -> LazyFrame {
    let mut aggregates = Vec::with_capacity(3 * subjects.len());
    for (n, subject) in subjects.iter().enumerate() {
        let number = subject.of_row();
        aggregates.push(number.clone().count().alias(format!("n{n}")));
        aggregates.push(number.clone().sum().alias(format!("sum{n}")));
        aggregates.push((number.clone() * number).sum().alias(format!("square{n}")));
    }
    frame.group_by([col("patient_key")]).agg(aggregates).sort(["patient_key"], SortMultipleOptions::default())
}

/// The difference of one subject; none where it is not defined.
fn tested_drift(subject: Subject, patients: &[PatientSums], squares: &[f64; 2]) -> Option<Drift> {
    let of_side = |side: usize| patients.iter().filter(|one| one.samples[side] > 0.0).count();
    if of_side(0).min(of_side(1)) < FEWEST_PATIENTS {
        return None;
    }
    let effect = mean_difference_by_patient(patients)?;
    let total = |of: fn(&PatientSums) -> [f64; 2], side: usize| patients.iter().map(|one| of(one)[side]).sum::<f64>();
    let samples = [0, 1].map(|side| total(|one| one.samples, side));
    let means = [0, 1].map(|side| total(|one| one.sums, side) / samples[side]);
    let variances = [0, 1].map(|side: usize| (squares[side] / samples[side] - means[side].powi(2)).max(0.0));
    let deviation = ((variances[0] + variances[1]) / 2.0).sqrt();
    let is_rounding = effect.value.abs() <= ROUNDING * means[0].abs().max(means[1].abs());
    let standardised = match deviation {
        _ if is_rounding => 0.0,
        deviation if deviation > 0.0 => (effect.value / deviation).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS),
        _ => MOST_DEVIATIONS.copysign(effect.value),
    };
    Some(Drift {
        column: subject.column,
        value: subject.value,
        site: subject.site,
        rows: samples.map(|samples| samples as u64),
        means: means.map(steady),
        difference: if is_rounding { 0.0 } else { steady(effect.value) },
        interval: [effect.interval.low, effect.interval.high].map(steady),
        standardised: steady(standardised),
        p: if is_rounding { 1.0 } else { steady(effect.p) },
        adjusted_p: 1.0,
    })
}

/// A number to nine digits: sums over patients are added in the order of threads, and the last digits follow it.
fn steady(number: f64) -> f64 {
    format!("{number:.8e}").parse().unwrap_or(number)
}

/// What both datasets can be compared by: means, shares of values and of unknown rows.
fn subjects(first: &Index, second: &Index, most_values: usize) -> Result<Vec<Subject>, AuditError> {
    let has = |name: &str| first.has(name) && second.has(name);
    let numbers = number_columns(first, second);
    let mut subjects: Vec<Subject> =
        numbers.iter().map(|name| Subject { column: name.clone(), ..Subject::default() }).collect();
    for column in TEXTS.into_iter().filter(|name| has(name)) {
        let mut values = BTreeSet::new();
        for index in [first, second] {
            values.extend(frequent(index, column, most_values)?);
        }
        // Shares of labels may stay as they are while those of the sites change places.
        if column == SITE && has("metastasis") {
            let at = |site: &String| Subject { column: "metastasis".into(), value: None, site: Some(site.clone()) };
            subjects.extend(values.iter().map(at));
        }
        let of = |value| Subject { column: column.to_owned(), value: Some(value), site: None };
        subjects.extend(values.into_iter().map(of));
    }
    let texts = TEXTS.into_iter().filter(|name| has(name));
    let compared: Vec<&str> = numbers.iter().map(String::as_str).chain(texts).collect();
    let [before, after] = [unknown_rows(first, &compared)?, unknown_rows(second, &compared)?];
    for (n, name) in compared.into_iter().enumerate() {
        // All measures of a mask are unknown together, which is one difference and not twenty: only one that is gone altogether is compared.
        let is_compared = match is_measure(name) {
            true => before[n].is_all() != after[n].is_all(),
            false => before[n].unknown + after[n].unknown > 0 && !(before[n].is_all() && after[n].is_all()),
        };
        if is_compared {
            subjects.push(Subject { column: name.to_owned(), value: Some(UNKNOWN.to_owned()), site: None });
        }
    }
    Ok(subjects)
}

/// Rows of a column.
struct Known {
    unknown: u64,
    rows: u64,
}

impl Known {
    fn is_all(&self) -> bool {
        self.unknown == self.rows
    }
}

/// For each column, how many findings do not know it.
fn unknown_rows(index: &Index, columns: &[&str]) -> Result<Vec<Known>, AuditError> {
    let sums: Vec<Expr> = columns.iter().map(|name| is_unknown(name).sum().alias(*name)).collect();
    let answer = index.query(|frame| frame.select([sums, vec![len().alias("all rows")]].concat()))?;
    let first = |name: &str| Ok::<u64, AuditError>(answer.counts(name)?.first().copied().unwrap_or(0));
    let rows = first("all rows")?;
    columns.iter().map(|name| Ok(Known { unknown: first(name)?, rows })).collect()
}

/// The most frequent values of a text column.
fn frequent(index: &Index, column: &str, most: usize) -> Result<Vec<String>, AuditError> {
    let order = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    let answer = index.query(|frame| {
        frame
            .filter(col(column).is_not_null())
            .group_by([col(column)])
            .agg([len().alias("rows")])
            .sort(["rows", column], order)
            .limit(u32::try_from(most).unwrap_or(u32::MAX))
    })?;
    // A value that is called as the missing one is told apart by nothing, and is left out.
    Ok(answer.texts(column)?.into_iter().flatten().filter(|value| value != UNKNOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(patients: &[PatientSums], squares: [f64; 2]) -> Option<Drift> {
        tested_drift(Subject { column: "kvp".into(), ..Subject::default() }, patients, &squares)
    }

    #[test]
    fn two_constants_that_differ_do_so_with_certainty() {
        let patient = PatientSums { samples: [2.0, 2.0], sums: [240.0, 200.0] };
        let found = of(&[patient; 6], [12.0 * 120.0 * 120.0, 12.0 * 100.0 * 100.0]).unwrap();
        assert_eq!((found.means, found.difference, found.p), ([120.0, 100.0], -20.0, 0.0));
        assert_eq!((found.standardised, found.rows), (-MOST_DEVIATIONS, [12, 12]));
    }

    #[test]
    fn the_rounding_of_sums_is_no_drift() {
        let patient = PatientSums { samples: [3.0, 3.0], sums: [0.3, 0.1 + 0.2 + f64::EPSILON / 4.0] };
        let found = of(&[patient; 6], [0.18, 0.18]).unwrap();
        assert_eq!((found.difference, found.p, found.standardised), (0.0, 1.0, 0.0));
        assert_eq!(of(&[patient; 4], [0.12, 0.12]), None, "four patients");
    }

    #[test]
    fn numbers_are_shown_to_nine_digits() {
        assert_eq!(steady(0.1 + 0.2), 0.3);
        assert_eq!(steady(-1_234_567.891_234), -1_234_567.89);
        assert!(steady(f64::NAN).is_nan());
    }
}
