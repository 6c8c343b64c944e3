//! The thread that puts rows in their order and copies them into batches.
//!
//! Invariants: batches and errors leave in the order of the epoch; the first error is the last item; at the end the delivered rows are those that
//! manifest and sampling say, or that is an error too. Where the policy skips damage, a batch keeps its number and loses rows, which are counted.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use mtids_shards::{RowGroup, RowLabels};

use crate::batches::{Rank, batches_per_epoch, rows_of_batch};
use crate::buffers::{Buffers, Voxels};
use crate::config::DamagePolicy;
use crate::error::StreamError;
use crate::gauges::Skipped;
use crate::order::Cursor;
use crate::reading::{Decoded, Shared};

/// Rows of a training step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number in the epoch, from 0.
    pub index: u64,
    /// Labels of each row.
    pub labels: Vec<RowLabels>,
    /// Voxels of each view in the order of the dataset's description: `[B, C, D, H, W]`, w fastest.
    pub views: Vec<Voxels>,
    /// Rows that should be here and were left out, because their row groups are damaged.
    pub skipped: usize,
}

impl Batch {
    /// A batch with all its rows.
    pub fn new(index: u64, labels: Vec<RowLabels>, views: Vec<Voxels>) -> Self {
        Self { index, labels, views, skipped: 0 }
    }
}

/// Which rows of an epoch make up which batches of a rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches {
    /// Rows of the epoch.
    pub(crate) rows: u64,
    pub(crate) batch_size: u64,
    pub(crate) drop_last: bool,
    /// The first batch.
    pub(crate) start: u64,
    pub(crate) rank: Rank,
}

impl Batches {
    /// Batches of the whole epoch.
    pub(crate) fn count(&self) -> u64 {
        batches_per_epoch(self.rows, self.batch_size, self.drop_last)
    }

    /// Rows of a batch, on all ranks.
    pub(crate) fn of(&self, batch: u64) -> Range<u64> {
        rows_of_batch(self.rows, self.batch_size, self.drop_last, batch)
    }

    /// Rows from the first batch to the last, on all ranks.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.of(self.start).start;
        start..self.count().checked_sub(1).map_or(0, |last| self.of(last).end).max(start)
    }
}

/// Collates the batches of an epoch.
pub(crate) struct Collator {
    shared: Arc<Shared>,
    batches: Batches,
    on_damage: DamagePolicy,
    results: Receiver<Decoded>,
    store: Arc<Buffers>,
    cursor: Cursor,
    /// Groups that were read, until their last row is drawn; `None` for one that is skipped.
    read: HashMap<usize, Option<RowGroup>>,
    /// What the readers could not read.
    failed: HashMap<usize, StreamError>,
    /// Groups before this place are not needed any more.
    released: usize,
    starved: Duration,
}

impl Collator {
    pub(crate) fn new(
        shared: Arc<Shared>,
        batches: Batches,
        on_damage: DamagePolicy,
        results: Receiver<Decoded>,
        store: Arc<Buffers>,
    ) -> Self {
        let cursor = Cursor::new(Arc::clone(&shared.order), batches.range().start);
        let released = cursor.step();
        let (read, failed) = (HashMap::new(), HashMap::new());
        Self { shared, batches, on_damage, results, store, cursor, read, failed, released, starved: Duration::ZERO }
    }

