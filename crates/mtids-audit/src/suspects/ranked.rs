//! Judged rows in their order, and what the index says of those that are listed.
//!
//! Invariant: details come from the index by key, so they are those of the published dataset. Units: probabilities lie in 0 to 1.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_domain::label::Evidence;

use super::found::{Dimension, Suspect, Suspects};
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::opened::open;

/// Rows whose details are read at a time.
const AT_A_TIME: usize = 100_000;

/// What a search gave.
pub struct Found {
    /// The result for people and machines.
    pub suspects: Suspects,
    /// Every judged row of each dimension, the likeliest error first.
    pub ranked: Vec<Ranked>,
}

/// A judged row.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The dimension.
    pub dimension: Dimension,
    /// Place among the judged rows of the dimension, from 1.
    pub rank: u64,
    /// Key of the row.
    pub key: String,
    /// The given label.
    pub given: String,
    /// The likeliest other label.
    pub suggested: String,
    /// Probability of the given label by the model alone.
    pub p_given: f64,
    /// That of the suggested one.
    pub p_suggested: f64,
    /// Probability that the given label is wrong.
    pub p_wrong: f64,
    /// Probabilities of all classes by the model alone.
    pub probabilities: Vec<f64>,
}

/// Ranked rows with what the index says of them, in their order.
pub(super) fn details(index: &Index, ranked: &[Ranked]) -> Result<Vec<Suspect>, AuditError> {
    let columns = [
        "sample_key",
        "patient_key",
        "study_key",
        "series_key",
        "split",
        "center_k",
        "center_x_mm",
        "center_y_mm",
        "center_z_mm",
        "label_source",
        "evidence",
        "short_axis_mm",
    ];
    let mut found = Vec::with_capacity(ranked.len());
    for part in ranked.chunks(AT_A_TIME) {
        let answer = index.rows_of_keys(Rows::Findings, part.iter().map(|row| row.key.as_str()), &columns)?;
        let text = |name: &str| -> Result<Vec<String>, AuditError> {
            Ok(answer.texts(name)?.into_iter().map(Option::unwrap_or_default).collect())
        };
        let (keys, patients, studies) = (text("sample_key")?, text("patient_key")?, text("study_key")?);
        let (series, splits, sources) = (text("series_key")?, text("split")?, text("label_source")?);
        let (evidence, slices, axes) =
            (text("evidence")?, answer.numbers("center_k")?, answer.numbers("short_axis_mm")?);
        let mm = [answer.values("center_x_mm")?, answer.values("center_y_mm")?, answer.values("center_z_mm")?];
        let places: BTreeMap<&str, usize> = keys.iter().enumerate().map(|(n, key)| (key.as_str(), n)).collect();
        found.extend(part.iter().filter_map(|row| {
            let n = *places.get(row.key.as_str())?;
            Some(Suspect {
                dimension: row.dimension,
                rank: row.rank,
                finding: row.key.clone(),
                patient: patients[n].clone(),
                study: studies[n].clone(),
                series: series[n].clone(),
                split: splits[n].clone(),
                slice: slices[n].unwrap_or_default().round() as i64,
                place_mm: [0, 1, 2].map(|axis: usize| mm[axis][n]),
                source: sources[n].clone(),
                evidence: evidence[n].parse::<Evidence>().unwrap_or_default(),
                short_axis_mm: axes[n],
                given: row.given.clone(),
                suggested: row.suggested.clone(),
                p_given: row.p_given,
                p_suggested: row.p_suggested,
                p_wrong: row.p_wrong,
            })
        }));
    }
    Ok(found)
}

impl Found {
    /// The suspects of every dimension, or with `all` every judged row, with what the index says of them.
    ///
    /// # Errors
    /// [`AuditError`] for an index that cannot be read.
    pub fn details(&self, dataset: &Path, all: bool) -> Result<Vec<Suspect>, AuditError> {
        let least = self.suspects.config.least_probability;
        let listed: Vec<Ranked> = self.ranked.iter().filter(|row| all || row.p_wrong >= least).cloned().collect();
        details(&Index::open(&open(dataset)?)?, &listed)
    }
}
