//! Suspects: rows whose label along a dimension is likely wrong, ranked.
//!
//! Probabilities of the labels come from predictions of runs for held-out patients, or from small models of what the dataset measures, out of
//! fold by patient. `posterior` joins them with what the evidence of a label is worth; confident learning says how many labels of each class
//! are wrong. Invariants: an unknown label is never judged; the same dataset, predictions and settings give the same bytes; no voxel is read,
//! pictures aside.

pub mod config;
mod folds;
pub mod found;
pub mod output;
pub mod page;
mod place;
mod posterior;
mod predictions;
pub mod ranked;
mod rows;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use mtids_domain::label::Evidence;
use mtids_metrics::{BootstrapOptions, ConfidentJoint, auroc, auroc_by_patient, bootstrap_by_patient};
use mtids_report::format::{count, counted};
use mtids_runtime::provenance::Program;

use crate::error::AuditError;
use crate::index::Index;
use crate::needed;
use crate::opened::open;
use config::SuspectsConfig;
use folds::{Folds, Probabilities};
use found::{Dimension, Judged, Suspects};
use place::Places;
use posterior::judge;
use predictions::Predictions;
use ranked::{Found, Ranked, details};
use rows::{Rows, STATUSES};

/// Suspects of a dimension that the JSON names.
const MOST_NAMED: usize = 1000;
/// Probabilities are kept so far from 0 and 1 that their logit is finite.
const NEAREST: f64 = 1e-6;
/// Resamples of the interval of the noise: its ends are read to two digits.
const RESAMPLES: usize = 400;

/// Looks for wrong labels of a dataset, by `predictions` of runs or, without any, by models of its measures.
///
/// # Errors
/// [`AuditError`] when there is no dataset, its index or a table of predictions cannot be read, or a setting makes no sense.
pub fn suspects(dataset: &Path, predictions: &[PathBuf], config: &SuspectsConfig) -> Result<Found, AuditError> {
    config.validate()?;
    let dataset = open(dataset)?;
    let manifest = dataset.manifest();
    let index = Index::open(&dataset)?;
    needed::check(&dataset, &index)?;
    let regions: Vec<String> = manifest.description.regions.regions().iter().map(|one| one.name.clone()).collect();
    let rows = Rows::read(&index, regions.len(), predictions.is_empty())?;
    let mut notes = Vec::new();
    let mut contradicts = false;
    let (tables, probabilities) = if predictions.is_empty() {
        (Vec::new(), by_measures(&rows, regions.len(), config, &mut notes))
    } else {
        let patients: HashMap<&str, &str> =
            rows.keys.iter().map(String::as_str).zip(rows.patients.iter().map(String::as_str)).collect();
        let read = Predictions::read(predictions, &regions, &manifest.pseudonym_fingerprint, &patients)?;
        let found = by_predictions(&rows, &read, config, &mut notes);
        contradicts = found.1;
        (read.tables, found.0)
    };
    let statuses = STATUSES.map(str::to_owned).to_vec();
    let mut found = Found {
        suspects: Suspects {
            program: Program::new("mtids-audit", env!("CARGO_PKG_VERSION")),
            dataset_digest: manifest.digest(),
            config: config.clone(),
            predictions: tables,
            notes,
            contradicts,
            dimensions: Vec::new(),
            suspects: Vec::new(),
        },
        ranked: Vec::new(),
    };
    if rows.keys.is_empty() {
        found.suspects.notes = vec!["The dataset has no findings, so no label is judged.".to_owned()];
        return Ok(found);
    }
    let [by_region, by_status] = probabilities;
    for (dimension, classes, labels, probabilities) in [
        (Dimension::Region, regions, &rows.regions, by_region),
        (Dimension::Metastasis, statuses, &rows.statuses, by_status),
    ] {
        let judged = Dimensioned { dimension, classes, labels, probabilities, rows: &rows };
        judged.judge(config, &index, &mut found)?;
    }
    Ok(found)
}

