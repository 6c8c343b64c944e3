//! How often a server is asked, and how long it is waited for.
//!
//! Invariants: waits double up to a limit; one request may take [`Patience::stall`] and the time of its bytes at the slowest rate; nothing is
//! asked again that would fail again.

use std::future::Future;
use std::time::Duration;

use crate::fault::Fault;

/// Limits of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Requests in all, at least one.
    pub attempts: u32,
    /// Wait before the second request; it doubles from then on.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
    /// What a request may take beside its bytes.
    pub stall: Duration,
    /// Bytes per second that are the least a request has to move.
    pub slowest: u64,
}

impl Default for Patience {
    /// Eight requests with 25 seconds of waits between them. A request is given up after 30 seconds and those of its bytes at 64 KiB/s.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            slowest: 64 << 10,
        }
    }
}

impl Patience {
    /// The wait after request number `attempt`, from 1.
    fn wait(&self, attempt: u32) -> Duration {
        self.first_wait.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1))).min(self.longest_wait)
    }

    /// How long a request that moves `bytes` may take.
    fn deadline(&self, bytes: u64) -> Duration {
        self.stall.saturating_add(Duration::from_secs(bytes / self.slowest.max(1)))
    }

    /// Asks until there is an answer or a fault that will not pass. `bytes` is what a request moves.
    pub(crate) async fn run<T, F>(&self, bytes: u64, mut ask: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut attempt = 1;
        loop {
            let deadline = self.deadline(bytes);
            let late = |_| Err(Fault::late(deadline));
            let fault = match tokio::time::timeout(deadline, ask()).await.unwrap_or_else(late) {
                Ok(answer) => return Ok(answer),
                Err(fault) if !fault.passes() => return Err(fault),
                Err(fault) => fault,
            };
            if attempt >= self.attempts {
                return Err(fault.after(attempt));
            }
            tracing::debug!(attempt, "asking again: {fault}");
            tokio::time::sleep(self.wait(attempt)).await;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_add_up_to_what_is_stated() {
        let patience = Patience::default();
        let waits: Vec<Duration> = (1..patience.attempts).map(|attempt| patience.wait(attempt)).collect();
        assert_eq!(waits.iter().sum::<Duration>(), Duration::from_millis(25_400));
        assert_eq!(patience.wait(50), patience.longest_wait);
        assert_eq!(patience.deadline(0), Duration::from_secs(30));
        assert_eq!(patience.deadline(8 << 20), Duration::from_secs(30 + 128));
    }
}
