//! Gram matrix of 8 task gradients of 10⁶ parameters in `f32`: `cargo bench -p mtids-balance`.
//!
//! `make balance-bench` compares it with one read of the memory and times the algebra of every method.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mtids_balance::{Rows, gram_matrix};
use mtids_runtime::random::rng_for;
use rand::RngExt;

const TASKS: usize = 8;
const WIDTH: usize = 1_000_000;

fn gram(criterion: &mut Criterion) {
    let gradients: Vec<Vec<f32>> = (0..TASKS as u64)
        .map(|task| {
            let mut random = rng_for(task, "bench/gram", &[]);
            (0..WIDTH).map(|_| random.random::<f32>() - 0.5).collect()
        })
        .collect();
    let rows: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
    let mut group = criterion.benchmark_group("gram");
    group.throughput(Throughput::Bytes((TASKS * WIDTH * size_of::<f32>()) as u64)).sample_size(20);
    group.bench_function("8 x 1e6 f32", |bencher| {
        bencher.iter(|| gram_matrix(Rows::F32(black_box(&rows)), &[true; TASKS]).unwrap());
    });
    group.finish();
}

criterion_group!(benches, gram);
criterion_main!(benches);
