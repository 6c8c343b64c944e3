//! The stream over a small dataset on disk.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mtids_runtime::storage::{Folder, Memory, Storage};
use mtids_shards::{Dataset, Split};
use mtids_stream::{Batch, BatchStream, DamagePolicy, StreamConfig, StreamError, batches_per_epoch};
use support::{Shape, WIDE, labels, publish};

/// Voxels of the view `near`.
const NEAR: usize = 4 * 32 * 32;
/// Row groups of 5, 5 and 3 rows.
const SHAPE: Shape = Shape { shards: 4, rows_per_shard: 13, rows_per_group: 5, near: [4, 32, 32] };

fn dataset(folder: &Path) -> Arc<Dataset> {
    publish(&Folder::new(folder), SHAPE, labels);
    Arc::new(Dataset::open(folder).unwrap())
}

fn run(dataset: &Arc<Dataset>, config: &StreamConfig, epoch: u64, start: u64) -> Vec<Batch> {
    let stream = BatchStream::builder(Arc::clone(dataset), Split::Train).config(config).batch_size(7);
    stream.shuffle(11, epoch).start_batch(start).start().unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_row_once_and_the_same_order_for_any_number_of_readers() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let config = StreamConfig { readers: 1, shuffle_row_groups: 3, ..Default::default() };
    let batches = run(&dataset, &config, 0, 0);
    assert_eq!(batches.len(), 8);
    let mut seen: Vec<i16> = Vec::new();
    for batch in &batches {
        let [near, wide] = batch.views.as_slice() else { panic!("{} views", batch.views.len()) };
        assert_eq!((near.len(), wide.len()), (batch.labels.len() * NEAR, batch.labels.len() * WIDE));
        for (labels, (near, wide)) in batch.labels.iter().zip(near.chunks(NEAR).zip(wide.chunks(WIDE))) {
            assert_eq!(labels.sample_key, format!("s{}", near[0]), "labels and voxels stay together");
            assert!(wide.iter().all(|&voxel| voxel == -near[0]), "and the views of a row");
            seen.push(near[0]);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..52).collect::<Vec<i16>>());
    for readers in [2, 4] {
        assert_eq!(run(&dataset, &StreamConfig { readers, ..config.clone() }, 0, 0), batches);
    }
    assert_ne!(run(&dataset, &config, 1, 0), batches, "another epoch, another order");
}

#[test]
fn a_stream_that_starts_later_is_the_tail_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let config = StreamConfig { shuffle_row_groups: 2, ..Default::default() };
    let whole = run(&dataset, &config, 5, 0);
    for start in 0..=whole.len() {
        assert_eq!(run(&dataset, &config, 5, start as u64), whole[start..]);
    }
}

#[test]
fn a_last_row_alone_joins_the_batch_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    // 52 rows in batches of 17: 17, 17, 18.
    let stream = |start| {
        let stream = BatchStream::builder(Arc::clone(&dataset), Split::Train).batch_size(17).shuffle(3, 1);
        stream.start_batch(start).start().unwrap()
    };
    assert_eq!((stream(0).batches(), batches_per_epoch(52, 17, false)), (3, 3));
    let whole: Vec<Batch> = stream(0).map(Result::unwrap).collect();
    assert_eq!(whole.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [17, 17, 18]);
    for start in 0..=3 {
        assert_eq!(stream(start as u64).map(Result::unwrap).collect::<Vec<_>>(), whole[start..]);
    }
}

#[test]
fn a_budget_that_does_not_hold_the_order_is_refused_with_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let small = StreamConfig { byte_budget_mib: 0, shuffle_row_groups: 6, ..Default::default() };
    let start = |config: &StreamConfig| {
        BatchStream::builder(Arc::clone(&dataset), Split::Train).config(config).batch_size(7).shuffle(1, 0).start()
    };
    let error = start(&small).unwrap_err();
    let StreamError::Budget { needed_mib, .. } = error else { panic!("{error}") };
    for key in ["`stream.byte_budget_mib`", "`stream.shuffle_row_groups`", "batches of 8 rows"] {
        assert!(error.to_string().contains(key) && error.is_usage(), "{error}");
    }
    // An evaluation reads one row group at a time, and has no budget of its own.
    let builder = BatchStream::builder(Arc::clone(&dataset), Split::Train).config(&small).batch_size(7);
    assert!(matches!(builder.clone().start(), Err(StreamError::Budget { .. })));
    let rows = builder.at_least_needed().start().unwrap().map(|batch| batch.unwrap().labels.len()).sum::<usize>();
    assert_eq!(rows, 52);
    // What it asks for is enough, and the order is that of any other budget.
    let whole = run(&dataset, &StreamConfig { byte_budget_mib: 256, ..small.clone() }, 0, 0);
    assert_eq!(run(&dataset, &StreamConfig { byte_budget_mib: needed_mib, ..small }, 0, 0), whole);
}

