//! Figures of merit from labels and scores, and the small models that they need.
//!
//! # Invariants
//! * A figure that is not defined (no sample, one class only) is `None`, never 0.
//! * Nothing depends on the order of samples, beyond the rounding of sums.
//!
//! # Units
//! Every figure is a share in 0..=1, except [`quantile()`] and differences of means, which have the unit of their values, [`mutual_information()`] in bits,
//! and [`net_benefit()`] and [`cohens_kappa()`], which may be negative.
#![doc = include_str!("../README.md")]

mod association;
mod bootstrap;
mod calibration;
mod cluster;
mod confident;
mod confusion;
mod crossed;
mod effect;
mod holm;
mod interval;
mod kappa;
mod logistic;
mod paired;
mod placement;
mod precision;
mod quantile;
mod reliability;
mod roc;
mod share;

pub use association::{MutualInformation, cramers_v, mutual_information};
pub use bootstrap::{BootstrapOptions, bootstrap_by_patient, resample_by_patient};
pub use calibration::{brier, expected_calibration_error};
pub use cluster::{Moments, PatientSums, mean_difference_by_patient};
pub use confident::ConfidentJoint;
pub use confusion::Confusion;
pub use crossed::corrected_mean;
pub use effect::{Effect, Spread, pooled_variance, variance};
pub use holm::holm;
pub use interval::{Interval, wilson};
pub use kappa::{Agreement, agreement_by_patient, cohens_kappa};
pub use logistic::{Logistic, LogisticInput};
pub use paired::{Difference, auroc_difference_by_patient};
pub use placement::{ClusteredArea, RankedScores, auroc_by_patient};
pub use precision::{
    PrecisionRecallPoint, average_precision, net_benefit, precision_recall_curve, threshold_for_sensitivity,
};
pub use quantile::quantile;
pub use reliability::{ReliabilityBin, reliability_bins};
pub use roc::{RocPoint, auroc, roc_curve};
pub use share::ShareSums;
