//! `corrections.jsonl`: labels that people corrected after the annotations, row by row, under pseudonyms only.
//!
//! Invariant: no raw identifier and no free text; who decided is a keyed pseudonym. A dataset without corrections has no such file.

use mtids_runtime::storage::Storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ShardError;
use crate::file::{CORRECTIONS, FileEntry, write_file};
use crate::reader::Dataset;

/// A corrected label of one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectionRecord {
    /// Key of the row.
    pub sample_key: String,
    /// `region`, `station`, `metastasis`, `evidence` or `level`. A new status without a record of its evidence has evidence U.
    pub dimension: String,
    /// Label before.
    pub old: String,
    /// Label after.
    pub new: String,
    /// Keyed pseudonym of who decided.
    pub by: String,
}

/// Writes the records, sorted, one JSON object a line.
///
/// # Errors
/// [`ShardError`] naming the file.
pub fn write_corrections(dataset: &dyn Storage, records: &[CorrectionRecord]) -> Result<FileEntry, ShardError> {
    let path = dataset.place(CORRECTIONS);
    let mut sorted = records.to_vec();
    sorted.sort();
    let mut text = String::new();
    for record in &sorted {
        let line = serde_json::to_string(record)
            .map_err(|error| ShardError::Rows { path: path.clone(), detail: error.to_string() })?;
        text.push_str(&line);
        text.push('\n');
    }
    write_file(dataset, CORRECTIONS, text.as_bytes())
}

/// The corrections of a dataset, sorted; none where it has no such file.
///
/// # Errors
/// [`ShardError::DamagedFile`] for bytes that are not those that were published, [`ShardError::Rows`] for a line that is no record.
pub fn read_corrections(dataset: &Dataset) -> Result<Vec<CorrectionRecord>, ShardError> {
    let Some(entry) = dataset.manifest().file(CORRECTIONS) else { return Ok(Vec::new()) };
    let path = dataset.storage().place(&entry.path);
    let bytes = dataset.file(CORRECTIONS)?;
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line)
                .map_err(|error| ShardError::Rows { path: path.clone(), detail: error.to_string() })
        })
        .collect()
}
