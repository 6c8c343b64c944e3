//! Measures of nodes by status, and how well each alone tells it.
//!
//! Invariants: a measure that no row has is left out; measures come in the order of their columns, first those of the grown region. Units:
//! each measure's own.

use mtids_metrics::RankedScores;
use mtids_shards::{Measure, NO_CODE};
use polars::prelude::{col, lit};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::index::Index;

/// What a row's measures are of: prefixes of columns.
const SOURCES: [&str; 2] = ["grown", "mask"];
/// Most measures that are judged at a time: each takes about 30 bytes a row meanwhile.
const AT_ONCE: usize = 4;

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
    fn of(ranked: &RankedScores, is_metastatic: bool) -> Self {
        Self { rows: ranked.count(is_metastatic) as u64, median: ranked.median(is_metastatic) }
    }
}

/// What the rows of known status are, to judge columns by.
pub(crate) struct Labels {
    /// The patient of each row of the index; [`NO_CODE`] where the row bears no known status.
    patients: Vec<u32>,
    is_metastatic: Vec<bool>,
}

impl Labels {
    /// Of the findings of known status.
    pub(crate) fn of(index: &Index) -> Result<Self, AuditError> {
        let names = ["sample_key", "patient_key", "metastasis"].map(col);
        let answer = index
            .query(|frame| frame.filter(col("metastasis").eq(lit(0)).or(col("metastasis").eq(lit(1)))).select(names))?;
        let (rows, codes, statuses) =
            (answer.codes("sample_key")?, answer.codes("patient_key")?, answer.codes("metastasis")?);
        let all = index.coded()?.index().rows();
        let mut labels = Self { patients: vec![NO_CODE; all], is_metastatic: vec![false; all] };
        for ((row, patient), status) in rows.into_iter().zip(codes).zip(statuses) {
            labels.patients[row as usize] = patient;
            labels.is_metastatic[row as usize] = status == 1;
        }
        Ok(labels)
    }

    /// Value, whether it is metastatic, and patient of each row that has a number in the column.
    pub(crate) fn scored(&self, index: &Index, column: &str) -> Result<Vec<(f32, bool, u32)>, AuditError> {
        let mut scored = Vec::new();
        index.coded()?.visit_numbers(column, |row, value| {
            let patient = self.patients[row as usize];
            let is_judged = value.is_finite() && patient != NO_CODE;
            scored.extend(is_judged.then(|| (value, self.is_metastatic[row as usize], patient)));
        })?;
        Ok(scored)
    }
}

/// Every measure of the rows of known status; none for a dataset without measures.
pub(crate) fn measures(index: &Index, labels: &Labels) -> Result<Vec<Measured>, AuditError> {
    let names = SOURCES.iter().flat_map(|of| Measure::ALL.iter().map(move |&measure| (*of, measure)));
    let columns: Vec<(&str, Measure, String)> = names
        .map(|(of, measure)| (of, measure, format!("{of}_{}", measure.name())))
        .filter(|(.., column)| index.has(column))
        .collect();
    let mut found = Vec::new();
    for some in columns.chunks(AT_ONCE) {
        let judged: Result<Vec<Option<Measured>>, AuditError> = some
            .par_iter()
            .map(|(of, measure, column)| Ok(measured(of, *measure, labels.scored(index, column)?)))
            .collect();
        found.extend(judged?.into_iter().flatten());
    }
    Ok(found)
}

/// A measure over its rows, whose values are finite; none without any.
fn measured(of: &str, measure: Measure, scored: Vec<(f32, bool, u32)>) -> Option<Measured> {
    if scored.is_empty() {
        return None;
    }
    let ranked = RankedScores::of(scored)?;
    let area = ranked.area();
    let interval = area.and_then(|area| area.interval);
    Some(Measured {
        of: of.to_owned(),
        measure: measure.name().to_owned(),
        unit: measure.unit().to_owned(),
        benign: Spread::of(&ranked, false),
        metastatic: Spread::of(&ranked, true),
        auroc: area.map(|area| area.area),
        interval: interval.map(|interval| [interval.low, interval.high]),
    })
}
