//! The audit: what labels a dataset holds, how they are spread, and what would make figures from it wrong.
//!
//! # Purpose
//! [`audit::audit`] reads `index.parquet` (kilobytes; no voxel is touched; [`sheets::sheets`] shows some) with polars, counts along both label dimensions, and looks for
//! leakage, conflicts, gaps and confounders. [`worklist::worklist`] says whom to ask what about its rows. [`compare::compare`] sets a second
//! dataset beside a first. [`suspects::suspects`] ranks likely label errors. [`page::page`] and [`text::text`] show the result to people, [`audit::Audit`] as JSON to machines.
//!
//! # Invariants
//! * The only crate that compiles polars, and no type of polars is public here.
//! * The same dataset and configuration give the same bytes. Only pseudonyms appear, as in the dataset.
//! * Issue codes are stable. Unknown is counted as unknown, never as benign.
//!
//! # Units
//! Sizes and distances are mm; shares lie in 0 to 1; counts are rows (patches) or patients, as named.

pub mod agreement;
pub mod association;
mod at_once;
pub mod audit;
mod by_patient;
mod checks;
mod columns;
pub mod command;
pub mod compare;
pub mod config;
mod count;
mod distribution;
pub mod error;
mod frame;
mod group_tables;
mod index;
pub mod issue;
pub mod issue_rows;
mod kinds;
pub mod measures;
mod needed;
pub mod opened;
mod output;
pub mod page;
pub mod per_patient;
pub mod sheets;
pub mod suspects;
pub mod tables;
pub mod text;
mod within;
pub mod worklist;

use serde_json::Value;

/// The part of `schemas/` that this program knows: file names and contents.
pub fn schemas() -> Vec<(String, Value)> {
    vec![
        ("audit-config.json".to_owned(), schemars::schema_for!(config::AuditConfig).to_value()),
        ("audit.json".to_owned(), schemars::schema_for!(audit::Audit).to_value()),
        ("compare-config.json".to_owned(), schemars::schema_for!(compare::config::CompareConfig).to_value()),
        ("comparison.json".to_owned(), schemars::schema_for!(compare::comparison::Comparison).to_value()),
        ("suspects-config.json".to_owned(), schemars::schema_for!(suspects::config::SuspectsConfig).to_value()),
        ("suspects.json".to_owned(), schemars::schema_for!(suspects::found::Suspects).to_value()),
    ]
}
