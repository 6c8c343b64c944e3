//! The stream itself: threads, bounded channels between them, and the end of both.
//!
//! ```text
//! order ──groups──▶ readers (verify, decode) ──any order──▶ collator (reorder, shuffle, copy) ──batches──▶ consumer
//!        bounded          one byte budget for everything in flight                            bounded
//! ```
//!
//! Invariant: when the stream is dropped its threads have ended.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use mtids_runtime::budget::Budget;
use mtids_runtime::digest::Digest;
use mtids_shards::{Dataset, Split};

use crate::batches::Rank;
use crate::buffers::Buffers;
use crate::builder::{BatchStreamBuilder, Rows};
use crate::collate::{Batch, Batches, Collator};
use crate::config::DamagePolicy;
use crate::error::StreamError;
use crate::gauges::Gauges;
use crate::memory::{BATCHES, Room, Sizes, WAITING};
use crate::order::EpochOrder;
use crate::reading::{Shared, feed, read};
use crate::state::StreamState;
use crate::table::SampleTable;

/// Batches of one epoch, in order.
#[derive(Debug)]
pub struct BatchStream {
    shared: Arc<Shared>,
    positions: Positions,
    /// The next batch.
    index: u64,
    receiver: Option<Receiver<Result<Batch, StreamError>>>,
    threads: Vec<JoinHandle<()>>,
    ended: bool,
}

/// What to save between the batches of a stream; it outlives the stream.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    batches: Batches,
    state: StreamState,
}

impl Positions {
    /// The first batch of the stream.
    pub fn first(&self) -> u64 {
        self.batches.start
    }

    /// Batches of the whole epoch.
    pub fn count(&self) -> u64 {
        self.batches.count()
    }

    /// What to save so as to go on at this batch of the epoch.
    pub fn at(&self, batch: u64) -> StreamState {
        StreamState { position: self.batches.of(batch).start, ..self.state }
    }
}

/// Settings that go together, and what follows from them.
struct Checked {
    table: Arc<SampleTable>,
    pool: usize,
    sizes: Sizes,
    /// For row groups.
    room: Room,
    positions: Positions,
}

impl BatchStreamBuilder {
    /// Checks everything that [`BatchStreamBuilder::start`] checks before it starts a thread.
    ///
    /// # Errors
    /// As [`BatchStreamBuilder::start`], but for threads.
    pub fn check(&self) -> Result<(), StreamError> {
        self.checked().map(drop)
    }

    /// Where the stream would start and what to save between its batches, without starting a thread.
    ///
    /// # Errors
    /// As [`BatchStreamBuilder::check`].
    pub fn positions(&self) -> Result<Positions, StreamError> {
        self.checked().map(|checked| checked.positions)
    }

    fn checked(&self) -> Result<Checked, StreamError> {
        self.validate()?;
        let table = self.table()?;
        let pool = if self.shuffle { self.config.shuffle_row_groups.max(1) } else { 1 };
        let digest = digest_of(table.digest(), self.shuffle, pool);
        let rank = Rank { number: self.rank.0 as u64, of: self.rank.1 as u64 };
        let (rows, batch_size, drop_last) = (table.epoch_rows(), self.batch_size as u64, self.config.drop_last);
        let mut batches = Batches { rows, batch_size, drop_last, start: self.start_batch, step: self.step, rank };
        let state = StreamState { seed: self.seed, epoch: self.epoch, position: 0, digest };
        if let Some(row) = self.start_row {
            batches.start = batch_at(row, &batches)?;
        }
        if let Some(saved) = &self.resume {
            batches.start = start_of(saved, &state, &batches)?;
        }
        let sizes = Sizes::of(&table);
        // The last batch may be one row larger.
        let largest = batch_size.saturating_add(1).min(rows).div_ceil(rank.of);
        let largest = usize::try_from(largest).unwrap_or(usize::MAX);
        let may_keep = self.shares_table() && table.kept().is_own();
        let room = sizes.for_groups(&table, &self.config, pool, largest, self.at_least_needed, may_keep)?;
        Ok(Checked { table, pool, sizes, room, positions: Positions { batches, state } })
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// [`StreamError::Config`] or [`StreamError::Budget`] for settings, [`StreamError::State`] for a position of another stream,
    /// [`StreamError::Spawn`] when no thread can be started; with sampling, those of [`SampleTable::open`].
    pub fn start(self) -> Result<BatchStream, StreamError> {
        let checked = self.checked()?;
        BatchStream::start(&self, checked)
    }
}

impl BatchStream {
    /// Sets up a stream of the labelled rows of `split`: by default in the order of the dataset, 32 rows in a batch, from the first batch on.
    pub fn builder(dataset: Arc<Dataset>, split: Split) -> BatchStreamBuilder {
        BatchStreamBuilder::new(Rows::Split(dataset, split))
    }

    /// As [`BatchStream::builder`], for the rows of a table; its sampling counts, not that of the configuration. Where the byte budget holds all row
    /// groups of the table, decoded, they stay in memory with the table, and later streams over it read nothing.
    pub fn over(table: Arc<SampleTable>) -> BatchStreamBuilder {
        BatchStreamBuilder::new(Rows::Table(table))
    }

