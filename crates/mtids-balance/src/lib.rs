//! Gradient balancing as mathematics on task gradients: DD-GB and baselines.
//!
//! # Purpose
//! Several task losses pull on the same shared parameters. Each balancer here turns what is known of the task gradients, their
//! Gram matrix K = G Gᵀ (rows of G are the gradients) and the losses, into one coefficient per task; the shared update is
//! Gᵀc. No tensor, network or data lives here, so every method is tested in double precision against closed forms.
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
//! No equation here may be presented as the paper's. The baselines follow their own papers and public code.
//!
//! # How it is called
//! [`BalancerConfig::build_any`] returns an [`AnyBalancer`]: what a method needs beyond the Gram matrix and the losses of a step (the end of an
//! epoch, the losses after the step, whole gradients) is said by the variant. [`BalancerConfig::build`] is the short way for
//! loops that offer no more than that, and refuses the others by name.
//!
//! The coefficients apply to gradients of shared parameters. In the sources of the methods on losses (UW, DWA, FAMO, …) they also
//! multiply the gradients of each task's own parameters; whether a loop does so is its choice.
//!
//! # Invariants
//! * A result is a pure function of configuration, state and input; no thread, time or global generator is involved.
//! * Coefficients are finite; an inactive task gets 0 and its state is not touched.
//! * State survives JSON bit for bit.
//!
//! # Units
//! Gradients and losses are in whatever units the caller uses; coefficients apply to the raw gradients that K was made of.
//! Scales differ between methods as they do between their sources (a mean, a sum, a unit norm): compare them at a learning
//! rate tuned for each, see the `combined_norm` in [`Telemetry`].
#![doc = include_str!("../README.md")]

mod adam;
mod any;
mod balancer;
mod config;
mod error;
mod gram;
mod input;
mod preference;
mod program;
mod rows;
mod rules;
mod saved;
mod stateful;
mod stateless;
mod telemetry;

pub use any::{AfterStep, AfterStepBalancer, AnyBalancer, EpochBalancer, GradientBalance, GradientBalancer, Needs};
pub use balancer::{Balance, Balancer};
pub use config::BalancerConfig;
pub use error::BalanceError;
pub use gram::GramMatrix;
pub use input::BalanceInput;
pub use rows::{GradientInput, Rows, gram_matrix};
pub use rules::gram::aligned_mtl::AlignedMtlConfig;
pub use rules::gram::cagrad::{CaGradConfig, Rescale};
pub use rules::gram::dd_gb::DdGbConfig;
pub use rules::gram::gradcraft::GradCraftConfig;
pub use rules::gram::gradnorm::{GradNormConfig, Parametrisation};
pub use rules::gram::gradvac::GradVacConfig;
pub use rules::gram::metabalance::MetaBalanceConfig;
pub use rules::gram::nash::{FairGradConfig, NashMtlConfig};
pub use rules::gram::pcgrad::PcGradConfig;
pub use rules::gram::sdmgrad::SdmGradConfig;
pub use rules::loss::dwa::DwaConfig;
pub use rules::loss::equal::FixedConfig;
pub use rules::loss::famo::FamoConfig;
pub use rules::loss::imtl_l::ImtlLConfig;
pub use rules::loss::rlw::RlwConfig;
pub use rules::loss::stch::StchConfig;
pub use rules::loss::uw::UwConfig;
pub use rules::whole_gradient::db_mtl::DbMtlConfig;
pub use rules::whole_gradient::excess_mtl::ExcessMtlConfig;
pub use rules::whole_gradient::graddrop::{GradDropConfig, grad_drop};
pub use rules::whole_gradient::moco::MoCoConfig;
pub use telemetry::{DirectionTelemetry, MagnitudeTelemetry, Telemetry};
