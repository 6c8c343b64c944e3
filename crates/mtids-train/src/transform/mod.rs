//! From stored views to the inputs of the network.
//!
//! Purpose: everything between a batch of the stream and tensors: crop, augmentation, windows, one view at a time. Shapes: the voxels
//! `[B, S, D, H, W]` of a view with S stored channels become `[B, C, d, h, w]` with one channel per window of the CT, and one for each other
//! channel. Invariants: without an epoch nothing is random, so a row always gives the same input; with one, what is drawn is a pure function
//! of (seed, epoch, sample key, view), so views never share a draw and the number of workers changes nothing.

mod crop;
pub(crate) mod input;
mod intensity;
mod key;
mod noise;
mod rounding;
mod settings;
mod symmetry;
mod view;
mod warp;
mod window;

pub use crop::CropConfig;
pub use settings::{InputConfig, Symmetries};
pub use symmetry::Symmetry;
pub use window::Window;