    /// Starts the threads of a stream whose settings are checked.
    fn start(settings: &BatchStreamBuilder, checked: Checked) -> Result<Self, StreamError> {
        let Checked { table, pool, sizes, room, positions } = checked;
        let BatchStreamBuilder { config, seed, epoch, shuffle, .. } = settings;
        let shared = Arc::new(Shared {
            order: Arc::new(EpochOrder::new(table, *seed, *epoch, *shuffle, pool)),
            sizes,
            budget: Budget::new(room.bytes),
            gauges: Arc::new(Gauges::new(config.readers)),
            spare: Buffers::new(usize::MAX),
            keeps: room.keeps,
        });
        if room.keeps {
            let table = shared.order.table();
            let groups = table.row_groups();
            let bytes = table.kept().numbers().into_iter().map(|number| shared.sizes.decoded(groups[number])).sum();
            shared.gauges.take_off(bytes);
        }
        let (sender, receiver) = bounded(WAITING);
        // The stream exists before its threads: if one cannot be started, dropping it ends those that were.
        let mut stream = Self {
            shared: Arc::clone(&shared),
            positions,
            index: positions.batches.start,
            receiver: Some(receiver),
            threads: Vec::with_capacity(config.readers + 2),
            ended: false,
        };
        stream.spawn_all(config.readers, config.on_damage, sender)?;
        Ok(stream)
    }

    fn spawn_all(
        &mut self,
        readers: usize,
        on_damage: DamagePolicy,
        batches: Sender<Result<Batch, StreamError>>,
    ) -> Result<(), StreamError> {
        let range = self.positions.batches.range();
        let order = &self.shared.order;
        let places = match range.end.checked_sub(1).filter(|_| !range.is_empty()) {
            Some(last) => order.step_of(range.start)..order.window(order.step_of(last)).end,
            None => 0..0,
        };
        let (tasks, given) = bounded(readers);
        // Unbounded in count, bounded in bytes by the budget.
        let (decoded, results) = unbounded();
        let shared = Arc::clone(&self.shared);
        self.spawn("mtids-feeder", move || feed(&shared, places, &tasks))?;
        for _ in 0..readers {
            let (shared, given, decoded) = (Arc::clone(&self.shared), given.clone(), decoded.clone());
            self.spawn("mtids-reader", move || read(&shared, &given, &decoded))?;
        }
        let (shared, layout) = (Arc::clone(&self.shared), self.positions.batches);
        let store = Arc::new(Buffers::new(BATCHES));
        let collate = move || Collator::new(shared, layout, on_damage, results, store).run(&batches);
        self.spawn("mtids-collator", collate)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StreamError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StreamError::Spawn)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Number of batches of the whole epoch.
    pub fn batches(&self) -> u64 {
        self.positions.batches.count()
    }

    /// What to save between its batches.
    pub fn positions(&self) -> Positions {
        self.positions
    }

    /// Its gauges, which can be read while it runs and after it.
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.shared.gauges)
    }
}

/// Digest of a table and of the settings that order its rows.
fn digest_of(table: Digest, shuffle: bool, pool: usize) -> Digest {
    let pool = if shuffle { pool as u64 } else { 0 };
    Digest::of_parts([table.as_bytes().as_slice(), pool.to_le_bytes().as_slice()])
}

/// The batch that begins at a saved position.
fn start_of(saved: &StreamState, own: &StreamState, batches: &Batches) -> Result<u64, StreamError> {
    let refuse = |reason: String| Err(StreamError::State { reason });
    if saved.digest != own.digest {
        return refuse(
            "it is of another dataset, sampling or `stream.shuffle_row_groups`, or of another version".into(),
        );
    }
    if (saved.seed, saved.epoch) != (own.seed, own.epoch) {
        let StreamState { seed, epoch, .. } = own;
        return refuse(format!(
            "it is of epoch {} of seed {}, the stream of epoch {epoch} of seed {seed}",
            saved.epoch, saved.seed
        ));
    }
    batch_at(saved.position, batches)
}

/// The batch that begins at a row of the epoch.
fn batch_at(row: u64, batches: &Batches) -> Result<u64, StreamError> {
    let count = batches.count();
    // A row behind the last whole batch is the end.
    let batch = (row / batches.batch_size.max(1)).min(count);
    let reason = || format!("row {row} is not the first of a batch of {}", batches.batch_size);
    let found = [batch, count].into_iter().find(|&batch| batches.of(batch).start == row);
    found.ok_or_else(|| StreamError::State { reason: reason() })
}

impl Iterator for BatchStream {
    type Item = Result<Batch, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let receiver = self.receiver.as_ref()?;
        let waiting = receiver.len();
        let gauges = &self.shared.gauges;
        let item = match gauges.consumer_blocked.time(|| receiver.recv()) {
            Ok(item) => item,
            Err(_) if self.index >= self.batches() => {
                self.ended = true;
                return None;
            }
            Err(_) => Err(StreamError::WorkerPanicked { stage: "collating a batch" }),
        };
        if let Ok(batch) = &item {
            gauges.land(self.shared.sizes.rows(batch.labels.len() as u64));
            gauges.count_batch(batch.labels.len(), waiting);
            self.index += self.positions.batches.step;
        }
        self.ended = item.is_err();
        Some(item)
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        // Closed in this order every thread finds an end: the feeder its budget, the collator its receiver, the readers theirs.
        self.shared.budget.close();
        self.receiver = None;
        for thread in self.threads.drain(..) {
            // What a thread could not finish was an error value before.
            let _ = thread.join();
        }
    }
}
