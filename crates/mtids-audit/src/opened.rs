//! A dataset whose index was verified, for every question of a report: the audit, the worklist, the sheets.
//!
//! Invariant: the index is hashed once, and columns that one question decoded and kept serve the next.

use std::path::Path;

use mtids_shards::Dataset;

use crate::error::AuditError;
use crate::index::Index;
use crate::needed;

/// Opens a dataset in a folder, or at a URL; its index is not read yet.
///
/// # Errors
/// [`AuditError`] when there is no dataset.
pub(crate) fn open(place: &Path) -> Result<Dataset, AuditError> {
    // Whoever gives a shard or the index reads that, and not the words of the operating system.
    if place.is_file() {
        return Err(AuditError::File { path: place.to_owned() });
    }
    Ok(mtids_store::open_dataset(place)?)
}

/// A dataset and its verified index.
pub struct Opened {
    pub(crate) dataset: Dataset,
    pub(crate) index: Index,
}

impl Opened {
    /// Opens a dataset in a folder, or at a URL.
    ///
    /// # Errors
    /// [`AuditError`] when there is no dataset, or its index is not the published one or lacks a column.
    pub fn new(dataset: &Path) -> Result<Self, AuditError> {
        let dataset = open(dataset)?;
        let index = Index::open(&dataset)?;
        needed::check(&dataset, &index)?;
        Ok(Self { dataset, index })
    }
}
