//! A stream that goes on anywhere gives the rows of the unbroken one: at every batch boundary, for any readers, ranks and budget, also when these
//! change there, with balanced sampling.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;

use mtids_domain::label::Metastasis;
use mtids_shards::{RowLabels, Split};
use mtids_stream::{
    Balance, BatchStream, BatchStreamBuilder, SampleTable, SamplingConfig, Source, StreamConfig, StreamError,
    StreamState,
};
use support::{Shape, dataset, labels, number};

const SHAPE: Shape = Shape { shards: 4, rows_per_shard: 14, rows_per_group: 5, near: [16, 32, 32] };
const BATCH: usize = 8;
const WORKERS: [usize; 4] = [1, 2, 4, 8];
const RANKS: [usize; 3] = [1, 2, 4];
/// The smaller one holds less than half of the row groups beside the batches.
const BUDGETS_MIB: [u64; 2] = [2, 256];

/// One row in seven is metastatic, some have no status.
fn unbalanced(n: usize) -> RowLabels {
    let status = match n % 7 {
        0 => Some(Metastasis::Metastatic),
        1 => None,
        _ => Some(Metastasis::Benign),
    };
    RowLabels { metastasis: status, ..labels(n) }
}

fn table() -> Arc<SampleTable> {
    let sampling = SamplingConfig { balance: Balance::Joint, ..SamplingConfig::default() };
    let source = Source { dataset: dataset(SHAPE, unbalanced), split: Split::Train, weight: None };
    Arc::new(SampleTable::open(vec![source], &sampling).unwrap())
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    workers: usize,
    ranks: usize,
    budget_mib: u64,
}

fn settings() -> Vec<Setting> {
    let all = WORKERS.iter().flat_map(|&workers| RANKS.iter().map(move |&ranks| (workers, ranks)));
    all.flat_map(|(workers, ranks)| BUDGETS_MIB.map(|budget_mib| Setting { workers, ranks, budget_mib })).collect()
}

fn builder(table: &Arc<SampleTable>, setting: Setting, rank: usize) -> BatchStreamBuilder {
    let config = StreamConfig {
        readers: setting.workers,
        byte_budget_mib: setting.budget_mib,
        shuffle_row_groups: 3,
        ..StreamConfig::default()
    };
    BatchStream::over(Arc::clone(table)).config(&config).batch_size(BATCH).shuffle(5, 2).rank(rank, setting.ranks)
}

/// Rows of some batches on all ranks, one behind the other; where to go on after them.
fn batches(
    table: &Arc<SampleTable>,
    setting: Setting,
    from: Option<StreamState>,
    most: usize,
) -> (Vec<Vec<usize>>, StreamState) {
    let mut ranks: Vec<BatchStream> = (0..setting.ranks)
        .map(|rank| {
            let builder = builder(table, setting, rank);
            from.map_or(builder.clone(), |state| builder.resume(&state)).start().unwrap()
        })
        .collect();
    let mut rows = Vec::new();
    let mut next = from.map_or(0, |state| state.position.div_ceil(BATCH as u64));
    while rows.len() < most {
        let parts: Vec<_> = ranks.iter_mut().filter_map(Iterator::next).map(Result::unwrap).collect();
        if parts.is_empty() {
            break;
        }
        assert_eq!(parts.len(), setting.ranks);
        let numbers = parts.iter().flat_map(|part| {
            let near: usize = SHAPE.near.iter().product();
            let voxels = part.views[0].chunks(near).map(|row| row[0] as usize).collect::<Vec<_>>();
            assert_eq!(voxels, part.labels.iter().map(number).collect::<Vec<_>>(), "labels and voxels stay together");
            voxels
        });
        rows.push(numbers.collect());
        next = parts[0].index + 1;
    }
    for rank in &ranks {
        assert!(rank.gauges().reading().peak_bytes <= setting.budget_mib << 20, "{setting:?}");
    }
    let state = ranks[0].positions().at(next);
    (rows, state)
}

#[test]
fn every_boundary_for_every_setting_and_a_change_of_setting_there() {
    let table = table();
    let unbroken = Setting { workers: 1, ranks: 1, budget_mib: 256 };
    let (whole, _) = batches(&table, unbroken, None, usize::MAX);
    assert_eq!(whole.len(), 7);
    assert_eq!(whole.iter().map(Vec::len).sum::<usize>(), SHAPE.rows());
    let all = settings();
    for (number, &setting) in all.iter().enumerate() {
        assert_eq!(batches(&table, setting, None, usize::MAX).0, whole, "{setting:?}");
        for boundary in 0..=whole.len() {
            // Another setting each time, all in turn.
            let before = all[(7 * number + 5 * boundary) % all.len()];
            let (head, state) = batches(&table, before, None, boundary);
            assert_eq!(head, whole[..boundary], "{before:?}");
            let state: StreamState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
            assert_eq!(
                batches(&table, setting, Some(state), usize::MAX).0,
                whole[boundary..],
                "{before:?} {setting:?}"
            );
        }
    }
}

