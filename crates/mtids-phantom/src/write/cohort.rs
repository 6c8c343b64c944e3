//! A cohort on disk: DICOM studies, the annotation table, label maps, and the truth beside them.
//!
//! Layout: `dicom/<patient>/<study>/…`, `masks/<series>.nii.gz` for some, `annotations.csv`, `truth.json` (never read by a trainer), and
//! `cohort.json` last. Invariants: a folder with `cohort.json` is complete; one with `cohort.started` is continued by the same
//! configuration only, so that a cohort never holds patients of another one; nothing is removed but unfinished studies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use mtids_metrics::auroc;
use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::anatomy::Landmarks;
use crate::config::{PhantomConfig, Phase};
use crate::defect::Defect;
use crate::error::PhantomError;
use crate::node::Node;
use crate::patient::{LabelForm, Model, Patient, n_category};
use crate::reference::{Sample, is_metastatic, logistic};
use crate::study;

/// Part of the digest: a change of the images or tables must not pass for the cohort of an earlier program.
const GENERATOR: &str = "phantom 2";

/// First line of the annotation table.
pub(crate) const TABLE_HEADER: &str =
    "study_uid,series_uid,finding,x_mm,y_mm,z_mm,diameter_mm,station,metastasis,evidence,level,short_axis_mm\n";

/// What a cohort holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortSummary {
    /// Digest of the configuration and of the generator's version.
    pub config_digest: Digest,
    /// Patients.
    pub patients: usize,
    /// Nodes.
    pub nodes: usize,
    /// Metastatic nodes.
    pub metastatic: usize,
    /// Benign and metastatic nodes of each station.
    pub stations: BTreeMap<String, [usize; 2]>,
    /// Patients of each N category (TNM, 9th edition).
    pub n_categories: BTreeMap<String, usize>,
    /// Patients with each form of labels.
    pub forms: BTreeMap<LabelForm, usize>,
    /// Patients with each defect.
    pub defects: BTreeMap<Defect, usize>,
    /// Patients with PET.
    pub pet: usize,
    /// AUROC of the exact posterior of a node: no reader of one node can be better on average.
    pub oracle_auroc: Option<f64>,
    /// AUROC of the exact posterior given the whole patient: no reader of the study can be better on average.
    pub oracle_in_patient_auroc: Option<f64>,
    /// AUROC of a logistic regression on the latent features, by five folds of patients.
    pub logistic_auroc: Option<f64>,
    /// AUROC of the short axis alone.
    pub short_axis_auroc: Option<f64>,
}

