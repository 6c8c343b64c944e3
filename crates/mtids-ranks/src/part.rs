//! Which rows of a batch a rank has.

use std::ops::Range;
use std::sync::Arc;

/// The parts of a batch: consecutive rows, in the order of the ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    rank: usize,
    rows: Arc<[usize]>,
}

impl Part {
    pub(crate) fn new(rank: usize, rows: Arc<[usize]>) -> Self {
        Self { rank, rows }
    }

    /// Rows of every rank, in their order.
    pub fn of_ranks(&self) -> &[usize] {
        &self.rows
    }

    /// Rows of this rank.
    pub fn rows(&self) -> usize {
        self.rows.get(self.rank).copied().unwrap_or(0)
    }

    /// Rows of all ranks.
    pub fn total(&self) -> usize {
        self.rows.iter().sum()
    }

    /// Number of this rank's first row in the batch.
    pub fn first(&self) -> usize {
        self.rows.iter().take(self.rank).sum()
    }

    /// This rank's rows by their number in the batch.
    pub fn range(&self) -> Range<usize> {
        self.first()..self.first() + self.rows()
    }
}
