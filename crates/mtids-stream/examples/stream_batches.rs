//! Streams one shuffled epoch of a dataset without the trainer, and resumes it in the middle:
//! `cargo run -p mtids-stream --example stream_batches -- out/demo/dataset`.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use mtids_domain::label::Metastasis;
use mtids_shards::{Dataset, Split};
use mtids_stream::{Batch, BatchStream, StreamError};

const SEED: u64 = 1;
const EPOCH: u64 = 0;

/// The batches of one epoch from `first` on; the order depends on seed and epoch alone.
fn batches(dataset: &Arc<Dataset>, first: u64) -> Result<Vec<Batch>, StreamError> {
    BatchStream::builder(Arc::clone(dataset), Split::Train)
        .batch_size(32)
        .shuffle(SEED, EPOCH)
        .readers(2)
        .start_batch(first)
        .start()?
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder of a dataset")?;
    let dataset = Arc::new(Dataset::open(&PathBuf::from(folder))?);
    let description = &dataset.manifest().description;
    for view in &description.views {
        let geometry = view.geometry;
        println!("view {}: {:?} voxels of {:?} mm (d, h, w)", view.name, geometry.size, geometry.spacing_mm);
    }

    let epoch = batches(&dataset, 0)?;
    for (number, batch) in epoch.iter().enumerate().take(3) {
        let metastatic = batch.labels.iter().filter(|row| row.metastasis == Some(Metastasis::Metastatic)).count();
        // Voxels of a view are [B, C, D, H, W], w fastest; channel 0 is HU.
        let highest = batch.views.iter().flatten().max().copied().unwrap_or_default();
        println!("batch {number}: {} rows, {metastatic} metastatic, highest voxel {highest}", batch.labels.len());
    }
    println!("{} batches in the epoch", epoch.len());

    let half = epoch.len() / 2;
    let resumed = batches(&dataset, half as u64)?;
    let same = epoch[half..].iter().zip(&resumed).all(|(a, b)| a == b);
    println!("resumed at batch {half}: {}", if same { "the same batches" } else { "other batches" });
    Ok(())
}
