//! What a run, its dataset and its evaluation know, in words that several parts of the card use.
//!
//! Invariant: a phrase states what is on record, and `None` where nothing is. Units: mm, kV, HU.

use std::collections::BTreeMap;

use mtids_models::PredictionHead;
use mtids_report::format::{counted, interval, metric};
use mtids_runtime::digest::Digest;
use mtids_shards::{Manifest, RowLabels, View};
use serde_json::Value;

use crate::calibration::SENSITIVITY;
use crate::gallery::Gallery;
use crate::measured::{Dimension, Evaluation, Figure};
use crate::readers::Reader;
use crate::run_folder::{RunFolder, TrainedOn, TrainingRange, file_of_split};
use crate::seen::Acquaintance;

/// Everything that a card is made of.
pub(crate) struct Facts<'a> {
    /// The evaluation.
    pub(crate) evaluation: &'a Evaluation,
    /// The run.
    pub(crate) folder: &'a RunFolder,
    /// Digest of the weights.
    pub(crate) weights: &'a Digest,
    /// The dataset that was judged on.
    pub(crate) manifest: &'a Manifest,
    /// Its rows that were judged.
    pub(crate) rows: Vec<&'a RowLabels>,
    /// Whom the run was trained on, where that is on record.
    pub(crate) trained_on: Option<&'a TrainedOn>,
    /// What its scans were like, likewise.
    pub(crate) range: Option<TrainingRange>,
    /// Rows of damaged row groups that it was trained without, counted in each epoch.
    pub(crate) skipped_rows: u64,
    /// Its surest errors.
    pub(crate) failures: &'a Gallery,
}

