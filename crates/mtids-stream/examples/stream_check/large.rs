//! A dataset whose epoch is many times larger than the budget: rows of 74 kB with noise, which compresses about as a CT does.

use std::path::Path;
use std::sync::Arc;

use mtids_runtime::random::rng_for;
use mtids_runtime::storage::Folder;
use mtids_shards::{Dataset, Split};
use mtids_stream::{BatchStream, StreamConfig};
use rand::RngExt;

use crate::support::{Shape, WIDE, labels, publish_voxels};

const SHAPE: Shape = Shape { shards: 32, rows_per_shard: 402, rows_per_group: 56, near: [16, 48, 48] };
pub(crate) const BATCH: usize = 32;

/// Writes it; returns the bytes of its voxels.
pub(crate) fn publish(folder: &Path) -> usize {
    let near: usize = SHAPE.near.iter().product();
    let mut random = rng_for(1, "noise of a large dataset", &[]);
    // Rows are parts of one run of noise.
    let noise: Vec<i16> = (0..8 * near).map(|_| (0..4).map(|_| random.random_range(-12..=12)).sum::<i16>()).collect();
    let voxels = |n: usize| {
        let at = (n * 7919) % (7 * near - WIDE);
        let level = (n % 200) as i16 - 100;
        let part = |length: usize| noise[at..at + length].iter().map(|voxel| voxel + level).collect();
        vec![part(near), part(WIDE)]
    };
    publish_voxels(&Folder::new(folder), SHAPE, labels, voxels);
    SHAPE.rows() * 2 * (near + WIDE)
}

/// A shuffled epoch of it.
pub(crate) fn stream(folder: &Path, byte_budget_mib: u64, epoch: u64) -> BatchStream {
    let dataset = Arc::new(Dataset::open(folder).unwrap());
    let config = StreamConfig { readers: 2, byte_budget_mib, ..StreamConfig::default() };
    let stream = BatchStream::builder(dataset, Split::Train).config(&config).batch_size(BATCH);
    stream.shuffle(1, epoch).start().unwrap()
}
