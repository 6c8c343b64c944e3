//! One byte budget for everything in flight.
//!
//! Invariant: taken bytes never exceed the budget, except that a request larger than the whole budget is let through when nothing else
//! is out, so that no setting can deadlock.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
struct State {
    taken: u64,
    closed: bool,
}

/// A counting budget that threads wait for; it starts none.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { bytes, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for `bytes`; false when the budget was closed meanwhile.
    pub fn take(&self, bytes: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed && state.taken > 0 && state.taken + bytes > self.bytes {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.closed {
            state.taken += bytes;
        }
        !state.closed
    }

    /// Gives bytes back.
    pub fn give(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken = state.taken.saturating_sub(bytes);
        self.changed.notify_all();
    }

    /// Waits for `bytes` and holds them until the answer is dropped.
    pub fn hold(&self, bytes: u64) -> Held<'_> {
        let taken = if self.take(bytes) { bytes } else { 0 };
        Held { budget: self, bytes: taken }
    }

    /// Lets every waiter go, empty-handed.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub struct Held<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_beyond_the_budget_is_served_alone() {
        let budget = Budget::new(10);
        assert!(budget.take(100));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| budget.take(1));
            budget.give(100);
            assert!(waiter.join().unwrap());
        });
        budget.give(1);
        drop(budget.hold(10));
        drop(budget.hold(10));
        budget.close();
        assert!(!budget.take(1));
    }
}
