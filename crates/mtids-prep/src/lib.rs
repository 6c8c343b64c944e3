//! The preprocessing program: Convert DICOM studies and annotations to a Parquet dataset of labelled patches.
//!
//! # Purpose
//! [`build::build`] does the whole way: [`scan`] → [`plan`] → processing of each [`partition`] → publication. Each stage returns its result
//! and what became of its files, which is summed once. A [`Task`](mtids_runtime::task::Task) does a share of the partitions, [`diff`] compares two datasets,
//! [`prune`] removes what older builds left. [`candidates`] reads and cuts studies for a prediction, [`fetch`] downloads studies from a server, [`copy`] brings datasets to a bucket and back.
//!
//! # Invariants
//! * Every input file is used, skipped for a stated reason, or quarantined; the totals add up or nothing is published.
//! * The same input, configuration and secret give the same bytes, for any number of workers and any order of the directory; a killed
//!   build is run again and ends in the same bytes.
//! * No raw identifier, path or date reaches the dataset.
//!
//! # Units
//! LPS mm, HU, voxels as in `mtids-domain`.

mod accounts;
pub mod build;
pub mod candidates;
mod card;
pub mod clock;
pub mod command;
pub mod config;
mod context;
pub mod copy;
mod corrections;
mod croissant;
pub mod diff;
pub mod error;
pub mod explain;
pub mod fetch;
mod hub;
pub mod identity;
mod lock;
mod measure;
pub mod names;
pub mod negatives;
pub mod origin;
pub mod partition;
pub mod patients;
pub mod plan;
mod process;
pub mod prune;
pub mod publication;
mod publish;
mod record;
mod rejected;
mod rejects;
mod rows;
pub mod scan;
mod secret;
mod seen;
mod small_table;
pub mod split;
pub mod summary;
mod synthetic;
pub mod views;
mod walk;
mod workers;

use serde_json::{Value, json};

/// The part of `schemas/` that this program knows: file names and contents.
pub fn schemas() -> Vec<(String, Value)> {
    let named = |name: &str, value: Value| (name.to_owned(), value);
    vec![
        named("build-config.json", schemars::schema_for!(config::BuildConfig).to_value()),
        named("phantom-config.json", schemars::schema_for!(mtids_phantom::PhantomConfig).to_value()),
        named("insert-config.json", schemars::schema_for!(mtids_phantom::InsertConfig).to_value()),
        named("patch.json", mtids_shards::patch_json_schema()),
        named("manifest.json", mtids_shards::manifest_json_schema()),
        named("annotation-table.json", mtids_annotations::table::schema()),
        named("taxonomy.json", mtids_domain::taxonomy::as_json()),
        named(
            "quarantine.json",
            json!({
                "title": "A line of quarantine.jsonl",
                "fields": {
                    "reason": "stable reason code",
                    "file_key": "keyed pseudonym of the file",
                    "series_key": "pseudonym of the series, or null",
                    "patient_key": "pseudonym of the patient, or null",
                },
            }),
        ),
    ]
}
