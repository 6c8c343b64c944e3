//! What is true of a patient and of a cohort, and how well baselines read it.
//!
//! Invariant: everything here is drawn; only the voxel reader's scores are measured, on the voxels that are written.

use std::collections::BTreeMap;

use mtids_domain::label::Metastasis;
use mtids_metrics::auroc;
use mtids_runtime::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::anatomy::Landmarks;
use crate::config::Phase;
use crate::defect::Defect;
use crate::node::Node;
use crate::patient::{LabelForm, Patient, n_category, patient_id};
use crate::reference::{Sample, is_metastatic, logistic};
use crate::voxel_reader::{Reading, fold_scores};

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
    /// AUROC of the voxel reader against the labels of the table: what fixed statistics of the images reach, by five folds of patients. Nodes
    /// of series that the preprocessing must refuse are left out.
    pub voxel_reader_auroc: Option<f64>,
    /// The same scores against the true state, also of nodes without a label.
    pub voxel_reader_true_auroc: Option<f64>,
}

/// A node with what the voxel reader makes of it.
#[derive(Debug, Serialize)]
struct NodeTruth {
    #[serde(flatten)]
    node: Node,
    /// Probability of metastasis that the voxel reader gives, fitted to labels of other patients.
    voxel_reader: Option<f64>,
    #[serde(skip)]
    statistics: Option<Vec<f32>>,
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
    nodes: Vec<NodeTruth>,
}

impl PatientTruth {
    /// `statistics` are what the voxel reader sees of each node, in their order.
    pub(crate) fn new(patient: &Patient, series_uid: String, statistics: Option<Vec<Vec<f32>>>) -> Self {
        let mut statistics = statistics.unwrap_or_default().into_iter();
        let nodes = patient.nodes.iter().map(|node| NodeTruth {
            node: node.clone(),
            voxel_reader: None,
            statistics: statistics.next(),
        });
        Self {
            number: patient.number,
            patient_id: patient_id(patient.number),
            series_uid,
            manufacturer: patient.site.manufacturer.clone(),
            phase: patient.site.phase,
            pet: patient.pet,
            form: patient.form,
            defect: patient.defect,
            expected_reason: patient.refusal().map(mtids_dicom::ReasonCode::as_str),
            landmarks: patient.anatomy.landmarks(),
            primary_side: if patient.right { 'R' } else { 'L' },
            primary_mm: patient.tumour_mm,
            n_category: n_category(patient.right, &patient.nodes),
            nodes: nodes.collect(),
        }
    }
}

/// Lets the voxel reader score the nodes of a cohort.
pub(crate) fn read_voxels(truth: &mut [PatientTruth]) {
    let nodes = truth.iter().flat_map(|patient| patient.nodes.iter().map(|node| (patient.number, node)));
    let readings: Vec<Reading<'_>> = nodes
        .filter_map(|(patient, node)| {
            let label = node.node.label.map(|state| state == Metastasis::Metastatic);
            Some(Reading { patient, statistics: node.statistics.as_deref()?, label })
        })
        .collect();
    let mut scores = fold_scores(&readings).into_iter();
    for node in truth.iter_mut().flat_map(|patient| &mut patient.nodes) {
        if node.statistics.take().is_some() {
            node.voxel_reader = scores.next().flatten();
        }
    }
}

/// Counts of a cohort and the AUROC of its baselines.
pub(crate) fn summarise(config_digest: Digest, truth: &[PatientTruth]) -> CohortSummary {
    let mut stations: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut n_categories: BTreeMap<String, usize> = BTreeMap::new();
    let mut forms: BTreeMap<LabelForm, usize> = BTreeMap::new();
    let mut defects: BTreeMap<Defect, usize> = BTreeMap::new();
    let mut samples = Vec::new();
    let (mut read, mut read_as_labelled) = (Vec::new(), Vec::new());
    for patient in truth {
        *n_categories.entry(patient.n_category.to_owned()).or_default() += 1;
        *forms.entry(patient.form).or_default() += 1;
        if let Some(defect) = patient.defect {
            *defects.entry(defect).or_default() += 1;
        }
        for NodeTruth { node, voxel_reader, .. } in &patient.nodes {
            stations.entry(node.station.to_string()).or_default()[usize::from(is_metastatic(node))] += 1;
            let enhancement = patient.phase != Phase::Native;
            samples.push(Sample { patient: patient.number, node, enhancement, uptake: patient.pet });
            if let Some(score) = *voxel_reader {
                read.push((score, is_metastatic(node)));
                read_as_labelled.extend(node.label.map(|state| (score, state == Metastasis::Metastatic)));
            }
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
        voxel_reader_auroc: auroc(&read_as_labelled),
        voxel_reader_true_auroc: auroc(&read),
    }
}
