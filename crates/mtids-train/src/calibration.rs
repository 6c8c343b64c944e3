//! What a network's probabilities are worth, found on validation patients: `calibration.json` in the run folder.
//!
//! Two things are kept. A logistic map of the logit of metastasis (Platt 1999) turns the network's probability into one that agrees with how
//! often it is right; the distribution over joint classes follows it, p'(r, s) = p(r | s) · p'(s). A threshold makes sets of joint classes that
//! hold the true one in nine of ten nodes of new patients: hierarchical conformal prediction (Lee, Barber, Willett 2023, arXiv 2306.06342),
//! where each patient weighs the same, and one more patient stands for those to come. Invariants: fitted on patients that did not train the
//! weights; bound to one set of weights by its digest; deterministic. Where the validation split also chose the epoch, both are a little too
//! good, and `chose_epoch` says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mtids_metrics::{Logistic, threshold_for_sensitivity};
use mtids_models::decoding::metastasis_probability;
use mtids_onnx::Platt;
use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::folds::as_trained;
use crate::network::{Trained, choose_device};
use crate::predict::predict;
use crate::prediction::{MINIMUM_PATIENTS, Prediction, largest};
use crate::run_folder::RunFolder;

/// File in the run folder.
const FILE: &str = "calibration.json";
/// Share of nodes of new patients whose set holds their joint class.
pub const LEVEL: f64 = 0.9;
/// Share of the validation metastases that the sensitive threshold calls.
pub const SENSITIVITY: f64 = 0.9;
/// Probabilities are kept so far from 0 and 1 that their logit is finite.
const NEAREST: f64 = 1e-6;
/// Ridge on the standardised logit: too weak to matter, and enough where validation patients are told apart without error.
const RIDGE: f64 = 1e-2;

/// A calibration of one set of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Digest of the weights.
    pub weights: Digest,
    /// Digest of the dataset whose validation split was used.
    pub dataset: Digest,
    /// The validation split chose the epoch of the weights too.
    pub chose_epoch: bool,
    /// Validation nodes with region and status.
    pub nodes: usize,
    /// Their patients.
    pub patients: usize,
    /// Slope of the map of the logit, never negative.
    pub slope: f64,
    /// Its intercept.
    pub intercept: f64,
    /// Share of nodes whose set is to hold their class.
    pub level: f64,
    /// Calibrated probability of metastasis from which on [`SENSITIVITY`] of the validation metastases are called.
    pub sensitive_threshold: f64,
    /// Classes whose calibrated probability is at least this are in the set; 0 where patients are too few to leave any class out.
    pub least_probability: f64,
}

