//! What one finished cell leaves: predictions for the test nodes, how it was trained, and what ties it to its settings and data.
//!
//! Invariants: a record holds no key of a patient, no path and no time, and is a pure function of settings and dataset; below 50 kB for some 1 500
//! nodes, so it can be committed. Logits are kept to four decimals. What the training cost is in a file of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dataset::RecordedDataset;
use super::nodes::{Nodes, rounded};
use crate::error::TrainError;
use crate::evaluate::Evaluated;
use crate::measured::Dimension;
use crate::prediction::{Prediction, metastasis_probability};
use crate::run_folder::log::LossLine;

/// Version of the form of these files. Since 2 the fusion is that of two logits (decision 066).
const FORMAT: u32 = 2;
/// Points of a course at most.
const POINTS: usize = 30;
/// Probabilities are kept so far from 0 and 1.
const NEAREST: f64 = 1e-6;

/// Record of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    /// Digest of the settings as the grid gives them.
    pub settings_digest: Digest,
    /// Digest of the settings as the dataset completes them: that of the run.
    pub run_digest: Digest,
    /// Digest of the dataset, as [`RecordedDataset`] names it.
    pub dataset_digest: Digest,
    /// The program.
    pub program: Program,
    /// Trainable numbers of the network; 0 for a trial that diverged.
    pub parameters: usize,
    /// Steps of the training.
    pub steps: u64,
    /// Whether this trial ended because a loss or gradient was not finite; it has no figures then, and is not chosen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_diverged: bool,
    /// Figures of the validation patients, of the weights that the run ends with.
    pub validation: Validation,
    /// What the network says about the test nodes; none for a trial.
    pub answers: Option<Answers>,
    /// Losses, coefficients and conflicts on the way.
    pub course: Course,
}

/// Figures of the validation patients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// AUROC of the status.
    pub status_auroc: Option<f64>,
    /// Macro-F1 of the joint class.
    pub joint_macro_f1: Option<f64>,
    /// Accuracy of the region.
    pub region_accuracy: Option<f64>,
}

/// What a network says about the test nodes, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Digest of the nodes.
    pub nodes_digest: Digest,
    /// Logit of the probability of metastasis.
    pub status_logit: Vec<f64>,
    /// Called region.
    pub region: Vec<u8>,
    /// Called joint class.
    pub joint: Vec<u8>,
    /// Logit of the fusion with measures; empty where there is none.
    pub fusion_logit: Vec<f64>,
    /// Mean weight of the shared branch by task and true region; empty for a network without gates.
    pub shared_branch: BTreeMap<String, Vec<Option<f64>>>,
}

/// Means over consecutive parts of the training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Last step of each part.
    pub step: Vec<u64>,
    /// Loss by task; null where no batch of the part had a label.
    pub losses: BTreeMap<String, Vec<Option<f64>>>,
    /// The balancer's coefficient by task.
    pub coefficients: BTreeMap<String, Vec<f64>>,
    /// Share of pairs of tasks whose gradients conflict.
    pub conflicting_share: Vec<f64>,
}

/// What a training cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Seconds of its steps, of all attempts that count.
    pub seconds: f64,
    /// Largest memory of the process, MiB; of the last attempt, and only where the system tells it.
    pub peak_mib: Option<u64>,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| rounded(sum / f64::from(count), 4))
}

impl Course {
    /// The course of a training from its log.
    pub(crate) fn of(lines: &[LossLine]) -> Self {
        let mut course = Self::default();
        for part in lines.chunks(lines.len().div_ceil(POINTS).max(1)) {
            course.step.extend(part.last().map(|line| line.step));
            course.conflicting_share.extend(mean(part.iter().map(|line| line.conflicting_share)));
            for task in part[0].losses.keys() {
                let loss = mean(part.iter().filter_map(|line| *line.losses.get(task)?));
                course.losses.entry(task.clone()).or_default().push(loss);
            }
            for task in part[0].coefficients.keys() {
                let coefficient = mean(part.iter().filter_map(|line| line.coefficients.get(task).copied()));
                course.coefficients.entry(task.clone()).or_default().extend(coefficient);
            }
        }
        course
    }
}

