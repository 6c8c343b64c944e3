//! Damage and failing threads: errors in their place and of their kind, or rows that are skipped and counted.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mtids_runtime::storage::{Memory, Storage};
use mtids_shards::{DamageKind, Dataset, ShardError, Split};
use mtids_stream::{Batch, BatchStream, BatchStreamBuilder, DamagePolicy, SampleTable, StreamError};
use support::{Shape, labels, number, publish};

const SHAPE: Shape = Shape { shards: 4, rows_per_shard: 12, rows_per_group: 4, near: [1, 2, 2] };

/// What a storage does with the second row group of the third shard.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Flip,
    Cut,
    Fail,
    Panic,
}

#[derive(Debug)]
struct Faulty {
    inner: Memory,
    fault: Fault,
    shard: String,
    offset: u64,
}

impl Storage for Faulty {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.inner.put(name, bytes)
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = self.inner.get_range(name, offset, length)?;
        if name == self.shard && offset == self.offset {
            match self.fault {
                Fault::Flip => bytes[7] ^= 1,
                Fault::Cut => return Err(io::ErrorKind::UnexpectedEof.into()),
                Fault::Fail => return Err(io::Error::other("the disk is on fire")),
                Fault::Panic => panic!("a storage that panics"),
            }
        }
        Ok(bytes)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.inner.place(name)
    }
}

/// A dataset with a fault, and the rows that it hits.
fn faulty(fault: Fault) -> (Arc<Dataset>, std::ops::Range<usize>) {
    let inner = Memory::default();
    publish(&inner, SHAPE, labels);
    let manifest = mtids_shards::Manifest::load(&inner).unwrap();
    let shard = &manifest.shards[2];
    let storage = Faulty { fault, shard: shard.path.clone(), offset: shard.row_groups[1].offset, inner };
    (Arc::new(Dataset::open_in(Arc::new(storage)).unwrap()), 28..32)
}

fn stream(dataset: &Arc<Dataset>) -> BatchStreamBuilder {
    BatchStream::builder(Arc::clone(dataset), Split::Train).batch_size(6).shuffle(2, 0).shuffle_row_groups(3)
}

#[test]
fn errors_come_with_their_kind_in_the_place_of_the_first_row_that_is_missing() {
    let whole: Vec<Batch> = {
        let inner = Arc::new(Memory::default());
        publish(inner.as_ref(), SHAPE, labels);
        stream(&Arc::new(Dataset::open_in(inner).unwrap())).start().unwrap().map(Result::unwrap).collect()
    };
    let kinds = [(Fault::Flip, DamageKind::Digest), (Fault::Cut, DamageKind::Size), (Fault::Fail, DamageKind::Read)];
    for (fault, expected) in kinds {
        let (dataset, rows) = faulty(fault);
        let is_hit = |batch: &Batch| batch.labels.iter().any(|row| rows.contains(&number(row)));
        let first = whole.iter().position(is_hit).unwrap();
        for readers in [1, 4] {
            let mut items = stream(&dataset).readers(readers).start().unwrap();
            let intact: Vec<Batch> = items.by_ref().take(first).map(Result::unwrap).collect();
            assert_eq!(intact, whole[..first], "{fault:?}");
            let error = items.next().unwrap().unwrap_err();
            assert!(
                matches!(&error, StreamError::Shard(ShardError::Damaged { kind, row_group: 1, .. }) if *kind == expected),
                "{error:?}"
            );
            assert!(!error.is_usage() && items.next().is_none());
            assert_eq!(error.is_damage(), fault != Fault::Fail, "a machine that fails is no damage");
        }
    }
}

