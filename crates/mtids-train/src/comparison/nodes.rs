//! The nodes that a comparison is measured on: one file for each dataset, beside the records of its cells.
//!
//! Purpose: with it the records alone give every figure, also where the dataset is not at hand. Order: rows of the index that are of the test
//! split and have a label. Invariants: no key of a sample or patient is written, patients are numbered in the order in which they come; a digest over
//! keys and labels ties the records to it. Units: mm; logits have none.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_runtime::digest::Digest;
use mtids_shards::{CrossValidation, Dataset, Measure, RowLabels, Split};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::fusion::MeasuresReader;
use crate::labels::codes;

/// Version of the form of these files.
const FORMAT: u32 = 1;

/// Test nodes of a dataset: their labels, and what readers without training say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    format: u32,
    /// Digest of the dataset, as [`RecordedDataset`](super::dataset::RecordedDataset) names it.
    pub dataset_digest: Digest,
    /// Digest of keys and labels.
    pub nodes_digest: Digest,
    /// The fold that they are of, in a cross-validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidation>,
    /// Names of the regions, in the order of their codes.
    pub regions: Vec<String>,
    /// Number of the patient.
    pub patient: Vec<u32>,
    /// Code of the region, where it is known.
    pub region: Vec<Option<u8>>,
    /// 0 benign, 1 metastatic, where it is known.
    pub status: Vec<Option<u8>>,
    /// Short axis of the annotation, mm.
    pub short_axis_mm: Vec<Option<f64>>,
    /// Short axis of the region grown from the point, mm.
    pub grown_short_axis_mm: Vec<Option<f64>>,
    /// Logit of a logistic model over the measures of the grown region, fitted on training and validation patients; empty where there is none.
    pub measures_logit: Vec<f64>,
}

/// Nodes with the keys of their samples, which are not written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyedNodes {
    pub(crate) nodes: Nodes,
    pub(crate) keys: Vec<String>,
}

/// So many decimals are kept.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    // −0 would be written otherwise than 0.
    (value * unit).round() / unit + 0.0
}

impl KeyedNodes {
    /// The test nodes of a dataset, or of a fold of it, which `cross_validation` names. `dataset_digest` is what records call the dataset.
    ///
    /// # Errors
    /// [`TrainError::Dataset`], or [`TrainError::Mismatch`] where no test row has a label.
    pub(crate) fn of(
        dataset: &Dataset,
        dataset_digest: Digest,
        cross_validation: Option<CrossValidation>,
        path: &Path,
    ) -> Result<Self, TrainError> {
        let manifest = dataset.manifest();
        let names: Vec<String> =
            manifest.description.regions.regions().iter().map(|region| region.name.clone()).collect();
        let index = dataset.index()?;
        let reader = measures_reader(&index, names.len());
        let rows: Vec<&RowLabels> =
            index.iter().filter(|row| row.split == Split::Test && codes(row, names.len()) != (None, None)).collect();
        if rows.is_empty() {
            return Err(TrainError::Mismatch {
                path: path.to_owned(),
                reason: "no row of its test split has a label, so nothing could be compared".into(),
            });
        }
        let mut numbers = BTreeMap::new();
        let mut patient = Vec::with_capacity(rows.len());
        for row in &rows {
            let next = numbers.len() as u32;
            patient.push(*numbers.entry(row.patient_key.as_str()).or_insert(next));
        }
        let labels: Vec<(Option<usize>, Option<usize>)> = rows.iter().map(|row| codes(row, names.len())).collect();
        let keys: Vec<String> = rows.iter().map(|row| row.sample_key.clone()).collect();
        let parts = keys.iter().zip(&labels).map(|(key, label)| format!("{key} {label:?}"));
        let grown = |row: &&RowLabels| row.grown.get(Measure::ShortAxis).map(|mm| rounded(f64::from(mm), 2));
        let nodes = Nodes {
            format: FORMAT,
            dataset_digest,
            nodes_digest: Digest::of_parts(parts),
            cross_validation,
            regions: names,
            patient,
            region: labels.iter().map(|(region, _)| region.map(|code| code as u8)).collect(),
            status: labels.iter().map(|(_, status)| status.map(|code| code as u8)).collect(),
            short_axis_mm: rows.iter().map(|row| row.short_axis_mm.map(|mm| rounded(f64::from(mm), 2))).collect(),
            grown_short_axis_mm: rows.iter().map(grown).collect(),
            measures_logit: reader
                .map(|reader| rows.iter().map(|row| rounded(reader.logit(&row.grown), 4)).collect())
                .unwrap_or_default(),
        };
        Ok(Self { nodes, keys })
    }
}

/// The reader of measures, fitted on the patients that no figure is about; `None` where the dataset has no measures or one status only.
fn measures_reader(index: &[RowLabels], regions: usize) -> Option<MeasuresReader> {
    let rows: Vec<_> = index
        .iter()
        .filter(|row| row.split != Split::Test)
        .filter_map(|row| Some((&row.grown, codes(row, regions).1? == 1)))
        .collect();
    MeasuresReader::fit(&rows).inspect_err(|reason| tracing::warn!("no reader of measures: {reason}")).ok()
}

impl Nodes {
    /// What is wrong with nodes that were read from a file; `None` where all columns are of one length and all codes are known.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let n = self.patient.len();
        let others = [self.region.len(), self.status.len(), self.short_axis_mm.len(), self.grown_short_axis_mm.len()];
        let measures = self.measures_logit.len();
        let is_region = |code: &u8| usize::from(*code) < self.regions.len();
        if self.format != FORMAT {
            Some("it is of another version of this program")
        } else if others.iter().any(|&len| len != n) || !(measures == 0 || measures == n) {
            Some("its columns are of different lengths")
        } else if !(self.region.iter().flatten().all(is_region) && self.status.iter().flatten().all(|&code| code < 2)) {
            Some("it has a code of a region or status that does not exist")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::comparison::contenders::tests::nodes;

    #[test]
    fn nodes_with_codes_that_do_not_exist_are_faulty() {
        for (region, status) in [(Some(2), Some(0)), (Some(0), Some(2))] {
            let mut nodes = nodes();
            (nodes.region[3], nodes.status[3]) = (region, status);
            assert!(nodes.fault().is_some_and(|fault| fault.contains("code")));
        }
        let mut nodes = nodes();
        nodes.status.pop();
        assert!(nodes.fault().is_some_and(|fault| fault.contains("lengths")));
    }
}
