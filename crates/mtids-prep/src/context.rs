//! What the processing of every partition needs, and the part of it that a prediction needs too.

use mtids_dicom::Limits;
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_runtime::budget::Budget;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::storage::Storage;
use mtids_shards::{DatasetDescription, ShardWriter};

use crate::clock::Clock;
use crate::config::CheckedConfig;
use crate::error::PrepError;

/// What the rows of a series are cut with.
#[derive(Clone, Copy)]
pub(crate) struct Cutting<'a> {
    /// Settings.
    pub(crate) config: &'a CheckedConfig,
    /// Description of the rows.
    pub(crate) description: &'a DatasetDescription,
    /// Secret of the pseudonyms.
    pub(crate) secret: &'a PseudonymSecret,
    /// Raised when the program is to stop.
    pub(crate) interrupt: &'a Interrupt,
}

impl Cutting<'_> {
    /// Ends the work after a signal; asked before each row.
    pub(crate) fn check_interrupt(&self) -> Result<(), PrepError> {
        if self.interrupt.is_raised() { Err(PrepError::Interrupted) } else { Ok(()) }
    }
}

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

    /// The part that rows are cut with.
    pub(crate) fn cutting(&self) -> Cutting<'_> {
        Cutting { config: self.config, description: self.description, secret: self.secret, interrupt: self.interrupt }
    }

    /// Ends the work after a signal; asked before each series.
    pub(crate) fn check_interrupt(&self) -> Result<(), PrepError> {
        self.cutting().check_interrupt()
    }
}
