//! What an evaluation leaves: figures, table, predictions, page and model card.
//!
//! Invariants: the same run, dataset and split give the same bytes; figures of another split than the test split have files of their own, so that
//! a look at them never replaces those of the test split; those of another dataset than the run's have a folder of their own.

use std::path::{Path, PathBuf};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_shards::{Dataset, RowKind, RowLabels};

use super::text::text;
use crate::calibration::Calibration;
use crate::card::{Card, Facts};
use crate::error::TrainError;
use crate::gallery::Gallery;
use crate::measured::Evaluation;
use crate::prediction::{Prediction, write_csv};
use crate::report::report;
use crate::run_folder::log::{self, EpochLine};
use crate::run_folder::{RunFolder, TrainedOn, TrainingRange, file_of_split};

/// What was evaluated.
pub(super) struct Origin<'a> {
    /// Folder for the files; by default that of the run, or one in it for a dataset that is not the run's.
    pub(super) out: Option<&'a Path>,
    /// The run.
    pub(super) folder: &'a RunFolder,
    /// Digest of its weights.
    pub(super) weights: &'a Digest,
    /// Whom it was trained on, where that is on record.
    pub(super) trained_on: Option<&'a TrainedOn>,
    /// Its calibration on other patients than those that were judged.
    pub(super) calibration: Option<&'a Calibration>,
    /// The dataset.
    pub(super) dataset: &'a Dataset,
    /// Its rows.
    pub(super) index: &'a [RowLabels],
}

impl Origin<'_> {
    /// The folder for the files.
    fn place(&self) -> PathBuf {
        let digest = self.dataset.manifest().digest();
        match self.out {
            Some(out) => out.to_owned(),
            None if digest == self.folder.identity().dataset_digest => self.folder.path().to_owned(),
            None => self.folder.file(&format!("on-{}", digest.short())),
        }
    }
}

/// Writes everything; returns the folder.
pub(super) fn write(
    origin: &Origin<'_>,
    evaluation: &Evaluation,
    predictions: &[Prediction],
) -> Result<PathBuf, TrainError> {
    let Origin { folder, weights, trained_on, calibration, dataset, index, .. } = *origin;
    let place = origin.place();
    std::fs::create_dir_all(&place).map_err(|error| TrainError::io(&place, error))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = place.join(file_of_split(name, evaluation.split));
        atomic::write(&path, bytes).map_err(|error| TrainError::io(&path, error))
    };
    let mut json = serde_json::to_value(evaluation).map_err(|error| TrainError::io(folder.path(), error.into()))?;
    json.sort_all_objects();
    write("evaluation.json", format!("{json:#}\n").as_bytes())?;
    let mut csv = Vec::new();
    write_csv(&mut csv, &evaluation.measured.regions, predictions)
        .map_err(|error| TrainError::io(&place.join("predictions.csv"), error))?;
    write("predictions.csv", &csv)?;
    write("evaluation.txt", text(evaluation).as_bytes())?;
    let failures = Gallery::of(dataset, index, evaluation.split, predictions, calibration)?;
    let is_judged = |row: &&RowLabels| {
        let is_finding = row.split == evaluation.split && row.kind == RowKind::Finding;
        is_finding && !evaluation.seen.leaves_out(row.patient_key.as_str())
    };
    let epochs: Vec<EpochLine> = log::read(&folder.file("epochs.jsonl"))?;
    let card = Card::of(&Facts {
        evaluation,
        folder,
        weights,
        manifest: dataset.manifest(),
        rows: index.iter().filter(is_judged).collect(),
        trained_on,
        range: TrainingRange::read(folder.path())?,
        skipped_rows: epochs.last().map_or(0, |line| line.skipped_rows),
        failures: &failures,
    });
    write("model-card.md", card.markdown().as_bytes())?;
    write("report.html", report(folder, evaluation, &failures, &card)?.as_bytes())?;
    if let Some(trained_on) = trained_on.filter(|_| place != folder.path()) {
        // An audit looks beside the table for whom the run has seen.
        trained_on.write(&place)?;
    }
    Ok(place)
}
