//! Synthetic chest CT studies with known truth, written as real DICOM.
//!
//! # Purpose
//! No public data set carries both a station and a proven metastasis label per node, and none can be shipped. A phantom cohort has
//! exact labels, runs out of the box, and tells how far a model is from the best that is possible: each node's posterior
//! probability of metastasis given its true appearance is known.
//!
//! # The way of the data
//! [`PhantomConfig`] → a patient (chest, scanner, spread of the cancer, nodes with their truth) → volumes in HU and SUV and the masks of
//! the nodes → DICOM, labels in one of four [forms](LabelForm), defects on request. [`insert`] puts such nodes into a real CT.
//!
//! # Invariants
//! * A pure function of (configuration, patient number): the same bytes for any number of threads.
//! * A station is a place relative to landmarks (carina, aortic arch, azygos …); the node itself does not tell it.
//! * Everything written is marked as synthetic.
//!
//! # Limits
//! * The posterior knows features that voxels and noise hide (margin, small cores): images allow less than the oracle's AUROC. What a fixed
//!   reader of the voxels reaches stands beside it ([`voxel_reader`]).
//! * Borders of stations are planes at landmarks; lungs have no fissures, the heart does not move, nobody is ill of anything else.
//! * Numbers on phantoms say that a program works, nothing about patients.
//!
//! # Units
//! LPS mm with the carina near the origin, HU, SUV by body weight.

mod anatomy;
mod borders;
mod config;
mod defect;
mod error;
mod insertion;
mod label;
mod node;
mod patient;
mod reference;
mod render;
mod shape;
mod spread;
mod station;
mod truth;
mod validate;
pub mod voxel_reader;
mod write;

pub use anatomy::Landmarks;
pub use config::{
    AppearanceLaw, Interference, LabelForms, LogNormalLaw, NodeParameters, NormalLaw, PhantomConfig, Phase, Site,
    SpreadEdge, SpreadParameters,
};
pub use defect::Defect;
pub use error::PhantomError;
pub use insertion::{InsertConfig, InsertSummary, Place};
pub use node::{Appearance, Node};
pub use patient::{LabelForm, PATIENT_PREFIX, SCANNER_MODEL, n_category};
pub use truth::CohortSummary;
pub use write::{generate, insert};

use mtids_domain::annotation::Mask;
use mtids_domain::volume::Volume;

/// A rendered patient of a cohort.
#[derive(Clone, Debug)]
pub struct Study {
    /// HU.
    pub volume: Volume,
    /// SUV, for patients with PET.
    pub pet: Option<Volume<f32>>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Voxels of each node whose centre lies inside it, in the order of `nodes`.
    pub masks: Vec<Mask>,
    /// Places that the borders of stations are defined by.
    pub landmarks: Landmarks,
}

/// Renders every patient of a cohort, one after the other, writes nothing, and returns the number of voxels: for benchmarks.
///
/// # Errors
/// As [`render()`].
pub fn render_all(config: &PhantomConfig) -> Result<usize, PhantomError> {
    let model = patient::Model::new(config)?;
    (0..config.patients).try_fold(0, |voxels, number| {
        let (volume, _) = render::ct(config, &model.patient(number))?;
        Ok(voxels + volume.voxels().len())
    })
}

/// Renders one patient of a cohort without writing anything.
///
/// # Errors
/// [`PhantomError::Config`] for settings that give no cohort or no grid.
pub fn render(config: &PhantomConfig, patient: u32) -> Result<Study, PhantomError> {
    let patient = patient::Model::new(config)?.patient(patient);
    let (volume, masks) = render::ct(config, &patient)?;
    let pet = patient.pet.then(|| render::pet(config, &patient)).transpose()?;
    let landmarks = patient.anatomy.landmarks();
    Ok(Study { volume, pet, nodes: patient.nodes, masks, landmarks })
}
