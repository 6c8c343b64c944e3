//! The stream over a small dataset on disk.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::path::Path;
use std::sync::Arc;

use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::{RegionScheme, Zone};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Folder;
use mtids_shards::{
    Channel, Dataset, DatasetDescription, LAYOUT_VERSION, Manifest, Measures, PatchGeometry, PatchRow, RowKind,
    RowLabels, SCHEMA_VERSION, ShardOptions, ShardWriter, Split, Totals, View, ViewName,
};
use mtids_stream::{Batch, BatchStream, StreamConfig, StreamError, batches_per_epoch};

/// Voxels of the views of a row.
const NEAR: usize = 4 * 32 * 32;
const WIDE: usize = 2 * 3 * 8 * 8;

fn views() -> Vec<View> {
    let view = |name: &str, size, channels| {
        let geometry = PatchGeometry { size, ..PatchGeometry::default() };
        View { name: ViewName::try_from(name.to_owned()).unwrap(), geometry, channels }
    };
    vec![view("near", [4, 32, 32], vec![Channel::Ct]), view("wide", [3, 8, 8], vec![Channel::Ct, Channel::Pet])]
}

fn row(n: usize) -> PatchRow {
    let labels = RowLabels {
        sample_key: format!("s{n}"),
        kind: RowKind::Finding,
        patient_key: PatientKey::from_stored(format!("p{}", n / 3)),
        study_key: StudyKey::from_stored("st"),
        series_key: SeriesKey::from_stored("se"),
        frame_of_reference_key: None,
        instance_key: None,
        split: Split::Train,
        center_voxel: [0.0; 3],
        center_mm: [0.0; 3],
        region: Some(0),
        region_name: Some("upper".into()),
        station: None,
        metastasis: n.is_multiple_of(2).then_some(Metastasis::Benign),
        evidence: Evidence::U,
        level: LabelLevel::Node,
        label_source: "table".into(),
        short_axis_mm: None,
        finding_distance_mm: None,
        study_day: None,
        manufacturer: None,
        model: None,
        kernel: None,
        slice_thickness_mm: None,
        slice_step_mm: 1.0,
        pixel_spacing_mm: 1.0,
        repaired: None,
        kvp: None,
        contrast: None,
        pet: false,
        pad_fraction: 0.0,
        weight: 1.0,
        voxels_digest: String::new(),
        grown: Measures::default(),
        mask: None,
    };
    PatchRow::new(labels, vec![vec![n as i16; NEAR], vec![-(n as i16); WIDE]])
}

fn dataset(folder: &Path) -> Arc<Dataset> {
    let description = DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: "t".into(),
        regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
        views: views(),
        config_digest: Digest::of_bytes(b""),
        program: Program::new("test", "0"),
    };
    let storage = Folder::new(folder);
    // Row groups of 5 rows.
    let options = ShardOptions { row_group_bytes: 5 * 2 * (NEAR + WIDE), zstd_level: 1 };
    let shards: Vec<_> = (0..4)
        .map(|shard| {
            let rows: Vec<_> = (0..13).map(|n| row(shard * 13 + n)).collect();
            let writer = ShardWriter::new(&storage, &description).with_options(options);
            writer.write(&format!("shards/train/{shard}"), Split::Train, &rows).unwrap().0
        })
        .collect();
    let manifest = Manifest {
        layout: LAYOUT_VERSION,
        description,
        pseudonym_fingerprint: String::new(),
        totals: Totals { rows: 52, ..Default::default() },
        shards,
        files: Vec::new(),
    };
    manifest.commit(&storage).unwrap();
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
fn a_budget_below_one_row_group_still_flows() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    let config = StreamConfig { byte_budget_mib: 0, shuffle_row_groups: 6, ..Default::default() };
    assert_eq!(run(&dataset, &config, 0, 0).iter().map(|batch| batch.labels.len()).sum::<usize>(), 52);
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

#[test]
fn a_dropped_stream_ends_its_threads() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path());
    for taken in 0..3 {
        let builder = BatchStream::builder(Arc::clone(&dataset), Split::Train).batch_size(2);
        let mut stream = builder.shuffle(1, 0).start().unwrap();
        for _ in 0..taken {
            stream.next().unwrap().unwrap();
        }
        // Joins the threads; the test hangs if one does not end.
        drop(stream);
    }
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
