//! Large buffers that are used again.
//!
//! Purpose: the maps of a training step have the same sizes in every step; fresh memory would be zeroed, and its pages
//! faulted in, only to be overwritten. A buffer goes back to a pool when it is dropped. Invariants: the content of a new
//! buffer is arbitrary, so every user writes all of it before reading; the pool keeps at most [`KEPT`] entries of a type.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::kernels::Real;

/// Entries that the pool of one type keeps.
const KEPT: usize = 32 << 20;

/// Memory that no buffer uses.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    free: Vec<Vec<T>>,
    entries: usize,
}

/// A type whose buffers have a pool.
pub(crate) trait Pooled: Sized + 'static {
    /// The pool of this type.
    fn pool() -> &'static Mutex<Pool<Self>>;
}

macro_rules! pooled {
    ($($type:ident)*) => {$(
        impl Pooled for $type {
            fn pool() -> &'static Mutex<Pool<Self>> {
                static POOL: Mutex<Pool<$type>> = Mutex::new(Pool { free: Vec::new(), entries: 0 });
                &POOL
            }
        }
    )*};
}

pooled!(f32 f64);

/// A buffer of the pool.
#[derive(Debug)]
pub(super) struct Buffer<T: Pooled>(Vec<T>);

impl<T: Real> Buffer<T> {
    /// `length` entries of arbitrary content (finite or not).
    pub(super) fn new(length: usize) -> Self {
        let mut pool = T::pool().lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, and not much too large.
        let fitting =
            pool.free.iter().enumerate().filter(|(_, free)| (length..=length + length / 4).contains(&free.len()));
        if let Some((index, _)) = fitting.min_by_key(|(_, free)| free.len()) {
            let mut found = pool.free.swap_remove(index);
            pool.entries -= found.len();
            drop(pool);
            found.truncate(length);
            return Self(found);
        }
        drop(pool);
        Self(vec![T::zero(); length])
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        let mut pool = T::pool().lock().unwrap_or_else(PoisonError::into_inner);
        let freed = std::mem::take(&mut self.0);
        if pool.entries + freed.len() <= KEPT {
            pool.entries += freed.len();
            pool.free.push(freed);
        }
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
