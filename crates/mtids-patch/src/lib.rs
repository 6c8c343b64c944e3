#![doc = include_str!("../README.md")]
//!
//! # Purpose
//! Preprocessing and prediction cut patches through this one crate, so that both see the same voxels.
//!
//! # Invariants
//! * Patch axes are fixed in the patient: d towards the head (+z), h towards the back (+y), w towards the left (+x), w fastest,
//!   however the volume is stored. A mirrored or rotated storage gives the same patch.
//! * Reducing is anti-aliased; at native spacing on voxel centres nothing is changed.
//! * Outside a CT is air, outside a PET nothing, counted in [`Patch::pad_fraction`].
//!
//! # Units
//! Hounsfield units as `i16`, SUV as `i16` hundredths, marks of centre and mask as `i16` thousandths; spacing in mm in the order
//! (z, y, x) = (d, h, w).

mod body;
mod cut;
mod geometry;
mod hash;
mod kernel;
mod mark;
pub mod measure;
mod measures;
mod midline;
mod reach;
mod view;

pub use body::{Place, cells_in};
pub use cut::{Patch, SUV_STEPS, cut, cut_suv};
pub use geometry::{GeometryError, Interpolation, PatchGeometry, Planes};
pub use hash::{NearHash, NearHashError, near_hash};
pub use mark::{CENTER_RADIUS_MM, mark_center, mark_mask};
pub use measures::{Measure, Measures};
pub use midline::Midline;
pub use reach::reach;
pub use view::{Channel, View, ViewName, ViewNameError};
