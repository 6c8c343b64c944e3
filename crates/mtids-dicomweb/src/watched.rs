//! The body of an answer, read under watch.
//!
//! Invariants: a signal ends it at the next piece; an answer that drips can hold a thread no longer than [`GRACE`], or than its size at [`LEAST_RATE`].
//! Units: bytes, seconds.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use mtids_runtime::interrupt::Interrupt;

/// Time in which the rate does not count.
const GRACE: Duration = Duration::from_secs(300);
/// Least bytes per second behind that.
const LEAST_RATE: f64 = 1024.0;

/// A body that ends with an error at a signal, or when it comes too slowly.
pub(crate) struct Watched<'a, R> {
    body: R,
    interrupt: &'a Interrupt,
    began: Instant,
    bytes: u64,
}

impl<'a, R: Read> Watched<'a, R> {
    pub(crate) fn new(body: R, interrupt: &'a Interrupt) -> Self {
        Self { body, interrupt, began: Instant::now(), bytes: 0 }
    }

    /// Bytes that came so far.
    pub(crate) fn received(&self) -> u64 {
        self.bytes
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Not `ErrorKind::Interrupted`: readers take that for a reason to go on.
        if self.interrupt.is_raised() {
            return Err(io::Error::other("a signal came"));
        }
        if is_too_slow(self.bytes, self.began.elapsed()) {
            return Err(io::Error::new(ErrorKind::TimedOut, "it comes at less than 1 KiB per second"));
        }
        let read = self.body.read(out)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn is_too_slow(bytes: u64, elapsed: Duration) -> bool {
    elapsed > GRACE && (bytes as f64) < elapsed.as_secs_f64() * LEAST_RATE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_a_body_at_its_next_piece() {
        let interrupt = Interrupt::new();
        let mut body = Watched::new(&[7; 10][..], &interrupt);
        let mut piece = [0; 4];
        assert_eq!((body.read(&mut piece).unwrap(), body.received()), (4, 4));
        interrupt.raise();
        let error = body.read(&mut piece).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Interrupted, "a reader would go on");
        assert_eq!(body.received(), 4);
    }

    #[test]
    fn a_body_that_drips_is_too_slow_after_a_while() {
        let seconds = Duration::from_secs;
        assert!(!is_too_slow(0, seconds(300)));
        assert!(is_too_slow(0, seconds(301)) && is_too_slow(300 << 10, seconds(301)));
        assert!(!is_too_slow(302 << 10, seconds(301)) && !is_too_slow(1 << 30, seconds(3600)));
    }
}
