//! Synthetic chest CT studies with known truth, written as real DICOM.
//!
//! # Purpose
//! No public data set carries both a station and a proven metastasis label per node, and none can be shipped. A phantom cohort has
//! exact labels, runs out of the box, and tells how far a model is from the best that is possible: each node's posterior
//! probability of metastasis given its true appearance is known.
//!
//! # Invariants
//! * A pure function of (configuration, patient number): the same bytes for any number of threads.
//! * A station is a place relative to landmarks (carina, aortic arch); the node itself does not tell it.
//! * Everything written is marked as synthetic.
//!
//! # Limits
//! * The region is easy: with 128 patients, a linear read-out of ±48 mm around a node names the zone of every held-out node, and
//!   of 75 % from ±8 mm. Methods differ on the metastasis dimension, or with little context; not on the region of whole patches.
//! * The posterior knows features that voxels and noise hide (margin, small cores): images allow less than the oracle's AUROC.
//! * Numbers on phantoms say that a program works, nothing about patients.
//!
//! # Units
//! LPS mm with the carina near the origin, HU.

mod anatomy;
mod cohort;
mod config;
mod error;
mod node;
mod render;
mod shape;

/// Model of the scanner that every phantom names: no real study has it.
pub const SCANNER_MODEL: &str = "Synthetic CT";

pub use anatomy::Landmarks;
pub use cohort::{CohortSummary, generate};
pub use config::PhantomConfig;
pub use error::PhantomError;
pub use node::{Appearance, Node};
pub use render::{Study, render};
