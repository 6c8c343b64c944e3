//! Convolutions beside candle's own, forward and backward, batch 32, `f32`, 3 × 3: `cargo bench -p mtids-layers`.
//!
//! `scripts/benchmarks/layers.sh` compares them with PyTorch.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use candle_core::{Device, Result, Tensor, Var};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mtids_layers::conv::{ConvOptions, conv2d};

const BATCH: usize = 32;

fn convolution(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convolution");
    group.sample_size(10);
    // Channels in, channels out, side.
    for (inputs, outputs, side) in [(32, 32, 64), (64, 64, 32), (256, 256, 8)] {
        let x = Var::randn(0_f32, 1.0, (BATCH, inputs, side, side), &Device::Cpu).unwrap();
        let weight = Var::randn(0_f32, 0.1, (outputs, inputs, 3, 3), &Device::Cpu).unwrap();
        let shape = format!("{inputs} to {outputs}, {side} x {side}");
        group.bench_function(BenchmarkId::new("mtids", &shape), |bencher| {
            bencher.iter(|| conv2d(&x, &weight, &ConvOptions::new(1, 1)).unwrap().backward().unwrap());
        });
        let candle = |x: &Tensor, weight: &Tensor| -> Result<_> { x.conv2d(weight, 1, 1, 1, 1)?.backward() };
        group.bench_function(BenchmarkId::new("candle", &shape), |bencher| {
            bencher.iter(|| candle(&x, &weight).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, convolution);
criterion_main!(benches);
