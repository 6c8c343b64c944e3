//! The trained networks that read candidates, and what they say together.
//!
//! Invariants: all networks of an ensemble were trained on rows of one description; a candidate's answer does not depend on the candidates
//! beside it. Probabilities are means over the networks, each calibrated by itself, where its calibration does so together with the candidate's
//! measures. A class is in the set where it is in the sets of at least half of the networks: each set holds the truth with 1 − α, so the vote does
//! with at least 1 − 2α (Gasparin and Ramdas 2024, arXiv 2401.09379).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mtids_models::decoding::{metastasis_probability, region_probabilities};
use mtids_models::tasks::TaskSet;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{DatasetDescription, Measure, PatchRow, RowLabels};
use mtids_stream::Batch;

use super::answer::{RunAnswer, Said, StatusAnswer};
use super::options::PredictOptions;
use crate::calibration::Calibration;
use crate::error::TrainError;
use crate::measured::Dimension;
use crate::network::{Trained, choose_device};
use crate::predict::predictions;
use crate::prediction::{Prediction, largest};
use crate::run_folder::{RunFolder, TrainedOn, TrainingRange};
use crate::staging::EvaluationBatch;
use crate::untaught::untaught_regions;

/// Share of a patch that may lie outside of the scan without a word.
const MOST_PADDING: f64 = 0.25;

/// One trained network.
struct Member {
    folder: RunFolder,
    trained: Trained,
    calibration: Option<Calibration>,
    range: Option<TrainingRange>,
    trained_on: Option<TrainedOn>,
    untaught_regions: BTreeSet<String>,
    is_finished: bool,
    batch_size: usize,
}

/// All of them.
pub(super) struct Reader {
    members: Vec<Member>,
    description: Option<DatasetDescription>,
}

impl Member {
    fn load(run: &Path, options: &PredictOptions<'_>) -> Result<(Self, DatasetDescription), TrainError> {
        let folder = RunFolder::open(run)?;
        let description = folder.description()?;
        let device = choose_device(options.device, &folder.config().device)?;
        let trained = Trained::load(&folder, &description, run, device)?;
        refuse_silent_tasks(run, trained.network.model.tasks())?;
        let trained_on = folder.trained_on()?;
        let untaught_regions = match trained_on.as_ref().map(|one| one.taught.as_ref().unwrap_or(&one.labels)) {
            Some(taught) => untaught_regions(run, taught, &description)?,
            None => BTreeSet::new(),
        };
        if !untaught_regions.is_empty() {
            let regions: Vec<&str> = untaught_regions.iter().map(String::as_str).collect();
            tracing::warn!(
                "no node that {} was trained on lies in {}: its network never reads that region, and a node of it is read as of another one",
                run.display(),
                regions.join(", ")
            );
        }
        let calibration = Calibration::read(&folder, &trained.weights)?;
        if calibration.is_none() {
            tracing::warn!(
                "{} is not calibrated: its probabilities are shown as they are, without sets; run `mtids-train calibrate`",
                run.display()
            );
        }
        if calibration.as_ref().is_some_and(|calibration| !calibration.tried_fusion()) {
            tracing::warn!(
                "{} was calibrated by an earlier version, without measures; `mtids-train calibrate` makes that anew",
                run.display()
            );
        }
        let range = TrainingRange::read(run)?;
        if range.is_none() {
            tracing::warn!("{} does not record what it was trained on; nothing is checked against it", run.display());
        }
        let batch_size = options.batch_size.unwrap_or(folder.config().batch_size).max(1);
        let is_finished = folder.unfinished()?.is_none();
        Ok((
            Self { folder, trained, calibration, range, trained_on, untaught_regions, is_finished, batch_size },
            description,
        ))
    }

    /// The network's own probabilities for rows.
    fn predict(&self, rows: &[PatchRow], regions: usize, interrupt: &Interrupt) -> Result<Vec<Prediction>, TrainError> {
        let network = &self.trained.network;
        let batches = rows.chunks(self.batch_size).enumerate().map(|(index, rows)| {
            let labels = rows.iter().map(|row| row.labels.clone()).collect();
            let of_view = |view: usize| rows.iter().flat_map(|row| row.views[view].iter().copied()).collect();
            let views = (0..rows[0].views.len()).map(of_view).collect();
            EvaluationBatch::new(Batch::new(index as u64, labels, views), &network.transform, &network.device)
        });
        predictions(&network.model, regions, batches, interrupt)
            .map_err(|error| {
                let advice = "set a smaller --batch-size, or compute on the CPU with --device cpu";
                error.without_room_to_read(&network.device, self.batch_size, advice)
            })?
            .ok_or(TrainError::InterruptedAnswer)
    }
}