impl Answers {
    /// Whether they are about these nodes: their digest, one answer for each node, and known codes.
    pub(crate) fn fit(&self, nodes: &Nodes) -> bool {
        let (n, regions) = (nodes.patient.len(), nodes.regions.len());
        self.nodes_digest == nodes.nodes_digest
            && [self.status_logit.len(), self.region.len(), self.joint.len()] == [n; 3]
            && (self.fusion_logit.is_empty() || self.fusion_logit.len() == n)
            && self.region.iter().all(|&code| usize::from(code) < regions)
            && self.joint.iter().all(|&code| usize::from(code) < 2 * regions)
    }

    /// The answers of an evaluated run, in the order of the nodes, whose keys are `keys`.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] where a node was not predicted.
    pub(crate) fn of(
        evaluated: &Evaluated,
        nodes: &Nodes,
        keys: &[String],
        dataset: &Path,
    ) -> Result<Self, TrainError> {
        let by_key: BTreeMap<&str, &Prediction> =
            evaluated.predictions.iter().map(|row| (row.sample_key.as_str(), row)).collect();
        let rows: Option<Vec<&Prediction>> = keys.iter().map(|key| by_key.get(key.as_str()).copied()).collect();
        let rows = rows.ok_or_else(|| TrainError::Mismatch {
            path: dataset.to_owned(),
            reason: "the run was trained on some of its test patients, so it cannot be compared on them".into(),
        })?;
        let logit = |row: &&Prediction| {
            let p = metastasis_probability(&row.pooled).clamp(NEAREST, 1.0 - NEAREST);
            rounded((p / (1.0 - p)).ln(), 4)
        };
        let called = |dimension: Dimension| rows.iter().map(move |row| dimension.call(&row.pooled) as u8).collect();
        let fusion = evaluated.evaluation.readers.fusion.as_ref();
        let gates = evaluated.evaluation.measured.gates.iter().map(|gate| {
            let shares = gate.shared_by_region.iter().map(|share| share.map(|share| rounded(share, 4))).collect();
            (gate.task.clone(), shares)
        });
        Ok(Self {
            nodes_digest: nodes.nodes_digest,
            status_logit: rows.iter().map(logit).collect(),
            region: called(Dimension::Region),
            joint: called(Dimension::Joint),
            fusion_logit: fusion
                .map(|fusion| rows.iter().map(|row| rounded(fusion.logit(row), 4)).collect())
                .unwrap_or_default(),
            shared_branch: gates.collect(),
        })
    }
}

impl Record {
    /// A record of this program, without what the run is worth. Digests are those of settings, run and dataset.
    pub(crate) fn new(digests: [Digest; 3], steps: u64, course: Course) -> Self {
        let [settings_digest, run_digest, dataset_digest] = digests;
        Self {
            format: FORMAT,
            settings_digest,
            run_digest,
            dataset_digest,
            program: Program::new("mtids-train", env!("CARGO_PKG_VERSION")),
            parameters: 0,
            steps,
            is_diverged: false,
            validation: Validation::default(),
            answers: None,
            course,
        }
    }
}

/// A folder of records.
#[derive(Clone, Debug)]
pub struct Records(PathBuf);

