//! Measures of nodes by status, and how well each alone tells it.
//!
//! Invariants: a measure that no row has is left out; measures come in the order of their columns, first those of the grown region. Units:
//! each measure's own.

use mtids_metrics::{auroc_by_patient, quantile};
use mtids_shards::{Measure, NO_CODE};
use polars::prelude::col;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::index::Index;

/// What a row's measures are of: prefixes of columns.
const SOURCES: [&str; 2] = ["grown", "mask"];
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
    /// Its 95 % interval, with rows clustered by patient; none with fewer than two patients of a status.
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
        values.sort_unstable_by(f64::total_cmp);
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
    let mut found = Vec::new();
    // One column at a time: all of them at once would be most of the index.
    for (of, measure, column) in columns {
        let scored = scored(index, &column)?;
        if scored.is_empty() {
            continue;
        }
        let area = auroc_by_patient(&scored);
        let interval = area.and_then(|area| area.interval);
        let with = |status: bool| scored.iter().filter(|row| row.1 == status).map(|row| f64::from(row.0)).collect();
        found.push(Measured {
            of: of.to_owned(),
            measure: measure.name().to_owned(),
            unit: measure.unit().to_owned(),
            benign: Spread::of(with(false)),
            metastatic: Spread::of(with(true)),
            auroc: area.map(|area| area.area),
            interval: interval.map(|interval| [interval.low, interval.high]),
        });
    }
    Ok(found)
}

/// Value, whether it is metastatic, and patient of each row of known status that has the column; patients are numbered from 0.
pub(crate) fn scored(index: &Index, column: &str) -> Result<Vec<(f32, bool, u32)>, AuditError> {
    let known = col("metastasis").is_not_null().and(col(column).is_not_null());
    let names = ["metastasis", "patient_key", column].map(col);
    let answer = index.query(|frame| frame.filter(known).select(names))?;
    let (values, statuses, patients) =
        (answer.values(column)?, answer.codes("metastasis")?, answer.codes("patient_key")?);
    let rows = values.into_iter().zip(statuses).zip(patients);
    // A column of measures holds single precision.
    let finite = rows.filter(|((value, _), patient)| value.is_finite() && *patient != NO_CODE);
    Ok(finite.map(|((value, status), patient)| (value as f32, status == 1, patient)).collect())
}
