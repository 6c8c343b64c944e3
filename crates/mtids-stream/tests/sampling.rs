//! Sampling over real indices: classes, patients, filters, mixtures.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::pseudonym::PatientKey;
use mtids_runtime::storage::{Memory, Storage};
use mtids_shards::{Dataset, IndexRow, RowLabels, Split};
use mtids_stream::{
    Balance, BatchStream, Cursor, EpochOrder, Filter, SampleTable, SamplingConfig, Source, StreamError,
};
use support::{Shape, dataset, labels, number, publish, publish_with_index};

const SHAPE: Shape = Shape { shards: 4, rows_per_shard: 15, rows_per_group: 4, near: [1, 2, 2] };

/// 60 rows: 10 in region 1, 3 of unknown region, 12 metastatic, patients of 1 to 9 nodes.
fn cohort(n: usize) -> RowLabels {
    let region = match n {
        0..10 => Some(1),
        57.. => None,
        _ => Some(0),
    };
    RowLabels {
        region,
        metastasis: Some(if n.is_multiple_of(5) { Metastasis::Metastatic } else { Metastasis::Benign }),
        evidence: if n.is_multiple_of(4) { Evidence::A } else { Evidence::D },
        manufacturer: (n >= 5).then(|| if n < 30 { "a".into() } else { "b".into() }),
        patient_key: PatientKey::from_stored(format!("p{}", n.isqrt())),
        weight: if n == 59 { 0.0 } else { 1.0 + (n % 2) as f32 },
        ..labels(n)
    }
}

fn open(dataset: Arc<Dataset>, sampling: &SamplingConfig) -> Result<Arc<SampleTable>, StreamError> {
    SampleTable::open(vec![Source { dataset, split: Split::Train, weight: None }], sampling).map(Arc::new)
}

/// How often each row comes in some epochs.
fn counts(table: &Arc<SampleTable>, epochs: u64) -> BTreeMap<usize, u64> {
    let mut counts = BTreeMap::new();
    for epoch in 0..epochs {
        let stream = BatchStream::over(Arc::clone(table)).batch_size(7).shuffle(3, epoch).start().unwrap();
        let rows = stream.flat_map(|batch| batch.unwrap().labels);
        let before: u64 = counts.values().sum();
        rows.for_each(|row| *counts.entry(number(&row)).or_default() += 1);
        assert_eq!(counts.values().sum::<u64>() - before, table.epoch_rows());
    }
    counts
}

fn share(counts: &BTreeMap<usize, u64>, is_member: impl Fn(usize) -> bool) -> f64 {
    let all: u64 = counts.values().sum();
    counts.iter().filter(|(row, _)| is_member(**row)).map(|(_, count)| *count).sum::<u64>() as f64 / all as f64
}

#[test]
fn classes_come_equally_often() {
    let dataset = dataset(SHAPE, cohort);
    let table = |balance| open(Arc::clone(&dataset), &SamplingConfig { balance, ..Default::default() }).unwrap();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.02, "{found} for {expected}");
    let regions = counts(&table(Balance::Region), 20);
    near(share(&regions, |row| row < 10), 0.475);
    near(share(&regions, |row| row >= 57), 0.05);
    let status = counts(&table(Balance::Metastasis), 20);
    near(share(&status, |row| row.is_multiple_of(5)), 0.5);
    let joint = counts(&table(Balance::Joint), 20);
    for (region, metastatic) in [(0..10, true), (0..10, false), (10..57, true), (10..57, false)] {
        let is_member = |row: usize| region.contains(&row) && row.is_multiple_of(5) == metastatic;
        near(share(&joint, is_member), 0.95 / 4.0);
    }
    let patients = counts(&table(Balance::Patient), 20);
    for patient in 0..8 {
        near(share(&patients, |row| row.isqrt() == patient), 1.0 / 8.0);
    }
}

