//! A small dataset of two views, whose rows follow from their numbers.

use std::path::Path;

use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::{RegionScheme, Zone};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::random::rng_for;
use mtids_runtime::storage::Folder;
use mtids_shards::{
    AuditFacts, Channel, DatasetDescription, INDEX, IndexRow, LAYOUT_VERSION, Manifest, Measure, Measures,
    PatchGeometry, PatchRow, Planes, RowKind, RowLabels, SCHEMA_VERSION, ShardOptions, ShardWriter, Split, Totals,
    View, ViewName, write_index,
};
use rand::RngExt;

fn view(name: &str, size: [usize; 3], spacing_mm: [f64; 3]) -> View {
    let geometry = PatchGeometry { size, spacing_mm, planes: Planes::Volume, ..PatchGeometry::default() };
    View { name: ViewName::try_from(name.to_owned()).unwrap(), geometry, channels: vec![Channel::Ct] }
}

/// Row `n` of a split: two rows a patient, a benign and a metastatic one, in two regions.
fn row(split: Split, n: usize, views: &[View]) -> PatchRow {
    let mut grown = Measures::default();
    grown.set(Measure::ShortAxis, Some(5.0 + n as f32));
    grown.set(Measure::Shell3Hu, Some(30.0 + 10.0 * (n % 2) as f32));
    let labels = RowLabels {
        sample_key: format!("{}-{n}", split.name()),
        kind: RowKind::Finding,
        patient_key: PatientKey::from_stored(format!("{}-p{}", split.name(), n / 2)),
        study_key: StudyKey::from_stored("st"),
        series_key: SeriesKey::from_stored("se"),
        frame_of_reference_key: None,
        instance_key: None,
        split,
        center_voxel: [0.0; 3],
        center_mm: [0.0; 3],
        region: Some((n / 2 % 2) as i8),
        region_name: Some(if (n / 2).is_multiple_of(2) { "upper" } else { "subcarinal" }.into()),
        station: None,
        metastasis: Some(if n.is_multiple_of(2) { Metastasis::Benign } else { Metastasis::Metastatic }),
        evidence: Evidence::U,
        level: LabelLevel::Node,
        label_source: "table".into(),
        short_axis_mm: Some(6.0 + 3.0 * (n % 2) as f32).filter(|_| n % 4 < 2),
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
        grown,
        mask: None,
    };
    let mut random = rng_for(7, &labels.sample_key, &[]);
    let brighter = 60 * (n % 2) as i16;
    let voxels = |view: &View| (0..view.voxels()).map(|_| random.random_range(-100..100) + brighter).collect();
    let voxels = views.iter().map(voxels).collect();
    PatchRow::new(labels, voxels)
}

/// Writes 13 training, 12 validation and 12 test rows of the views `near` and `wide`. Another `version` makes another dataset of the same rows.
pub(crate) fn two_views(folder: &Path, version: &str) {
    two_views_in_groups(folder, version, 13);
}

/// As [`two_views`], with so many rows in a row group.
pub(crate) fn two_views_in_groups(folder: &Path, version: &str, rows_per_group: usize) {
    let views = vec![view("near", [6, 10, 10], [2.0, 1.0, 1.0]), view("wide", [6, 10, 10], [5.0, 2.5, 2.5])];
    let description = DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: version.into(),
        regions: RegionScheme::of_zones(&[Zone::Upper, Zone::Subcarinal]).unwrap(),
        views: views.clone(),
        config_digest: Digest::of_bytes(b""),
        program: Program::new("test", "0"),
    };
    let storage = Folder::new(folder);
    let splits = [(Split::Train, 13), (Split::Validation, 12), (Split::Test, 12)];
    let mut rows = Vec::new();
    let mut shards = Vec::new();
    for (split, count) in splits {
        let mut of_split: Vec<PatchRow> = (0..count).map(|n| row(split, n, &views)).collect();
        // Versions are of other patients.
        for row in &mut of_split {
            row.labels.study_key = StudyKey::from_stored(format!("study of {version}"));
        }
        let options =
            ShardOptions { row_group_bytes: 2 * rows_per_group * description.row_len(), ..ShardOptions::default() };
        let writer = ShardWriter::new(&storage, &description).with_options(options);
        shards.push(writer.write(&format!("shards/{}/0", split.name()), split, &of_split).unwrap().0);
        rows.push(of_split);
    }
    let index: Vec<IndexRow<'_>> = rows
        .iter()
        .zip(&shards)
        .flat_map(|(rows, shard)| {
            rows.iter().enumerate().map(|(n, row)| IndexRow {
                labels: &row.labels,
                shard: &shard.path,
                row_group: (n / rows_per_group) as i64,
                row: (n % rows_per_group) as i64,
            })
        })
        .collect();
    let files = vec![write_index(&storage, &index, &description).unwrap()];
    assert_eq!(files[0].name, INDEX);
    let manifest = Manifest {
        layout: LAYOUT_VERSION,
        description,
        pseudonym_fingerprint: "key".into(),
        totals: Totals { rows: index.len() as u64, patients: 19, ..Totals::default() },
        shards,
        files,
    };
    manifest.commit(&storage).unwrap();
}
