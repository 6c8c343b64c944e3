//! Forward and backward pass of the default trunks, batch 64, f32: residual stages with batch norm in training, then the mean of the map.
//!
//! Arguments: `near-slices`, `wide-slices` or `near-volume`, and a number of passes. Prints one line of JSON, the milliseconds of each pass, which
//! `scripts/benchmarks/trunks.py` puts beside PyTorch's.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mtids_layers::pool::{GridPool, GridPooling};
use mtids_layers::residual::{Residual, ResidualConfig};
use mtids_layers::{DType, Device, NormConfig, Parameters, Phase, Tensor};

const BATCH: usize = 64;

fn config(widths: &[usize], stem_stride: usize, depth_halved_from: usize) -> ResidualConfig {
    let blocks = vec![2; widths.len()];
    ResidualConfig { widths: widths.to_vec(), blocks, stem_stride, norm: NormConfig::Batch, depth_halved_from }
}

/// Milliseconds of `passes` passes behind a first one that warms caches and threads.
fn passes<const N: usize>(
    config: &ResidualConfig,
    channels: usize,
    size: [usize; N],
    grid: usize,
    passes: usize,
) -> Result<Vec<f64>> {
    let parameters = Parameters::new(1, DType::F32, &Device::Cpu);
    let trunk = Residual::new("trunk", config, channels, size, &parameters)?;
    let pool = GridPool::new(trunk.size(), grid, GridPooling::Average, DType::F32, &Device::Cpu)?;
    let shape: Vec<usize> = [BATCH, channels].into_iter().chain(size).collect();
    let x = Tensor::randn(0_f32, 1.0, shape, &Device::Cpu)?;
    let mut times = Vec::with_capacity(passes + 1);
    for _ in 0..=passes {
        let start = Instant::now();
        let features = pool.forward(&trunk.forward(&x, Phase::Train)?)?;
        let gradients = features.sqr()?.sum_all()?.backward()?;
        parameters.commit_statistics()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let variables = parameters.variables();
        ensure!(variables.iter().all(|(_, variable)| gradients.get(variable).is_some()), "a gradient is missing");
    }
    Ok(times.split_off(1))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &arguments[..] else { bail!("give the name of a trunk and a number of passes") };
    let count = count.parse().with_context(|| format!("`{count}` is no number of passes"))?;
    let times = match name.as_str() {
        "near-slices" => passes(&config(&[32, 64, 128, 256], 1, 0), 16, [32, 32], 1, count)?,
        "wide-slices" => passes(&config(&[32, 64, 64], 2, 0), 32, [40, 40], 2, count)?,
        "near-volume" => passes(&config(&[16, 32, 64, 128], 1, 2), 2, [8, 32, 32], 1, count)?,
        other => bail!("`{other}` is none of near-slices, wide-slices and near-volume"),
    };
    let times: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    println!(r#"{{"milliseconds": [{}]}}"#, times.join(", "));
    Ok(())
}
