//! Row groups that stay in memory from epoch to epoch.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;

use mtids_shards::{Dataset, Split};
use mtids_stream::{
    Balance, Batch, BatchStream, BatchStreamBuilder, Reading, SampleTable, SamplingConfig, Source, StreamConfig,
};
use support::{Shape, dataset, labels};

/// Rows of 16.4 kB in row groups of 80 kB and less, 1.7 MiB in all.
const SHAPE: Shape = Shape { shards: 8, rows_per_shard: 13, rows_per_group: 5, near: [8, 32, 32] };
const ROW_GROUPS: u64 = 24;

fn table(dataset: &Arc<Dataset>, sampling: &SamplingConfig) -> Arc<SampleTable> {
    let source = Source { dataset: Arc::clone(dataset), split: Split::Train, weight: None };
    Arc::new(SampleTable::open(vec![source], sampling).unwrap())
}

fn batches(builder: BatchStreamBuilder, epoch: u64) -> (Vec<Batch>, Reading) {
    let mut stream = builder.batch_size(7).shuffle(4, epoch).start().unwrap();
    let batches = stream.by_ref().map(Result::unwrap).collect();
    (batches, stream.gauges().reading())
}

#[test]
fn rows_that_fit_into_the_budget_are_read_once_and_are_the_same_in_every_epoch() {
    let dataset = dataset(SHAPE, labels);
    let balanced = SamplingConfig { balance: Balance::Metastasis, epoch_rows: Some(300), ..Default::default() };
    for sampling in [SamplingConfig::default(), balanced] {
        let table = table(&dataset, &sampling);
        for (epoch, readers) in [(0, 1), (1, 4), (2, 2)] {
            let read = BatchStream::builder(Arc::clone(&dataset), Split::Train).sampling(sampling.clone());
            let kept = BatchStream::over(Arc::clone(&table)).readers(readers);
            let (kept, reading) = batches(kept, epoch);
            assert_eq!(kept, batches(read, epoch).0);
            assert_eq!(reading.row_groups, if epoch == 0 { ROW_GROUPS } else { 0 });
        }
        // A stream that begins in the middle, and one of two ranks.
        let tail: Vec<Batch> = {
            let stream = BatchStream::over(Arc::clone(&table)).batch_size(7).shuffle(4, 2).start_batch(9);
            stream.start().unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(tail, batches(BatchStream::over(Arc::clone(&table)), 2).0[9..]);
        let rank = BatchStream::over(Arc::clone(&table)).rank(1, 2);
        assert_eq!(batches(rank, 3).0.len(), tail.len() + 9);
    }
}

#[test]
fn a_stream_that_is_dropped_early_leaves_what_it_has_read() {
    let dataset = dataset(SHAPE, labels);
    let table = table(&dataset, &SamplingConfig::default());
    let mut read_groups = 0;
    for epoch in 0..20 {
        let stream = BatchStream::over(Arc::clone(&table)).readers(3).batch_size(7).shuffle(4, epoch).start().unwrap();
        let gauges = stream.gauges();
        stream.take(1 + epoch as usize % 3).for_each(|batch| drop(batch.unwrap()));
        read_groups += gauges.reading().row_groups;
    }
    assert!((1..=ROW_GROUPS).contains(&read_groups), "{read_groups} row groups were read");
    // Two at a time share what either of them has read.
    let start = |epoch| BatchStream::over(Arc::clone(&table)).batch_size(7).shuffle(4, epoch).start().unwrap();
    let (first, second) = (start(5), start(6));
    let gauges = [first.gauges(), second.gauges()];
    let both: Vec<(Batch, Batch)> = first.zip(second).map(|(a, b)| (a.unwrap(), b.unwrap())).collect();
    let read = |epoch| batches(BatchStream::builder(Arc::clone(&dataset), Split::Train), epoch).0;
    assert_eq!(both, read(5).into_iter().zip(read(6)).collect::<Vec<_>>());
    let by_both: u64 = gauges.iter().map(|gauges| gauges.reading().row_groups).sum();
    assert!(read_groups + by_both <= ROW_GROUPS, "{read_groups} before, then {by_both}");
}

#[test]
fn a_budget_that_does_not_hold_all_rows_keeps_none() {
    let dataset = dataset(SHAPE, labels);
    let table = table(&dataset, &SamplingConfig::default());
    // One window of two row groups and three batches of seven rows: below 1 MiB.
    let config = StreamConfig { byte_budget_mib: 1, shuffle_row_groups: 2, readers: 1, ..Default::default() };
    for epoch in 0..2 {
        let (_, reading) = batches(BatchStream::over(Arc::clone(&table)).config(&config), epoch);
        assert_eq!(reading.row_groups, ROW_GROUPS);
        assert!(reading.peak_bytes <= 1 << 20, "{reading:?}");
    }
    // What others keep is no obstacle to it, and it takes nothing of theirs.
    assert_eq!(batches(BatchStream::over(Arc::clone(&table)), 0).1.row_groups, ROW_GROUPS);
    assert_eq!(batches(BatchStream::over(Arc::clone(&table)).config(&config), 1).1.row_groups, ROW_GROUPS);
    let (_, reading) = batches(BatchStream::over(table), 1);
    assert!(reading.row_groups == 0 && (1 << 20..8 << 20).contains(&reading.peak_bytes), "{reading:?}");
}