impl Facts<'_> {
    /// A setting of the training by its JSON pointer.
    pub(super) fn setting(&self, pointer: &str) -> String {
        // A configuration always has a JSON form: it has been read from text.
        let all = serde_json::to_value(&**self.folder.config()).unwrap_or_default();
        match all.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "none".to_owned(),
            Some(value) => value.to_string(),
        }
    }

    /// Name of a file of this evaluation.
    pub(super) fn file(&self, name: &str) -> String {
        file_of_split(name, self.evaluation.split)
    }

    /// Whether the dataset that was judged on is the run's own.
    pub(super) fn is_own_dataset(&self) -> bool {
        self.evaluation.dataset_digest == self.folder.identity().dataset_digest
    }

    /// Whether the judged patients are known to be others than those of the training.
    pub(super) fn is_held_out(&self) -> bool {
        matches!(self.evaluation.seen.acquaintance, Acquaintance::Unseen | Acquaintance::SeenLeftOut)
    }

    /// What is known of that.
    pub(super) fn acquaintance(&self) -> &'static str {
        match self.evaluation.seen.acquaintance {
            Acquaintance::Unseen | Acquaintance::SeenLeftOut => "no judged patient was trained on",
            Acquaintance::OwnSplit => "the judged patients were seen in training",
            Acquaintance::Unknown => "whether judged patients were trained on is not known",
        }
    }

    /// A figure of all heads pooled.
    fn figure(&self, dimension: Dimension, name: &str) -> Option<&Figure> {
        let pooled = self.evaluation.measured.heads.iter().find(|head| head.head == PredictionHead::Pooled)?;
        pooled.figures.iter().find(|figure| figure.dimension == dimension && figure.metric == name)
    }

    /// The main figures with their intervals.
    pub(super) fn performance(&self) -> Option<String> {
        let named = [
            ("AUROC of the status", Dimension::Metastasis, "AUROC"),
            ("average precision of the status", Dimension::Metastasis, "average precision"),
            ("accuracy of the region", Dimension::Region, "accuracy"),
        ];
        let text = |(title, dimension, name)| {
            let figure = self.figure(dimension, name)?;
            let bounds = interval(figure.interval.as_ref().map(|bounds| (bounds.low, bounds.high)));
            Some(format!("{title} {} [{bounds}]", metric(figure.value)))
        };
        let figures: Vec<String> = named.into_iter().filter_map(text).collect();
        (!figures.is_empty()).then(|| format!("{}, on {}", figures.join(", "), self.judged()))
    }

    /// Whom was judged.
    pub(super) fn judged(&self) -> String {
        let measured = &self.evaluation.measured;
        format!(
            "{} of {} of the {}",
            counted(measured.samples as u64, "node", "nodes"),
            counted(measured.patients as u64, "patient", "patients"),
            self.evaluation.split_in_words()
        )
    }

    /// How many patients each part has.
    pub(super) fn partitions(&self) -> String {
        let trained = self
            .trained_on
            .map(|on| format!("{} patients for training, {} for validation; ", on.train.len(), on.validation.len()));
        format!("{}judged: {}; {}", trained.unwrap_or_default(), self.judged(), self.acquaintance())
    }

    /// Statuses of the judged nodes.
    pub(super) fn statuses(&self) -> String {
        let count = |code: Option<i8>| {
            self.rows.iter().filter(|row| row.metastasis.map(|status| status.code()) == code).count()
        };
        format!("{} metastatic, {} benign, {} not known", count(Some(1)), count(Some(0)), count(None))
    }

    /// Evidence of the statuses of the judged nodes; `None` without a status.
    pub(super) fn evidence(&self) -> Option<String> {
        let name = |row: &RowLabels| match row.evidence.letter() {
            "A" => "A histology",
            "B" => "B cytology",
            "C" => "C PET",
            "D" => "D size on CT",
            _ => "U none stated",
        };
        self.counts(|row| row.metastasis.map(|_| name(row).to_owned()))
    }

    /// How many judged rows have each value; `None` where none has one.
    pub(super) fn counts(&self, value: impl Fn(&RowLabels) -> Option<String>) -> Option<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for value in self.rows.iter().filter_map(|row| value(row)) {
            *counts.entry(value).or_default() += 1;
        }
        let words: Vec<String> = counts.into_iter().map(|(value, count)| format!("{value} {count}")).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// What the scans of the training were like, one line for each number and word.
    pub(super) fn scans(&self) -> Vec<(String, String)> {
        let Some(range) = &self.range else { return Vec::new() };
        let numbers = range
            .numbers
            .iter()
            .map(|(name, span)| (name.replace('_', " "), format!("{:.2} to {:.2}", span.least, span.most)));
        let words = range.words.iter().map(|(name, words)| {
            let stated = |word: &String| if word.is_empty() { "not stated".to_owned() } else { word.clone() };
            (name.replace('_', " "), words.iter().map(stated).collect::<Vec<_>>().join(", "))
        });
        numbers.chain(words).collect()
    }

    /// What a row holds of the image.
    pub(super) fn views(&self) -> String {
        let view = |view: &View| {
            let ([d, h, w], [z, y, x]) = (view.geometry.size, view.geometry.spacing_mm);
            let channels: Vec<&str> = view.channels.iter().map(|channel| channel.name()).collect();
            format!("{}: {d} × {h} × {w} voxels of {z} × {y} × {x} mm, {}", view.name, channels.join(" and "))
        };
        self.manifest.description.views.iter().map(view).collect::<Vec<_>>().join("; ")
    }

    /// Names of the measures that the answer joins with the network's; none where it is the network's alone.
    pub(super) fn joined_measures(&self) -> Option<String> {
        let is_joined = self.evaluation.coverage.as_ref().is_some_and(|coverage| coverage.reader == Reader::Fusion);
        let fusion = self.evaluation.readers.fusion.as_ref().filter(|_| is_joined)?;
        Some(fusion.reader.names().join(", "))
    }

    /// Thresholds and where they come from.
    pub(super) fn thresholds(&self) -> String {
        match self.evaluation.subgroups.threshold {
            Some(threshold) => format!(
                "a node is called from a calibrated probability of one half on, and from {threshold:.3} on, which called {:.0} % of the \
                 metastases of the validation patients",
                100.0 * SENSITIVITY
            ),
            None => "a node is called from a probability of one half on; no calibration of other patients is on record"
                .to_owned(),
        }
    }

    /// What became of the input files of the dataset.
    pub(super) fn files(&self) -> String {
        let totals = &self.manifest.totals;
        format!(
            "of {} files {} were used, {} skipped and {} quarantined; {} annotations were left out at the border of the scan, {} found no image; \
             {} rows of {} patients in all splits",
            totals.inputs,
            totals.used,
            totals.skipped,
            totals.quarantined,
            totals.findings_at_border,
            totals.unmatched_findings,
            totals.rows,
            totals.patients
        )
    }
}
