//! A sound dataset of 36 patients, and how rows become a published dataset whose shards are not there: an audit reads the index alone.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::RecordBatch;
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{FrameOfReferenceKey, InstanceKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::{RegionScheme, Station, TAXONOMY_VERSION, Zone};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Folder;
use mtids_shards::{
    AuditFacts, Channel, CorrectionRecord, Dataset, DatasetDescription, INDEX, IndexRow, LAYOUT_VERSION, Manifest,
    Measures, PatchGeometry, RowGroupEntry, RowKind, RowLabels, SCHEMA_VERSION, ShardEntry, Split, Totals, View,
    ViewName, write_corrections, write_file, write_index,
};
use parquet::arrow::ArrowWriter;

const SHARDS: [(&str, Split); 3] =
    [("shards/train/a", Split::Train), ("shards/validation/b", Split::Validation), ("shards/test/c", Split::Test)];

/// 36 patients, 4 rows each: two regions, both statuses, sizes that overlap, no row twice.
pub(crate) fn sound() -> Vec<RowLabels> {
    (0..144)
        .map(|n| {
            let (patient, node) = (n / 4, n % 4);
            let upper = node % 2 == 0;
            let metastatic = (patient + node / 2) % 2 == 1;
            RowLabels {
                sample_key: format!("sample{n}"),
                kind: RowKind::Finding,
                patient_key: PatientKey::from_stored(format!("patient{patient}")),
                study_key: StudyKey::from_stored(format!("study{patient}")),
                series_key: SeriesKey::from_stored(format!("series{patient}")),
                frame_of_reference_key: Some(FrameOfReferenceKey::from_stored(format!("frame{patient}"))),
                instance_key: Some(InstanceKey::from_stored(format!("instance{n}"))),
                split: SHARDS[usize::saturating_sub(patient % 6, 3)].1,
                center_voxel: [0.0; 3],
                center_mm: [10.0 * node as f64, 0.0, 0.0],
                region: Some(i8::from(!upper)),
                region_name: Some(if upper { "upper" } else { "subcarinal" }.to_owned()),
                station: Some(if upper { Station::S4R } else { Station::S7 }),
                metastasis: Some(if metastatic { Metastasis::Metastatic } else { Metastasis::Benign }),
                evidence: Evidence::A,
                level: LabelLevel::Node,
                label_source: "table".into(),
                short_axis_mm: Some(8.0 + (n % 7) as f32),
                finding_distance_mm: None,
                study_day: None,
                manufacturer: Some(format!("maker {}", (patient / 6) % 3)),
                model: None,
                kernel: None,
                slice_thickness_mm: Some(1.0),
                slice_step_mm: 1.0,
                pixel_spacing_mm: 0.7,
                repaired: None,
                kvp: Some(120.0),
                contrast: Some(true),
                pet: false,
                pad_fraction: 0.0,
                weight: 1.0,
                audit: AuditFacts::default(),
                grown: Measures::default(),
                mask: None,
                voxels_digest: format!("digest{n}"),
            }
        })
        .collect()
}

fn view(channels: &[Channel]) -> View {
    let geometry = PatchGeometry { size: [8, 8, 8], spacing_mm: [1.0; 3], ..PatchGeometry::default() };
    View { name: ViewName::try_from("near".to_owned()).unwrap(), geometry, channels: channels.to_vec() }
}

/// What a dataset has besides its rows.
pub(crate) struct Published {
    /// Channels of its only view.
    pub(crate) channels: Vec<Channel>,
    /// Corrections that it records.
    pub(crate) corrections: Vec<CorrectionRecord>,
    /// Which secret it was built with.
    pub(crate) fingerprint: String,
    /// Outcome of the input files; rows are counted.
    pub(crate) totals: Totals,
    /// Rows that the manifest counts, and the index has not.
    pub(crate) unlisted: u64,
    /// Patients that the totals count, and the index has not.
    pub(crate) unlisted_patients: u64,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            channels: vec![Channel::Ct],
            corrections: Vec::new(),
            fingerprint: String::new(),
            totals: Totals::default(),
            unlisted: 0,
            unlisted_patients: 0,
        }
    }
}

#[allow(dead_code, reason = "a test that changes more than rows calls `publish_as` alone")]
pub(crate) fn publish(folder: &Path, rows: &[RowLabels]) {
    publish_as(folder, rows, &Published::default());
}

pub(crate) fn publish_as(folder: &Path, rows: &[RowLabels], published: &Published) {
    let description = DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: TAXONOMY_VERSION.into(),
        regions: RegionScheme::of_zones(&[Zone::Upper, Zone::Subcarinal]).unwrap(),
        views: vec![view(&published.channels)],
        config_digest: Digest::of_bytes(b""),
        program: Program::new("test", "1"),
    };
    let storage = Folder::new(folder);
    let digest = Digest::of_bytes(b"");
    let mut index = Vec::new();
    let mut shards = Vec::new();
    for (path, split) in SHARDS {
        let here = rows.iter().filter(|row| row.split == split);
        let before = index.len();
        index.extend(here.map(|labels| IndexRow { labels, shard: path, row_group: 0, row: 0 }));
        let rows = (index.len() - before) as u64 + if shards.is_empty() { published.unlisted } else { 0 };
        if rows > 0 {
            let row_groups = vec![RowGroupEntry { kind: RowKind::Finding, rows, offset: 0, length: 0, digest }];
            shards.push(ShardEntry {
                path: path.into(),
                split,
                rows,
                bytes: 0,
                digest,
                footer_digest: digest,
                row_groups,
            });
        }
    }
    let mut files = vec![write_index(&storage, &index, &description).unwrap()];
    if !published.corrections.is_empty() {
        files.insert(0, write_corrections(&storage, &published.corrections).unwrap());
    }
    let patients: BTreeSet<&str> =
        rows.iter().map(|row| row.patient_key.as_str()).filter(|key| !key.trim().is_empty()).collect();
    let totals = Totals {
        rows: shards.iter().map(|shard| shard.rows).sum(),
        patients: patients.len() as u64 + published.unlisted_patients,
        negatives: rows.iter().filter(|row| row.kind == RowKind::Negative).count() as u64,
        ..published.totals.clone()
    };
    let pseudonym_fingerprint = published.fingerprint.clone();
    Manifest { layout: LAYOUT_VERSION, description, pseudonym_fingerprint, totals, shards, files }
        .commit(&storage)
        .unwrap();
}

/// Publishes the dataset again with a changed index, as another program may write it: no row of ours has such cells.
#[allow(dead_code, reason = "only tests of what our rows cannot hold need it")]
pub(crate) fn rewrite_index(folder: &Path, change: impl FnOnce(RecordBatch) -> RecordBatch) {
    let storage = Folder::new(folder);
    let batch = change(Dataset::open(folder).unwrap().index_batches().unwrap().remove(0));
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut manifest = Manifest::load(&storage).unwrap();
    let entry = write_file(&storage, INDEX, &bytes).unwrap();
    manifest.files.retain(|file| file.name != INDEX);
    manifest.files.push(entry);
    manifest.commit(&storage).unwrap();
}