#[test]
fn a_position_of_another_stream_is_refused() {
    let table = table();
    let setting = Setting { workers: 1, ranks: 1, budget_mib: 256 };
    let stream = builder(&table, setting, 0).start().unwrap();
    let state = stream.positions().at(3);
    assert_eq!((state.seed, state.epoch, state.position), (5, 2, 24));
    let refused = |builder: BatchStreamBuilder, state: StreamState| match builder.resume(&state).start() {
        Err(StreamError::State { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let within = StreamState { position: 25, ..state };
    assert!(refused(builder(&table, setting, 0), within).contains("row 25"));
    assert!(refused(builder(&table, setting, 0).shuffle_row_groups(4), state).contains("shuffle_row_groups"));
    for (seed, epoch) in [(5, 3), (6, 2)] {
        let reason = refused(builder(&table, setting, 0).shuffle(seed, epoch), state);
        assert!(
            reason.contains(&format!("epoch {epoch} of seed {seed}")) && reason.contains("epoch 2 of seed 5"),
            "{reason}"
        );
    }
    let plain = BatchStream::over(Arc::new(SampleTable::every_row(dataset(SHAPE, unbalanced), Split::Train).unwrap()));
    assert!(refused(plain.shuffle_row_groups(3).batch_size(BATCH).shuffle(5, 2), state).contains("sampling"));
    let end = stream.positions().at(stream.batches());
    assert_eq!(builder(&table, setting, 0).resume(&end).start().unwrap().count(), 0);
}

#[test]
fn ranks_share_small_last_batches_and_impossible_ranks_are_refused() {
    let table = Arc::new(SampleTable::every_row(dataset(SHAPE, labels), Split::Train).unwrap());
    // 56 rows in batches of 18: 18, 18, 18, 2; with four ranks two parts of the last one are empty.
    let part = |rank| BatchStream::over(Arc::clone(&table)).batch_size(18).shuffle(1, 0).rank(rank, 4).start().unwrap();
    let last: Vec<usize> =
        (0..4).map(|rank| part(rank).map(|batch| batch.unwrap().labels.len()).last().unwrap()).collect();
    assert_eq!(last.iter().sum::<usize>(), 2);
    for (rank, ranks) in [(1, 1), (0, 0), (0, 19)] {
        let error = BatchStream::over(Arc::clone(&table)).batch_size(18).rank(rank, ranks).start().unwrap_err();
        assert!(matches!(error, StreamError::Config { key: "rank", .. }), "{error}");
    }
}

#[test]
fn processes_that_take_batches_in_turn_give_the_whole_from_any_row_on() {
    let table = table();
    let unbroken = Setting { workers: 1, ranks: 1, budget_mib: 256 };
    let (whole, _) = batches(&table, unbroken, None, usize::MAX);
    let ranks = [1, 2];
    for (setting, step) in
        ranks.iter().flat_map(|&ranks| (1..=4).map(move |step| (Setting { ranks, ..unbroken }, step)))
    {
        for first in 0..=whole.len() {
            let mut found = vec![Vec::new(); whole.len()];
            for (rank, process) in (0..setting.ranks).flat_map(|rank| (0..step).map(move |process| (rank, process))) {
                let row = (BATCH * (first + process)).min(SHAPE.rows());
                let stream = builder(&table, setting, rank).start_row(row as u64).every(step as u64).start().unwrap();
                let taken: Vec<_> = stream.map(Result::unwrap).collect();
                let own = (first + process..whole.len()).step_by(step);
                assert!(taken.iter().map(|batch| batch.index as usize).eq(own), "{setting:?} {step} {first}");
                taken.iter().for_each(|batch| found[batch.index as usize].extend(batch.labels.iter().map(number)));
            }
            assert_eq!(found[first..], whole[first..], "{setting:?} {step}");
        }
    }
    let refused = |builder: BatchStreamBuilder| builder.start().unwrap_err();
    assert!(refused(builder(&table, unbroken, 0).start_row(3)).to_string().contains("row 3"));
    assert!(matches!(refused(builder(&table, unbroken, 0).every(0)), StreamError::Config { key: "every", .. }));
}