#[test]
fn the_draws_of_a_row_are_numbered() {
    let table =
        open(dataset(SHAPE, cohort), &SamplingConfig { balance: Balance::Joint, ..Default::default() }).unwrap();
    for epoch in 0..3 {
        let order = Arc::new(EpochOrder::new(Arc::clone(&table), 1, epoch, true, 2));
        let mut cursor = Cursor::new(Arc::clone(&order), 0);
        let mut copies: BTreeMap<(usize, usize, usize), Vec<u32>> = BTreeMap::new();
        for position in 0..order.rows() {
            let drawn = cursor.at(position).unwrap();
            let group = order.group(drawn.group);
            copies.entry((group.shard, group.row_group, drawn.row)).or_default().push(drawn.copy);
        }
        assert!(copies.values().any(|copies| copies.len() > 2), "a rare class is repeated");
        for copies in copies.values_mut() {
            copies.sort_unstable();
            assert!(copies.iter().copied().eq(0..copies.len() as u32), "{copies:?}");
        }
    }
}

#[test]
fn filters_leave_rows_out_and_weights_repeat_them() {
    let dataset = dataset(SHAPE, cohort);
    let filter = Filter {
        region_known: true,
        evidence: vec![Evidence::A, Evidence::B],
        manufacturers: vec!["a".into()],
        ..Filter::default()
    };
    let filtered = open(Arc::clone(&dataset), &SamplingConfig { filter, ..Default::default() }).unwrap();
    let expected: BTreeMap<usize, u64> = (5..30).filter(|n: &usize| n.is_multiple_of(4)).map(|n| (n, 1)).collect();
    assert_eq!(counts(&filtered, 1), expected);
    let sampling = SamplingConfig { weights: true, epoch_rows: Some(89), ..Default::default() };
    let weighted = counts(&open(Arc::clone(&dataset), &sampling).unwrap(), 10);
    // 30 even rows of weight 1, 29 odd ones of weight 2, one of weight 0: 88 in all.
    assert!(!weighted.contains_key(&59));
    assert!(
        weighted.iter().all(|(row, count)| count.abs_diff(if row % 2 == 0 { 10 } else { 20 }) <= 3),
        "{weighted:?}"
    );
    let nothing = Filter { models: vec!["none".into()], ..Filter::default() };
    let error = open(dataset, &SamplingConfig { filter: nothing, ..Default::default() }).unwrap_err();
    assert!(matches!(error, StreamError::NoRows { split: "train", .. }), "{error}");
    assert!(error.is_usage() && error.to_string().contains("`stream.sampling.filter`"), "{error}");
}

#[test]
fn weights_that_leave_nothing_or_are_none_are_named() {
    let sampling = SamplingConfig { weights: true, ..Default::default() };
    let with = |weight| open(dataset(SHAPE, move |n| RowLabels { weight, ..labels(n) }), &sampling).unwrap_err();
    let error = with(0.0);
    assert!(matches!(error, StreamError::NoRows { .. }) && error.to_string().contains("weight 0"), "{error}");
    for weight in [-1.0, f32::NAN, f32::INFINITY] {
        let error = with(weight);
        assert!(matches!(error, StreamError::Weight { .. }) && !error.is_usage(), "{error}");
        assert!(error.to_string().contains(&format!("weight {weight},")), "{error}");
    }
}

#[test]
fn a_source_without_rows_is_an_error_in_a_mixture_and_in_a_fixed_number_of_rows() {
    let dataset = dataset(SHAPE, cohort);
    // There is no validation split.
    let source = |split, weight| Source { dataset: Arc::clone(&dataset), split, weight };
    let mix = |weight| {
        let sources = vec![source(Split::Validation, weight), source(Split::Train, weight)];
        SampleTable::open(sources, &SamplingConfig::default())
    };
    let error = mix(Some(1.0)).unwrap_err();
    assert!(
        matches!(error, StreamError::NoRows { .. }) && error.to_string().contains("no row with a finding"),
        "{error}"
    );
    assert_eq!(mix(None).unwrap().epoch_rows(), 60, "each row once: it adds nothing");
    let fixed = SamplingConfig { epoch_rows: Some(5), ..SamplingConfig::default() };
    let error = SampleTable::open(vec![source(Split::Validation, None)], &fixed).unwrap_err();
    assert!(matches!(error, StreamError::NoRows { .. }), "{error}");
    assert_eq!(open(Arc::clone(&dataset), &fixed).unwrap().epoch_rows(), 5);
}

