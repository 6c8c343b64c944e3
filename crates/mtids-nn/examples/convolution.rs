//! Our convolution beside candle's own, forward and backward, at the shapes of the demo's trunk; in turn, in one process.
//!
//! Prints one line of a Markdown table per shape: ours ÷ candle as minimum, median and maximum over the rounds.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use mtids_nn::conv2d::conv2d;

const ROUNDS: usize = 9;

type Convolve<'a> = &'a dyn Fn(&Tensor, &Tensor) -> anyhow::Result<Tensor>;

/// Seconds of one forward and backward pass, and the gradient of the weights.
fn pass(x: &Tensor, weight: &Var, convolve: Convolve<'_>) -> anyhow::Result<(f64, Tensor)> {
    let start = Instant::now();
    let loss = convolve(x, weight.as_tensor())?.sqr()?.mean_all()?;
    let gradients = loss.backward()?;
    let seconds = start.elapsed().as_secs_f64();
    let gradient = gradients.get(weight).ok_or_else(|| anyhow::anyhow!("the weights have no gradient"))?;
    Ok((seconds, gradient.clone()))
}

fn main() -> anyhow::Result<()> {
    // (inputs, outputs, side, stride): stem, first stage, second stage.
    for (inputs, outputs, side, stride) in [(16, 16, 36, 1), (16, 32, 36, 2), (32, 32, 18, 1)] {
        // Both inputs are variables, so that both passes compute the gradient of the input too.
        let x = Var::randn(0_f32, 1.0, (32, inputs, side, side), &Device::Cpu)?;
        let weight = Var::randn(0_f32, 0.1, (outputs, inputs, 3, 3), &Device::Cpu)?;
        let ours: Convolve<'_> = &|x, weight| Ok(conv2d(x, weight, stride, 1)?);
        let candle: Convolve<'_> = &|x, weight| Ok(x.conv2d(weight, 1, stride, 1, 1)?);
        let mut ratios = Vec::with_capacity(ROUNDS);
        for round in 0..=ROUNDS {
            let (a, gradient) = pass(x.as_tensor(), &weight, ours)?;
            let (b, expected) = pass(x.as_tensor(), &weight, candle)?;
            let difference = (gradient - &expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            anyhow::ensure!(
                difference <= 1e-3 * expected.abs()?.max_all()?.to_scalar::<f32>()?,
                "the gradients differ"
            );
            // The first round warms caches and the thread pool.
            if round > 0 {
                ratios.push(a / b);
            }
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "convolution 3 × 3, forward and backward, batch 32, {inputs} → {outputs} channels, {side} × {side}, stride {stride} | candle-core 0.11.1 | {:.2}, {:.2}, {:.2}",
            ratios[0],
            ratios[ROUNDS / 2],
            ratios[ROUNDS - 1]
        );
    }
    Ok(())
}