/// Writes a cohort; does nothing if it is already there. `progress` is called after each patient, with the number of patients
/// finished so far, from any thread.
///
/// # Errors
/// [`PhantomError`] naming the file or key; [`PhantomError::Interrupted`] after a signal.
pub fn generate(
    config: &PhantomConfig,
    out: &Path,
    progress: &(dyn Fn(usize) + Sync),
    interrupt: &Interrupt,
) -> Result<CohortSummary, PhantomError> {
    let model = Model::new(config)?;
    let write_error = |path: &Path, source| PhantomError::Write { path: path.to_owned(), source };
    let config_digest = Digest::of_json(&(GENERATOR, config))
        .map_err(|error| PhantomError::Config { key: "seed", reason: error.to_string() })?;
    let marker = out.join("cohort.json");
    if marker.exists() {
        let found = fs::read(&marker).ok().and_then(|bytes| serde_json::from_slice::<CohortSummary>(&bytes).ok());
        return match found {
            Some(found) if found.config_digest == config_digest => Ok(found),
            _ => Err(PhantomError::OtherCohort { path: out.to_owned() }),
        };
    }
    let tree = out.join("dicom");
    let masks = out.join("masks");
    let started = out.join("cohort.started");
    match fs::read_to_string(&started) {
        Ok(text) if text.trim() == config_digest.to_string() => {}
        // Files of unknown origin, or of an unfinished cohort of other settings.
        Ok(_) => return Err(PhantomError::OtherCohort { path: out.to_owned() }),
        Err(_) if tree.exists() || masks.exists() => return Err(PhantomError::OtherCohort { path: out.to_owned() }),
        Err(_) => atomic::write(&started, format!("{config_digest}\n").as_bytes())
            .map_err(|source| write_error(&started, source))?,
    }
    for folder in [&tree, &masks] {
        fs::create_dir_all(folder).map_err(|source| write_error(folder, source))?;
    }
    let cohort = config_digest.to_string();
    let finished = AtomicUsize::new(0);
    let studies: Vec<WrittenStudy> = (0..config.patients)
        .into_par_iter()
        .map(|number| {
            if interrupt.is_raised() {
                return Err(PhantomError::Interrupted);
            }
            let patient = model.patient(number);
            let written = study::write(config, &cohort, &patient, &tree, &masks)?;
            let rows = rows(&patient.nodes, &written.identity.study_uid, &written.series_uid);
            progress(finished.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(WrittenStudy { truth: PatientTruth::new(&patient, written.series_uid), rows })
        })
        .collect::<Result<_, _>>()?;

    let mut table = TABLE_HEADER.to_owned();
    table.extend(studies.iter().map(|study| study.rows.as_str()));
    let table_path = out.join("annotations.csv");
    atomic::write(&table_path, table.as_bytes()).map_err(|source| write_error(&table_path, source))?;

    let truth: Vec<&PatientTruth> = studies.iter().map(|study| &study.truth).collect();
    write_json(&out.join("truth.json"), &truth)?;
    let summary = summarise(config_digest, &truth);
    write_json(&marker, &summary)?;
    fs::remove_file(&started).map_err(|source| write_error(&started, source))?;
    Ok(summary)
}

/// What is true of a patient: nodes in the order of the annotation table, with the features they were drawn from.
#[derive(Debug, Serialize)]
pub(crate) struct PatientTruth {
    #[serde(skip)]
    number: u32,
    patient_id: String,
    series_uid: String,
    manufacturer: String,
    phase: Phase,
    pet: bool,
    form: LabelForm,
    defect: Option<Defect>,
    /// Why the preprocessing must refuse the series; none where it must not.
    expected_reason: Option<&'static str>,
    landmarks: Landmarks,
    /// Side of the lung that the primary lies in.
    primary_side: char,
    primary_mm: [f64; 3],
    n_category: &'static str,
    nodes: Vec<Node>,
}

impl PatientTruth {
    fn new(patient: &Patient, series_uid: String) -> Self {
        let reason = patient.defect.and_then(Defect::reason);
        let tilted = (patient.site.tilt_degrees != 0.0).then_some(mtids_dicom::ReasonCode::GantryTilt);
        Self {
            number: patient.number,
            patient_id: study::patient_id(patient.number),
            series_uid,
            manufacturer: patient.site.manufacturer.clone(),
            phase: patient.site.phase,
            pet: patient.pet,
            form: patient.form,
            defect: patient.defect,
            expected_reason: reason.or(tilted).map(mtids_dicom::ReasonCode::as_str),
            landmarks: patient.anatomy.landmarks(),
            primary_side: if patient.right { 'R' } else { 'L' },
            primary_mm: patient.tumour_mm,
            n_category: n_category(patient.right, &patient.nodes),
            nodes: patient.nodes.clone(),
        }
    }
}

struct WrittenStudy {
    truth: PatientTruth,
    /// Lines of the annotation table.
    rows: String,
}

fn summarise(config_digest: Digest, truth: &[&PatientTruth]) -> CohortSummary {
    let mut stations: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut n_categories: BTreeMap<String, usize> = BTreeMap::new();
    let mut forms: BTreeMap<LabelForm, usize> = BTreeMap::new();
    let mut defects: BTreeMap<Defect, usize> = BTreeMap::new();
    let mut samples = Vec::new();
    for patient in truth {
        *n_categories.entry(patient.n_category.to_owned()).or_default() += 1;
        *forms.entry(patient.form).or_default() += 1;
        if let Some(defect) = patient.defect {
            *defects.entry(defect).or_default() += 1;
        }
        for node in &patient.nodes {
            stations.entry(node.station.to_string()).or_default()[usize::from(is_metastatic(node))] += 1;
            let enhancement = patient.phase != Phase::Native;
            samples.push(Sample { patient: patient.number, node, enhancement, uptake: patient.pet });
        }
    }
    let score = |of: &dyn Fn(&Node) -> f64| {
        auroc(&samples.iter().map(|sample| (of(sample.node), is_metastatic(sample.node))).collect::<Vec<_>>())
    };
    let fitted: Vec<(f64, bool)> = logistic(&samples)
        .into_iter()
        .zip(&samples)
        .map(|(score, sample)| (score, is_metastatic(sample.node)))
        .collect();
    CohortSummary {
        config_digest,
        patients: truth.len(),
        nodes: samples.len(),
        metastatic: samples.iter().filter(|sample| is_metastatic(sample.node)).count(),
        stations,
        n_categories,
        forms,
        defects,
        pet: truth.iter().filter(|patient| patient.pet).count(),
        oracle_auroc: score(&|node| node.posterior),
        oracle_in_patient_auroc: score(&|node| node.posterior_in_patient),
        logistic_auroc: auroc(&fitted),
        short_axis_auroc: score(&|node| node.appearance.short_axis_mm),
    }
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PhantomError> {
    let error = |source| PhantomError::Write { path: path.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| error(source.into()))?;
    text.push(b'\n');
    atomic::write(path, &text).map_err(error)
}

/// Lines of the annotation table for the nodes of one series.
fn rows(nodes: &[Node], study_uid: &str, series_uid: &str) -> String {
    rows_without_station(nodes, &vec![true; nodes.len()], study_uid, series_uid)
}

/// The same, with the station left open where it is not `known`.
pub(crate) fn rows_without_station(nodes: &[Node], known: &[bool], study_uid: &str, series_uid: &str) -> String {
    let mut rows = String::new();
    for ((node, n), known) in nodes.iter().zip(1..).zip(known) {
        let [x, y, z] = node.center_mm;
        let appearance = node.appearance;
        // Writing into a string cannot fail.
        let _ = writeln!(
            rows,
            "{study_uid},{series_uid},Lymph node {n},{x:.3},{y:.3},{z:.3},{:.2},{},{},{},node,{:.2}",
            appearance.short_axis_mm * appearance.elongation,
            if *known { node.station.code() } else { "" },
            node.label.map_or("", |state| state.name()),
            node.evidence.letter(),
            appearance.short_axis_mm,
        );
    }
    rows
}