#[test]
fn damage_may_be_skipped_and_is_counted() {
    let (dataset, rows) = faulty(Fault::Flip);
    let builder = || stream(&dataset).on_damage(DamagePolicy::Skip);
    let mut items = builder().start().unwrap();
    let batches: Vec<Batch> = items.by_ref().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 8, "batches keep their numbers");
    assert_eq!(batches.iter().map(|batch| batch.skipped).sum::<usize>(), 4);
    assert!(batches.iter().all(|batch| batch.labels.len() + batch.skipped == 6));
    let mut seen: Vec<usize> = batches.iter().flat_map(|batch| &batch.labels).map(number).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..48).filter(|row| !rows.contains(row)).collect::<Vec<_>>());
    let skipped = items.gauges().skipped();
    assert_eq!((skipped.len(), skipped[0].row_group, items.gauges().reading().skipped_rows), (1, 1, 4));
    assert!(skipped[0].shard.contains("002") && skipped[0].error.contains("digest"));
    // Resumed anywhere: the same batches, with the same gaps.
    for start in 0..=8 {
        let tail: Vec<Batch> = builder().start_batch(start as u64).start().unwrap().map(Result::unwrap).collect();
        assert_eq!(tail, batches[start..]);
    }
    // Ranks judge a batch as a whole, so its parts may be as small as a row, or empty.
    for ranks in [2, 3, 6] {
        let mut parts: Vec<BatchStream> = (0..ranks).map(|rank| builder().rank(rank, ranks).start().unwrap()).collect();
        for whole in &batches {
            let parts: Vec<Batch> = parts.iter_mut().map(|part| part.next().unwrap().unwrap()).collect();
            assert_eq!(parts.iter().flat_map(|part| part.labels.clone()).collect::<Vec<_>>(), whole.labels);
            assert_eq!(parts.iter().map(|part| part.skipped).sum::<usize>(), whole.skipped);
        }
        assert!(parts.iter_mut().all(|part| part.next().is_none()));
        assert_eq!(parts.iter().map(|part| part.gauges().reading().skipped_rows).sum::<u64>(), 4);
    }
    // A batch of nothing but damage is an error all the same, and on every rank.
    for rank in 0..2 {
        let mut part = builder().batch_size(4).shuffle_row_groups(1).rank(rank, 2).start().unwrap();
        let error = part.find_map(Result::err).unwrap();
        assert!(matches!(error, StreamError::NothingLeft { left: 0, rows: 4, .. }), "{error}");
    }
    let error = builder().batch_size(4).shuffle_row_groups(1).start().unwrap().find_map(Result::err).unwrap();
    assert!(matches!(error, StreamError::NothingLeft { left: 0, rows: 4, .. }), "{error}");
}

#[test]
fn rows_that_stay_in_memory_leave_damage_what_it_is_in_every_epoch() {
    let (dataset, _) = faulty(Fault::Flip);
    let table = Arc::new(SampleTable::every_row(Arc::clone(&dataset), Split::Train).unwrap());
    for epoch in 0..3 {
        let build = |builder: BatchStreamBuilder, policy| {
            builder.batch_size(6).shuffle(2, epoch).shuffle_row_groups(3).on_damage(policy).start().unwrap()
        };
        let kept = |policy| build(BatchStream::over(Arc::clone(&table)), policy);
        let read = |policy| build(BatchStream::builder(Arc::clone(&dataset), Split::Train), policy);
        let batches = |stream: BatchStream| stream.map(Result::unwrap).collect::<Vec<Batch>>();
        assert_eq!(batches(kept(DamagePolicy::Skip)), batches(read(DamagePolicy::Skip)));
        let (stopped, expected) = (kept(DamagePolicy::Stop), read(DamagePolicy::Stop));
        let told = |stream: BatchStream| stream.map(|batch| batch.map_err(|e| e.to_string())).collect::<Vec<_>>();
        assert_eq!(told(stopped), told(expected));
        let mut skipping = kept(DamagePolicy::Skip);
        skipping.by_ref().for_each(drop);
        let reading = skipping.gauges().reading();
        assert_eq!((reading.skipped_rows, reading.row_groups), (4, 1), "what could not be read is tried again");
    }
}

#[test]
fn a_shard_that_is_gone_is_skipped_but_not_one_that_cannot_be_read() {
    let inner = Arc::new(Memory::default());
    publish(inner.as_ref(), SHAPE, labels);
    let dataset = Arc::new(Dataset::open_in(Arc::clone(&inner) as Arc<dyn Storage>).unwrap());
    inner.remove(&dataset.manifest().shards[2].path).unwrap();
    let mut items = stream(&dataset).batch_size(24).on_damage(DamagePolicy::Skip).start().unwrap();
    assert_eq!(items.by_ref().map(|batch| batch.unwrap().labels.len()).sum::<usize>(), 36);
    assert_eq!(items.gauges().skipped().len(), 3, "row groups of a shard");
    let (failing, _) = faulty(Fault::Fail);
    let error = stream(&failing).on_damage(DamagePolicy::Skip).start().unwrap().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("on fire"), "{error}");
}

#[test]
fn a_panic_of_a_reader_is_an_error_that_no_policy_skips() {
    let (dataset, _) = faulty(Fault::Panic);
    for policy in [DamagePolicy::Stop, DamagePolicy::Skip] {
        let mut items = stream(&dataset).on_damage(policy).start().unwrap();
        let error = items.find_map(Result::err).unwrap();
        assert!(matches!(error, StreamError::WorkerPanicked { .. }) && !error.is_damage(), "{error}");
        assert!(items.next().is_none());
    }
}