    /// Sends every batch, then an error where rows are missing; ends early with the first error, or when nobody listens.
    pub(crate) fn run(mut self, batches: &Sender<Result<Batch, StreamError>>) {
        let gauges = Arc::clone(&self.shared.gauges);
        let (mut expected, mut delivered, mut skipped) = (0, 0, 0);
        for index in self.batches.start..self.batches.count() {
            let part = self.batches.rank.part(&self.batches.of(index));
            expected += part.end - part.start;
            let started = Instant::now();
            let starved = self.starved;
            let collated = catch_unwind(AssertUnwindSafe(|| self.batch(index, part)))
                .unwrap_or(Err(StreamError::WorkerPanicked { stage: "collating a batch" }));
            let starved = self.starved.saturating_sub(starved);
            gauges.collator_starved.add(starved);
            gauges.collating.add(started.elapsed().saturating_sub(starved));
            gauges.set_buffers(self.store.fresh() + self.shared.spare.fresh());
            let is_last = collated.is_err();
            if let Ok(batch) = &collated {
                delivered += batch.labels.len() as u64;
                skipped += batch.skipped as u64;
                gauges.take_off(self.shared.sizes.rows(batch.labels.len() as u64));
            }
            if gauges.collator_blocked.time(|| batches.send(collated)).is_err() || is_last {
                return;
            }
        }
        for (place, rows) in self.read.drain() {
            self.shared.let_go(place, rows);
        }
        let of_table = self.shared.order.table().epoch_rows();
        if delivered + skipped != expected || self.shared.order.rows() != of_table {
            let expected = expected.max(of_table.saturating_sub(self.batches.range().start));
            // Where nobody listens nobody misses it.
            let _ = batches.send(Err(StreamError::Incomplete { expected, delivered, skipped }));
        }
    }

    fn batch(&mut self, index: u64, part: Range<u64>) -> Result<Batch, StreamError> {
        let count = (part.end - part.start) as usize;
        let mut labels = Vec::with_capacity(count);
        let row_lens = self.shared.sizes.row_lens.iter().enumerate();
        let mut views: Vec<Vec<i16>> = row_lens.map(|(view, len)| self.store.take(view, count * len)).collect();
        for position in part {
            // An order that ends too early is found when the rows are counted.
            let Some(drawn) = self.cursor.at(position) else { break };
            self.release();
            self.wait_for(drawn.group)?;
            match self.read.get(&drawn.group) {
                Some(Some(rows)) => {
                    labels.push(rows.labels[drawn.row].clone());
                    views
                        .iter_mut()
                        .zip(&rows.views)
                        .for_each(|(all, view)| all.extend_from_slice(view.row(drawn.row)));
                }
                _ => self.shared.gauges.count_skipped_row(),
            }
        }
        let skipped = count - labels.len();
        if skipped > 0 && labels.len() < count.min(2) {
            return Err(StreamError::NothingLeft { batch: index, rows: count, left: labels.len() });
        }
        let home = |(view, values)| Voxels::of_store(values, Arc::clone(&self.store), view);
        Ok(Batch { index, labels, views: views.into_iter().enumerate().map(home).collect(), skipped })
    }

    /// Lets the groups go that lie behind.
    fn release(&mut self) {
        for place in self.released..self.cursor.step() {
            self.failed.remove(&place);
            if let Some(rows) = self.read.remove(&place) {
                self.shared.let_go(place, rows);
            }
        }
        self.released = self.released.max(self.cursor.step());
    }

    /// Waits until a row group has been read, and takes in those that come before it.
    fn wait_for(&mut self, place: usize) -> Result<(), StreamError> {
        while !self.read.contains_key(&place) {
            let waiting = Instant::now();
            let received = self.results.recv();
            self.starved += waiting.elapsed();
            let Ok((number, rows)) = received else {
                let table = self.shared.order.table();
                let group = self.shared.order.group(place);
                return Err(StreamError::ReadersEnded { shard: table.shard_path(group), row_group: group.row_group });
            };
            if number < self.released {
                self.shared.let_go(number, rows.ok());
                continue;
            }
            let rows = rows.map_err(|error| _ = self.failed.insert(number, error)).ok();
            self.read.insert(number, rows);
        }
        match self.failed.remove(&place) {
            Some(error) if self.on_damage == DamagePolicy::Skip && error.is_damage() => {
                let group = self.shared.order.group(place);
                let shard = self.shared.order.table().shard_path(group);
                let skipped = Skipped { shard, row_group: group.row_group, error: error.to_string() };
                self.shared.gauges.note_skipped(skipped);
                Ok(())
            }
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
