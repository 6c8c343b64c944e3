//! Datasets for the tests of this crate and for its examples.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::sync::Arc;

use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::{RegionScheme, Zone};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::{Memory, Storage};
use mtids_shards::{
    AuditFacts, Channel, Dataset, DatasetDescription, IndexRow, LAYOUT_VERSION, Manifest, Measures, PatchGeometry,
    PatchRow, RowGroupEntry, RowKind, RowLabels, SCHEMA_VERSION, ShardEntry, ShardOptions, ShardWriter, Split, Totals,
    View, ViewName, write_index,
};

/// Size of a dataset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) shards: usize,
    pub(crate) rows_per_shard: usize,
    pub(crate) rows_per_group: usize,
    /// Size of the view `near`.
    pub(crate) near: [usize; 3],
}

impl Shape {
    pub(crate) fn rows(&self) -> usize {
        self.shards * self.rows_per_shard
    }
}

/// Voxels of the view `wide`.
pub(crate) const WIDE: usize = 2 * 3 * 8 * 8;

pub(crate) fn views(near: [usize; 3]) -> Vec<View> {
    let view = |name: &str, size, channels| {
        let geometry = PatchGeometry { size, ..PatchGeometry::default() };
        View { name: ViewName::try_from(name.to_owned()).unwrap(), geometry, channels }
    };
    vec![view("near", near, vec![Channel::Ct]), view("wide", [3, 8, 8], vec![Channel::Ct, Channel::Pet])]
}

pub(crate) fn description(near: [usize; 3]) -> DatasetDescription {
    DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: "t".into(),
        regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
        views: views(near),
        config_digest: Digest::of_bytes(b""),
        program: Program::new("test", "0"),
    }
}

/// Row `n`: three of a patient, every second with a status.
pub(crate) fn labels(n: usize) -> RowLabels {
    RowLabels {
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
        audit: AuditFacts::default(),
        voxels_digest: String::new(),
        grown: Measures::default(),
        mask: None,
    }
}

/// Number of a row by its key.
pub(crate) fn number(row: &RowLabels) -> usize {
    row.sample_key.trim_start_matches('s').parse().unwrap()
}

/// Publishes a dataset with an index; voxels of row `n` are `n` and `-n`.
pub(crate) fn publish(storage: &dyn Storage, shape: Shape, labels: impl Fn(usize) -> RowLabels) {
    let near: usize = shape.near.iter().product();
    publish_voxels(storage, shape, labels, |n| vec![vec![n as i16; near], vec![-(n as i16); WIDE]]);
}

/// As [`publish`], with an index that was changed, in a dataset whose manifest knows no other.
pub(crate) fn publish_with_index(
    storage: &dyn Storage,
    shape: Shape,
    labels: impl Fn(usize) -> RowLabels,
    change: impl Fn(&mut Vec<IndexRow<'_>>),
) {
    let near: usize = shape.near.iter().product();
    publish_all(storage, shape, labels, |n| vec![vec![n as i16; near], vec![-(n as i16); WIDE]], change);
}

/// As [`publish`], with voxels of both views.
pub(crate) fn publish_voxels(
    storage: &dyn Storage,
    shape: Shape,
    labels: impl Fn(usize) -> RowLabels,
    voxels: impl Fn(usize) -> Vec<Vec<i16>>,
) {
    publish_all(storage, shape, labels, voxels, |_| ());
}

fn publish_all(
    storage: &dyn Storage,
    shape: Shape,
    labels: impl Fn(usize) -> RowLabels,
    voxels: impl Fn(usize) -> Vec<Vec<i16>>,
    change: impl Fn(&mut Vec<IndexRow<'_>>),
) {
    let description = description(shape.near);
    let near: usize = shape.near.iter().product();
    let row_group_bytes = shape.rows_per_group * 2 * (near + WIDE);
    let options = ShardOptions { row_group_bytes, zstd_level: 1 };
    let written: Vec<(ShardEntry, Vec<PatchRow>)> = (0..shape.shards)
        .map(|shard| {
            let numbers = shard * shape.rows_per_shard..(shard + 1) * shape.rows_per_shard;
            let rows: Vec<PatchRow> = numbers.map(|n| PatchRow::new(labels(n), voxels(n))).collect();
            let writer = ShardWriter::new(storage, &description).with_options(options);
            (writer.write(&format!("shards/train/{shard:03}"), Split::Train, &rows).unwrap().0, rows)
        })
        .collect();
    let mut index = Vec::new();
    for (entry, rows) in &written {
        index.extend(rows.iter().enumerate().map(|(n, row)| IndexRow {
            labels: &row.labels,
            shard: &entry.path,
            row_group: (n / shape.rows_per_group) as i64,
            row: (n % shape.rows_per_group) as i64,
        }));
    }
    change(&mut index);
    let files = vec![write_index(storage, &index, &description).unwrap()];
    let shards = written.iter().map(|(entry, _)| entry.clone()).collect();
    commit(storage, description, shards, files);
}

fn commit(
    storage: &dyn Storage,
    description: DatasetDescription,
    shards: Vec<ShardEntry>,
    files: Vec<mtids_shards::FileEntry>,
) {
    let rows = shards.iter().map(|shard| shard.rows).sum();
    let totals = Totals { rows, ..Totals::default() };
    let (layout, pseudonym_fingerprint) = (LAYOUT_VERSION, String::new());
    Manifest { layout, description, pseudonym_fingerprint, totals, shards, files }.commit(storage).unwrap();
}

/// A dataset in memory.
pub(crate) fn dataset(shape: Shape, labels: impl Fn(usize) -> RowLabels) -> Arc<Dataset> {
    let storage = Arc::new(Memory::default());
    publish(storage.as_ref(), shape, labels);
    Arc::new(Dataset::open_in(storage).unwrap())
}

/// A manifest without shards behind it, of row groups with these rows, so many in a shard: for orders, which read no rows.
pub(crate) fn paper(rows: &[u64], groups_per_shard: usize) -> Arc<Dataset> {
    let digest = Digest::of_bytes(b"");
    let shards = rows.chunks(groups_per_shard).enumerate().map(|(n, groups)| {
        let entry = |&rows: &u64| RowGroupEntry { kind: RowKind::Finding, rows, offset: 0, length: 1, digest };
        ShardEntry {
            path: format!("shards/train/{n:06}.parquet"),
            split: Split::Train,
            rows: groups.iter().sum(),
            bytes: 0,
            digest,
            footer_digest: digest,
            row_groups: groups.iter().map(entry).collect(),
        }
    });
    let storage = Arc::new(Memory::default());
    commit(storage.as_ref(), description([1, 1, 1]), shards.collect(), Vec::new());
    Arc::new(Dataset::open_in(storage).unwrap())
}
