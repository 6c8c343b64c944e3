//! Settings of the stream.
//!
//! Invariants: `readers` changes no order and no byte; the other settings do, also the budget, since it bounds the pool of row
//! groups that rows are drawn from. Unit: MiB of decoded voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StreamError;
use crate::plan::RowGroupId;

/// Most reader threads.
const MOST_READERS: usize = 1024;

/// Settings of the stream, as they are written in a file; [`StreamConfig::validate`] checks them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Reader threads. Default 2.
    pub readers: usize,
    /// Decoded voxels of all views in flight, MiB; also bounds the pool of row groups. Default 256.
    pub byte_budget_mib: u64,
    /// Row groups that rows are drawn from at a time. Default 8.
    pub shuffle_row_groups: usize,
    /// Drop the last, smaller batch of an epoch. Default false: it is kept, and joined to the one before where it has one row.
    pub drop_last: bool,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { readers: 2, byte_budget_mib: 256, shuffle_row_groups: 8, drop_last: false }
    }
}

impl StreamConfig {
    /// Checks the settings. [`crate::BatchStreamBuilder::start`] does so too.
    ///
    /// # Errors
    /// [`StreamError::Config`] naming the key.
    pub fn validate(&self) -> Result<(), StreamError> {
        if !(1..=MOST_READERS).contains(&self.readers) {
            return Err(StreamError::Config { key: "readers", reason: "between 1 and 1024" });
        }
        Ok(())
    }

    /// The budget in bytes.
    pub(crate) fn budget(&self) -> u64 {
        self.byte_budget_mib.saturating_mul(1 << 20)
    }

    /// Row groups to draw from at a time: as configured, but no more than the byte budget can hold at once. Otherwise the pool could wait
    /// for a group that the budget does not let in. `row_len` is the number of voxels of a row over all views.
    pub(crate) fn pool(&self, groups: &[RowGroupId], row_len: usize) -> usize {
        let largest = groups.iter().map(|group| group.rows * row_len * 2).max().unwrap_or(1).max(1);
        let fit = (self.budget() / largest as u64).max(1);
        self.shuffle_row_groups.clamp(1, usize::try_from(fit).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_checked() {
        for readers in [0, MOST_READERS + 1] {
            let error = StreamConfig { readers, ..Default::default() }.validate().unwrap_err();
            assert!(error.to_string().contains("`stream.readers`"), "{error}");
        }
        assert!(StreamConfig::default().validate().is_ok());
    }

    #[test]
    fn the_pool_fits_the_budget() {
        let groups = [RowGroupId { shard: 0, row_group: 0, rows: 1 << 10 }];
        // A row group of 2 MiB.
        let pool = |mib| StreamConfig { byte_budget_mib: mib, ..Default::default() }.pool(&groups, 1 << 10);
        assert_eq!([pool(0), pool(2), pool(6), pool(256), pool(u64::MAX)], [1, 1, 3, 8, 8]);
    }
}
