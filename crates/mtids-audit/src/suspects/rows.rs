//! The findings of an index with what models of the measures read: labels, place, measures.
//!
//! Invariants: rows come in the order of the file; a label code that no class has is unknown. Units: LPS mm; lengths and volumes count by their
//! logarithm.

use mtids_domain::label::Evidence;
use mtids_shards::Measure;
use polars::prelude::col;

use crate::error::AuditError;
use crate::index::Index;

/// Classes of the status.
pub(super) const STATUSES: [&str; 2] = ["benign", "metastatic"];

/// Findings, column by column.
pub(super) struct Rows {
    /// Keys.
    pub(super) keys: Vec<String>,
    /// Pseudonyms of the patients.
    pub(super) patients: Vec<String>,
    /// Number of the series of each row.
    pub(super) series: Vec<u32>,
    /// Places, LPS mm.
    pub(super) places: Vec<[f64; 3]>,
    /// Codes of the regions.
    pub(super) regions: Vec<Option<usize>>,
    /// Codes of the statuses.
    pub(super) statuses: Vec<Option<usize>>,
    /// Evidence of the statuses.
    pub(super) evidence: Vec<Evidence>,
    /// What a model of the status reads.
    pub(super) measures: Vec<Vec<Option<f64>>>,
}

impl Rows {
    /// Reads them. Without `with_measures` the last column is empty.
    pub(super) fn read(index: &Index, regions: usize, with_measures: bool) -> Result<Self, AuditError> {
        let columns =
            ["sample_key", "patient_key", "series_key", "center_x_mm", "center_y_mm", "center_z_mm", "region"];
        let columns = columns.iter().chain(&["metastasis", "evidence"]).map(|name| col(*name));
        let answer = index.query(|frame| frame.select(columns.collect::<Vec<_>>()))?;
        let texts = |name: &str| -> Result<Vec<String>, AuditError> {
            Ok(answer.texts(name)?.into_iter().map(Option::unwrap_or_default).collect())
        };
        let axes = [answer.values("center_x_mm")?, answer.values("center_y_mm")?, answer.values("center_z_mm")?];
        let codes = |name: &str, classes: usize| -> Result<Vec<Option<usize>>, AuditError> {
            let code = |code: f64| (code >= 0.0 && code < classes as f64).then_some(code as usize);
            Ok(answer.numbers(name)?.into_iter().map(|number| number.and_then(code)).collect())
        };
        let rows = answer.len();
        Ok(Self {
            keys: texts("sample_key")?,
            patients: texts("patient_key")?,
            series: answer.codes("series_key")?,
            places: (0..rows).map(|n| [0, 1, 2].map(|axis: usize| axes[axis][n])).collect(),
            regions: codes("region", regions)?,
            statuses: codes("metastasis", STATUSES.len())?,
            evidence: texts("evidence")?.iter().map(|letter| letter.parse().unwrap_or_default()).collect(),
            measures: if with_measures { measures(index, rows)? } else { Vec::new() },
        })
    }
}

/// Measures of the grown region and the short axis of the annotation, as far as half of the rows have them, with the square of the logarithm of
/// each short axis.
fn measures(index: &Index, rows: usize) -> Result<Vec<Vec<Option<f64>>>, AuditError> {
    let grown = Measure::ALL.iter().map(|measure| {
        let by_logarithm = matches!(measure.unit(), "mm" | "mm³");
        (format!("grown_{}", measure.name()), by_logarithm, *measure == Measure::ShortAxis)
    });
    let mut inputs: Vec<Vec<Option<f64>>> = vec![Vec::new(); rows];
    for (column, by_logarithm, squared) in grown.chain([("short_axis_mm".to_owned(), true, true)]) {
        if !index.has(&column) {
            continue;
        }
        let answer = index.query(|frame| frame.select([col(column.as_str())]))?;
        let reading = |value: f64| if by_logarithm { value.ln() } else { value };
        let values: Vec<Option<f64>> = answer
            .numbers(&column)?
            .into_iter()
            .map(|value| value.map(reading).filter(|reading| reading.is_finite()))
            .collect();
        if 2 * values.iter().flatten().count() < rows.max(1) {
            continue;
        }
        for (row, value) in inputs.iter_mut().zip(values) {
            row.push(value);
            if squared {
                row.push(value.map(|value| value * value));
            }
        }
    }
    Ok(inputs)
}
