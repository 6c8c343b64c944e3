//! What is measured on one split, as values: `evaluation.json`.
//!
//! Invariant: every figure names its number of samples and patients, and stands beside the majority class of the *training* split.

use mtids_metrics::{BootstrapOptions, Interval, PrecisionRecallPoint, RocPoint};
use mtids_models::Architecture;
use mtids_models::PredictionHead;
use mtids_models::tasks::{LabelMap, TaskSet};
use mtids_report::format::{interval, metric};
use mtids_runtime::digest::Digest;
use mtids_shards::{CrossValidation, Split};
use serde::Serialize;

use crate::coverage::Coverage;
use crate::label_counts::LabelCounts;
use crate::operating::Operating;
use crate::prediction::{Prediction, largest, metastasis_probability, region_probabilities};
use crate::readers::Readers;
use crate::reliability::Bin;
use crate::seen::SeenPatients;
use crate::subgroups::Subgroups;
use crate::within::{ShareWithin, share_within};

/// The most frequent class, the first of equals; `None` where nothing was counted.
pub fn majority(counts: &[u64]) -> Option<usize> {
    let best = counts.iter().copied().max().filter(|&count| count > 0)?;
    counts.iter().position(|&count| count == best)
}

/// What a dimension is read against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Where the node lies.
    Region,
    /// Whether it is metastatic.
    Metastasis,
    /// Both at once.
    Joint,
}

impl Dimension {
    /// All, in the order of the tables.
    pub const ALL: [Dimension; 3] = [Dimension::Region, Dimension::Metastasis, Dimension::Joint];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Region => "region",
            Dimension::Metastasis => "metastasis",
            Dimension::Joint => "joint",
        }
    }

    /// The dimensions, region and metastasis, that no task tells: a distribution over joint classes is flat along them.
    pub(crate) fn untold(tasks: &TaskSet) -> Vec<Self> {
        let tells = |reads: fn(&LabelMap) -> bool| tasks.tasks().iter().any(|task| task.is_total() && reads(task));
        let told =
            [(Self::Region, tells(LabelMap::reads_region)), (Self::Metastasis, tells(LabelMap::reads_metastasis))];
        told.into_iter().filter(|(_, is_told)| !is_told).map(|(dimension, _)| dimension).collect()
    }

    pub(crate) fn truth(self, row: &Prediction) -> Option<usize> {
        match self {
            Dimension::Region => row.region,
            Dimension::Metastasis => row.metastasis,
            Dimension::Joint => row.joint_class(),
        }
    }

    pub(crate) fn call(self, distribution: &[f64]) -> usize {
        match self {
            Dimension::Region => largest(&region_probabilities(distribution)),
            Dimension::Metastasis => usize::from(metastasis_probability(distribution) >= 0.5),
            Dimension::Joint => largest(distribution),
        }
    }

    pub(crate) fn classes(self, regions: usize) -> usize {
        match self {
            Dimension::Region => regions,
            Dimension::Metastasis => 2,
            Dimension::Joint => 2 * regions,
        }
    }
}

/// One figure of one read-out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Dimension it speaks about.
    pub dimension: Dimension,
    /// Name: accuracy, balanced accuracy, macro-F1, AUROC, average precision, sensitivity, specificity, Brier score, calibration error.
    pub metric: &'static str,
    /// Value of the model, where defined.
    pub value: Option<f64>,
    /// 95 % bootstrap interval by patient, where it was asked for and is defined.
    pub interval: Option<Interval>,
    /// The same metric of always answering the majority class of the training split (prior probability for scores).
    pub majority: Option<f64>,
    /// Labelled samples.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
}

impl Figure {
    /// How every table begins a row of a figure: dimension, metric, value, interval and majority.
    pub(crate) fn cells(&self) -> [String; 5] {
        [
            self.dimension.name().to_owned(),
            self.metric.to_owned(),
            metric(self.value),
            interval(self.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
            metric(self.majority),
        ]
    }
}

/// Figures of one read-out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadFigures {
    /// Which.
    pub head: PredictionHead,
    /// Its figures.
    pub figures: Vec<Figure>,
}

/// A share with its 95 % interval over patients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many nodes agree.
    pub successes: u64,
    /// Of how many.
    pub n: u64,
    /// The share, and its interval by the bootstrap over patients; where all nodes agree, Wilson's over their patients.
    #[serde(flatten)]
    pub within: ShareWithin,
}

