//! `quarantine.jsonl`: what was set aside, under pseudonyms only.
//!
//! Invariant: no path, no raw identifier, no free text; reason codes are stable.

use mtids_runtime::storage::Storage;
use serde::{Deserialize, Serialize};

use crate::error::ShardError;
use crate::file::{FileEntry, write_file};

/// Plain name of the file.
const QUARANTINE: &str = "quarantine.jsonl";

/// One refused file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRecord {
    /// Stable reason code.
    pub reason: String,
    /// Keyed pseudonym of the file's path.
    pub file_key: String,
    /// Pseudonym of the series, where known.
    pub series_key: Option<String>,
    /// Pseudonym of the patient, where known.
    pub patient_key: Option<String>,
}

/// Writes the records, sorted, one JSON object a line.
///
/// # Errors
/// [`ShardError`] naming the file.
pub fn write_quarantine(dataset: &dyn Storage, records: &[QuarantineRecord]) -> Result<FileEntry, ShardError> {
    let path = dataset.place(QUARANTINE);
    let mut sorted = records.to_vec();
    sorted.sort();
    let mut text = String::new();
    for record in &sorted {
        let line = serde_json::to_string(record)
            .map_err(|error| ShardError::Rows { path: path.clone(), detail: error.to_string() })?;
        text.push_str(&line);
        text.push('\n');
    }
    write_file(dataset, QUARANTINE, text.as_bytes())
}