#[test]
fn copies_of_a_rare_row_lie_apart() {
    let rare = |n| RowLabels {
        metastasis: Some(if n == 17 { Metastasis::Metastatic } else { Metastasis::Benign }),
        ..labels(n)
    };
    let sampling = SamplingConfig { balance: Balance::Metastasis, ..Default::default() };
    let table = open(dataset(SHAPE, rare), &sampling).unwrap();
    for epoch in 0..5 {
        let order = Arc::new(EpochOrder::new(Arc::clone(&table), 1, epoch, true, 2));
        let mut cursor = Cursor::new(Arc::clone(&order), 0);
        let mut visits = BTreeMap::<usize, BTreeMap<usize, usize>>::new();
        for position in 0..order.rows() {
            let drawn = cursor.at(position).unwrap();
            *visits.entry(drawn.group).or_default().entry(drawn.row).or_default() += 1;
        }
        // Half of the 60 draws are of one row, in a group of four: it comes four times, with eight draws at most each time.
        assert_eq!(visits.len(), order.groups());
        let of_group: Vec<_> = visits
            .iter()
            .filter(|(place, _)| (order.group(**place).shard, order.group(**place).row_group) == (1, 0))
            .collect();
        assert_eq!(of_group.len(), 4);
        assert!(visits.values().all(|rows| rows.values().sum::<usize>() <= 8), "{visits:?}");
        assert_eq!(of_group.iter().map(|(_, rows)| rows.get(&2).copied().unwrap_or(0)).sum::<usize>(), 30);
    }
}

#[test]
fn a_rare_row_in_a_small_row_group_does_not_make_it_come_for_every_second_draw() {
    // Row groups of eight rows and of one; a row that is a group of its own gets half of the 72 draws.
    let shape = Shape { shards: 8, rows_per_shard: 9, rows_per_group: 8, near: [1, 2, 2] };
    let rare = |n| RowLabels {
        metastasis: Some(if n == 35 { Metastasis::Metastatic } else { Metastasis::Benign }),
        ..labels(n)
    };
    let sampling = SamplingConfig { balance: Balance::Metastasis, ..Default::default() };
    let table = open(dataset(shape, rare), &sampling).unwrap();
    let groups = table.row_groups().len();
    assert_eq!(groups, 16);
    for epoch in 0..5 {
        let order = EpochOrder::new(Arc::clone(&table), 1, epoch, true, 2);
        let own =
            (0..order.groups()).filter(|&place| (order.group(place).shard, order.group(place).row_group) == (3, 1));
        // A mean group has five rows.
        assert_eq!((own.count(), order.rows()), (4, 72));
        assert!(order.groups() < groups + groups / 2, "{}", order.groups());
    }
}

#[test]
fn a_budget_need_not_hold_more_row_groups_than_come() {
    // 12 row groups of 0.1 MiB each, also where many more could be in the window.
    let shape = Shape { shards: 4, rows_per_shard: 15, rows_per_group: 5, near: [10, 32, 32] };
    let dataset = dataset(shape, cohort);
    let filter = Filter { region_known: true, ..Filter::default() };
    let few = Filter { region_known: true, manufacturers: vec!["a".into()], ..Filter::default() };
    let filtered = |filter| SamplingConfig { filter, ..SamplingConfig::default() };
    let balanced = SamplingConfig { balance: Balance::Metastasis, ..SamplingConfig::default() };
    for (sampling, mib, rows) in
        [(SamplingConfig::default(), 2, 60), (filtered(filter), 2, 57), (filtered(few), 1, 25), (balanced, 3, 60)]
    {
        let table = open(Arc::clone(&dataset), &sampling).unwrap();
        let builder = BatchStream::over(table).batch_size(2).shuffle(1, 0).shuffle_row_groups(500);
        let needed = builder.clone().byte_budget_mib(0).check().unwrap_err();
        assert!(matches!(needed, StreamError::Budget { needed_mib, .. } if needed_mib <= mib), "{needed}");
        let StreamError::Budget { needed_mib, .. } = needed else { unreachable!() };
        let stream = builder.byte_budget_mib(needed_mib).start().unwrap();
        assert_eq!(stream.map(|batch| batch.unwrap().labels.len()).sum::<usize>(), rows);
    }
}