#[test]
fn damage_is_an_error_in_its_place_and_ends_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let shard = dataset.manifest().shards[2].path.clone();
    let path = folder.path().join(&shard);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let mut stream = BatchStream::builder(dataset, Split::Train).batch_size(7).shuffle(11, 0).start().unwrap();
    let error = stream.find_map(Result::err).expect("the damage is noticed");
    assert!(matches!(error, StreamError::Shard(_)) && error.to_string().contains(&shard), "{error}");
    assert!(stream.next().is_none());
}

/// A storage that takes its time over row groups.
#[derive(Debug, Default)]
struct Slow(Memory);

impl Storage for Slow {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.put(name, bytes)
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        std::thread::sleep(Duration::from_millis(5));
        self.0.get_range(name, offset, length)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.0.size(name)
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.0.list(prefix)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.place(name)
    }
}

#[test]
fn a_dropped_stream_ends_its_threads_while_they_read_and_while_the_budget_is_full() {
    // 12 row groups of 0.3 MiB, of which two MiB hold a part beside the batches.
    let shape = Shape { near: [30, 32, 32], ..SHAPE };
    let storage = Arc::new(Slow::default());
    publish(storage.as_ref(), shape, labels);
    let dataset = Arc::new(Dataset::open_in(storage).unwrap());
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (taken, is_full) in [(0, false), (1, false), (2, false), (0, true), (1, true)] {
            let builder = BatchStream::builder(Arc::clone(&dataset), Split::Train).batch_size(2).byte_budget_mib(2);
            let mut stream = builder.shuffle_row_groups(2).shuffle(1, 0).start().unwrap();
            for _ in 0..taken {
                stream.next().unwrap().unwrap();
            }
            let gauges = stream.gauges();
            // Batches wait, nobody takes them, and so no more row groups are read.
            let mut read = None;
            while is_full && read != Some(gauges.reading().row_groups) {
                read = Some(gauges.reading().row_groups);
                std::thread::sleep(Duration::from_millis(100));
            }
            assert!(read.is_none_or(|read| read < 12), "{read:?}");
            // Joins the threads.
            drop(stream);
        }
        sender.send(()).unwrap();
    });
    // Far more than it takes: a thread that does not end would hang for ever.
    ended.recv_timeout(Duration::from_secs(120)).expect("a thread of a dropped stream does not end");
}

#[test]
fn rows_come_in_the_order_of_the_dataset_unless_shuffled() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let stream = BatchStream::builder(Arc::clone(&dataset), Split::Train).readers(3).drop_last(true).start().unwrap();
    assert_eq!(stream.batches(), 1);
    let keys: Vec<String> = stream.flat_map(|batch| batch.unwrap().labels).map(|labels| labels.sample_key).collect();
    assert_eq!(keys, (0..32).map(|n| format!("s{n}")).collect::<Vec<_>>());
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let builder = || BatchStream::builder(Arc::clone(&dataset), Split::Train);
    for (builder, key) in [(builder().readers(0), "readers"), (builder().batch_size(0), "batch_size")] {
        assert!(matches!(builder.start(), Err(StreamError::Config { key: named, .. }) if named == key), "{key}");
    }
}

#[test]
fn gauges_count_what_the_consumer_took_and_buffers_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let builder = BatchStream::builder(Arc::clone(&dataset), Split::Train).batch_size(2).shuffle_row_groups(2);
    let mut stream = builder.readers(1).shuffle(1, 0).start().unwrap();
    let gauges = stream.gauges();
    let rows: usize = stream.by_ref().map(|batch| batch.unwrap().labels.len()).sum();
    drop(stream);
    let reading = gauges.reading();
    assert_eq!((rows, reading.rows, reading.batches, reading.row_groups), (52, 52, 26, 12));
    assert!(reading.peak_bytes > 0 && reading.peak_bytes <= 256 << 20);
    assert_eq!((reading.bytes_in_flight, reading.skipped_rows), (0, 0));
    // Two views; three batches in flight, and 12 row groups that the budget holds at once.
    assert!((4..=2 * (3 + 12)).contains(&reading.buffers_allocated), "{reading:?}");
    assert!(reading.seconds >= reading.consumer_blocked && reading.queue_fill() <= 1.0);
}

#[test]
fn an_evaluation_takes_every_row_whatever_the_settings_of_a_training_say() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let mut config = StreamConfig { drop_last: true, on_damage: DamagePolicy::Skip, ..StreamConfig::default() };
    config.sampling.filter.metastasis_known = true;
    let rows = |builder: mtids_stream::BatchStreamBuilder| {
        builder.batch_size(9).start().unwrap().map(|batch| batch.unwrap().labels.len()).sum::<usize>()
    };
    let builder = || BatchStream::builder(Arc::clone(&dataset), Split::Train).config(&config);
    // 26 rows have a status: two batches of nine.
    assert_eq!((rows(builder()), rows(builder().every_row())), (18, 52));
}
