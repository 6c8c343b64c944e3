//! The threads before the collator: one gives out row groups in the order in which they are needed, others read, verify and decode them.
//!
//! Invariants: memory is taken in that order, so the group that is needed next always gets its share first; what goes wrong is a value behind
//! the number of its row group; the threads end when the budget is closed or nobody listens.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender};
use mtids_runtime::budget::Budget;
use mtids_shards::{RowGroup, read_row_group_into};

use crate::buffers::Buffers;
use crate::error::StreamError;
use crate::gauges::Gauges;
use crate::memory::Sizes;
use crate::order::EpochOrder;

/// What the threads of a stream share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) order: Arc<EpochOrder>,
    pub(crate) sizes: Sizes,
    pub(crate) budget: Budget,
    pub(crate) gauges: Arc<Gauges>,
    /// Buffers of row groups. Spare ones add nothing to the most voxels that the budget lets in.
    pub(crate) spare: Buffers,
    /// Whether row groups stay with the table; the budget has no part for them then.
    pub(crate) keeps: bool,
}

/// A row group by its place in the order of the epoch's groups, to be read, and the bytes that are given back when that is done.
pub(crate) type Task = (usize, u64);

/// A row group by its place in the order of the epoch's groups.
pub(crate) type Decoded = (usize, Result<Arc<RowGroup>, StreamError>);

impl Shared {
    fn give(&self, bytes: u64) {
        // In this order the gauge never shows more than was taken.
        self.gauges.land(bytes);
        self.budget.give(bytes);
    }

    /// Gives back what a row group holds until its last row was drawn.
    pub(crate) fn let_go(&self, place: usize, rows: Option<Arc<RowGroup>>) {
        if self.keeps {
            return;
        }
        for (view, voxels) in rows.and_then(Arc::into_inner).into_iter().flat_map(|rows| rows.views).enumerate() {
            self.spare.give(view, voxels.voxels);
        }
        self.give(self.sizes.decoded(self.order.group(place)));
    }
}

/// Gives out row groups while there is memory for them.
pub(crate) fn feed(shared: &Shared, places: Range<usize>, tasks: &Sender<Task>) {
    for place in places {
        let group = shared.order.group(place);
        let is_read = shared.keeps && shared.order.table().kept().holds(shared.order.number(place));
        let transient = if is_read { 0 } else { shared.sizes.transient(group) };
        let decoded = if shared.keeps { 0 } else { shared.sizes.decoded(group) };
        let bytes = decoded.saturating_add(transient);
        if !shared.gauges.feeder_blocked.time(|| shared.budget.take(bytes)) {
            return;
        }
        shared.gauges.take_off(bytes);
        if tasks.send((place, transient)).is_err() {
            return;
        }
    }
}

/// Reads row groups.
pub(crate) fn read(shared: &Shared, tasks: &Receiver<Task>, results: &Sender<Decoded>) {
    while let Ok((place, transient)) = shared.gauges.readers_blocked.time(|| tasks.recv()) {
        let rows = shared.gauges.reading.time(|| read_or_kept(shared, place));
        shared.give(transient);
        if results.send((place, rows)).is_err() {
            return;
        }
    }
}

/// The row group at a place, from memory where it stays there.
fn read_or_kept(shared: &Shared, place: usize) -> Result<Arc<RowGroup>, StreamError> {
    let read = || {
        let rows = read_checked(shared, place);
        shared.gauges.count_row_group();
        rows
    };
    if !shared.keeps {
        return read().map(Arc::new);
    }
    let (rows, is_new) = shared.order.table().kept().get_or_read(shared.order.number(place), read)?;
    if is_new {
        shared.gauges.take_off(shared.sizes.decoded(shared.order.group(place)));
    }
    Ok(rows)
}

/// Reads a row group, with every row that the order has of it.
fn read_checked(shared: &Shared, place: usize) -> Result<RowGroup, StreamError> {
    let group = shared.order.group(place);
    let table = shared.order.table();
    let read = || {
        let views = shared.sizes.row_lens.iter().enumerate();
        let buffers = views.map(|(view, row_len)| shared.spare.take(view, group.rows * row_len)).collect();
        read_row_group_into(table.dataset_of(group), group.shard, group.row_group, buffers)
    };
    let panicked = |_| StreamError::WorkerPanicked { stage: "reading a row group" };
    let rows = catch_unwind(AssertUnwindSafe(read)).map_err(panicked)??;
    let complete = rows.views.iter().map(|view| view.voxels.len() / view.row_len.max(1));
    let found = complete.chain([rows.labels.len()]).min().unwrap_or(0);
    if found < group.rows {
        let (shard, row_group) = (table.shard_path(group), group.row_group);
        return Err(StreamError::MissingRows { shard, row_group, listed: group.rows, found });
    }
    Ok(rows)
}
