//! The preprocessing program: DICOM studies and annotations in, a Parquet dataset of labelled patches out.
//!
//! # Purpose
//! [`build::build`] does the whole way: [`scan`] → grouping → findings of [`mtids_annotations`] → [`plan`] of units → [`rows`] → commit. A [`task`] does a share of it, and
//! [`diff`] compares two datasets.
//!
//! # Invariants
//! * Every input file is used, skipped for a stated reason, or quarantined; the totals add up or nothing is published.
//! * The same input, configuration and secret give the same bytes, for any number of workers and any order of the directory; a killed
//!   build is run again and ends in the same bytes.
//! * No raw identifier, path or date reaches the dataset.
//!
//! # Units
//! LPS mm, HU, voxels as in `mtids-domain`.

pub mod build;
mod card;
pub mod clock;
pub mod config;
pub mod diff;
pub mod error;
pub mod negatives;
pub mod patients;
pub mod plan;
mod publish;
pub mod rows;
pub mod scan;
pub mod split;
pub mod task;

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
