//! Bits of a shard are flipped and its end is cut off, on a file system, once after the other: no batch may have other bytes than the intact one.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use mtids_runtime::random::{Rng, rng_for};
use mtids_runtime::storage::Folder;
use mtids_shards::{Dataset, ShardError, Split};
use mtids_stream::{Batch, BatchStream, BatchStreamBuilder, DamagePolicy, StreamError};
use rand::RngExt;

use crate::support::{Shape, WIDE, labels, publish_voxels};

const NEAR: usize = 2 * 8 * 8;
const SHAPE: Shape = Shape { shards: 3, rows_per_shard: 12, rows_per_group: 4, near: [2, 8, 8] };

/// How often what came of a damage.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Refused, by the kind of the error.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Epochs that came without the damaged rows.
    pub(crate) skipped: usize,
    /// Of the bytes that no reader looks at: the first four of the file.
    pub(crate) harmless: usize,
}

impl Outcomes {
    pub(crate) fn all(&self) -> usize {
        self.refused.values().sum::<usize>() + self.skipped + self.harmless
    }
}

fn stream(folder: &Path, policy: DamagePolicy) -> BatchStreamBuilder {
    let dataset = Arc::new(Dataset::open(folder).unwrap());
    BatchStream::builder(dataset, Split::Train).batch_size(6).shuffle(2, 0).shuffle_row_groups(3).on_damage(policy)
}

/// Voxels that differ from row to row and from voxel to voxel.
fn voxels(n: usize) -> Vec<Vec<i16>> {
    let mut random = rng_for(n as u64, "voxels that are damaged", &[]);
    [NEAR, WIDE].map(|length| (0..length).map(|_| random.random_range(-200..200)).collect()).to_vec()
}

/// Whether a batch has the bytes of the intact one, but for rows that it counts as skipped.
fn is_part_of(batch: &Batch, intact: &Batch) -> bool {
    let lens: Vec<usize> = intact.views.iter().map(|view| view.len() / intact.labels.len()).collect();
    let mut at = 0;
    let same = batch.labels.iter().enumerate().all(|(row, labels)| {
        let Some(place) = intact.labels.iter().skip(at).position(|other| other == labels) else { return false };
        at += place + 1;
        let of = |batch: &Batch, view: usize, row: usize| {
            batch.views[view][row * lens[view]..(row + 1) * lens[view]].to_vec()
        };
        (0..lens.len()).all(|view| of(batch, view, row) == of(intact, view, at - 1))
    });
    same && batch.index == intact.index
        && batch.labels.len() + batch.skipped == intact.labels.len()
        && batch.views.iter().zip(&lens).all(|(view, len)| view.len() == batch.labels.len() * len)
}

/// The kind of an error that the data are to blame for.
fn kind(error: &StreamError) -> String {
    match error {
        StreamError::Shard(ShardError::Damaged { kind, .. }) if error.is_damage() => {
            serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned()
        }
        StreamError::NothingLeft { .. } => "nothing left of a batch".into(),
        other => panic!("an error of another kind: {other}"),
    }
}

/// Flips bits and cuts off ends, so many times each, under both policies in turn.
///
/// # Panics
/// When a batch has other bytes than the intact one, or damage of what is read is not seen.
pub(crate) fn damages(folder: &Path, flips: usize, cuts: usize) -> [Outcomes; 2] {
    publish_voxels(&Folder::new(folder), SHAPE, labels, voxels);
    let intact: Vec<Batch> = stream(folder, DamagePolicy::Stop).start().unwrap().map(Result::unwrap).collect();
    let manifest = Dataset::open(folder).unwrap().manifest().clone();
    let mut random = rng_for(7, "damage", &[]);
    let mut damage = |times: usize, change: &dyn Fn(&mut Vec<u8>, &mut Rng) -> usize| {
        let mut outcomes = Outcomes::default();
        for number in 0..times {
            let shard = &manifest.shards[random.random_range(0..manifest.shards.len())];
            let path = folder.join(&shard.path);
            let whole = fs::read(&path).unwrap();
            let mut bytes = whole.clone();
            let at = change(&mut bytes, &mut random);
            fs::write(&path, bytes).unwrap();
            let policy = if number % 2 == 0 { DamagePolicy::Stop } else { DamagePolicy::Skip };
            judge(folder, policy, &intact, 0..shard.row_groups[0].offset as usize, at, &mut outcomes);
            fs::write(&path, whole).unwrap();
        }
        outcomes
    };
    let flip = |bytes: &mut Vec<u8>, random: &mut Rng| {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        at
    };
    let cut = |bytes: &mut Vec<u8>, random: &mut Rng| {
        bytes.truncate(random.random_range(0..bytes.len()));
        usize::MAX
    };
    let outcomes = [damage(flips, &flip), damage(cuts, &cut)];
    let again: Vec<Batch> = stream(folder, DamagePolicy::Stop).start().unwrap().map(Result::unwrap).collect();
    assert_eq!(again, intact, "the file is whole again");
    outcomes
}

fn judge(folder: &Path, policy: DamagePolicy, intact: &[Batch], unread: Range<usize>, at: usize, to: &mut Outcomes) {
    let mut skipped = 0;
    let mut error = None;
    let mut stream = stream(folder, policy).start().unwrap();
    let mut number = 0;
    for item in stream.by_ref() {
        match item {
            Ok(batch) => {
                assert!(is_part_of(&batch, &intact[number]), "a wrong batch: {policy:?}, byte {at}");
                skipped += batch.skipped;
                number += 1;
            }
            Err(found) => error = Some(found),
        }
    }
    let counted = stream.gauges().reading().skipped_rows as usize;
    match error {
        Some(error) => *to.refused.entry(kind(&error)).or_default() += 1,
        None => {
            assert_eq!((number, skipped), (intact.len(), counted));
            assert!(skipped == 0 || policy == DamagePolicy::Skip);
            assert_eq!(skipped == 0, unread.contains(&at), "damage of byte {at} was not seen");
            to.skipped += usize::from(skipped > 0);
            to.harmless += usize::from(skipped == 0);
        }
    }
}
