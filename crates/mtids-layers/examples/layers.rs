//! Our convolutions beside candle's own, forward and backward, batch 32, f32, 3 × 3, stride 1; in turn, in one process.
//!
//! Without arguments: one line of a Markdown table per shape, ours ÷ candle as minimum, median and maximum over the rounds. With
//! `inputs outputs side rounds`: one line of JSON, our milliseconds, which `scripts/benchmarks/layers.py` puts beside PyTorch's.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use mtids_layers::conv::{ConvOptions, conv2d};

/// Inputs, outputs, side.
const SHAPES: [(usize, usize, usize); 5] = [(3, 32, 64), (32, 32, 64), (64, 64, 32), (128, 128, 16), (256, 256, 8)];
const BATCH: usize = 32;
const ROUNDS: usize = 7;

type Convolve = fn(&Tensor, &Tensor) -> anyhow::Result<Tensor>;

/// Milliseconds of one forward and backward pass. The output gradient is all ones, as in the other program.
fn pass(x: &Tensor, weight: &Var, convolve: Convolve) -> anyhow::Result<f64> {
    let start = Instant::now();
    let gradients = convolve(x, weight.as_tensor())?.backward()?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    anyhow::ensure!(gradients.get(weight).is_some(), "the weights have no gradient");
    Ok(milliseconds)
}

fn tensors(inputs: usize, outputs: usize, side: usize) -> anyhow::Result<(Tensor, Var)> {
    let x = Var::randn(0_f32, 1.0, (BATCH, inputs, side, side), &Device::Cpu)?;
    // The first layer's input needs no gradient.
    let x = if inputs == 3 { x.as_detached_tensor() } else { x.as_tensor().clone() };
    Ok((x, Var::randn(0_f32, 0.1, (outputs, inputs, 3, 3), &Device::Cpu)?))
}

fn main() -> anyhow::Result<()> {
    let ours: Convolve = |x, weight| Ok(conv2d(x, weight, &ConvOptions::new(1, 1))?);
    let candle: Convolve = |x, weight| Ok(x.conv2d(weight, 1, 1, 1, 1)?);
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|argument| argument.parse()).collect();
    if let [inputs, outputs, side, rounds] = numbers?[..] {
        let (x, weight) = tensors(inputs, outputs, side)?;
        // The first round warms caches and the thread pool.
        pass(&x, &weight, ours)?;
        let times: anyhow::Result<Vec<String>> =
            (0..rounds).map(|_| Ok(format!("{:.2}", pass(&x, &weight, ours)?))).collect();
        println!(r#"{{"milliseconds": [{}]}}"#, times?.join(", "));
        return Ok(());
    }
    for (inputs, outputs, side) in SHAPES {
        let (x, weight) = tensors(inputs, outputs, side)?;
        let mut ratios = Vec::with_capacity(ROUNDS);
        for round in 0..=ROUNDS {
            let ratio = pass(&x, &weight, ours)? / pass(&x, &weight, candle)?;
            if round > 0 {
                ratios.push(ratio);
            }
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "convolution 3 × 3, forward and backward, batch {BATCH}, {inputs} → {outputs} channels, {side} × {side} | candle-core 0.11.1 | {:.2}, {:.2}, {:.2}",
            ratios[0],
            ratios[ROUNDS / 2],
            ratios[ROUNDS - 1]
        );
    }
    Ok(())
}
