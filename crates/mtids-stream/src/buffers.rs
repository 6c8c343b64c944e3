//! Voxel buffers that are used again.
//!
//! Purpose: an epoch needs as many buffers as are in flight at a time, not one per batch. Invariants: a buffer goes home when its holder drops
//! it; one is given out for at least 8/9 of its length; those in flight and the spare ones never have more voxels together than were in flight
//! at a time; what is counted as fresh was allocated.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers of one kind.
#[derive(Debug)]
pub(crate) struct Buffers {
    state: Mutex<State>,
    /// Spare buffers of a view at a time.
    most: usize,
    fresh: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Buffers with their view, the one that came home first in front.
    spare: VecDeque<(usize, Vec<i16>)>,
    /// Voxels of the spare buffers.
    kept: usize,
    /// Voxels of the buffers in flight. One that never comes home counts on, which only leaves room for fewer spare ones.
    out: usize,
    /// Most voxels in flight until now.
    most_out: usize,
}

impl State {
    fn remove(&mut self, place: usize) -> Option<Vec<i16>> {
        let (_, buffer) = self.spare.remove(place)?;
        self.kept -= buffer.capacity();
        Some(buffer)
    }
}

impl Buffers {
    /// An empty store that keeps up to `most` buffers for each view.
    pub(crate) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), most, fresh: AtomicU64::new(0) }
    }

    /// An empty buffer with room for `length` voxels of a view.
    pub(crate) fn take(&self, view: usize, length: usize) -> Vec<i16> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = length..=length + length / 8;
        let spare = state.spare.iter().enumerate();
        let fits = spare.filter(|(_, (of, buffer))| *of == view && fitting.contains(&buffer.capacity()));
        let best = fits.min_by_key(|(_, (_, buffer))| buffer.capacity()).map(|(place, _)| place);
        let mut buffer = best.and_then(|place| state.remove(place)).unwrap_or_else(|| {
            self.fresh.fetch_add(u64::from(length > 0), Ordering::Relaxed);
            Vec::with_capacity(length)
        });
        buffer.clear();
        state.out += buffer.capacity();
        state.most_out = state.most_out.max(state.out);
        while state.kept + state.out > state.most_out && state.remove(0).is_some() {}
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, view: usize, buffer: Vec<i16>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.out = state.out.saturating_sub(buffer.capacity());
        let of_view = state.spare.iter().filter(|(of, _)| *of == view).count();
        if of_view < self.most && buffer.capacity() > 0 {
            state.kept += buffer.capacity();
            state.spare.push_back((view, buffer));
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

impl DerefMut for Voxels {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.values
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
        let store = Arc::new(Buffers::new(1));
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
        assert_eq!((store.take(0, 20).capacity(), store.fresh()), (20, 5), "of another view");
        assert!(store.take(1, 0).is_empty() && store.fresh() == 5);
    }

    #[test]
    fn buffers_of_unequal_row_groups_stay_within_what_was_in_flight() {
        const ROW: usize = 100;
        // Room for 112 rows at a time: two large groups, or 37 small ones, of two views that share it.
        let store = Buffers::new(usize::MAX);
        let mut fresh = Vec::new();
        for rows in [56, 56, 3, 3, 56, 3, 28, 56] {
            let taken = |view| (0..56 / rows).map(|_| store.take(view, rows * ROW)).collect::<Vec<_>>();
            let in_flight = [taken(0), taken(1)];
            let voxels = |buffers: &[Vec<i16>]| buffers.iter().map(Vec::capacity).sum::<usize>();
            let out: usize = in_flight.iter().map(|buffers| voxels(buffers)).sum();
            let kept: usize = store.state.lock().unwrap().spare.iter().map(|(_, buffer)| buffer.capacity()).sum();
            assert!(out + kept <= 112 * ROW, "{out} in flight, {kept} spare");
            assert!(
                in_flight.iter().flatten().all(|buffer| (rows * ROW..=rows * ROW * 9 / 8).contains(&buffer.capacity()))
            );
            for (view, buffers) in in_flight.into_iter().enumerate() {
                buffers.into_iter().for_each(|buffer| store.give(view, buffer));
            }
            fresh.push(store.fresh());
        }
        assert_eq!((fresh[0], fresh[1]), (2, 2), "equal groups use theirs again");
        assert_eq!(fresh[2], fresh[3]);
    }

    #[test]
    fn the_buffer_that_fits_best_is_taken() {
        let store = Buffers::new(9);
        let taken = [80, 88, 81, 100].map(|length| store.take(0, length));
        taken.into_iter().for_each(|buffer| store.give(0, buffer));
        assert_eq!([80, 80, 80].map(|length| store.take(0, length).capacity()), [80, 81, 88]);
        assert_eq!((store.fresh(), store.take(0, 80).capacity()), (4, 80), "a fifth more is too much");
    }
}
