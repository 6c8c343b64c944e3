//! Which datasets records are of: one file for each name, beside the records.
//!
//! Purpose: a dataset that is built again by a later program has the same rows under another digest, since that covers its card and reports too.
//! Its records stay of use. Invariant: datasets of one digest of rows have one digest among records, that of the first; none is forgotten.

use mtids_runtime::digest::Digest;
use mtids_shards::Manifest;
use serde::{Deserialize, Serialize};

/// A dataset that records are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedDataset {
    /// Digest of the dataset that was at hand first; records name it.
    pub dataset_digest: Digest,
    /// Digest of its rows.
    pub rows_digest: Digest,
}

impl RecordedDataset {
    /// The dataset at hand, under the digest that records know it by if one of `known` has its rows.
    pub(crate) fn of(manifest: &Manifest, known: &[Self]) -> Self {
        let rows_digest = manifest.rows_digest();
        let of_rows = known.iter().find(|known| known.rows_digest == rows_digest);
        of_rows.copied().unwrap_or(Self { dataset_digest: manifest.digest(), rows_digest })
    }
}
