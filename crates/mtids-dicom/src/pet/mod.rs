//! PET: what its headers say of tracer and time (`facts`), and from activity to standardised uptake values (SUV by body weight), or a
//! reason why not (`suv`).
//!
//! Invariant: a value that is missing, impossible (`plausible`) or on an unknown clock (`moment`) gives no SUV, never a guess. Units: kg,
//! Bq, s.

mod enhanced;
mod facts;
mod moment;
mod nuclide;
mod plausible;
mod suv;

pub use facts::PetFacts;
pub use moment::Moment;
pub use suv::suv_factor;

pub(crate) use enhanced::{PetFrames, PetValues};
pub(crate) use plausible::image as check_image;
