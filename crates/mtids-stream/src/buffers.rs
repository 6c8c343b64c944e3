//! Voxel buffers that are used again.
//!
//! Purpose: an epoch needs as many buffers as are in flight at a time, not one per batch. Invariants: a buffer goes home when its holder drops
//! it; a store keeps a bounded number; what is counted as fresh was allocated.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers of one kind, per view.
#[derive(Debug)]
pub(crate) struct Buffers {
    spare: Vec<Mutex<Vec<Vec<i16>>>>,
    most: usize,
    fresh: AtomicU64,
}

impl Buffers {
    /// An empty store that keeps up to `most` buffers for each of so many views.
    pub(crate) fn new(views: usize, most: usize) -> Self {
        Self { spare: (0..views).map(|_| Mutex::default()).collect(), most, fresh: AtomicU64::new(0) }
    }

    /// An empty buffer with room for `length` voxels of a view.
    pub(crate) fn take(&self, view: usize, length: usize) -> Vec<i16> {
        let spare = self.spare.get(view).and_then(|spare| spare.lock().unwrap_or_else(PoisonError::into_inner).pop());
        let mut buffer = spare.unwrap_or_default();
        buffer.clear();
        if buffer.capacity() < length {
            self.fresh.fetch_add(1, Ordering::Relaxed);
            buffer.reserve_exact(length);
        }
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, view: usize, buffer: Vec<i16>) {
        let Some(spare) = self.spare.get(view) else { return };
        let mut spare = spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < self.most && buffer.capacity() > 0 {
            spare.push(buffer);
        }
    }

    /// Buffers that were allocated.
    pub(crate) fn fresh(&self) -> u64 {
        self.fresh.load(Ordering::Relaxed)
    }
}

/// Voxels of one view of a batch. The buffer of a stream goes back to it when this is dropped.
#[derive(Debug, Default)]
pub struct Voxels {
    values: Vec<i16>,
    home: Option<(Arc<Buffers>, usize)>,
}

impl Voxels {
    /// Voxels in a buffer of a store.
    pub(crate) fn of_store(values: Vec<i16>, home: Arc<Buffers>, view: usize) -> Self {
        Self { values, home: Some((home, view)) }
    }
}

impl Drop for Voxels {
    fn drop(&mut self) {
        if let Some((home, view)) = self.home.take() {
            home.give(view, std::mem::take(&mut self.values));
        }
    }
}

impl Deref for Voxels {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.values
    }
}

impl Clone for Voxels {
    fn clone(&self) -> Self {
        self.values.clone().into()
    }
}

impl PartialEq for Voxels {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl From<Vec<i16>> for Voxels {
    fn from(values: Vec<i16>) -> Self {
        Self { values, home: None }
    }
}

impl FromIterator<i16> for Voxels {
    fn from_iter<I: IntoIterator<Item = i16>>(values: I) -> Self {
        Vec::from_iter(values).into()
    }
}

impl<'a> IntoIterator for &'a Voxels {
    type Item = &'a i16;
    type IntoIter = std::slice::Iter<'a, i16>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_voxels_go_home_and_are_not_allocated_again() {
        let store = Arc::new(Buffers::new(2, 1));
        for _ in 0..5 {
            let mut buffer = store.take(1, 10);
            buffer.extend(0..10);
            let voxels = Voxels::of_store(buffer, Arc::clone(&store), 1);
            assert_eq!(voxels.clone(), (0..10).collect::<Voxels>(), "a copy has no home");
        }
        assert_eq!(store.fresh(), 1);
        assert!(store.take(1, 10).is_empty());
        // A larger one is allocated; of two that come back one is kept.
        drop([store.take(1, 20), store.take(1, 20)].map(|buffer| Voxels::of_store(buffer, Arc::clone(&store), 1)));
        assert_eq!((store.fresh(), store.take(1, 20).capacity()), (3, 20));
        assert_eq!((store.take(1, 20).capacity(), store.fresh()), (20, 4));
        assert!(store.take(7, 0).is_empty(), "a view that does not exist");
    }
}