fn logit(probability: f64) -> f64 {
    let p = probability.clamp(NEAREST, 1.0 - NEAREST);
    (p / (1.0 - p)).ln()
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

impl Calibration {
    /// Fits a calibration on predictions for validation patients.
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn fit(validation: &[Prediction], weights: Digest, dataset: Digest, chose_epoch: bool) -> Result<Self, String> {
        let labelled: Vec<&Prediction> = validation.iter().filter(|row| row.joint_class().is_some()).collect();
        let mut by_patient: BTreeMap<&str, Vec<&Prediction>> = BTreeMap::new();
        for row in &labelled {
            by_patient.entry(&row.patient_key).or_default().push(row);
        }
        if by_patient.len() < MINIMUM_PATIENTS {
            return Err(format!(
                "{} validation patients with region and status, at least {MINIMUM_PATIENTS} are needed",
                by_patient.len()
            ));
        }
        let inputs: Vec<Vec<Option<f64>>> =
            labelled.iter().map(|row| vec![Some(logit(metastasis_probability(&row.pooled)))]).collect();
        let labels: Vec<bool> = labelled.iter().map(|row| row.metastasis == Some(1)).collect();
        let map = Logistic::fit(&inputs, &labels, RIDGE)
            .ok_or_else(|| "all validation patients have one status".to_owned())?;
        let input = map.inputs.first().ok_or("no input")?;
        // A network that ranks these patients worse than chance has said nothing about them: each node has the share of metastases then.
        let share = labels.iter().filter(|&&label| label).count() as f64 / labels.len() as f64;
        let slope = (input.weight / input.deviation).max(0.0);
        let intercept = if slope > 0.0 { map.intercept - slope * input.mean } else { logit(share) };
        let mut calibration = Self {
            weights,
            dataset,
            chose_epoch,
            nodes: labelled.len(),
            patients: by_patient.len(),
            slope,
            intercept,
            level: LEVEL,
            sensitive_threshold: 0.0,
            least_probability: 0.0,
        };
        let calibrated: Vec<(f64, bool)> =
            labelled.iter().map(|row| (calibration.metastasis(&row.pooled), row.metastasis == Some(1))).collect();
        calibration.sensitive_threshold = threshold_for_sensitivity(&calibrated, SENSITIVITY).unwrap_or(0.0);
        // Of the true class, with the weight of its node; the largest are added first, and the patient to come has the least of all.
        let total = by_patient.len() as f64 + 1.0;
        let mut of_true: Vec<(f64, f64)> = Vec::with_capacity(labelled.len());
        for rows in by_patient.values() {
            let weight = 1.0 / (total * rows.len() as f64);
            let probability = |row: &&Prediction| Some(calibration.joint(&row.pooled)[row.joint_class()?]);
            of_true.extend(rows.iter().filter_map(probability).map(|probability| (probability, weight)));
        }
        of_true.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut sum = 0.0;
        let reached = of_true.iter().find(|(_, weight)| {
            sum += weight;
            sum >= LEVEL - 1e-12
        });
        calibration.least_probability = reached.map_or(0.0, |(probability, _)| *probability);
        Ok(calibration)
    }

    /// The probability of metastasis that agrees with how often it is right.
    pub fn metastasis(&self, pooled: &[f64]) -> f64 {
        logistic(self.slope * logit(metastasis_probability(pooled)) + self.intercept)
    }

    /// The map by itself.
    pub(crate) fn platt(&self) -> Platt {
        Platt { slope: self.slope, intercept: self.intercept, nearest: NEAREST }
    }

    /// The distribution over joint classes with that probability of metastasis.
    pub fn joint(&self, pooled: &[f64]) -> Vec<f64> {
        let before = metastasis_probability(pooled).clamp(NEAREST, 1.0 - NEAREST);
        let after = self.metastasis(pooled);
        let scale = [(1.0 - after) / (1.0 - before), after / before];
        let scaled: Vec<f64> = pooled.iter().enumerate().map(|(class, p)| p * scale[class % 2]).collect();
        let total: f64 = scaled.iter().sum();
        scaled.into_iter().map(|p| p / total).collect()
    }

    /// The joint classes of the set of a calibrated distribution: never empty, in the order of their codes.
    pub fn set(&self, joint: &[f64]) -> Vec<usize> {
        let set: Vec<usize> = (0..joint.len()).filter(|&class| joint[class] >= self.least_probability).collect();
        if set.is_empty() { vec![largest(joint)] } else { set }
    }

    /// Reads the calibration of a run; `None` where it has none for these weights.
    ///
    /// # Errors
    /// [`TrainError::Io`], or [`TrainError::Mismatch`] for a file that cannot be used.
    pub fn read(folder: &RunFolder, weights: &Digest) -> Result<Option<Self>, TrainError> {
        let file = folder.file(FILE);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::io(&file, error)),
        };
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| TrainError::Mismatch {
            reason: format!(
                "is damaged or of another version of this program ({error}); make it again with `mtids-train calibrate --run {}`",
                folder.path().display()
            ),
            path: file,
        })?;
        Ok((read.weights == *weights).then_some(read))
    }

    fn write(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let file = folder.file(FILE);
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| TrainError::io(&file, error.into()))?;
        json.push(b'\n');
        atomic::write(&file, &json).map_err(|error| TrainError::io(&file, error))
    }
}

/// Calibrates the weights of a run on the validation patients of its own dataset, and writes the result into its folder. What is there for these
/// weights already is kept. The inner result says in words why there is none.
///
/// # Errors
/// [`TrainError`] for a missing run, another dataset than the run's, or damaged data.
pub fn calibrate(
    run: &Path,
    dataset: &Path,
    device: Option<&str>,
    interrupt: &Interrupt,
) -> Result<Result<Calibration, String>, TrainError> {
    let folder = RunFolder::open(run)?;
    let opened = as_trained(mtids_store::open_dataset(dataset)?, &folder)?;
    let manifest = opened.manifest();
    folder.refuse_other_patches(dataset, &manifest.description)?;
    if manifest.digest() != folder.identity().dataset_digest {
        return Err(TrainError::Mismatch {
            path: dataset.to_owned(),
            reason: format!(
                "{} was trained on another dataset, so it is not known whom of these patients it has seen; calibrate with its own",
                run.display()
            ),
        });
    }
    calibrate_opened(&folder, &opened, dataset, device, interrupt)
}

