//! Figures of merit: counts in, numbers out.
//!
//! Purpose: everything that is claimed about a model is computed here, from labels and probabilities alone. Invariants: a
//! figure that is not defined (no sample, one class only) is `None`, never 0; nothing depends on the order of samples
//! beyond floating-point addition of equal terms.

mod calibration;
mod confusion;
mod interval;
mod roc;

pub use calibration::{brier, expected_calibration_error};
pub use confusion::Confusion;
pub use interval::{BootstrapOptions, Interval, bootstrap_by_patient, wilson};
pub use roc::{RocPoint, auroc, roc_curve};
