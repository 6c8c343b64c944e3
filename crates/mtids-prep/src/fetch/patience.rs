//! When instances fail one after another: is it the instances, or the server?
//!
//! Invariants: one that fails is refused and stops nothing. After [`IN_A_ROW`] of them, over all threads, the server is asked something cheap: if it
//! fails there too, the fetch ends; if not, each further one is asked for once, until one comes.

use std::sync::atomic::{AtomicU32, Ordering};

use mtids_dicomweb::{Client, DicomWebError, Uid};

use super::download::Downloaded;
use super::reason::FetchReason;

/// Failures in a row after which the server is asked.
const IN_A_ROW: u32 = 10;

/// Failures in a row, and two ways to ask.
#[derive(Debug)]
pub(super) struct Patience {
    /// Asks as often as the operator allows.
    patient: Client,
    /// Asks once.
    hurried: Client,
    failures: AtomicU32,
}

impl Patience {
    pub(super) fn new(client: &Client) -> Self {
        Self { patient: client.clone(), hurried: client.asking_once(), failures: AtomicU32::new(0) }
    }

    /// Who asks for the next instance.
    pub(super) fn client(&self) -> &Client {
        if self.failures.load(Ordering::Relaxed) < IN_A_ROW { &self.patient } else { &self.hurried }
    }

    /// Counts what became of an instance.
    ///
    /// # Errors
    /// The [`DicomWebError`] of the cheap question, where the server does not answer that either.
    pub(super) fn judge(&self, study: &Uid, downloaded: &Downloaded) -> Result<(), DicomWebError> {
        match downloaded {
            Downloaded::Kept => return Ok(()),
            Downloaded::Refused(reason, _) if *reason == FetchReason::NotDelivered.as_str() => {}
            _ => {
                self.failures.store(0, Ordering::Relaxed);
                return Ok(());
            }
        }
        if (self.failures.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(IN_A_ROW) {
            self.patient.presence_of_study(study)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_dicomweb::Connection;

    #[test]
    fn failures_in_a_row_make_hurry_and_one_that_comes_ends_it() {
        // Nobody listens at port 9; the server is not asked before the tenth failure.
        let retry = mtids_dicomweb::Retry { attempts: 1, ..mtids_dicomweb::Retry::default() };
        let client = Client::new("http://127.0.0.1:9", Connection { retry, ..Connection::default() }).unwrap();
        let patience = Patience::new(&client);
        let study = Uid::parse("1.2").unwrap();
        let fail = || patience.judge(&study, &Downloaded::Refused(FetchReason::NotDelivered.as_str(), "x".into()));
        let hurries = || std::ptr::eq(patience.client(), &raw const patience.hurried);
        (1..IN_A_ROW).for_each(|_| fail().unwrap());
        patience.judge(&study, &Downloaded::Kept).unwrap();
        assert!(!hurries());
        assert!(matches!(fail(), Err(DicomWebError::Unreachable { .. })));
        assert!(hurries());
        // An answer of any other kind shows that the server works.
        patience.judge(&study, &Downloaded::Refused(FetchReason::NotOnServer.as_str(), "x".into())).unwrap();
        assert!(!hurries());
        fail().unwrap();
        patience.judge(&study, &Downloaded::New(1)).unwrap();
        (1..IN_A_ROW).for_each(|_| fail().unwrap());
    }
}
