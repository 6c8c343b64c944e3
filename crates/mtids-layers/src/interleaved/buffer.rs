//! Large buffers that are used again.
//!
//! Purpose: the maps of a training step have the same sizes in every step; fresh memory would be zeroed, and its pages
//! faulted in, only to be overwritten. A buffer goes back to a pool when it is dropped. Invariants: the content of a new
//! buffer is arbitrary, so every user writes all of it before reading; the pool keeps at most [`KEPT`] entries of a type, those used last.

use std::ops::{Deref, DerefMut, Range};
use std::sync::PoisonError;

use crate::kernels::{LINE, Pooled, Real, aligned};

/// Entries that the pool of one type keeps: those of a step of a narrow network in three dimensions (1 GiB in single precision).
const KEPT: usize = 1 << 28;

/// A buffer of the pool, on a boundary of cache lines: a vector across two of them takes two loads.
#[derive(Debug)]
pub(crate) struct Buffer<T: Pooled> {
    memory: Vec<T>,
    entries: Range<usize>,
}

impl<T: Real> Buffer<T> {
    /// `length` entries of arbitrary content (finite or not).
    pub(crate) fn new(length: usize) -> Self {
        let space = length + LINE;
        let mut pool = T::pool().lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, and not much too large.
        let fitting =
            pool.free.iter().enumerate().filter(|(_, free)| (space..=space + space / 4).contains(&free.len()));
        let mut memory = match fitting.min_by_key(|(_, free)| free.len()) {
            Some((index, _)) => {
                let found = pool.free.remove(index);
                pool.entries -= found.len();
                found
            }
            None => {
                drop(pool);
                vec![T::zero(); space]
            }
        };
        if cfg!(test) {
            // Whoever reads what was not written shows it.
            memory.fill(T::narrow(f64::NAN));
        }
        let start = aligned(&memory);
        Self { memory, entries: start..start + length }
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        let mut pool = T::pool().lock().unwrap_or_else(PoisonError::into_inner);
        let freed = std::mem::take(&mut self.memory);
        pool.entries += freed.len();
        pool.free.push(freed);
        let mut surplus = 0;
        while pool.entries > KEPT && surplus < pool.free.len() {
            pool.entries -= pool.free[surplus].len();
            surplus += 1;
        }
        pool.free.drain(..surplus);
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.entries.clone()]
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.entries.clone()]
    }
}
