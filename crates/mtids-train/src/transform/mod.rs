//! From stored patches to the input of the network.
//!
//! Purpose: everything between a batch of the stream and a tensor: crop, augmentation, windows. Shapes: voxels `[B, S, D, H, W]` with S
//! stored channels become input `[B, C, d, h, w]` with one channel per window, and one for PET where there is one. Invariant: without an
//! epoch nothing is random, so a patch always gives the same input.

mod crop;
pub(crate) mod input;
mod window;

pub use crop::CropConfig;
pub use window::Window;