/// Refuses a network whose pooled distribution is flat over regions or over statuses: the first of them would be called, for no reason.
fn refuse_silent_tasks(run: &Path, tasks: &TaskSet) -> Result<(), TrainError> {
    let silent = Dimension::untold(tasks);
    if silent.is_empty() {
        return Ok(());
    }
    let silent: Vec<&str> = silent.into_iter().map(Dimension::name).collect();
    let silent = silent.join(" and ");
    let names: Vec<&str> = tasks.tasks().iter().map(|task| task.name.as_str()).collect();
    let reason = format!(
        "its tasks ({}) say nothing of the {silent}, and an answer states both; train with the task `joint`, or with `region` and `metastasis`",
        names.join(", ")
    );
    Err(TrainError::Mismatch { path: run.to_owned(), reason })
}

impl Reader {
    /// Loads runs.
    ///
    /// # Errors
    /// [`TrainError`] for a missing run, one whose tasks do not tell region and metastasis, and runs that were trained on rows of different
    /// descriptions.
    pub(super) fn load(runs: &[PathBuf], options: &PredictOptions<'_>) -> Result<Self, TrainError> {
        let (mut members, mut description): (Vec<Member>, Option<DatasetDescription>) = (Vec::new(), None);
        for run in runs {
            let (member, of_run) = Member::load(run, options)?;
            if let Some(first) = members.first()
                && let Some(different) = first.folder.different_patches(&of_run)?
            {
                let reason = format!(
                    "its {different} differ from those of {}; runs that answer together need datasets built with the same settings",
                    first.folder.path().display()
                );
                return Err(TrainError::Mismatch { path: run.clone(), reason });
            }
            let weights = member.trained.weights;
            if let Some(twin) = members.iter().find(|other| other.trained.weights == weights) {
                let twin = twin.folder.path().display();
                let reason = format!("it has the weights of {twin}; give each run of an ensemble once");
                return Err(TrainError::Mismatch { path: run.clone(), reason });
            }
            description.get_or_insert(of_run);
            members.push(member);
        }
        // A mean of calibrated and other probabilities is neither.
        if members.iter().any(|member| member.calibration.is_none()) {
            members.iter_mut().for_each(|member| member.calibration = None);
        }
        Ok(Self { members, description })
    }

    /// What the rows that the networks read are; `None` without a network.
    pub(super) fn description(&self) -> Option<&DatasetDescription> {
        self.description.as_ref()
    }

    /// There is a network.
    pub(super) fn has_network(&self) -> bool {
        !self.members.is_empty()
    }

    /// Regions that a network was never taught; `None` without a network.
    pub(super) fn untaught_regions(&self) -> Option<BTreeSet<&str>> {
        let all = self.members.iter().flat_map(|member| member.untaught_regions.iter().map(String::as_str));
        self.has_network().then(|| all.collect())
    }

    /// The runs, as an answer states them.
    pub(super) fn runs(&self) -> Vec<RunAnswer> {
        let of = |member: &Member| {
            let identity = member.folder.identity();
            RunAnswer {
                weights: member.trained.weights.to_string(),
                configuration: identity.config_digest.to_string(),
                dataset: identity.dataset_digest.to_string(),
                seed: identity.seed,
                step: member.trained.step,
                finished: member.is_finished,
                calibrated: member.calibration.is_some(),
                with_measures: member.calibration.as_ref().is_some_and(|one| one.fusion.is_some()),
                untaught_regions: member.untaught_regions.iter().cloned().collect(),
                level: member.calibration.as_ref().map(|calibration| calibration.level),
            }
        };
        self.members.iter().map(of).collect()
    }

