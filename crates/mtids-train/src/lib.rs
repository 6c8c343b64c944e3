//! The trainer: MT-IDS with DD-GB, from streamed shards, resumable bit for bit.
//!
//! # Purpose
//! [`fit::fit`] trains or resumes, [`evaluate::evaluate`] measures on held-out patients and writes the report, [`study::predict_studies`]
//! answers for the candidates of new studies. The model is a reconstruction of
//! MT-IDS from its published abstract (Ma et al., Neural Networks 198, 108541, 2026).
//!
//! # Invariants
//! * A run folder belongs to one resolved configuration and one dataset. Killed at any moment and started again, a training ends in the
//!   same losses and weights.
//! * "The same" means the same bytes under the same program, settings, dataset, device and vector width of the processor. Another vector
//!   width sums in another order, so last digits differ.
//! * Every figure names its samples and patients and stands beside the majority class; where there are too few patients, none is claimed.
//! * The network stands beside a ruler: the short axis on the same rows, with the paired difference by patient.
//!
//! # Units
//! HU become dimensionless channels by windows; learning rates and losses are dimensionless.

mod among_ranks;
mod balanced;
pub mod beginning;
pub mod calibration;
mod card;
pub mod command;
pub mod comparison;
pub mod config;
pub mod coverage;
pub mod error;
pub mod evaluate;
pub mod evaluation;
pub mod export;
pub mod fit;
mod fold_folder;
mod folds;
pub mod fusion;
mod gallery;
mod gate_weights;
pub mod inspect;
mod label_counts;
mod labels;
pub mod measure_targets;
pub mod measured;
mod network;
pub mod operating;
pub mod pace;
mod predict;
pub mod prediction;
pub mod readers;
mod record;
pub mod reliability;
mod report;
mod resolve;
mod room;
pub mod run_folder;
pub mod seen;
mod staging;
pub mod study;
pub mod subgroups;
#[cfg(test)]
mod testing;
pub mod tracking;
mod training;
pub mod transform;
pub mod untaught;
mod within;

use serde_json::Value;

/// Key and title of every architecture that `model.architecture` may name.
pub fn architectures() -> Vec<(&'static str, &'static str)> {
    mtids_models::Architecture::ALL.iter().map(|architecture| (architecture.key(), architecture.title())).collect()
}

/// Every value that `balancer.method` may have, and whether it takes `scope = "exact"` only. `fixed` needs weights besides.
pub fn balancers() -> Vec<(&'static str, bool)> {
    let all = mtids_balance::BalancerConfig::all(3);
    all.iter().map(|balancer| (balancer.method(), config::averages_gradients(balancer))).collect()
}

/// The part of `schemas/` that this program knows.
pub fn schemas() -> Vec<(String, Value)> {
    vec![
        ("train-config.json".to_owned(), schemars::schema_for!(config::TrainConfig).to_value()),
        ("compare-grid.json".to_owned(), schemars::schema_for!(comparison::grid::Grid).to_value()),
        ("prediction.json".to_owned(), schemars::schema_for!(study::StudyAnswer).to_value()),
    ]
}
