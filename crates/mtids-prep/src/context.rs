//! What the processing of every partition needs.

use mtids_dicom::Limits;
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_runtime::budget::Budget;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::storage::Storage;
use mtids_shards::{DatasetDescription, ShardWriter};

use crate::clock::Clock;
use crate::config::CheckedConfig;
use crate::error::PrepError;

/// What partitions share while they are processed.
pub(crate) struct BuildContext<'a> {
    /// Where the dataset is written.
    pub(crate) dataset: &'a dyn Storage,
    /// Settings.
    pub(crate) config: &'a CheckedConfig,
    /// Description of the dataset.
    pub(crate) description: &'a DatasetDescription,
    /// Secret of the pseudonyms.
    pub(crate) secret: &'a PseudonymSecret,
    /// Bytes of decoded voxels that all workers share.
    pub(crate) memory: Budget,
    /// Where the time goes.
    pub(crate) clock: &'a Clock,
    /// Raised when the program is to stop.
    pub(crate) interrupt: &'a Interrupt,
}

impl BuildContext<'_> {
    /// Bounds of reading.
    pub(crate) fn limits(&self) -> Limits {
        self.config.limits()
    }

    /// A writer of shards.
    pub(crate) fn writer(&self) -> ShardWriter<'_> {
        ShardWriter::new(self.dataset, self.description).with_options(self.config.shard_options())
    }

    /// Ends the work after a signal; asked before each series and each row.
    pub(crate) fn check_interrupt(&self) -> Result<(), PrepError> {
        if self.interrupt.is_raised() { Err(PrepError::Interrupted) } else { Ok(()) }
    }
}