    /// What is said of rows.
    ///
    /// # Errors
    /// [`TrainError`] of a network, or after a signal.
    pub(super) fn read(&self, rows: &[PatchRow], interrupt: &Interrupt) -> Result<Vec<Said>, TrainError> {
        let Some(description) = &self.description else { return Ok(vec![Said::default(); rows.len()]) };
        let names: Vec<&str> = description.regions.regions().iter().map(|region| region.name.as_str()).collect();
        let mut by_member = Vec::with_capacity(self.members.len());
        for member in &self.members {
            by_member.push(member.predict(rows, names.len(), interrupt)?);
        }
        let said = |(n, row): (usize, &PatchRow)| {
            let mut outside: Vec<String> = self
                .members
                .iter()
                .filter_map(|member| member.range.as_ref())
                .flat_map(|range| range.outside(&row.labels))
                .collect();
            outside.extend(unlike_a_node(&row.labels));
            let voxels = &row.labels.voxels_digest;
            if self.members.iter().filter_map(|one| one.trained_on.as_ref()).any(|one| one.voxels.contains(voxels)) {
                outside.push("not new: its voxels were in the training or validation of the network".to_owned());
            }
            outside.sort_unstable();
            outside.dedup();
            let own: Vec<&Prediction> = by_member.iter().filter_map(|predictions| predictions.get(n)).collect();
            Said { status: together(&self.members, &own, &names), outside }
        };
        Ok(rows.iter().enumerate().map(said).collect())
    }
}

/// In which ways a row is unlike a node inside a scan, whatever the training was.
fn unlike_a_node(labels: &RowLabels) -> Vec<String> {
    let mut all = Vec::new();
    if labels.grown.get(Measure::ShortAxis).is_none() {
        all.push("no region could be grown from its centre: it may lie in air, lung or fat".to_owned());
    }
    if f64::from(labels.pad_fraction) > MOST_PADDING {
        all.push(format!("{:.0} % of its patch lies outside of the scan", 100.0 * labels.pad_fraction));
    }
    all
}

/// What networks say together of one row.
fn together(members: &[Member], own: &[&Prediction], regions: &[&str]) -> Option<StatusAnswer> {
    let count = own.len() as f64;
    let (mut joint, mut votes) = (vec![0.0; 2 * regions.len()], vec![0usize; 2 * regions.len()]);
    let mut each = Vec::with_capacity(own.len());
    for (member, prediction) in members.iter().zip(own) {
        let calibrated = match &member.calibration {
            Some(calibration) => {
                let calibrated = calibration.joint(prediction);
                calibration.set(&calibrated).into_iter().for_each(|class| votes[class] += 1);
                calibrated
            }
            None => prediction.pooled.clone(),
        };
        each.push(metastasis_probability(&calibrated));
        joint.iter_mut().zip(&calibrated).for_each(|(sum, p)| *sum += p / count);
    }
    let by_region = region_probabilities(&joint);
    let best = largest(&by_region);
    let asked: Option<Vec<(&Calibration, &Prediction)>> =
        members.iter().zip(own).map(|(member, row)| Some((member.calibration.as_ref()?, *row))).collect();
    let of_measures: Vec<f64> =
        members.iter().zip(own).filter_map(|(member, row)| member.calibration.as_ref()?.of_measures(row)).collect();
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let is_in = |class: &usize| 2 * votes[*class] >= members.len();
    // Members that agree on no class vote for none; the set holds the likeliest then, for an empty one would exclude everything.
    let mut voted: Vec<usize> = (0..votes.len()).filter(is_in).collect();
    if voted.is_empty() {
        voted.push(largest(&joint));
    }
    let class_name = |class: usize| format!("{} {}", regions[class / 2], StatusAnswer::word(class % 2 == 1));
    let probability = metastasis_probability(&joint);
    Some(StatusAnswer {
        region: (*regions.get(best)?).to_owned(),
        region_probability: by_region[best],
        probability,
        metastatic: probability >= 0.5,
        network_calibrated: asked
            .as_ref()
            .and_then(|asked| mean(asked.iter().map(|(one, row)| one.of_network(&row.pooled)).collect())),
        measures_probability: mean(of_measures),
        network_probability: own.iter().map(|one| metastasis_probability(&one.pooled)).sum::<f64>() / count,
        least: each.iter().copied().fold(f64::INFINITY, f64::min),
        most: each.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        set: asked.is_some().then(|| voted.into_iter().map(class_name).collect()),
    })
}
