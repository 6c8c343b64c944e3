//! The record of a finished partition: what a later build needs to take its shard over.
//!
//! Invariant: a record is written after its shard, so a record whose shard is intact stands for finished work. It carries its own digest:
//! the index is made of records, and one flipped bit here would become another label.

use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use mtids_shards::{QuarantineRecord, RowLabels, ShardEntry};
use serde::{Deserialize, Serialize};

use crate::error::PrepError;
use crate::partition::Partition;

/// Where shards lie.
pub(crate) const SHARDS: &str = "shards/";
/// What a build keeps for the next one.
pub(crate) const WORK: &str = ".work/";
/// Folder of the records in [`WORK`].
pub(crate) const PARTITIONS: &str = "partitions";

/// What a finished partition left behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartitionRecord {
    /// Key of the partition.
    pub(crate) key: Digest,
    /// The shard, unless no row came out.
    pub(crate) shard: Option<ShardEntry>,
    /// Labels of its rows, in file order.
    pub(crate) rows: Vec<RowLabels>,
    /// Files whose content is in the shard.
    pub(crate) used_files: u64,
    /// Findings left out at the border of the scanned field.
    pub(crate) findings_at_border: u64,
    /// Findings left out because a view of theirs touches voxels that nobody measured.
    pub(crate) findings_at_invented: u64,
    /// Files that turned out unusable.
    pub(crate) quarantined: Vec<QuarantineRecord>,
}

impl PartitionRecord {
    /// Writes the record. It is not synced: one that a power cut tears does not fit its digest, and the partition is processed again.
    pub(crate) fn save(&self, dataset: &dyn Storage) -> Result<(), PrepError> {
        let name = record_name(&self.key);
        let json = serde_json::to_string(self)?;
        let text = format!("{}\n{json}", Digest::of_bytes(json.as_bytes()));
        dataset
            .put_unsynced(&name, text.as_bytes())
            .map_err(|source| PrepError::Write { path: dataset.place(&name), source })
    }

    /// The record of a finished partition, if it and its shard are intact.
    pub(crate) fn load_finished(dataset: &dyn Storage, partition: &Partition) -> Option<Self> {
        let record = Self::load(dataset, &record_name(&partition.key))?;
        let intact = match &record.shard {
            None => true,
            Some(shard) => dataset.digest(&shard.path).is_ok_and(|digest| digest == shard.digest),
        };
        (record.key == partition.key && intact).then_some(record)
    }

    /// The record of this name, if it is whole.
    pub(crate) fn load(dataset: &dyn Storage, name: &str) -> Option<Self> {
        let bytes = dataset.get(name).ok()?;
        let (digest, json) = std::str::from_utf8(&bytes).ok()?.split_once('\n')?;
        let digest: Digest = digest.parse().ok()?;
        if digest != Digest::of_bytes(json.as_bytes()) {
            return None;
        }
        serde_json::from_str(json).ok()
    }
}

fn record_name(key: &Digest) -> String {
    format!("{WORK}{PARTITIONS}/{key}.json")
}
