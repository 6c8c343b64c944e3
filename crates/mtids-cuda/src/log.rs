//! A log of launches, for tests: which kernels and calls of libraries a piece of work asks for.
//!
//! Purpose: a step on a card waits for launches, so their number is tested, and without a card. On the host the operations of this crate run
//! the same sequence of steps, and each writes its name here as it would on a card. What candle launches by itself is not seen.

use std::cell::RefCell;

thread_local! {
    static LOG: RefCell<Option<Vec<&'static str>>> = const { RefCell::new(None) };
}

/// Does `work` and returns the names of what this crate launched for it in this thread, in order.
pub fn launches_of<R>(work: impl FnOnce() -> R) -> (R, Vec<&'static str>) {
    let outer = LOG.with_borrow_mut(|log| log.replace(Vec::new()));
    let result = work();
    let found = LOG.with_borrow_mut(|log| std::mem::replace(log, outer)).unwrap_or_default();
    (result, found)
}

/// One launch.
pub(crate) fn launched(name: &'static str) {
    LOG.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.push(name);
        }
    });
}
