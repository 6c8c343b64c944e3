//! The builder of a stream: which rows, in which order, from which batch on, with how many threads.

use std::sync::Arc;

use mtids_shards::{Dataset, Split};

use crate::config::StreamConfig;
use crate::error::StreamError;

/// Sets up a [`BatchStream`](crate::BatchStream); made by [`BatchStream::builder`](crate::BatchStream::builder).
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `start`"]
pub struct BatchStreamBuilder {
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) split: Split,
    pub(crate) config: StreamConfig,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    pub(crate) shuffle: bool,
    pub(crate) start_batch: u64,
}

impl BatchStreamBuilder {
    pub(crate) fn new(dataset: Arc<Dataset>, split: Split) -> Self {
        Self {
            dataset,
            split,
            config: StreamConfig::default(),
            batch_size: 32,
            seed: 0,
            epoch: 0,
            shuffle: false,
            start_batch: 0,
        }
    }

    /// Takes all settings of a configuration at once.
    pub fn config(mut self, config: &StreamConfig) -> Self {
        self.config = config.clone();
        self
    }

    /// Reader threads. By default 2.
    pub fn readers(mut self, readers: usize) -> Self {
        self.config.readers = readers;
        self
    }

    /// Decoded voxels of all views in flight, in MiB. By default 256.
    pub fn byte_budget_mib(mut self, mib: u64) -> Self {
        self.config.byte_budget_mib = mib;
        self
    }

    /// Drops the last batch of an epoch where it is smaller. By default it is kept; one of a single row is joined to the batch before.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.config.drop_last = drop_last;
        self
    }

    /// Rows in a batch. By default 32.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = rows;
        self
    }

    /// Shuffles the rows; the order is a pure function of seed and epoch. By default rows come in the order of the dataset.
    pub fn shuffle(mut self, seed: u64, epoch: u64) -> Self {
        (self.shuffle, self.seed, self.epoch) = (true, seed, epoch);
        self
    }

    /// Draws rows from this many row groups at a time. By default 8.
    pub fn shuffle_row_groups(mut self, row_groups: usize) -> Self {
        self.config.shuffle_row_groups = row_groups;
        self
    }

    /// Starts at this batch of the epoch; row groups that lie wholly before it are not read. By default 0.
    pub fn start_batch(mut self, batch: u64) -> Self {
        self.start_batch = batch;
        self
    }

    /// Checks the settings.
    pub(crate) fn validate(&self) -> Result<(), StreamError> {
        self.config.validate()?;
        match self.batch_size {
            0 => Err(StreamError::Config { key: "batch_size", reason: "at least 1" }),
            _ => Ok(()),
        }
    }
}
