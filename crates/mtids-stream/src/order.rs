//! The order of rows in an epoch, as a pure function that can be entered anywhere.
//!
//! Row groups come in a keyed random order. A window of `pool` of them moves over that order, one group a step. Each group divides its draws, in
//! a keyed random order, evenly among the steps in which it is in the window; the draws of a step come in a keyed random order. So rows are
//! drawn from `pool` groups at a time at any place, and a step begins where a short sum says, without a walk over what comes before.
//!
//! Sampling may draw many times from a group with rows of a rare class. Such a group comes several times in the order, each time with a part of
//! its draws, so that copies of a row lie apart. Without sampling each group comes once.
//!
//! Invariants: every draw comes once; the order depends on table, seed, epoch and `pool` alone, never on threads, ranks, batches or memory.
//! Cost: an epoch is begun in time proportional to row groups, a place in it entered in time proportional to `pool` and its groups.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use mtids_runtime::random::{Rng, rng_for};
use rand::RngExt;

use crate::shares::offset_of;
use crate::table::{RowGroupId, SampleTable};

/// One of the times that a group comes in an epoch.
#[derive(Clone, Copy, Debug)]
struct Visit {
    /// Number of the group in the table.
    group: u32,
    /// Number of the visit, and of how many: it has every so many-th draw.
    number: u32,
    of: u32,
}

impl Visit {
    /// The visits of a group that comes so often.
    fn all(group: usize, of: u32) -> impl Iterator<Item = Self> {
        // At most 2³² groups.
        (0..of).map(move |number| Self { group: group as u32, number, of })
    }

    /// Its draws, of those of the group.
    fn draws(self, of_group: Range<u64>) -> impl Iterator<Item = u64> {
        of_group.skip(self.number as usize).step_by(self.of.max(1) as usize)
    }

    /// Their number.
    fn count(self, of_group: &Range<u64>) -> u64 {
        let draws = of_group.end - of_group.start;
        draws.saturating_sub(u64::from(self.number)).div_ceil(u64::from(self.of.max(1)))
    }
}

/// A row of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drawn {
    /// Place of its row group in the order of the groups of the epoch, in which one may come more than once.
    pub group: usize,
    /// Row in the group.
    pub row: usize,
    /// Number among the draws of the row in this epoch, from 0: sampling may draw a row more than once.
    pub copy: u32,
}

/// The order of one epoch.
#[derive(Debug)]
pub struct EpochOrder {
    table: Arc<SampleTable>,
    seed: u64,
    epoch: u64,
    shuffle: bool,
    /// Groups in the window.
    pool: usize,
    /// Where the ruler of sampling lies.
    offset: u32,
    /// The groups in their order, those without draws left out.
    groups: Vec<Visit>,
    /// Draws before each of them, and behind the last all.
    draws_before: Vec<u64>,
}

impl EpochOrder {
    /// The order of an epoch of a table. Without `shuffle` rows come in the order of the table, otherwise from `pool` row groups at a time.
    pub fn new(table: Arc<SampleTable>, seed: u64, epoch: u64, shuffle: bool, pool: usize) -> Self {
        let offset = offset_of(seed, epoch);
        let mut groups = Vec::with_capacity(table.row_groups().len());
        for number in 0..table.row_groups().len() {
            let draws = table.draws(number, offset);
            if shuffle {
                groups.extend(Visit::all(number, table.visits(number, draws.end - draws.start)));
            } else if !draws.is_empty() {
                groups.push(Visit { group: number as u32, number: 0, of: 1 });
            }
        }
        if shuffle {
            permute(&mut groups, rng_for(seed, "epoch order", &[epoch]));
        }
        let mut draws_before = Vec::with_capacity(groups.len() + 1);
        let mut sum = 0;
        draws_before.push(sum);
        for visit in &groups {
            sum += visit.count(&table.draws(visit.group as usize, offset));
            draws_before.push(sum);
        }
        let pool = if shuffle { pool.clamp(1, groups.len().max(1)) } else { 1 };
        Self { table, seed, epoch, shuffle, pool, offset, groups, draws_before }
    }

    /// Rows of the epoch.
    pub fn rows(&self) -> u64 {
        self.draws_before.last().copied().unwrap_or(0)
    }

    /// Row groups of the epoch; one that comes more than once counts each time.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The row group at a place of the order of the groups.
    pub fn group(&self, place: usize) -> RowGroupId {
        self.table.row_groups()[self.groups[place].group as usize]
    }

    /// Number, in the table, of the row group at a place.
    pub(crate) fn number(&self, place: usize) -> usize {
        self.groups[place].group as usize
    }

