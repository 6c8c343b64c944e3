//! Speed of voxel synthesis: `cargo bench -p mtids-phantom`. Nothing is written.
//!
//! Six studies of 128 × 128 × 64 voxels on one thread, and one of 512 × 512 × 300 on all of them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mtids_phantom::{PhantomConfig, render_all};

fn render(criterion: &mut Criterion) {
    let small =
        PhantomConfig { dimensions: [128, 128, 64], spacing_mm: [2.5, 2.5, 4.0], patients: 6, ..Default::default() };
    let large =
        PhantomConfig { dimensions: [512, 512, 300], spacing_mm: [0.7, 0.7, 1.0], patients: 1, ..Default::default() };
    let mut group = criterion.benchmark_group("render");
    group.sample_size(10);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    group.throughput(Throughput::Elements(u64::from(small.patients)));
    group.bench_function("small, one thread", |bencher| bencher.iter(|| pool.install(|| render_all(&small)).unwrap()));
    group.throughput(Throughput::Elements(u64::from(large.patients)));
    group.bench_function("large, all threads", |bencher| bencher.iter(|| render_all(&large).unwrap()));
    group.finish();
}

criterion_group!(benches, render);
criterion_main!(benches);
