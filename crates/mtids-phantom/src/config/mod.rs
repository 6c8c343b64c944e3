//! Settings of a cohort.
//!
//! Purpose: every knob has a name, a unit and a documented default. Invariant: [`PhantomConfig::validate`] passes only settings from
//! which a cohort can be drawn.

mod parameters;
mod site;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use parameters::station;
pub use parameters::{AppearanceLaw, LogNormalLaw, NodeParameters, NormalLaw, SpreadEdge, SpreadParameters};
pub use site::{Phase, Site};

use crate::defect::Defect;
use crate::error::PhantomError;

/// Settings of a phantom cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Number of patients, one study each.
    pub patients: u32,
    /// Columns, rows, slices. Default 208 × 192 × 120: with `spacing_mm`, a field that holds mediastinum and hila, and almost always 80 × 100 ×
    /// 100 mm around a node.
    pub dimensions: [usize; 3],
    /// Voxel size in mm (x, y, z); varies by up to 8 % between patients. Default 1 × 1 × 2 mm.
    pub spacing_mm: [f64; 3],
    /// Fewest and most nodes of a patient.
    pub nodes_per_patient: [u32; 2],
    /// Share of metastatic nodes.
    pub prevalence: f64,
    /// What ties labels to what they should not depend on, and labels to images.
    pub interference: Interference,
    /// How many studies have which form of labels.
    pub labels: LabelForms,
    /// Share of patients with a PET series.
    pub pet_fraction: f64,
    /// Share of patients whose files have a defect.
    pub defect_fraction: f64,
    /// Kinds of defects, drawn alike; all of them by default.
    pub defects: Vec<Defect>,
    /// The scanners; four examples by default.
    pub sites: Vec<Site>,
    /// What nodes look like and where they lie.
    pub nodes: NodeParameters,
    /// How cancer spreads.
    pub spread: SpreadParameters,
}

/// Knobs of interference between dimensions, labels and sites. With `region_association`, `size_signal`, `appearance_signal` and
/// `site_association` at 0, images say nothing about metastasis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Interference {
    /// How much metastasis follows the spread over stations: 0, a coin at the prevalence; 1, the spread alone. Default 0.5.
    pub region_association: f64,
    /// How much metastatic nodes differ from benign ones in size. Default 1, the laws as given.
    pub size_signal: f64,
    /// The same for every other feature. Default 1.
    pub appearance_signal: f64,
    /// Confounding by the scanner: nodes of every second site are metastatic this much more often, of the others less. Default 0.
    pub site_association: f64,
    /// Share of wrong labels in the table, whatever the evidence. Default 0.
    pub label_noise: f64,
    /// Share of nodes whose status the table leaves open. Default 0.05.
    pub unknown_fraction: f64,
    /// Weights of the grades of evidence A to D. A is the truth; B misses metastases; C calls by uptake; D by size. Default A alone.
    pub evidence: [f64; 4],
    /// Share of metastases that a needle (evidence B) misses. Default 0.15.
    pub needle_miss: f64,
}

impl Default for Interference {
    fn default() -> Self {
        Self {
            region_association: 0.5,
            size_signal: 1.0,
            appearance_signal: 1.0,
            site_association: 0.0,
            label_noise: 0.0,
            unknown_fraction: 0.05,
            evidence: [1.0, 0.0, 0.0, 0.0],
            needle_miss: 0.15,
        }
    }
}

/// Weights of the forms in which a study's nodes are given. The table names every node in any case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LabelForms {
    /// Points and diameters in the table alone. Default 0.4.
    pub table: f64,
    /// A DICOM SEG in the study. Default 0.3.
    pub segmentation: f64,
    /// An RTSTRUCT in the study. Default 0.15.
    pub structures: f64,
    /// A NIfTI label map beside the studies. Default 0.15.
    pub nifti: f64,
}

impl Default for LabelForms {
    fn default() -> Self {
        Self { table: 0.4, segmentation: 0.3, structures: 0.15, nifti: 0.15 }
    }
}