/// As [`calibrate`], with the dataset of the run at hand: at the end of a training, when another may lie in its place.
pub(crate) fn calibrate_opened(
    folder: &RunFolder,
    opened: &Arc<Dataset>,
    path: &Path,
    device: Option<&str>,
    interrupt: &Interrupt,
) -> Result<Result<Calibration, String>, TrainError> {
    let manifest = opened.manifest();
    let device = choose_device(device, &folder.config().device)?;
    let trained = Trained::load(folder, &manifest.description, path, device)?;
    // One that cannot be used is made again.
    if let Ok(Some(calibration)) = Calibration::read(folder, &trained.weights) {
        return Ok(Ok(calibration));
    }
    if opened.shards(Split::Validation).next().is_none() {
        return Ok(Err("the dataset has no validation split".to_owned()));
    }
    let predictions = predict(&trained.network, opened, Split::Validation, folder.config(), interrupt)?
        .ok_or(TrainError::Interrupted { step: trained.step })?;
    let fitted = Calibration::fit(&predictions, trained.weights, manifest.digest(), trained.best_on_validation);
    if let Ok(calibration) = &fitted {
        calibration.write(folder)?;
    }
    Ok(fitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    /// Nodes of two regions whose true probability of metastasis is the logistic of `1.5 x - 0.5`, where the network says that of `3 x`.
    fn nodes(patients: usize, seed: u64) -> Vec<Prediction> {
        let mut random = rng_for(seed, "nodes of a test", &[]);
        let mut nodes = Vec::new();
        for patient in 0..patients {
            for node in 0..1 + patient % 5 {
                let x: f64 = random.random_range(-1.0..1.0);
                let (said, truth) = (logistic(3.0 * x), logistic(1.5 * x - 0.5));
                let region = usize::from(random.random_range(0.0..1.0) < 0.4);
                let near = random.random_range(0.5..1.0);
                let by_region = if region == 0 { [near, 1.0 - near] } else { [1.0 - near, near] };
                nodes.push(Prediction {
                    sample_key: format!("{patient}-{node}"),
                    patient_key: format!("p{patient}"),
                    region: Some(usize::from(random.random_range(0.0..1.0) < by_region[1])),
                    metastasis: Some(usize::from(random.random_range(0.0..1.0) < truth)),
                    pooled: by_region.iter().flat_map(|r| [r * (1.0 - said), r * said]).collect(),
                    ..Prediction::default()
                });
            }
        }
        nodes
    }

    fn fit(nodes: &[Prediction]) -> Result<Calibration, String> {
        Calibration::fit(nodes, Digest::of_bytes(b"weights"), Digest::of_bytes(b"dataset"), false)
    }

    #[test]
    fn the_map_finds_how_often_the_network_is_right() {
        let calibration = fit(&nodes(4000, 1)).unwrap();
        assert!((calibration.slope - 0.5).abs() < 0.03, "{calibration:?}");
        assert!((calibration.intercept + 0.5).abs() < 0.05, "{calibration:?}");
    }

    #[test]
    fn a_calibrated_distribution_keeps_its_sum_its_status_and_the_regions_within_a_status() {
        let calibration = fit(&nodes(500, 2)).unwrap();
        for node in nodes(40, 3) {
            let joint = calibration.joint(&node.pooled);
            assert!((joint.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!((metastasis_probability(&joint) - calibration.metastasis(&node.pooled)).abs() < 1e-9);
            assert!((joint[1] * node.pooled[3] - joint[3] * node.pooled[1]).abs() < 1e-12);
        }
    }

    #[test]
    fn sets_hold_the_class_of_nine_in_ten_nodes_of_new_patients() {
        // Over many calibrations, of few and of many patients, and never less where they are few.
        for (patients, most) in [(12, 1.0), (60, 0.95), (400, 0.925)] {
            let mut held = 0.0;
            for seed in 0..40 {
                let calibration = fit(&nodes(patients, 100 + seed)).unwrap();
                let fresh = nodes(300, 900 + seed);
                let is_held = |node: &&Prediction| {
                    calibration.set(&calibration.joint(&node.pooled)).contains(&node.joint_class().unwrap())
                };
                held += fresh.iter().filter(is_held).count() as f64 / fresh.len() as f64 / 40.0;
            }
            assert!((0.89..=most).contains(&held), "{patients} patients: {held}");
        }
    }

    #[test]
    fn too_few_patients_and_one_status_are_said_in_words() {
        assert!(fit(&nodes(4, 1)).unwrap_err().contains("validation patients"));
        let mut nodes = nodes(30, 1);
        nodes.iter_mut().for_each(|node| node.metastasis = Some(0));
        assert!(fit(&nodes).unwrap_err().contains("one status"));
    }

    #[test]
    fn a_network_that_ranks_worse_than_chance_is_not_turned_round() {
        let mut nodes = nodes(200, 5);
        for node in &mut nodes {
            node.metastasis = Some(usize::from(metastasis_probability(&node.pooled) < 0.3));
        }
        let calibration = fit(&nodes).unwrap();
        let share = nodes.iter().filter(|node| node.metastasis == Some(1)).count() as f64 / nodes.len() as f64;
        assert_eq!(calibration.slope, 0.0);
        assert!((calibration.metastasis(&nodes[0].pooled) - share).abs() < 1e-9);
    }

    #[test]
    fn few_patients_leave_no_class_out() {
        let calibration = fit(&nodes(6, 1)).unwrap();
        assert_eq!(calibration.least_probability, 0.0);
        assert_eq!(calibration.set(&[0.7, 0.3, 0.0, 0.0]), [0, 1, 2, 3]);
    }
}
