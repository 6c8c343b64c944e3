//! The builder of a stream: which rows, in which order, from which batch on, for which rank, with how many threads.

use std::sync::Arc;

use mtids_shards::{Dataset, Split};

use crate::config::{DamagePolicy, StreamConfig};
use crate::error::StreamError;
use crate::sampling::SamplingConfig;
use crate::state::StreamState;
use crate::table::{SampleTable, Source};

/// What a stream reads.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    /// A split, under the sampling of the configuration.
    Split(Arc<Dataset>, Split),
    /// A table that was made before.
    Table(Arc<SampleTable>),
}

/// Sets up a [`BatchStream`](crate::BatchStream); made by [`BatchStream::builder`](crate::BatchStream::builder).
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `start`"]
pub struct BatchStreamBuilder {
    rows: Rows,
    pub(crate) config: StreamConfig,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    pub(crate) shuffle: bool,
    pub(crate) start_batch: u64,
    /// In place of a batch, its first row.
    pub(crate) start_row: Option<u64>,
    /// Number of the rank, and of how many.
    pub(crate) rank: (usize, usize),
    /// One batch of so many is collated.
    pub(crate) step: u64,
    pub(crate) resume: Option<StreamState>,
    /// Whether a budget that is too small is raised.
    pub(crate) at_least_needed: bool,
}

impl BatchStreamBuilder {
    pub(crate) fn new(rows: Rows) -> Self {
        Self {
            rows,
            config: StreamConfig::default(),
            batch_size: 32,
            seed: 0,
            epoch: 0,
            shuffle: false,
            start_batch: 0,
            start_row: None,
            rank: (0, 1),
            step: 1,
            resume: None,
            at_least_needed: false,
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

    /// Memory for everything in flight, in MiB; no influence on the order. By default 256.
    pub fn byte_budget_mib(mut self, mib: u64) -> Self {
        self.config.byte_budget_mib = mib;
        self
    }

    /// Raises a budget that is too small to what row groups and batches need, in place of an error: for readers without a setting of their own.
    pub fn at_least_needed(mut self) -> Self {
        self.at_least_needed = true;
        self
    }

    /// Drops the last batch of an epoch where it is smaller. By default it is kept; one of a single row is joined to the batch before.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.config.drop_last = drop_last;
        self
    }

    /// What becomes of an epoch with damaged row groups. By default it stops.
    pub fn on_damage(mut self, policy: DamagePolicy) -> Self {
        self.config.on_damage = policy;
        self
    }

    /// Which rows take part, and how often. By default each once. A stream over a table keeps the sampling of the table.
    pub fn sampling(mut self, sampling: SamplingConfig) -> Self {
        self.config.sampling = sampling;
        self
    }

    /// Every row once and none left out, whatever the configuration says of sampling, damage and the last batch: for an evaluation.
    pub fn every_row(self) -> Self {
        self.sampling(SamplingConfig::default()).on_damage(DamagePolicy::Stop).drop_last(false)
    }

    /// Rows in a batch, on all ranks together. By default 32.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = rows;
        self
    }

    /// Shuffles the rows; the order is a pure function of seed and epoch. By default rows come in the order of the dataset.
    pub fn shuffle(mut self, seed: u64, epoch: u64) -> Self {
        (self.shuffle, self.seed, self.epoch) = (true, seed, epoch);
        self
    }

    /// Seed and epoch of a stream that is not shuffled: sampling draws by them, too. By default both are 0.
    pub fn epoch(mut self, seed: u64, epoch: u64) -> Self {
        (self.seed, self.epoch) = (seed, epoch);
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

    /// Starts at the batch whose first row is this one of the epoch, counted over all ranks; a row in the middle of a batch is refused.
    pub fn start_row(mut self, row: u64) -> Self {
        self.start_row = Some(row);
        self
    }

    /// Takes part `rank` of every batch, of `ranks` parts. Parts in the order of the ranks are the batch; where it has fewer rows than ranks,
    /// some are empty. By default rank 0 of 1.
    pub fn rank(mut self, rank: usize, ranks: usize) -> Self {
        self.rank = (rank, ranks);
        self
    }

    /// Collates the first batch and each `step`-th after it, and passes over the others: for processes that take batches in turn. All of them read
    /// every row group. By default 1.
    pub fn every(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// Goes on at a saved position; one of another seed, epoch or order is refused. Readers, budget and ranks may differ from those that saved
    /// it.
    pub fn resume(mut self, state: &StreamState) -> Self {
        self.resume = Some(*state);
        self
    }

    /// Checks the settings.
    pub(crate) fn validate(&self) -> Result<(), StreamError> {
        self.config.validate()?;
        if self.batch_size == 0 {
            return Err(StreamError::config("batch_size", "at least 1"));
        }
        if self.step == 0 {
            return Err(StreamError::config("every", "at least 1"));
        }
        let (rank, ranks) = self.rank;
        if rank >= ranks {
            return Err(StreamError::config("rank", format!("rank {rank} of {ranks} does not exist")));
        }
        if ranks > self.batch_size {
            let reason = format!("at most one per row of a batch: {ranks} ranks, {} rows", self.batch_size);
            return Err(StreamError::config("rank", reason));
        }
        Ok(())
    }

    /// Whether the table is one that later streams may use too.
    pub(crate) fn shares_table(&self) -> bool {
        matches!(self.rows, Rows::Table(_))
    }

    /// The rows that are streamed.
    pub(crate) fn table(&self) -> Result<Arc<SampleTable>, StreamError> {
        match &self.rows {
            Rows::Table(table) => Ok(Arc::clone(table)),
            Rows::Split(dataset, split) => {
                let source = Source { dataset: Arc::clone(dataset), split: *split, weight: None };
                Ok(Arc::new(SampleTable::open(vec![source], &self.config.sampling)?))
            }
        }
    }
}
