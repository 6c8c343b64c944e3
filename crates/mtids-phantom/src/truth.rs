//! What is true of a patient and of a cohort, and how well baselines read it.
//!
//! Invariant: everything here is drawn, nothing is measured on voxels.

use std::collections::BTreeMap;

use mtids_metrics::auroc;
use mtids_runtime::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::anatomy::Landmarks;
use crate::config::Phase;
use crate::defect::Defect;
use crate::node::Node;
use crate::patient::{LabelForm, Patient, n_category, patient_id};
use crate::reference::{Sample, is_metastatic, logistic};

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
    pub(crate) fn new(patient: &Patient, series_uid: String) -> Self {
        let reason = patient.defect.and_then(Defect::reason);
        let tilted = (patient.site.tilt_degrees != 0.0).then_some(mtids_dicom::ReasonCode::GantryTilt);
        Self {
            number: patient.number,
            patient_id: patient_id(patient.number),
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

/// Counts of a cohort and the AUROC of its baselines.
pub(crate) fn summarise(config_digest: Digest, truth: &[&PatientTruth]) -> CohortSummary {
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
