//! Batch norm with what follows it, an addition and a rectifier, as few kernels, forward and backward.
//!
//! Purpose: composed of candle's operations, a norm is many launches forward and backward, each of which reads the whole map. Here it is
//! three kernels in training and one in evaluation, and three backward. The kernels are `kernels/norm.cu`: one source for the card and for the host, where
//! tests compare them with the composed form. Invariants: sums are in double precision, in an order that sizes alone decide; the slope of the
//! rectifier at 0 is 0.

mod kernel;
mod launch;
mod op;

pub use op::{Moments, batch_norm, batch_norm_of_sum, moments};

/// Added to variances; the kernels have the same number.
pub const EPSILON: f64 = 1e-5;