impl Share {
    /// Of trials, each of a patient.
    pub(crate) fn of(trials: &[(&str, bool)], bootstrap: BootstrapOptions) -> Self {
        let successes = trials.iter().filter(|trial| trial.1).count() as u64;
        Self { successes, n: trials.len() as u64, within: share_within(trials, bootstrap) }
    }
}

/// Metastasis in one region (pooled read-out).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionFigures {
    /// Region.
    pub region: String,
    /// Located: the truth is (this region, metastatic) and so is the called joint class.
    pub located_sensitivity: Share,
    /// Located: the truth is anything else and so is the called joint class.
    pub located_specificity: Share,
    /// Conditional: metastatic nodes truly in this region, called metastatic wherever.
    pub conditional_sensitivity: Share,
    /// Conditional: benign nodes truly in this region, called benign wherever.
    pub conditional_specificity: Share,
}

/// Whether a dimension can be claimed about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Dimension.
    pub dimension: Dimension,
    /// True when figures are given.
    pub claimed: bool,
    /// Labelled samples.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
    /// One sentence for people.
    pub sentence: String,
}

/// Mean weight of the shared branch of one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateUse {
    /// Task.
    pub task: String,
    /// Mean over all samples.
    pub shared: Option<f64>,
    /// Mean over the samples of each true region.
    pub shared_by_region: Vec<Option<f64>>,
}

/// Everything measured on one split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Regions, in the order of their codes.
    pub regions: Vec<String>,
    /// All samples of the split, labelled or not.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
    /// Per dimension: is anything claimed?
    pub claims: Vec<Claim>,
    /// Figures per read-out; dimensions without a claim are left out.
    pub heads: Vec<HeadFigures>,
    /// Metastasis per region; empty without a claim.
    pub per_region: Vec<RegionFigures>,
    /// Region: rows are true classes, columns called ones (pooled).
    pub region_confusion: Vec<Vec<u64>>,
    /// Metastasis: rows are true classes, columns called ones (pooled).
    pub metastasis_confusion: Vec<Vec<u64>>,
    /// ROC curve of metastasis (pooled); empty without a claim.
    pub roc: Vec<RocPoint>,
    /// Precision against recall of metastasis (pooled), by steps; empty without a claim.
    pub precision_recall: Vec<PrecisionRecallPoint>,
    /// Use of the shared branch; empty for a model without gates.
    pub gates: Vec<GateUse>,
}

/// Result of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Split that was measured.
    pub split: Split,
    /// The fold that the split is of, where patients are dealt to folds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<CrossValidation>,
    /// Digest of the dataset.
    pub dataset_digest: Digest,
    /// Digest of the training configuration.
    pub config_digest: Digest,
    /// Step of the weights.
    pub step: u64,
    /// True for the best epoch on the validation split, false for the last weights.
    pub best_on_validation: bool,
    /// Symmetries of the views over which the answers are averaged.
    pub symmetries: usize,
    /// Architecture of the model.
    pub architecture: Architecture,
    /// Name of the balancer.
    pub balancer: String,
    /// Patients that the run was trained on, and what became of them.
    pub seen: SeenPatients,
    /// Labels of the run's training split.
    pub training: LabelCounts,
    /// Figures.
    pub measured: Measured,
    /// The network beside a ruler and beside itself with measures.
    pub readers: Readers,
    /// What the run's calibration is worth here; none for the patients that it was fitted on, and for a run without one.
    pub coverage: Option<Coverage>,
    /// Decisions at thresholds that were chosen on validation patients; likewise.
    pub operating: Option<Operating>,
    /// How often the calibrated probability comes true; empty without a calibration of other patients.
    pub reliability: Vec<Bin>,
    /// The status in parts of the split.
    pub subgroups: Subgroups,
}

impl Evaluation {
    /// The split in words, with its fold.
    pub(crate) fn split_in_words(&self) -> String {
        match self.fold {
            None => format!("{} split", self.split.name()),
            Some(CrossValidation { folds, fold, seed }) => {
                format!("{} split of fold {fold} of {folds}, dealt with seed {seed}", self.split.name())
            }
        }
    }

    /// What the network is, with the source of its architecture.
    pub(crate) fn architecture_in_words(&self) -> String {
        match self.architecture {
            Architecture::MtIds => {
                "MT-IDS, reconstructed from its abstract (Ma et al., Neural Networks 198, 108541, 2026)".to_owned()
            }
            baseline => format!("{}, a baseline for MT-IDS", baseline.title()),
        }
    }
}
