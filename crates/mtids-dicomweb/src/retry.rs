//! When to ask again, and how long to wait before.
//!
//! Invariants: the wait doubles up to a limit, and a server that names a longer one is obeyed up to that limit; a signal ends a wait.

use std::time::Duration;

use mtids_runtime::interrupt::Interrupt;

use crate::error::{DicomWebError, Failure};

/// A signal is seen after this time at the latest.
const SLICE: Duration = Duration::from_millis(50);

/// How often a request is made, and how long the waits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Requests in all, at least one.
    pub attempts: u32,
    /// Wait before the second request; it doubles from then on.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    /// Six requests over about 15 seconds.
    fn default() -> Self {
        Self { attempts: 6, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(60) }
    }
}

/// Why a request gave nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It may work the next time.
    Passing {
        /// What happened.
        reason: String,
        /// How.
        failure: Failure,
        /// How long the server wants to be left alone.
        wait: Option<Duration>,
    },
    /// It will not.
    Final(DicomWebError),
}

impl Fault {
    pub(crate) fn passing(failure: Failure, reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), failure, wait: None }
    }
}

impl Retry {
    /// The wait after request number `attempt`, from 1.
    fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)));
        doubled.max(asked.unwrap_or_default()).min(self.longest_wait)
    }

    /// Asks until there is an answer or a final fault. `gave_up` makes the error of the last passing one: of its reason, its kind and
    /// the number of requests.
    ///
    /// # Errors
    /// That of the final fault, that of `gave_up`, or [`DicomWebError::Interrupted`].
    pub(crate) fn run<T>(
        &self,
        interrupt: &Interrupt,
        gave_up: impl FnOnce(String, Failure, u32) -> DicomWebError,
        mut ask: impl FnMut() -> Result<T, Fault>,
    ) -> Result<T, DicomWebError> {
        let mut attempt = 1;
        loop {
            if interrupt.is_raised() {
                return Err(DicomWebError::Interrupted);
            }
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(Fault::Final(error)) => return Err(error),
                // A signal cuts a request: that is no fault of the server.
                Err(Fault::Passing { .. }) if interrupt.is_raised() => return Err(DicomWebError::Interrupted),
                Err(Fault::Passing { reason, failure, .. }) if attempt >= self.attempts => {
                    return Err(gave_up(reason, failure, attempt));
                }
                Err(Fault::Passing { reason, wait, .. }) => {
                    tracing::debug!(attempt, "asking again: {reason}");
                    pause(self.wait(attempt, wait), interrupt);
                }
            }
            attempt += 1;
        }
    }
}

/// Waits, unless a signal comes.
fn pause(time: Duration, interrupt: &Interrupt) {
    let mut left = time;
    while !left.is_zero() && !interrupt.is_raised() {
        let slice = left.min(SLICE);
        std::thread::sleep(slice);
        left -= slice;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Retry = Retry { attempts: 3, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    fn ask(faults: Vec<Fault>) -> (Result<u32, DicomWebError>, u32) {
        let (mut faults, mut asked) = (faults.into_iter(), 0);
        let gave_up = |reason, failure, attempts| DicomWebError::Unreachable {
            server: "s".into(),
            what: "w".into(),
            reason,
            failure,
            attempts,
        };
        let result = QUICK.run(&Interrupt::new(), gave_up, || {
            asked += 1;
            faults.next().map_or(Ok(7), Err)
        });
        (result, asked)
    }

    #[test]
    fn passing_faults_are_asked_again_and_final_ones_are_not() {
        let cut = |reason: &str| Fault::passing(Failure::Cut, reason);
        let (result, asked) = ask(vec![Fault::passing(Failure::Status(503), "503"), cut("cut")]);
        assert_eq!((result.unwrap(), asked), (7, 3));
        let (result, asked) = ask(vec![cut("1"), cut("2"), cut("3")]);
        assert!(result.unwrap_err().to_string().contains("(3; asked 3 times)"));
        assert_eq!(asked, 3);
        let (result, asked) = ask(vec![Fault::Final(DicomWebError::Address { reason: "x" })]);
        assert!(matches!(result, Err(DicomWebError::Address { .. })));
        assert_eq!(asked, 1);
    }

    #[test]
    fn waits_double_and_a_server_may_ask_for_longer_ones() {
        let retry = Retry { attempts: 9, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(10) };
        let seconds = |attempt, asked: Option<u64>| retry.wait(attempt, asked.map(Duration::from_secs)).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 60].map(|attempt| seconds(attempt, None)), [1, 2, 4, 8, 10, 10]);
        assert_eq!((seconds(1, Some(5)), seconds(4, Some(5)), seconds(1, Some(3600))), (5, 8, 10));
    }

    #[test]
    fn a_signal_ends_a_request_that_waits() {
        let interrupt = Interrupt::new();
        interrupt.raise();
        let gave_up = |_, _, _| DicomWebError::Interrupted;
        assert!(matches!(QUICK.run(&interrupt, gave_up, || Ok(())), Err(DicomWebError::Interrupted)));
        pause(Duration::from_secs(3600), &interrupt);
        // It comes during the last request, which it cuts.
        let interrupt = Interrupt::new();
        let once = Retry { attempts: 1, ..QUICK };
        let gave_up = |_, _, _| DicomWebError::Address { reason: "gave up" };
        let result: Result<(), _> = once.run(&interrupt, gave_up, || {
            interrupt.raise();
            Err(Fault::passing(Failure::Cut, "cut"))
        });
        assert!(matches!(result, Err(DicomWebError::Interrupted)));
    }
}