#[test]
fn datasets_are_mixed_by_their_weights() {
    let small =
        dataset(Shape { shards: 1, ..SHAPE }, |n| RowLabels { sample_key: format!("s{}", 1000 + n), ..labels(n) });
    let source = |dataset: &Arc<Dataset>, weight| Source { dataset: Arc::clone(dataset), split: Split::Train, weight };
    let large = dataset(SHAPE, cohort);
    let mixed = |weights: [Option<f64>; 2]| {
        let sources = vec![source(&large, weights[0]), source(&small, weights[1])];
        SampleTable::open(sources, &SamplingConfig::default()).map(Arc::new)
    };
    let plain = mixed([None, None]).unwrap();
    assert_eq!((plain.epoch_rows(), share(&counts(&plain, 1), |row| row >= 1000)), (75, 0.2));
    let even = mixed([Some(3.0), Some(3.0)]).unwrap();
    assert_eq!(even.epoch_rows(), 75);
    assert!((share(&counts(&even, 4), |row| row >= 1000) - 0.5).abs() < 0.01);
    assert_ne!(plain.digest(), even.digest());
    assert!(matches!(mixed([Some(1.0), None]), Err(StreamError::Config { .. })));
    assert!(matches!(mixed([Some(1.0), Some(f64::NAN)]), Err(StreamError::Config { .. })));
    let other = dataset(Shape { near: [1, 2, 3], ..SHAPE }, cohort);
    let error = SampleTable::open(vec![source(&large, None), source(&other, None)], &SamplingConfig::default());
    assert!(matches!(error, Err(StreamError::Unlike { what: "views", .. })), "{error:?}");
    assert!(SampleTable::open(Vec::new(), &SamplingConfig::default()).is_err());
}

#[test]
fn datasets_are_balanced_together_or_each_within_its_part() {
    // 20 benign rows; 40 metastatic ones of half the patients and of others.
    let status = |status, first: usize| {
        move |n| RowLabels {
            metastasis: Some(status),
            sample_key: format!("s{}", first + n),
            patient_key: PatientKey::from_stored(format!("p{}", (first + n) / 5 % 10)),
            weight: if first == 0 { 1.0 } else { 3.0 },
            ..labels(n)
        }
    };
    let shape = |shards| Shape { shards, rows_per_shard: 10, rows_per_group: 4, near: [1, 2, 2] };
    let benign = dataset(shape(2), status(Metastasis::Benign, 0));
    let metastatic = dataset(shape(4), status(Metastasis::Metastatic, 1000));
    let shares_of = |sampling: SamplingConfig, weights: [Option<f64>; 2], is_member: &dyn Fn(usize) -> bool| {
        let source =
            |dataset: &Arc<Dataset>, weight| Source { dataset: Arc::clone(dataset), split: Split::Train, weight };
        let sources = vec![source(&benign, weights[0]), source(&metastatic, weights[1])];
        share(&counts(&SampleTable::open(sources, &sampling).map(Arc::new).unwrap(), 10), is_member)
    };
    let balanced = |balance| SamplingConfig { balance, ..SamplingConfig::default() };
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.01, "{found} for {expected}");
    let is_metastatic = |row: usize| row >= 1000;
    near(shares_of(balanced(Balance::Metastasis), [None; 2], &is_metastatic), 0.5);
    near(shares_of(balanced(Balance::Metastasis), [Some(1.0), Some(2.0)], &is_metastatic), 2.0 / 3.0);
    // Patients 0 to 3 have five rows in the small dataset and five in the large one, the other four only those there.
    near(shares_of(balanced(Balance::Patient), [None; 2], &|row| row % 1000 < 20), 0.5);
    near(shares_of(balanced(Balance::Patient), [None; 2], &|row| row < 20), 0.25);
    // Weights 1 of 20 rows and 3 of 40.
    let weights = || SamplingConfig { weights: true, ..SamplingConfig::default() };
    near(shares_of(weights(), [None; 2], &is_metastatic), 120.0 / 140.0);
    near(shares_of(weights(), [Some(1.0); 2], &is_metastatic), 0.5);
}

