//! Measures of nodes by status, and how well each alone tells it.
//!
//! Invariants: a measure that no row has is left out; measures come in the order of their columns, first those of the grown region. Units:
//! each measure's own.

use mtids_metrics::{BootstrapOptions, auroc, bootstrap_by_patient, quantile};
use mtids_shards::Measure;
use polars::prelude::col;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::index::Index;

/// What a row's measures are of: prefixes of columns.
const SOURCES: [&str; 2] = ["grown", "mask"];
/// Resamples of patients, and their seed: an interval is to be the same each time.
const BOOTSTRAP: BootstrapOptions = BootstrapOptions { resamples: 500, seed: 18 };

/// A measure over the rows of known status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// `grown`: of the region grown from the point; `mask`: of the annotation's mask.
    pub of: String,
    /// Name of the measure.
    pub measure: String,
    /// Unit; 1 for shares and ratios.
    pub unit: String,
    /// Benign rows that have it.
    pub benign: Spread,
    /// Metastatic rows that have it.
    pub metastatic: Spread,
    /// AUROC of metastasis by the measure alone; below 0.5, metastatic nodes have lower values. None where one status is missing.
    pub auroc: Option<f64>,
    /// Its 95 % interval, by bootstrap over patients.
    pub interval: Option<[f64; 2]>,
}

/// Values of a group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Rows.
    pub rows: u64,
    /// Median; none without rows.
    pub median: Option<f64>,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { rows: values.len() as u64, median: quantile(&values, 0.5) }
    }
}

/// Every measure of the rows of known status; none for a dataset without measures.
pub(crate) fn measures(index: &Index) -> Result<Vec<Measured>, AuditError> {
    let names = SOURCES.iter().flat_map(|of| Measure::ALL.iter().map(move |&measure| (*of, measure)));
    let columns: Vec<(&str, Measure, String)> = names
        .map(|(of, measure)| (of, measure, format!("{of}_{}", measure.name())))
        .filter(|(.., column)| index.has(column))
        .collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let asked = columns.iter().map(|(.., column)| column.as_str()).chain(["metastasis", "patient_key"]);
    let selected: Vec<_> = asked.map(col).collect();
    let answer = index.query(|frame| frame.filter(col("metastasis").is_not_null()).select(selected))?;
    let metastatic: Vec<bool> = answer.numbers("metastasis")?.into_iter().map(|status| status == Some(1.0)).collect();
    let patients = answer.texts("patient_key")?;
    let mut found = Vec::new();
    for (of, measure, column) in columns {
        let values = answer.numbers(&column)?;
        let rows = values.iter().zip(&metastatic).zip(&patients);
        let known: Vec<(f64, bool, &str)> = rows
            .filter_map(|((value, &metastatic), patient)| Some(((*value)?, metastatic, patient.as_deref()?)))
            .filter(|(value, ..)| value.is_finite())
            .collect();
        if known.is_empty() {
            continue;
        }
        let scored: Vec<(f64, bool)> = known.iter().map(|&(value, metastatic, _)| (value, metastatic)).collect();
        let area = auroc(&scored);
        let keys: Vec<&str> = known.iter().map(|(.., patient)| *patient).collect();
        let interval = area.and_then(|_| {
            bootstrap_by_patient(&keys, BOOTSTRAP, |drawn| {
                auroc(&drawn.iter().map(|&n| scored[n]).collect::<Vec<(f64, bool)>>())
            })
        });
        let with = |status: bool| scored.iter().filter(|row| row.1 == status).map(|row| row.0).collect();
        found.push(Measured {
            of: of.to_owned(),
            measure: measure.name().to_owned(),
            unit: measure.unit().to_owned(),
            benign: Spread::of(with(false)),
            metastatic: Spread::of(with(true)),
            auroc: area,
            interval: interval.map(|interval| [interval.low, interval.high]),
        });
    }
    Ok(found)
}
