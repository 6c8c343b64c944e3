//! The thread that puts rows in their order and copies them into batches.
//!
//! Invariants: batches and errors leave in the order of the epoch; the first error is the last item; an order that ends before the rows of
//! manifest and sampling is an error where it ends, and one that goes on behind them at the end. Where the policy skips damage, a batch keeps
//! its number and loses rows; those are counted one by one, and nothing else counts as skipped.

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
    /// Which of the draws of its row in this epoch each one is, from 0; sampling may draw a row more than once.
    pub copies: Vec<u32>,
    /// Voxels of each view in the order of the dataset's description: `[B, C, D, H, W]`, w fastest.
    pub views: Vec<Voxels>,
    /// Rows that should be here and were left out, because their row groups are damaged. Of several ranks some may have none left.
    pub skipped: usize,
}

impl Batch {
    /// A batch with all its rows, each drawn for the first time.
    pub fn new(index: u64, labels: Vec<RowLabels>, views: Vec<Voxels>) -> Self {
        let copies = vec![0; labels.len()];
        Self { index, labels, copies, views, skipped: 0 }
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
    /// From the first on, each of so many is collated.
    pub(crate) step: u64,
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

    /// Whether a batch is collated, not passed over.
    pub(crate) fn is_taken(&self, batch: u64) -> bool {
        batch.checked_sub(self.start).is_some_and(|number| number % self.step.max(1) == 0)
    }

    /// What this rank takes of a batch.
    fn part(&self, batch: u64) -> Range<u64> {
        let of_all = self.of(batch);
        if self.is_taken(batch) { self.rank.part(&of_all) } else { of_all.start..of_all.start }
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
    read: HashMap<usize, Option<Arc<RowGroup>>>,
    /// What the readers could not read.
    failed: HashMap<usize, StreamError>,
    /// Groups before this place are not needed any more.
    released: usize,
    starved: Duration,
    /// Rows of this rank that were delivered, and left out for damage.
    delivered: u64,
    skipped: u64,
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
        Self {
            shared,
            batches,
            on_damage,
            results,
            store,
            cursor,
            read: HashMap::new(),
            failed: HashMap::new(),
            released,
            starved: Duration::ZERO,
            delivered: 0,
            skipped: 0,
        }
    }

    /// Sends every batch, then an error where rows are missing; ends early with the first error, or when nobody listens.
    pub(crate) fn run(mut self, batches: &Sender<Result<Batch, StreamError>>) {
        let gauges = Arc::clone(&self.shared.gauges);
        for index in self.batches.start..self.batches.count() {
            let started = Instant::now();
            let starved = self.starved;
            let collated = catch_unwind(AssertUnwindSafe(|| self.batch(index)))
                .unwrap_or(Err(StreamError::WorkerPanicked { stage: "collating a batch" }));
            let starved = self.starved.saturating_sub(starved);
            gauges.collator_starved.add(starved);
            gauges.collating.add(started.elapsed().saturating_sub(starved));
            gauges.set_buffers(self.store.fresh() + self.shared.spare.fresh());
            let is_last = collated.is_err();
            if !is_last && !self.batches.is_taken(index) {
                continue;
            }
            if let Ok(batch) = &collated {
                gauges.take_off(self.shared.sizes.rows(batch.labels.len() as u64));
            }
            if gauges.collator_blocked.time(|| batches.send(collated)).is_err() || is_last {
                return;
            }
        }
        for (place, rows) in self.read.drain() {
            self.shared.let_go(place, rows);
        }
        // Rows that the order has and no batch takes.
        let surplus = self.shared.order.rows().saturating_sub(self.batches.rows);
        if surplus > 0 || self.delivered + self.skipped != self.expected() {
            // Where nobody listens nobody misses it.
            let _ = batches.send(Err(self.incomplete(self.delivered + surplus)));
        }
    }

    /// Rows of this rank from the first batch to the last, as manifest and sampling have them.
    fn expected(&self) -> u64 {
        let part = |batch| self.batches.part(batch);
        (self.batches.start..self.batches.count()).map(part).map(|rows| rows.end - rows.start).sum()
    }

    fn incomplete(&self, delivered: u64) -> StreamError {
        StreamError::Incomplete { expected: self.expected(), delivered, skipped: self.skipped }
    }

    /// This rank's part of a batch. What the other ranks have of it is looked at too, so that all of them judge its damage alike.
    fn batch(&mut self, index: u64) -> Result<Batch, StreamError> {
        let of_all = self.batches.of(index);
        let part = self.batches.part(index);
        let count = (part.end - part.start) as usize;
        let (mut labels, mut copies) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let row_lens = self.shared.sizes.row_lens.iter().enumerate();
        let mut views: Vec<Vec<i16>> = row_lens.map(|(view, len)| self.store.take(view, count * len)).collect();
        let (mut skipped, mut skipped_of_all) = (0, 0);
        for position in of_all.clone() {
            let Some(drawn) = self.cursor.at(position) else {
                return Err(self.incomplete(self.delivered + labels.len() as u64));
            };
            self.release();
            self.wait_for(drawn.group)?;
            let is_own = part.contains(&position);
            match self.read.get(&drawn.group) {
                Some(Some(rows)) if is_own => {
                    labels.push(rows.labels[drawn.row].clone());
                    copies.push(drawn.copy);
                    views
                        .iter_mut()
                        .zip(&rows.views)
                        .for_each(|(all, view)| all.extend_from_slice(view.row(drawn.row)));
                }
                Some(Some(_)) => {}
                _ => {
                    skipped_of_all += 1;
                    if is_own {
                        skipped += 1;
                        self.shared.gauges.count_skipped_row();
                    }
                }
            }
        }
        self.delivered += labels.len() as u64;
        self.skipped += skipped as u64;
        let rows = (of_all.end - of_all.start) as usize;
        let left = rows - skipped_of_all;
        if skipped_of_all > 0 && left < rows.min(2) {
            return Err(StreamError::NothingLeft { batch: index, rows, left });
        }
        let home = |(view, values)| Voxels::of_store(values, Arc::clone(&self.store), view);
        Ok(Batch { index, labels, copies, views: views.into_iter().enumerate().map(home).collect(), skipped })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{BATCHES, Sizes};
    use crate::order::EpochOrder;
    use crate::reading::{feed, read};
    use crate::support::{Shape, dataset, labels};
    use crate::table::SampleTable;
    use mtids_runtime::budget::Budget;
    use mtids_shards::Split;

    /// What a collator sends that looks for so many rows in an order of ten.
    fn collated(rows: u64, rank: Rank, on_damage: DamagePolicy) -> Vec<Result<Batch, StreamError>> {
        let shape = Shape { shards: 2, rows_per_shard: 5, rows_per_group: 3, near: [1, 2, 2] };
        let table = Arc::new(SampleTable::every_row(dataset(shape, labels), Split::Train).unwrap());
        let sizes = Sizes::of(&table);
        let shared = Arc::new(Shared {
            order: Arc::new(EpochOrder::new(table, 1, 0, true, 2)),
            sizes,
            budget: Budget::new(1 << 30),
            gauges: Arc::new(crate::gauges::Gauges::new(1)),
            spare: Buffers::new(usize::MAX),
            keeps: false,
        });
        let (tasks, given) = crossbeam::channel::unbounded();
        let (decoded, results) = crossbeam::channel::unbounded();
        feed(&shared, 0..shared.order.groups(), &tasks);
        drop(tasks);
        read(&shared, &given, &decoded);
        drop(decoded);
        let batches = Batches { rows, batch_size: 4, drop_last: false, start: 0, step: 1, rank };
        let store = Arc::new(Buffers::new(BATCHES));
        let (sender, receiver) = crossbeam::channel::unbounded();
        Collator::new(shared, batches, on_damage, results, store).run(&sender);
        drop(sender);
        receiver.iter().collect()
    }

    #[test]
    fn an_order_that_is_shorter_or_longer_than_the_epoch_is_an_error_and_no_damage() {
        let whole = Rank { number: 0, of: 1 };
        for policy in [DamagePolicy::Stop, DamagePolicy::Skip] {
            let rows = |items: &[Result<Batch, StreamError>]| {
                items.iter().map(|batch| batch.as_ref().map_or(0, |batch| batch.labels.len())).collect::<Vec<_>>()
            };
            let intact = collated(10, whole, policy);
            assert_eq!((rows(&intact), intact.iter().all(Result::is_ok)), (vec![4, 4, 2], true));
            for (of_epoch, rank, expected, found, items) in [
                (14, whole, 14, 10, vec![4, 4, 0]),
                (8, whole, 8, 10, vec![4, 4, 0]),
                // Half of each batch: rows 0 and 1, 4 and 5, 8 and 9; the other half of the last one does not exist.
                (14, Rank { number: 0, of: 2 }, 7, 6, vec![2, 2, 0]),
            ] {
                let collated = collated(of_epoch, rank, policy);
                assert_eq!(rows(&collated), items);
                let last = collated.last().unwrap();
                let Err(StreamError::Incomplete { expected: of_rank, delivered, skipped: 0 }) = last else {
                    panic!("{last:?}")
                };
                assert_eq!((*of_rank, *delivered), (expected, found));
            }
        }
    }
}