/// Probabilities of regions by place, and of statuses by measures.
fn by_measures(rows: &Rows, regions: usize, config: &SuspectsConfig, notes: &mut Vec<String>) -> [Probabilities; 2] {
    let folds = folds_of(rows, config);
    let places = Places { places: &rows.places, series: &rows.series, regions: &rows.regions };
    let by_region = folds.judge(&rows.regions, regions, |_| true, |fitted| places.inputs(fitted, regions));
    let left_out = (0..rows.keys.len()).filter(|&n| is_by_size(rows, n)).count();
    if !config.size_labels_teach && left_out > 0 {
        let statuses = counted(
            left_out as u64,
            "status by size alone (evidence D) is judged and teaches no model",
            "statuses by size alone (evidence D) are judged and teach no model",
        );
        notes.push(format!("{statuses}."));
    }
    if rows.measures.first().is_none_or(Vec::is_empty) {
        notes.push("No measure is known for half of the findings, so statuses are not judged.".to_owned());
        return [by_region, vec![None; rows.keys.len()]];
    }
    let by_status = folds.judge(
        &rows.statuses,
        STATUSES.len(),
        |n| config.size_labels_teach || !is_by_size(rows, n),
        |_| rows.measures.clone(),
    );
    [by_region, by_status]
}

fn folds_of(rows: &Rows, config: &SuspectsConfig) -> Folds {
    Folds::deal(&rows.patients, config.folds, config.seed, config.most_fitted_rows)
}

/// Whether the status of a row comes from its size alone.
fn is_by_size(rows: &Rows, n: usize) -> bool {
    rows.evidence[n] == Evidence::D && rows.statuses[n].is_some()
}

/// Statuses of predictions by one logistic regression on their logit, out of fold by patient: networks are surer than they are right, and a
/// probability near 0 or 1 would outweigh all evidence. Where nothing can be fitted they stay.
fn calibrated(rows: &Rows, by_status: Probabilities, config: &SuspectsConfig) -> Probabilities {
    let logit = |row: &Vec<f64>| {
        let p = row[1].clamp(NEAREST, 1.0 - NEAREST);
        (p / (1.0 - p)).ln()
    };
    let inputs: Vec<Vec<Option<f64>>> = by_status.iter().map(|row| vec![row.as_ref().map(logit)]).collect();
    let labels: Vec<Option<usize>> =
        rows.statuses.iter().zip(&by_status).map(|(status, row)| status.filter(|_| row.is_some())).collect();
    let teaches = |n: usize| config.size_labels_teach || !is_by_size(rows, n);
    let found = folds_of(rows, config).judge(&labels, STATUSES.len(), teaches, |_| inputs.clone());
    found.into_iter().zip(by_status).map(|(calibrated, given)| calibrated.or(given)).collect()
}

/// Whether predictions rank statuses the wrong way round, beyond chance. A map that is fitted on the labels would turn them, and agree.
fn are_reversed(rows: &Rows, by_status: &Probabilities) -> bool {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut scored = Vec::new();
    for ((row, status), patient) in by_status.iter().zip(&rows.statuses).zip(&rows.patients) {
        let next = numbers.len() as u32;
        let patient = *numbers.entry(patient).or_insert(next);
        scored.extend(row.as_ref().zip(*status).map(|(row, status)| (row[1] as f32, status == 1, patient)));
    }
    let interval = auroc_by_patient(&scored).and_then(|area| area.interval);
    interval.is_some_and(|interval| interval.high < 0.5)
}

/// Probabilities of both dimensions by the predictions of runs, and whether they contradict the statuses as a whole.
fn by_predictions(
    rows: &Rows,
    predictions: &Predictions,
    config: &SuspectsConfig,
    notes: &mut Vec<String>,
) -> ([Probabilities; 2], bool) {
    let of_row = |key: &String| <(_, _)>::from(predictions.of(key));
    let (by_region, by_status): (Probabilities, Probabilities) = rows.keys.iter().map(of_row).unzip();
    for (name, of_dimension) in [("region", &by_region), ("status", &by_status)] {
        let without = of_dimension.iter().filter(|row| row.is_none()).count();
        if without > 0 {
            let all = counted(rows.keys.len() as u64, "finding has", "findings have");
            notes.push(format!("{} of {all} no prediction of the {name}, so it is not judged.", count(without as u64)));
        }
    }
    let unchecked = predictions.tables.iter().filter(|table| !table.checked).count();
    if unchecked > 0 {
        notes.push(format!(
            "{unchecked} of {} tables of predictions have no `trained-on.json` of this dataset's secret beside them: nobody checked that their \
             runs never saw these patients.",
            predictions.tables.len()
        ));
    }
    if are_reversed(rows, &by_status) {
        notes.push(
            "The predictions contradict the statuses as a whole: nodes that are called metastatic seem to be benign. Are benign and metastatic \
             exchanged, here or in the run? Statuses are judged by the predictions as they are."
                .to_owned(),
        );
        return ([by_region, by_status], true);
    }
    ([by_region, calibrated(rows, by_status, config)], false)
}

