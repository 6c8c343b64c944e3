//! Decoded row groups that stay in memory from epoch to epoch.
//!
//! Purpose: where all row groups of a table fit into the byte budget of a stream, each is read, verified and decoded once per process. Invariants:
//! a row group is decoded by one thread at a time, and once; one that could not be read is not kept, so it is tried again; a forked child, where
//! a lock of a thread of its parent would be held for ever, keeps nothing of its own and asks for nothing of its parent's.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mtids_shards::RowGroup;

/// A row group by its number in the table: being read, or read.
type Groups = HashMap<usize, Option<Arc<RowGroup>>>;

/// The row groups of a table that are in memory.
#[derive(Debug)]
pub(crate) struct Kept {
    groups: Mutex<Groups>,
    changed: Condvar,
    process: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { groups: Mutex::default(), changed: Condvar::new(), process: std::process::id() }
    }
}

impl Kept {
    /// Whether this process may keep row groups here.
    pub(crate) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of the row groups that have been read.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.groups().iter().filter(|(_, rows)| rows.is_some()).map(|(&number, _)| number).collect()
    }

    /// Whether a row group has been read.
    pub(crate) fn holds(&self, number: usize) -> bool {
        matches!(self.groups().get(&number), Some(Some(_)))
    }

    /// The row group of that number, and whether `read` was called for it. `read` must not panic.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn get_or_read<E>(
        &self,
        number: usize,
        read: impl FnOnce() -> Result<RowGroup, E>,
    ) -> Result<(Arc<RowGroup>, bool), E> {
        let mut groups = self.groups();
        loop {
            match groups.get(&number) {
                Some(Some(rows)) => return Ok((Arc::clone(rows), false)),
                Some(None) => groups = self.changed.wait(groups).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        groups.insert(number, None);
        drop(groups);
        let rows = read().map(Arc::new);
        match &rows {
            Ok(rows) => self.groups().insert(number, Some(Arc::clone(rows))),
            Err(_) => self.groups().remove(&number),
        };
        self.changed.notify_all();
        rows.map(|rows| (rows, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn rows() -> RowGroup {
        RowGroup { labels: Vec::new(), views: Vec::new() }
    }

    #[test]
    fn a_group_is_read_by_one_of_many_threads_and_only_once() {
        let (kept, reads, barrier) = (Kept::default(), AtomicUsize::new(0), Barrier::new(4));
        let count = || {
            reads.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
            Ok::<_, ()>(rows())
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    (0..50).for_each(|number| assert!(kept.get_or_read(number, count).is_ok()));
                });
            }
        });
        assert_eq!((reads.into_inner(), kept.numbers().len(), kept.holds(49), kept.holds(50)), (50, 50, true, false));
    }

    #[test]
    fn a_group_that_could_not_be_read_is_tried_again() {
        let kept = Kept::default();
        assert_eq!(kept.get_or_read(3, || Err::<RowGroup, _>("damaged")).map(drop), Err("damaged"));
        assert!(!kept.holds(3));
        assert!(matches!(kept.get_or_read(3, || Ok::<_, ()>(rows())), Ok((_, true))));
        assert!(matches!(kept.get_or_read(3, || Err(())), Ok((_, false))));
    }
}