    /// The table that it is drawn from.
    pub fn table(&self) -> &Arc<SampleTable> {
        &self.table
    }

    /// Places of the groups in the window of a step.
    pub(crate) fn window(&self, step: usize) -> Range<usize> {
        step..(step + self.pool).min(self.groups.len())
    }

    fn steps(&self) -> usize {
        if self.groups.is_empty() { 0 } else { self.groups.len() - self.pool + 1 }
    }

    /// Draws of a group that come before a step in which, or behind which, it is in the window.
    fn draws_before_step(&self, place: usize, step: usize) -> u64 {
        let first = (place + 1).saturating_sub(self.pool);
        let last = place.min(self.steps().saturating_sub(1));
        let all = self.draws_before[place + 1] - self.draws_before[place];
        let (life, lived) = ((last + 1 - first) as u64, step.saturating_sub(first) as u64);
        // Below 2³² draws times row groups of a window.
        if lived >= life { all } else { all * lived / life }
    }

    /// Rows before a step.
    fn start_of(&self, step: usize) -> u64 {
        if step >= self.steps() {
            return self.rows();
        }
        // Groups before the window have given all.
        self.draws_before[step] + self.window(step).map(|place| self.draws_before_step(place, step)).sum::<u64>()
    }

    /// The step that a position lies in; the number of steps for one behind the end.
    pub(crate) fn step_of(&self, position: u64) -> usize {
        let (mut low, mut high) = (0, self.steps());
        // Steps before `low` begin at or before the position; each has a row at least.
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.start_of(middle + 1) <= position { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The draws of a group, by their number in the epoch, in the order in which they come.
    fn draws_of(&self, place: usize) -> Vec<u64> {
        let visit = self.groups[place];
        let mut draws: Vec<u64> = visit.draws(self.table.draws(visit.group as usize, self.offset)).collect();
        if self.shuffle {
            let key = [self.epoch, u64::from(visit.group), u64::from(visit.number)];
            permute(&mut draws, rng_for(self.seed, "order within a row group", &key));
        }
        draws
    }
}

/// Fisher–Yates, spelt out: the order is part of the contract and must not change with a library.
fn permute<T>(items: &mut [T], mut random: Rng) {
    for n in (1..items.len()).rev() {
        items.swap(n, random.random_range(0..=n));
    }
}

/// A place in an order, that moves forward.
#[derive(Debug)]
pub struct Cursor {
    order: Arc<EpochOrder>,
    step: usize,
    /// Rows before the step.
    start: u64,
    /// Rows of the step.
    rows: Vec<Drawn>,
    /// Draws of the groups in the window.
    draws: HashMap<usize, Vec<u64>>,
}

impl Cursor {
    /// Enters an order at a position.
    pub fn new(order: Arc<EpochOrder>, position: u64) -> Self {
        let step = order.step_of(position);
        let start = order.start_of(step);
        let mut cursor = Self { order, step, start, rows: Vec::new(), draws: HashMap::new() };
        cursor.enter();
        cursor
    }

    /// The step: groups before it are not needed any more.
    pub(crate) fn step(&self) -> usize {
        self.step
    }

    /// The row at a position, which is not before that of an earlier call; `None` behind the end.
    pub fn at(&mut self, position: u64) -> Option<Drawn> {
        while self.step < self.order.steps() && position >= self.start + self.rows.len() as u64 {
            self.start += self.rows.len() as u64;
            self.step += 1;
            self.enter();
        }
        let within = position.checked_sub(self.start)?;
        self.rows.get(within as usize).copied()
    }

    /// Takes the rows of the step.
    fn enter(&mut self) {
        let (order, step) = (Arc::clone(&self.order), self.step);
        self.rows.clear();
        self.draws.retain(|&place, _| place >= step);
        if step >= order.steps() {
            return;
        }
        for place in order.window(step) {
            let draws = self.draws.entry(place).or_insert_with(|| order.draws_of(place));
            let from = order.draws_before_step(place, step) as usize;
            let to = order.draws_before_step(place, step + 1) as usize;
            let group = order.groups[place].group as usize;
            let row = |&draw: &u64| {
                let (row, copy) = order.table.row_of(group, draw, order.offset);
                Drawn { group: place, row, copy }
            };
            self.rows.extend(draws.get(from..to).unwrap_or_default().iter().map(row));
        }
        if order.shuffle {
            permute(&mut self.rows, rng_for(order.seed, "order within a step", &[order.epoch, step as u64]));
        }
    }
}