impl Records {
    /// The records in a folder, which may not exist yet.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.0.join(format!("{name}.{ending}"))
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, TrainError> {
        match std::fs::read(path) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).map_err(|error| TrainError::record(path, error.to_string()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TrainError::io(path, error)),
        }
    }

    fn write<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), TrainError> {
        let failed = |error| TrainError::io(path, error);
        let mut text = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        atomic::write(path, &text).map_err(failed)
    }

    /// The record of a cell, if there is one.
    ///
    /// # Errors
    /// [`TrainError::Record`] for a file that is no record.
    pub fn cell(&self, id: &str) -> Result<Option<Record>, TrainError> {
        let path = self.file(id, "json");
        let record: Option<Record> = self.read(&path)?;
        if record.as_ref().is_some_and(|record| record.format != FORMAT) {
            return Err(TrainError::record(&path, "it is of another version of this program"));
        }
        Ok(record)
    }

    /// What a cell cost, if it is on record.
    ///
    /// # Errors
    /// [`TrainError::Record`] for a file that is none.
    pub fn cost(&self, id: &str) -> Result<Option<Cost>, TrainError> {
        self.read(&self.file(id, "cost.json"))
    }

    /// The nodes of a dataset, if they are on record.
    ///
    /// # Errors
    /// [`TrainError::Record`] for a file that is none.
    pub fn nodes(&self, dataset: &str) -> Result<Option<Nodes>, TrainError> {
        let path = self.file(dataset, "nodes.json");
        let nodes: Option<Nodes> = self.read(&path)?;
        match nodes.as_ref().and_then(Nodes::fault) {
            Some(fault) => Err(TrainError::record(&path, fault)),
            None => Ok(nodes),
        }
    }

    /// The datasets that records of this name are of, in the order in which they came.
    ///
    /// # Errors
    /// [`TrainError::Record`] for a file that does not tell them.
    pub fn datasets(&self, name: &str) -> Result<Vec<RecordedDataset>, TrainError> {
        Ok(self.read(&self.file(name, "datasets.json"))?.unwrap_or_default())
    }

    pub(crate) fn put_datasets(&self, name: &str, datasets: &[RecordedDataset]) -> Result<(), TrainError> {
        self.write(&self.file(name, "datasets.json"), &datasets)
    }

    pub(crate) fn put_cell(&self, id: &str, record: &Record, cost: &Cost) -> Result<(), TrainError> {
        // The record comes last: a cell without it is not finished.
        self.write(&self.file(id, "cost.json"), cost)?;
        self.write(&self.file(id, "json"), record)
    }

    pub(crate) fn put_nodes(&self, dataset: &str, nodes: &Nodes) -> Result<(), TrainError> {
        self.write(&self.file(dataset, "nodes.json"), nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::contenders::tests::nodes;

    #[test]
    fn a_course_is_the_mean_of_parts() {
        let line = |step: u64| LossLine {
            step,
            epoch: 0,
            losses: [("a".to_owned(), step.is_multiple_of(2).then_some(step as f64))].into(),
            coefficients: [("a".to_owned(), step as f64)].into(),
            gradient_norm: 1.0,
            conflicting_share: 0.5,
            learning_rate: 1.0,
            ..LossLine::default()
        };
        let lines: Vec<LossLine> = (1..=90).map(line).collect();
        let course = Course::of(&lines);
        assert_eq!((course.step.len(), course.step[0], course.step[29]), (30, 3, 90));
        assert_eq!((course.losses["a"][0], course.coefficients["a"][0]), (Some(2.0), 2.0));
        assert_eq!(Course::of(&[]), Course::default());
    }

    #[test]
    fn answers_of_other_lengths_codes_or_nodes_do_not_fit() {
        let nodes = nodes();
        let whole = Answers {
            nodes_digest: nodes.nodes_digest,
            status_logit: vec![0.0; 160],
            region: vec![0; 160],
            joint: vec![0; 160],
            fusion_logit: Vec::new(),
            shared_branch: BTreeMap::new(),
        };
        assert!(whole.fit(&nodes));
        let mut others = vec![whole; 7];
        others[0].status_logit.pop();
        others[1].status_logit.push(0.0);
        others[2].joint.pop();
        others[3].fusion_logit = vec![0.0; 159];
        others[4].joint[5] = 4;
        others[5].region[5] = 2;
        others[6].nodes_digest = Digest::of_bytes(b"others");
        assert!(others.iter().all(|other| !other.fit(&nodes)));
    }

    #[test]
    fn a_file_that_is_no_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::at(folder.path());
        assert_eq!(records.cell("x").unwrap(), None);
        std::fs::write(folder.path().join("x.json"), "{}").unwrap();
        assert!(records.cell("x").unwrap_err().to_string().contains("x.json"));
    }
}
