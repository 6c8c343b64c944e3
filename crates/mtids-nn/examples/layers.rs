//! Our convolutions beside candle's own, forward and backward, batch 32, f32; medians in milliseconds, in turn in one process.
//!
//! Prints one line of JSON per shape and round, which `docs/bench_layers.sh` puts beside PyTorch's. The argument is how
//! many rounds; shapes are those of a residual network, 3 × 3, stride 1.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use mtids_nn::conv::{ConvOptions, conv2d};

/// Inputs, outputs, side.
const SHAPES: [(usize, usize, usize); 5] = [(3, 32, 64), (32, 32, 64), (64, 64, 32), (128, 128, 16), (256, 256, 8)];
const BATCH: usize = 32;

type Convolve = fn(&Tensor, &Tensor) -> anyhow::Result<Tensor>;

/// Milliseconds of one forward and backward pass. The output gradient is all ones, as in the other program.
fn pass(x: &Tensor, weight: &Var, convolve: Convolve) -> anyhow::Result<f64> {
    let start = Instant::now();
    let gradients = convolve(x, weight.as_tensor())?.backward()?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    anyhow::ensure!(gradients.get(weight).is_some(), "the weights have no gradient");
    Ok(milliseconds)
}

fn main() -> anyhow::Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(5), |argument| argument.parse())?;
    let with_candle = std::env::args().nth(2).is_none_or(|argument| argument != "ours");
    let ours: Convolve = |x, weight| Ok(conv2d(x, weight, &ConvOptions::new(1, 1))?);
    let candle: Convolve = |x, weight| Ok(x.conv2d(weight, 1, 1, 1, 1)?);
    for (inputs, outputs, side) in SHAPES {
        let x = Var::randn(0_f32, 1.0, (BATCH, inputs, side, side), &Device::Cpu)?;
        // The first layer's input needs no gradient.
        let x = if inputs == 3 { x.as_detached_tensor() } else { x.as_tensor().clone() };
        let weight = Var::randn(0_f32, 0.1, (outputs, inputs, 3, 3), &Device::Cpu)?;
        for round in 0..=rounds {
            let a = pass(&x, &weight, ours)?;
            let b = if with_candle { pass(&x, &weight, candle)? } else { 0.0 };
            // The first round warms caches and the thread pool.
            if round > 0 {
                println!(r#"{{"shape": "{inputs} → {outputs}, {side} × {side}", "ours": {a:.3}, "candle": {b:.3}}}"#);
            }
        }
    }
    Ok(())
}
