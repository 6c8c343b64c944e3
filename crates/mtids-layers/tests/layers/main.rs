//! What the layers promise, in double precision: exact gradients, candle's and PyTorch's numbers, optimisers that follow their equations.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod equations;
mod gradients;
mod optimizer;
mod parity;
mod support;
