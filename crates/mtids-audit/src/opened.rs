//! A dataset whose index was verified, for every question of a report: the audit, the worklist, the sheets.
//!
//! Invariant: the index is hashed once, and columns that one question decoded and kept serve the next.

use std::path::Path;

use mtids_shards::Dataset;

use crate::error::AuditError;
use crate::index::Index;
use crate::needed;

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
        let dataset = mtids_store::open_dataset(dataset)?;
        let index = Index::open(&dataset)?;
        needed::check(&dataset, &index)?;
        Ok(Self { dataset, index })
    }
}