#[test]
fn a_digest_stands_for_data_and_sampling() {
    let table =
        |balance| open(dataset(SHAPE, cohort), &SamplingConfig { balance, ..Default::default() }).unwrap().digest();
    let digests: BTreeSet<_> =
        [Balance::Rows, Balance::Region, Balance::Metastasis, Balance::Joint, Balance::Patient].map(table).into();
    assert_eq!(digests.len(), 5);
    assert_eq!(table(Balance::Rows), SampleTable::every_row(dataset(SHAPE, cohort), Split::Train).unwrap().digest());
    assert_ne!(table(Balance::Rows), open(dataset(SHAPE, labels), &SamplingConfig::default()).unwrap().digest());
}

#[test]
fn an_index_that_does_not_list_every_row_once_is_an_error() {
    let sampling = SamplingConfig { weights: true, ..Default::default() };
    let opened = |change: &dyn Fn(&mut Vec<IndexRow<'_>>)| {
        let storage = Arc::new(Memory::default());
        publish_with_index(storage.as_ref(), SHAPE, cohort, change);
        open(Arc::new(Dataset::open_in(storage).unwrap()), &sampling)
    };
    assert_eq!(opened(&|rows| rows.reverse()).unwrap().epoch_rows(), 59, "in any order; one row has weight 0");
    let refused = |change: &dyn Fn(&mut Vec<IndexRow<'_>>)| match opened(change) {
        Err(error @ StreamError::Index { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    // Row 20 is row 1 of row group 1 of the second shard.
    assert!(refused(&|rows| _ = rows.remove(20)).contains("1 rows are missing"));
    assert!(refused(&|rows| rows[20].row = 0).contains("shard 1, row group 1"), "listed twice");
    assert!(refused(&|rows| rows[20].row = 4).contains("shard 1, row group 1"), "behind the last");
    assert!(refused(&|rows| rows[20].row_group = 9).contains("1 rows are missing"), "of no row group");
    let elsewhere = opened(&|rows| rows[20].shard = "shards/train/none").unwrap_err().to_string();
    assert!(elsewhere.contains("shards/train/none"), "{elsewhere}");
}

#[test]
fn an_index_that_is_not_the_one_of_the_manifest_is_an_error() {
    let storage = Arc::new(Memory::default());
    publish(storage.as_ref(), SHAPE, cohort);
    // The index of a larger dataset under the name that the manifest gives.
    let larger = Memory::default();
    publish(&larger, Shape { rows_per_shard: 16, ..SHAPE }, cohort);
    let dataset = Dataset::open_in(Arc::clone(&storage) as Arc<dyn Storage>).unwrap();
    let name = &dataset.manifest().file("index.parquet").unwrap().path;
    let strange = larger.list("meta/").unwrap().into_iter().find(|name| name.contains("index")).unwrap();
    storage.put(name, &larger.get(&strange).unwrap()).unwrap();
    let sampling = SamplingConfig { weights: true, ..Default::default() };
    let error = open(Arc::new(dataset), &sampling).unwrap_err();
    assert!(matches!(error, StreamError::Shard(_)) && error.to_string().contains("digest"), "{error}");
    assert!(open(support::paper(&[3, 4], 2), &sampling).is_err(), "no index at all");
}