impl LabelForms {
    /// Weights in the order of [`crate::LabelForm`].
    pub(crate) fn weights(&self) -> [f64; 4] {
        [self.table, self.segmentation, self.structures, self.nifti]
    }
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self {
            seed: 20260101,
            patients: 64,
            dimensions: [208, 192, 120],
            spacing_mm: [1.0, 1.0, 2.0],
            nodes_per_patient: [6, 12],
            prevalence: 0.35,
            interference: Interference::default(),
            labels: LabelForms::default(),
            pet_fraction: 0.0,
            defect_fraction: 0.0,
            defects: Defect::ALL.to_vec(),
            sites: Site::examples(),
            nodes: NodeParameters::default(),
            spread: SpreadParameters::default(),
        }
    }
}

impl PhantomConfig {
    /// Checks each value; [`PhantomConfig::validate`] also checks that they agree with the spread.
    pub(crate) fn check_values(&self) -> Result<(), PhantomError> {
        if self.patients == 0 {
            return Err(PhantomError::config("patients", "a cohort needs a patient"));
        }
        if self.dimensions.iter().any(|side| !(16..=1024).contains(side)) {
            return Err(PhantomError::config("dimensions", "each side needs 16 to 1024 voxels"));
        }
        if self.spacing_mm.iter().any(|step| !(0.3..=10.0).contains(step)) {
            return Err(PhantomError::config("spacing_mm", "each step must lie between 0.3 and 10 mm"));
        }
        let field = |axis: usize| self.dimensions[axis] as f64 * self.spacing_mm[axis];
        // 400 million voxels take 1.6 GB as they are painted; a PET has voxels of 4 mm over the same field.
        if self.dimensions.iter().product::<usize>() > 400_000_000 {
            return Err(PhantomError::config("dimensions", "at most 400 million voxels"));
        }
        if self.pet_fraction > 0.0 && (0..3).map(|axis| field(axis) / 4.0).product::<f64>() > 400e6 {
            return Err(PhantomError::config(
                "spacing_mm",
                "the PET over this field would have more than 400 million voxels",
            ));
        }
        let [least, most] = self.nodes_per_patient;
        if least == 0 || most < least || most > 24 {
            return Err(PhantomError::config("nodes_per_patient", "give the fewest and the most, from 1 to 24"));
        }
        let interference = &self.interference;
        for (key, share) in [
            ("pet_fraction", self.pet_fraction),
            ("defect_fraction", self.defect_fraction),
            ("interference.region_association", interference.region_association),
            ("interference.label_noise", interference.label_noise),
            ("interference.unknown_fraction", interference.unknown_fraction),
            ("interference.needle_miss", interference.needle_miss),
            ("interference.site_association", interference.site_association),
            ("spread.right_sided", self.spread.right_sided),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(PhantomError::config(key, "a share lies between 0 and 1"));
            }
        }
        if !(0.01..=0.99).contains(&self.prevalence) {
            return Err(PhantomError::config("prevalence", "a share between 0.01 and 0.99"));
        }
        for (key, signal) in [
            ("interference.size_signal", interference.size_signal),
            ("interference.appearance_signal", interference.appearance_signal),
        ] {
            if !(0.0..=1.0).contains(&signal) {
                return Err(PhantomError::config(key, "between 0 (no signal) and 1 (the laws as given)"));
            }
        }
        for (key, weights) in [("labels", self.labels.weights()), ("interference.evidence", interference.evidence)] {
            if weights.iter().any(|weight| !(0.0..=1e6).contains(weight)) || weights.iter().sum::<f64>() <= 0.0 {
                return Err(PhantomError::config(key, "weights from 0 to 1e6, one of them above 0"));
            }
        }
        if self.defect_fraction > 0.0 && self.defects.is_empty() {
            return Err(PhantomError::config("defects", "name a kind, or set `defect_fraction` to 0"));
        }
        if self.sites.iter().map(|site| site.weight).sum::<f64>() <= 0.0 {
            return Err(PhantomError::config("sites", "a cohort needs a scanner with a weight above 0"));
        }
        for (n, site) in self.sites.iter().enumerate() {
            if let Some(fault) = site.fault() {
                return Err(PhantomError::config("sites", format!("number {n}: {fault}")));
            }
        }
        self.nodes.validate()
    }
}
