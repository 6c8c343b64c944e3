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

mod aligned_mtl;
mod cone;
mod config;
mod dd_gb;
mod dual_proj;
mod equal;
mod error;
mod exact;
mod gradvac;
mod gram;
mod imtl_g;
mod interface;
mod linear;
mod mgda;
mod nash;
mod pcgrad;
mod stateless;
mod upgrad;

pub use aligned_mtl::AlignedMtlConfig;
pub use config::BalancerConfig;
pub use dd_gb::DdGbConfig;
pub use equal::FixedConfig;
pub use error::BalanceError;
pub use gradvac::GradVacConfig;
pub use gram::GramMatrix;
pub use interface::{Balance, BalanceInput, Balancer, DirectionTelemetry, MagnitudeTelemetry, Telemetry};
pub use nash::{FairGradConfig, NashMtlConfig};
pub use pcgrad::PcGradConfig;
