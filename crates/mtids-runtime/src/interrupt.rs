//! SIGINT and SIGTERM become a flag that long loops look at.
//!
//! Purpose: schedulers send SIGTERM before SIGKILL; a program then finishes or abandons its unit of work cleanly and ends
//! with [`crate::exit::Exit::Interrupted`]. Invariant: a second signal ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A shared flag, raised by a signal or by [`Interrupt::raise`].
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that no signal raises; for libraries and tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag raised by the first SIGINT or SIGTERM. The second one ends the process with exit code 4.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self::new();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The conditional shutdown is registered first: at the first signal the flag is still down, so it does nothing.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                i32::from(crate::exit::Exit::Interrupted as u8),
                Arc::clone(&interrupt.0),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// True once raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_flag() {
        let interrupt = Interrupt::new();
        let clone = interrupt.clone();
        assert!(!clone.is_raised());
        interrupt.raise();
        assert!(clone.is_raised());
    }
}
