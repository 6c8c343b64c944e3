//! Convolutions in two and three dimensions by cuDNN: stride, padding, dilation, groups.
//!
//! Purpose: candle unfolds convolutions on a card and differentiates them by convolutions with kernels as large as the map; it has
//! none in three dimensions. Here forward pass, data gradient and filter gradient are one call of cuDNN each.
//! [`descriptor`] is what cuDNN is told, [`choice`] which algorithm is taken, [`op`] the operation; what calls cuDNN is `cudnn`.

#[cfg(any(feature = "cuda", test))]
pub(crate) mod answer;
pub mod choice;
pub mod descriptor;
pub mod op;
pub mod reference;

pub use choice::{Algorithms, Arithmetic, Computation};
pub use descriptor::{ConvNumbers, ConvSettings};
pub use op::convolve;
