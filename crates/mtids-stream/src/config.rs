//! Settings of the stream.
//!
//! Invariants: `readers` and `byte_budget_mib` change no order and no byte; the others do. A budget that is too small for the order is refused, or
//! raised on request; the order never bends to it. Unit: MiB of memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StreamError;
use crate::sampling::SamplingConfig;

/// Most reader threads.
const MOST_READERS: usize = 1024;

/// What becomes of an epoch with damaged row groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DamagePolicy {
    /// It ends with the error, in the place of the first batch that needs the row group.
    #[default]
    Stop,
    /// It goes on without the rows, which are counted; a batch keeps its number and has fewer rows. A storage that fails to read ends it.
    Skip,
}

impl DamagePolicy {
    /// Whether it is the default, and need not be written.
    fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// Settings of the stream, as they are written in a file; [`StreamConfig::validate`] checks them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Reader threads. Default 2.
    pub readers: usize,
    /// Memory for everything in flight, MiB: bytes being decoded, decoded row groups, batches. It changes no order; one that is too small for
    /// `shuffle_row_groups` and the batch size is refused. One that holds all rows, decoded, keeps them, and each is read once per training. Default 256.
    pub byte_budget_mib: u64,
    /// Row groups that rows are drawn from at a time. Default 8.
    pub shuffle_row_groups: usize,
    /// Drop the last, smaller batch of an epoch. Default false: it is kept, and joined to the one before where it has one row.
    pub drop_last: bool,
    /// What becomes of an epoch with damaged row groups: `stop` (the default), or `skip` and count.
    #[serde(skip_serializing_if = "DamagePolicy::is_stop")]
    pub on_damage: DamagePolicy,
    /// Which rows take part, and how often. Default: each once.
    #[serde(skip_serializing_if = "SamplingConfig::is_every_row")]
    pub sampling: SamplingConfig,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            readers: 2,
            byte_budget_mib: 256,
            shuffle_row_groups: 8,
            drop_last: false,
            on_damage: DamagePolicy::Stop,
            sampling: SamplingConfig::default(),
        }
    }
}

impl StreamConfig {
    /// Checks the settings. [`crate::BatchStreamBuilder::start`] does so too.
    ///
    /// # Errors
    /// [`StreamError::Config`] naming the key.
    pub fn validate(&self) -> Result<(), StreamError> {
        if !(1..=MOST_READERS).contains(&self.readers) {
            return Err(StreamError::config("readers", "between 1 and 1024"));
        }
        if self.sampling.epoch_rows.is_some_and(|rows| !(1..=u64::from(u32::MAX)).contains(&rows)) {
            return Err(StreamError::config("sampling.epoch_rows", "between 1 and 4294967295"));
        }
        Ok(())
    }

    /// The budget in bytes.
    pub(crate) fn budget(&self) -> u64 {
        self.byte_budget_mib.saturating_mul(1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        for readers in [0, MOST_READERS + 1] {
            let error = StreamConfig { readers, ..Default::default() }.validate().unwrap_err();
            assert!(error.to_string().contains("`stream.readers`"), "{error}");
        }
        let sampling = SamplingConfig { epoch_rows: Some(0), ..Default::default() };
        let error = StreamConfig { sampling, ..Default::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("`stream.sampling.epoch_rows`"), "{error}");
        assert!(StreamConfig::default().validate().is_ok());
    }
}
