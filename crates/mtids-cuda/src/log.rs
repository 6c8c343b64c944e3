//! A log of launches and of plans: which kernels and calls of libraries a piece of work asks for, and how cuDNN computes.
//!
//! Purpose: a step on a card waits for launches, so their number is tested, and without a card. On the host the operations of this crate run
//! the same sequence of steps, and each writes its name here as it would on a card. What candle launches by itself is not seen. A bench prints the plans,
//! so that times of two machines can be compared.

use std::cell::RefCell;
use std::thread::LocalKey;

/// What a thread has written since somebody asked for it.
type Log<T> = RefCell<Option<Vec<T>>>;

thread_local! {
    static LAUNCHES: Log<&'static str> = const { RefCell::new(None) };
    static PLANS: Log<String> = const { RefCell::new(None) };
}

/// Does `work` and returns the names of what this crate launched for it in this thread, in order.
pub fn launches_of<R>(work: impl FnOnce() -> R) -> (R, Vec<&'static str>) {
    written(&LAUNCHES, work)
}

/// Does `work` and returns the plans that this thread made for it, one for each pass and shape of a convolution that was new: algorithm of
/// cuDNN, arithmetic, bytes of work space. None where no convolution was given to a card.
pub fn plans_of<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    written(&PLANS, work)
}

fn written<T, R>(log: &'static LocalKey<Log<T>>, work: impl FnOnce() -> R) -> (R, Vec<T>) {
    let outer = log.with_borrow_mut(|log| log.replace(Vec::new()));
    let result = work();
    let found = log.with_borrow_mut(|log| std::mem::replace(log, outer)).unwrap_or_default();
    (result, found)
}

/// One launch.
pub(crate) fn launched(name: &'static str) {
    LAUNCHES.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.push(name);
        }
    });
}

/// One plan.
#[cfg(feature = "cuda")]
pub(crate) fn planned(plan: String) {
    tracing::debug!("{plan}");
    PLANS.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.push(plan);
        }
    });
}
