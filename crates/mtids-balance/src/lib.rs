//! Gradient balancing as mathematics on task gradients: DD-GB and rivals.
//!
//! # Purpose
//! Several task losses pull on the same shared parameters. Each rule here turns what is known of the task gradients, their
//! Gram matrix K = G Gᵀ (rows of G are the gradients) and the losses, into one coefficient per task; the shared update is
//! Gᵀc. No tensor, network or data lives here, so every rule is tested in double precision against closed forms.
//!
//! # What is the paper's and what is not
//! DD-GB ([`BalancerConfig::DdGb`]) is a **reconstruction of MT-IDS from its abstract** (Ma et al., Neural Networks 198, 108541,
//! 2026), the only part of the paper that was available. Tags in this crate:
//!
//! | tag | meaning | where |
//! |---|---|---|
//! | \[A\] | stated in the abstract | directions are aligned; magnitudes are scaled dynamically; the distribution of inter-task gradient characteristics is maintained |
//! | \[P\] | taken from prior art | units by initial loss (RotoGrad), averaged norms (MetaBalance, GradCraft), dual-cone projection (UPGrad), rate term (GradNorm) |
//! | \[O\] | our own choice | projecting unit vectors, the log-affine norm map, the norm budget, every default value |
//!
//! No equation here may be presented as the paper's. The rivals follow their own papers and public code.
//!
//! # How it is called
//! [`BalancerConfig::rule`] returns a [`Rule`]: what a rule needs beyond the Gram matrix and the losses of a step (the end of an
//! epoch, the losses after the step, whole gradients) is said by the variant. [`BalancerConfig::build`] is the short way for
//! loops that offer no more than that, and refuses the others by name.
//!
//! The coefficients apply to gradients of shared parameters. In the sources of the rules on losses (UW, DWA, FAMO, …) they also
//! multiply the gradients of each task's own parameters; whether a loop does so is its choice.
//!
//! # Invariants
//! * A result is a pure function of configuration, state and input; no thread, time or global generator is involved.
//! * Coefficients are finite; an inactive task gets 0 and its state is not touched.
//! * State survives JSON bit for bit.
//!
//! # Units
//! Gradients and losses are in whatever units the caller uses; coefficients apply to the raw gradients that K was made of.
//! Scales differ between rules as they do between their sources (a mean, a sum, a unit norm): compare rules at a learning
//! rate tuned for each, see the `combined_norm` in [`Telemetry`].
//!
//! # Example
//! ```
//! use mtids_balance::{BalanceInput, BalancerConfig};
//! // Gradients (-4, 1, 1) and (6, 1, 1): in conflict.
//! let gram = [18.0, -22.0, -22.0, 38.0];
//! let mut balancer = BalancerConfig::default().build(2)?;
//! let balance = balancer.coefficients(&BalanceInput { gram: &gram, losses: None, active: &[true, true] })?;
//! assert!((balance.coefficients[0] - 2.071289).abs() < 1e-6);
//! assert_eq!(balance.telemetry.conflicting_share, 1.0);
//! # Ok::<(), mtids_balance::BalanceError>(())
//! ```

mod adam;
mod aligned_mtl;
mod average_norms;
mod cagrad;
mod con_fig;
mod config;
mod db_mtl;
mod dd_gb;
mod dual_proj;
mod dwa;
mod equal;
mod error;
mod exact;
mod excess_mtl;
mod famo;
mod gls;
mod gradcraft;
mod graddrop;
mod gradients;
mod gradnorm;
mod gradvac;
mod gram;
mod imtl_g;
mod imtl_l;
mod interface;
mod metabalance;
mod mgda;
mod moco;
mod nash;
mod pcgrad;
mod program;
mod rlw;
mod rows;
mod rule;
mod sdmgrad;
mod stateful;
mod stateless;
mod stch;
mod telemetry;
mod upgrad;
mod uw;

pub use aligned_mtl::AlignedMtlConfig;
pub use cagrad::{CaGradConfig, Rescale};
pub use config::BalancerConfig;
pub use db_mtl::DbMtlConfig;
pub use dd_gb::DdGbConfig;
pub use dwa::DwaConfig;
pub use equal::FixedConfig;
pub use error::BalanceError;
pub use excess_mtl::ExcessMtlConfig;
pub use famo::FamoConfig;
pub use gradcraft::GradCraftConfig;
pub use graddrop::{GradDropConfig, grad_drop};
pub use gradnorm::{GradNormConfig, Parametrisation};
pub use gradvac::GradVacConfig;
pub use gram::GramMatrix;
pub use imtl_l::ImtlLConfig;
pub use interface::{Balance, BalanceInput, Balancer};
pub use metabalance::MetaBalanceConfig;
pub use moco::MoCoConfig;
pub use nash::{FairGradConfig, NashMtlConfig};
pub use pcgrad::PcGradConfig;
pub use rlw::RlwConfig;
pub use rows::{GradientInput, Rows, gram_matrix};
pub use rule::{EpochBalancer, FollowUp, FollowUpBalancer, GradientBalance, GradientBalancer, Needs, Rule};
pub use sdmgrad::SdmGradConfig;
pub use stch::StchConfig;
pub use telemetry::{DirectionTelemetry, MagnitudeTelemetry, Telemetry};
pub use uw::UwConfig;
