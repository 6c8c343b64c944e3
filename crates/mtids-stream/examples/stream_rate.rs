//! Rows a second, memory and the limiting stage of a stream over rows of 74 kB, against a bare read of the same row groups on as many threads:
//! `cargo run --release -p mtids-stream --example stream_rate -- FOLDER READERS BUDGET_MIB EPOCHS`. The dataset is made where FOLDER has none.
//!
//! `stream_rate serve FOLDER SPLIT READERS` reads an epoch for each line of `make bench-stream`. `8 3` is epoch 3 from windows of 8 row groups, and
//! `bare 3` a bare read. `kept 3` draws from all row groups at once, which stay in memory. It answers with the seconds and the keys of the rows by
//! batch, as JSON.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mtids_runtime::random::rng_for;
use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::{Dataset, Split, is_published, read_row_group_into};
use mtids_stream::{BatchStream, SampleTable, StreamConfig};
use rand::RngExt;

const SHAPE: support::Shape = support::Shape { shards: 8, rows_per_shard: 402, rows_per_group: 56, near: [16, 48, 48] };
const BATCH: usize = 32;
/// Budget of a stream whose rows stay in memory, MiB.
const KEPT_MIB: u64 = 4096;

/// Soft tissue with noise, which compresses about as a CT does.
fn voxels(n: usize) -> Vec<Vec<i16>> {
    let mut random = rng_for(n as u64, "voxels of a benchmark", &[]);
    let mut view = |length: usize| {
        let level = random.random_range(-100..100);
        (0..length).map(|_| level + (0..4).map(|_| random.random_range(-12..=12)).sum::<i16>()).collect::<Vec<i16>>()
    };
    let near = SHAPE.near.iter().product();
    vec![view(near), view(support::WIDE)]
}

/// Seconds and rows of reading, verifying and decoding every row group once.
fn bare(dataset: &Dataset, split: Split, threads: usize) -> Result<(f64, usize), Box<dyn Error>> {
    let table = SampleTable::every_row(Arc::new(dataset.clone()), split)?;
    let (groups, next, rows) = (table.row_groups(), AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffers = Vec::new();
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let read = read_row_group_into(dataset, group.shard, group.row_group, std::mem::take(&mut buffers));
                    if let Ok(read) = read {
                        rows.fetch_add(read.labels.len(), Ordering::Relaxed);
                        buffers = read.views.into_iter().map(|view| view.voxels).collect();
                    }
                }
            });
        }
    });
    Ok((started.elapsed().as_secs_f64(), rows.into_inner()))
}

/// Seconds of a shuffled epoch, and the keys of its rows by batch.
fn epoch(table: &Arc<SampleTable>, config: &StreamConfig, epoch: u64) -> Result<(f64, Keys), Box<dyn Error>> {
    let started = Instant::now();
    let stream = BatchStream::over(Arc::clone(table)).config(config).batch_size(BATCH);
    let mut keys = Vec::new();
    for batch in stream.shuffle(1, epoch).start()? {
        keys.push(batch?.labels.into_iter().map(|row| row.sample_key).collect());
    }
    Ok((started.elapsed().as_secs_f64(), keys))
}

/// Keys of rows, by batch.
type Keys = Vec<Vec<String>>;

fn serve(folder: &str, split: &str, readers: usize) -> Result<(), Box<dyn Error>> {
    let dataset = Arc::new(Dataset::open(&PathBuf::from(folder))?);
    let split = Split::from_name(split).ok_or("no such split")?;
    let table = Arc::new(SampleTable::every_row(Arc::clone(&dataset), split)?);
    // Of its own, so that the other streams do not find its rows in memory.
    let kept = Arc::new(SampleTable::every_row(Arc::clone(&dataset), split)?);
    let from = |shuffle_row_groups: usize| StreamConfig { readers, shuffle_row_groups, ..StreamConfig::default() };
    for line in std::io::stdin().lines() {
        let line = line?;
        let (what, number) = line.split_once(' ').ok_or("say what to read, and the epoch")?;
        let answer = match what {
            "bare" => (bare(&dataset, split, readers)?.0, Vec::new()),
            "kept" => {
                let config = StreamConfig { byte_budget_mib: KEPT_MIB, ..from(kept.row_groups().len()) };
                epoch(&kept, &config, number.parse()?)?
            }
            pool => epoch(&table, &from(pool.parse()?), number.parse()?)?,
        };
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

/// Largest resident memory of this process, MiB; nothing where the system does not say.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: stream_rate FOLDER READERS BUDGET_MIB EPOCHS";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, folder, split, readers] = arguments.as_slice()
        && mode == "serve"
    {
        return serve(folder, split, readers.parse()?);
    }
    let [folder, readers, budget, epochs] = arguments.as_slice() else { return Err(usage.into()) };
    let (readers, byte_budget_mib, epochs): (usize, u64, u64) = (readers.parse()?, budget.parse()?, epochs.parse()?);
    let storage: Arc<dyn Storage> = Arc::new(Folder::new(PathBuf::from(folder)));
    if !is_published(storage.as_ref()) {
        support::publish_voxels(storage.as_ref(), SHAPE, support::labels, voxels);
        println!("made {} rows in {folder}; run again to measure", SHAPE.rows());
        return Ok(());
    }
    let dataset = Arc::new(Dataset::open_in(storage)?);
    let config = StreamConfig { readers, byte_budget_mib, ..StreamConfig::default() };
    for epoch in 0..epochs {
        let stream = BatchStream::builder(Arc::clone(&dataset), Split::Train).config(&config).batch_size(BATCH);
        let mut stream = stream.shuffle(1, epoch).start()?;
        let gauges = stream.gauges();
        stream.by_ref().try_for_each(|batch| batch.map(drop))?;
        let reading = gauges.reading();
        println!(
            "epoch {epoch}: {:.0} rows a second, {} MiB in flight at most, {} buffers allocated, limited by {}",
            reading.rows_per_second(),
            reading.peak_bytes >> 20,
            reading.buffers_allocated,
            reading.limit().name()
        );
    }
    let peak = || peak_memory_mib().map_or_else(|| "?".into(), |mib| mib.to_string());
    println!("largest resident memory: {} MiB", peak());
    let (seconds, rows) = bare(&dataset, Split::Train, readers)?;
    println!(
        "bare read on {readers} threads: {:.0} rows a second; largest resident memory {} MiB",
        rows as f64 / seconds,
        peak()
    );
    Ok(())
}