/// A dimension with its labels and probabilities.
struct Dimensioned<'a> {
    dimension: Dimension,
    classes: Vec<String>,
    labels: &'a [Option<usize>],
    probabilities: Probabilities,
    rows: &'a Rows,
}

impl Dimensioned<'_> {
    /// Ranks the rows of the dimension and adds what was found; a note where there is too little to judge by.
    fn judge(self, config: &SuspectsConfig, index: &Index, found: &mut Found) -> Result<(), AuditError> {
        let known = |n: usize| Some((n, self.labels[n]?, self.probabilities[n].as_deref()?));
        let judged: Vec<(usize, usize, &[f64])> = (0..self.labels.len()).filter_map(known).collect();
        let patients: Vec<&str> = judged.iter().map(|(n, ..)| self.rows.patients[*n].as_str()).collect();
        let people = patients.iter().collect::<BTreeSet<_>>().len() as u64;
        let joint = |rows: &[usize]| {
            let samples = rows.iter().map(|&at| (judged[at].1, judged[at].2));
            ConfidentJoint::of(self.classes.len(), samples)
        };
        let all: Vec<usize> = (0..judged.len()).collect();
        let Some(of_all) = joint(&all).filter(|_| people >= config.fewest_patients && self.classes.len() > 1) else {
            let name = self.dimension.name();
            found.suspects.notes.push(format!(
                "Labels of the {name} are not judged: {} a known label that a model could judge, and {} are needed.",
                counted(people, "patient has", "patients have"),
                config.fewest_patients
            ));
            return Ok(());
        };
        let options = BootstrapOptions { resamples: RESAMPLES, seed: config.seed };
        let interval = bootstrap_by_patient(&patients, options, |drawn| Some(joint(drawn)?.noise()));
        let mut ranked: Vec<Ranked> = judged.iter().map(|row| self.ranked(*row, config)).collect();
        ranked.sort_by(|a, b| {
            let by_model = a.p_given.total_cmp(&b.p_given);
            b.p_wrong.total_cmp(&a.p_wrong).then(by_model).then_with(|| a.key.cmp(&b.key))
        });
        for (rank, row) in (1..).zip(&mut ranked) {
            row.rank = rank;
        }
        let suspects = ranked.iter().take_while(|row| row.p_wrong >= config.least_probability).count();
        let agreeing = judged.iter().filter(|(_, given, row)| row.iter().all(|p| *p <= row[*given])).count();
        let scored: Vec<(f64, bool)> = judged.iter().map(|(_, given, row)| (row[row.len() - 1], *given == 1)).collect();
        found.suspects.dimensions.push(Judged {
            dimension: self.dimension,
            rows: judged.len() as u64,
            patients: people,
            agreement: agreeing as f64 / judged.len().max(1) as f64,
            auroc: (self.dimension == Dimension::Metastasis).then(|| auroc(&scored)).flatten(),
            noise: of_all.noise(),
            thresholds: of_all.thresholds,
            confident_joint: of_all.counts,
            noise_interval: interval.map(|interval| [interval.low, interval.high]),
            expected_noise: ranked.iter().map(|row| row.p_wrong).sum::<f64>() / judged.len().max(1) as f64,
            suspects: suspects as u64,
            classes: self.classes,
        });
        found.suspects.suspects.extend(details(index, &ranked[..suspects.min(MOST_NAMED)])?);
        found.ranked.extend(ranked);
        Ok(())
    }

    fn ranked(&self, (n, given, row): (usize, usize, &[f64]), config: &SuspectsConfig) -> Ranked {
        let verdict = judge(self.dimension, given, row, self.rows.evidence[n], config);
        Ranked {
            dimension: self.dimension,
            rank: 0,
            key: self.rows.keys[n].clone(),
            given: self.classes[given].clone(),
            suggested: self.classes[verdict.suggested].clone(),
            p_given: row[given],
            p_suggested: row[verdict.suggested],
            p_wrong: verdict.wrong,
            probabilities: row.to_vec(),
        }
    }
}
