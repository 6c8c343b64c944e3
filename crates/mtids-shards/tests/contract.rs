//! The contract on disk: what is written comes back, the same rows give the same bytes, and no flipped bit passes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::person::{AgeBand, Sex};
use mtids_domain::pseudonym::{FoldedPatientKey, FrameOfReferenceKey, InstanceKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::{RegionScheme, Station, Zone};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::{Folder, Memory, Storage};
use mtids_shards::{
    AuditFacts, Channel, CorrectionRecord, DamageKind, Dataset, DatasetDescription, FileEntry, IndexRow,
    LAYOUT_VERSION, Manifest, Measure, Measures, PatchGeometry, PatchRow, Planes, QuarantineRecord, RowKind, RowLabels,
    ShardEntry, ShardError, ShardOptions, ShardWriter, Split, Totals, View, ViewName, read_corrections, read_row_group,
    read_row_group_into, stale_copies, verify, write_corrections, write_index, write_quarantine,
};
use proptest::prelude::*;

/// Two views of different shape and channels.
fn views() -> Vec<View> {
    let view = |name: &str, size, spacing_mm, planes, channels| {
        let geometry = PatchGeometry { size, spacing_mm, planes, ..PatchGeometry::default() };
        View { name: ViewName::try_from(name.to_owned()).unwrap(), geometry, channels }
    };
    vec![
        view("near", [2, 3, 4], [2.0, 1.0, 1.0], Planes::Volume, vec![Channel::Ct]),
        view("wide", [3, 2, 2], [5.0, 2.5, 2.5], Planes::Stack, vec![Channel::Ct, Channel::Pet]),
    ]
}

/// Voxels of a row.
const ROW: usize = 24 + 24;

fn description() -> DatasetDescription {
    DatasetDescription {
        schema_version: mtids_shards::SCHEMA_VERSION.into(),
        taxonomy_version: mtids_domain::taxonomy::TAXONOMY_VERSION.into(),
        regions: RegionScheme::of_zones(&[Zone::Upper, Zone::Subcarinal]).unwrap(),
        views: views(),
        config_digest: Digest::of_bytes(b"configuration"),
        program: Program::new("test", "1"),
    }
}

/// A row whose every column depends on `n`; each third row leaves all nullable columns null.
fn row(n: usize, split: Split) -> PatchRow {
    let known = n % 3 != 2;
    let text = |name: &str| known.then(|| format!("{name} é \u{2028} {n}"));
    let labels = RowLabels {
        sample_key: format!("sample-{n:04}"),
        kind: RowKind::Finding,
        patient_key: PatientKey::from_stored(format!("p{}", n / 2)),
        study_key: StudyKey::from_stored(format!("t{n}")),
        series_key: SeriesKey::from_stored(format!("s{n}")),
        frame_of_reference_key: known.then(|| FrameOfReferenceKey::from_stored(format!("f{n}"))),
        instance_key: known.then(|| InstanceKey::from_stored(format!("i{n}"))),
        split,
        center_voxel: [n as f64 + 0.1, 1e-300, -7.25],
        center_mm: [-0.0, f64::MAX, n as f64 / 3.0],
        region: known.then_some((n % 2) as i8),
        region_name: known.then(|| ["upper", "subcarinal"][n % 2].to_owned()),
        station: known.then_some(Station::ALL[n % Station::ALL.len()]),
        metastasis: known.then_some(if n.is_multiple_of(2) { Metastasis::Benign } else { Metastasis::Metastatic }),
        evidence: if known { Evidence::A } else { Evidence::U },
        level: LabelLevel::Station,
        label_source: "table".into(),
        short_axis_mm: known.then_some(n as f32 + 0.3),
        finding_distance_mm: known.then_some(n as f32 + 20.5),
        study_day: known.then_some(n as i32 * 100),
        manufacturer: text("maker"),
        model: text("model"),
        kernel: text("kernel"),
        slice_thickness_mm: known.then_some(1.25),
        slice_step_mm: 1.0,
        pixel_spacing_mm: 0.7,
        repaired: known.then_some(mtids_domain::repair::Repair::Tilt),
        kvp: known.then_some(120.0),
        contrast: known.then_some(n.is_multiple_of(2)),
        pet: false,
        pad_fraction: 0.125,
        weight: 0.5,
        audit: AuditFacts {
            site: text("site"),
            sex: known.then_some([Sex::F, Sex::M, Sex::O][n % 3]),
            age_band: AgeBand::of_years(10 * n as u32 + 5).filter(|_| known),
            folded_patient_key: known.then(|| FoldedPatientKey::from_stored(format!("d{n}"))),
            midline_offset_mm: known.then_some(n as f32 - 20.25),
            near_hash: known.then(|| format!("{n:064x}").parse().unwrap()),
        },
        voxels_digest: String::new(),
        grown: measures(n),
        // Also a mask that nothing could be measured of.
        mask: known.then(|| if n.is_multiple_of(2) { measures(n + 7) } else { Measures::default() }),
    };
    let voxels = |view: &View| (0..view.voxels()).map(|v| (v * 977 + n * 31) as i16).collect();
    PatchRow::new(labels, views().iter().map(voxels).collect())
}

/// Measures that depend on `n`, every third of them not taken.
fn measures(n: usize) -> Measures {
    let mut measures = Measures::default();
    for (m, &measure) in Measure::ALL.iter().enumerate() {
        measures.set(measure, (m % 3 != n % 3).then_some((n * 100 + m) as f32 / 7.0));
    }
    measures
}

fn rows(count: usize, split: Split) -> Vec<PatchRow> {
    (0..count).map(|n| row(n, split)).collect()
}

/// Two rows a row group.
fn options() -> ShardOptions {
    ShardOptions { row_group_bytes: 2 * 2 * ROW, zstd_level: 3 }
}

fn write(out: &dyn Storage, stem: &str, split: Split, rows: &[PatchRow]) -> Result<ShardEntry, ShardError> {
    Ok(ShardWriter::new(out, &description()).with_options(options()).write(stem, split, rows)?.0)
}

/// A dataset of two shards with 5 and 3 rows.
fn publish(out: &Path) -> Manifest {
    publish_in(&Folder::new(out))
}

fn publish_in(out: &dyn Storage) -> Manifest {
    let parts = [("shards/train/a", Split::Train, 5), ("shards/test/b", Split::Test, 3)];
    let written = parts.map(|(stem, split, count)| {
        let rows = rows(count, split);
        (write(out, stem, split, &rows).unwrap(), rows)
    });
    let mut index = Vec::new();
    for (entry, rows) in &written {
        index.extend(rows.iter().enumerate().map(|(n, row)| IndexRow {
            labels: &row.labels,
            shard: &entry.path,
            row_group: (n / 2) as i64,
            row: (n % 2) as i64,
        }));
    }
    let files = vec![
        write_index(out, &index, &description()).unwrap(),
        write_quarantine(out, &[record("truncated", "f2"), record("not-dicom", "f1")]).unwrap(),
    ];
    let totals = Totals { inputs: 2, used: 2, rows: 8, patients: 3, ..Default::default() };
    let shards = written.iter().map(|(entry, _)| entry.clone()).collect();
    let manifest = manifest(totals, shards, files);
    manifest.commit(out).unwrap();
    manifest
}

fn manifest(totals: Totals, shards: Vec<ShardEntry>, files: Vec<FileEntry>) -> Manifest {
    let pseudonym_fingerprint = "none".into();
    Manifest { layout: LAYOUT_VERSION, description: description(), pseudonym_fingerprint, totals, shards, files }
}

fn record(reason: &str, key: &str) -> QuarantineRecord {
    QuarantineRecord { reason: reason.into(), file_key: key.into(), series_key: None, patient_key: None }
}

#[test]
fn rows_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let published = publish(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(*dataset.manifest(), published);
    assert_eq!(dataset.manifest().digest(), published.digest());
    assert_eq!(dataset.shards(Split::Test).collect::<Vec<_>>(), [1]);
    let expected = rows(5, Split::Train);
    let mut at = 0;
    for group in 0..3 {
        let read = read_row_group(&dataset, 0, group).unwrap();
        assert_eq!(read.views.iter().map(|view| view.row_len).collect::<Vec<_>>(), [24, 24]);
        for (row, labels) in read.labels.iter().enumerate() {
            assert_eq!(*labels, expected[at].labels);
            let voxels: Vec<Vec<i16>> = read.views.iter().map(|view| view.row(row).to_vec()).collect();
            assert_eq!(voxels, expected[at].views);
            at += 1;
        }
    }
    assert_eq!(at, 5);
    let labels: Vec<RowLabels> = dataset.index().unwrap();
    assert_eq!(labels.len(), 8);
    assert_eq!(labels[2], expected[2].labels, "all nullable columns null");
    let quarantine = fs::read_to_string(folder.path().join("quarantine.jsonl")).unwrap();
    assert!(quarantine.starts_with("{\"reason\":\"not-dicom\""), "sorted: {quarantine}");
    assert_eq!(verify(&dataset, &|| ()), []);
}

#[test]
fn a_dataset_may_lie_in_any_storage() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(Memory::default());
    assert_eq!(publish_in(memory.as_ref()), publish(folder.path()));
    let (one, two) = (Dataset::open_in(memory.clone()).unwrap(), Dataset::open(folder.path()).unwrap());
    assert_eq!(one.index().unwrap(), two.index().unwrap());
    assert_eq!(read_row_group(&one, 0, 2).unwrap(), read_row_group(&two, 0, 2).unwrap());
    assert_eq!(verify(&one, &|| ()), []);
    for name in memory.list("").unwrap() {
        assert_eq!(memory.get(&name).unwrap(), fs::read(folder.path().join(&name)).unwrap(), "{name}");
    }
    memory.remove(&one.manifest().shards[1].path).unwrap();
    assert_eq!(verify(&one, &|| ()).len(), 1);
}

#[test]
fn a_row_group_holds_rows_of_one_kind() {
    let mut mixed = rows(5, Split::Train);
    for negative in &mut mixed[3..] {
        negative.labels.kind = RowKind::Negative;
    }
    let entry = write(&Memory::default(), "a", Split::Train, &mixed).unwrap();
    let groups: Vec<_> = entry.row_groups.iter().map(|group| (group.kind, group.rows)).collect();
    assert_eq!(groups, [(RowKind::Finding, 2), (RowKind::Finding, 1), (RowKind::Negative, 2)]);
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let published = publish(one.path());
    assert_eq!(published, publish(two.path()));
    for file in published.paths().chain(["index.parquet", "quarantine.jsonl", "manifest.json"]) {
        assert_eq!(fs::read(one.path().join(file)).unwrap(), fs::read(two.path().join(file)).unwrap(), "{file}");
    }
}

#[test]
fn an_edited_index_is_refused_and_an_edited_copy_misleads_no_program() {
    let folder = tempfile::tempdir().unwrap();
    let published = publish(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    let index = dataset.index().unwrap();

    // A copy for people.
    fs::write(folder.path().join("index.parquet"), b"edited").unwrap();
    assert_eq!(dataset.index().unwrap(), index);
    assert_eq!((verify(&dataset, &|| ()), stale_copies(&dataset)), (vec![], vec!["index.parquet"]));

    // The file that programs read: valid Parquet with other labels is refused, and the message says what to do.
    let other = tempfile::tempdir().unwrap();
    let mut labels = index.clone();
    labels.iter_mut().for_each(|row| row.metastasis = Some(Metastasis::Benign));
    let rows: Vec<IndexRow<'_>> =
        labels.iter().map(|labels| IndexRow { labels, shard: "shards/a", row_group: 0, row: 0 }).collect();
    let edited = write_index(&Folder::new(other.path()), &rows, &description()).unwrap();
    let path = &published.file("index.parquet").unwrap().path;
    fs::copy(other.path().join(edited.path), folder.path().join(path)).unwrap();
    let error = dataset.index().unwrap_err().to_string();
    assert!(error.contains(path) && error.contains("mtids-prep build"), "{error}");
    assert_eq!(verify(&dataset, &|| ())[0].path, *path);

    // Published again, both are as they were.
    publish(folder.path());
    assert_eq!(dataset.index().unwrap(), index);
    assert_eq!(stale_copies(&dataset), [] as [&str; 0]);
}

#[test]
fn a_dataset_without_corrections_keeps_no_copy_of_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Folder::new(folder.path());
    let mut manifest = publish(folder.path());
    let record = CorrectionRecord {
        sample_key: "key".into(),
        dimension: "station".into(),
        old: "4R".into(),
        new: "4L".into(),
        by: "someone".into(),
    };
    let without = manifest.files.clone();
    manifest.files.insert(0, write_corrections(&storage, std::slice::from_ref(&record)).unwrap());
    manifest.commit(&storage).unwrap();
    let copy = folder.path().join("corrections.jsonl");
    assert!(fs::read_to_string(&copy).unwrap().contains("4L"));
    assert_eq!(read_corrections(&Dataset::open(folder.path()).unwrap()).unwrap(), [record]);

    manifest.files = without;
    manifest.commit(&storage).unwrap();
    assert!(!copy.exists());
    // A build that was killed before it removed the copy leaves it, and `verify` says so.
    fs::write(&copy, b"older").unwrap();
    assert_eq!(stale_copies(&Dataset::open(folder.path()).unwrap()), ["corrections.jsonl"]);
}

#[test]
fn an_open_dataset_stays_what_it_was_when_another_is_published_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let old = publish(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    // The same partition with one row less, and no other.
    let storage = Folder::new(folder.path());
    let kept = &rows(5, Split::Train)[..4];
    let shard = write(&storage, "shards/train/a", Split::Train, kept).unwrap();
    assert_ne!(shard.path, old.shards[0].path);
    let index: Vec<IndexRow<'_>> =
        kept.iter().map(|row| IndexRow { labels: &row.labels, shard: &shard.path, row_group: 0, row: 0 }).collect();
    let files = vec![write_index(&storage, &index, &description()).unwrap()];
    let totals = Totals { inputs: 2, used: 2, rows: 4, patients: 2, ..Default::default() };
    manifest(totals, vec![shard], files).commit(&storage).unwrap();

    assert_eq!(Dataset::open(folder.path()).unwrap().index().unwrap().len(), 4);
    assert_eq!(dataset.index().unwrap().len(), 8);
    assert_eq!(read_row_group(&dataset, 0, 2).unwrap().labels[0], rows(5, Split::Train)[4].labels);
    assert_eq!(verify(&dataset, &|| ()), []);
}

/// A storage that counts how often a part of a blob is read.
#[derive(Debug, Default)]
struct Counting {
    inner: Memory,
    ranges: std::sync::Mutex<std::collections::BTreeMap<(String, u64), usize>>,
}

impl Storage for Counting {
    fn put(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.inner.put(name, bytes)
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        *self.ranges.lock().unwrap().entry((name.to_owned(), offset)).or_default() += 1;
        self.inner.get_range(name, offset, length)
    }

    fn size(&self, name: &str) -> std::io::Result<u64> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str) -> std::io::Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.inner.remove(name)
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        self.inner.place(name)
    }
}

#[test]
fn the_footer_of_a_shard_is_read_once() {
    let storage = Arc::new(Counting::default());
    let published = publish_in(storage.as_ref());
    let dataset = Dataset::open_in(storage.clone()).unwrap();
    for group in [2, 0, 1, 0] {
        read_row_group(&dataset, 0, group).unwrap();
    }
    let shard = &published.shards[0];
    let last = shard.row_groups.last().unwrap();
    let ranges = storage.ranges.lock().unwrap();
    assert_eq!(ranges[&(shard.path.clone(), last.offset + last.length)], 1, "the footer");
    assert_eq!(ranges[&(shard.path.clone(), shard.row_groups[0].offset)], 2, "a row group, each time it is asked for");
}

#[test]
fn threads_that_ask_at_once_read_a_footer_once() {
    let storage = Arc::new(Counting::default());
    let published = publish_in(storage.as_ref());
    let dataset = Dataset::open_in(storage.clone()).unwrap();
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (dataset, start) = (&dataset, &start);
            scope.spawn(move || {
                start.wait();
                read_row_group(dataset, 0, n % 3).unwrap();
            });
        }
    });
    let shard = &published.shards[0];
    let last = shard.row_groups.last().unwrap();
    assert_eq!(storage.ranges.lock().unwrap()[&(shard.path.clone(), last.offset + last.length)], 1);
}

#[test]
fn buffers_are_overwritten_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    let fresh = read_row_group(&dataset, 0, 1).unwrap();
    let buffers: Vec<Vec<i16>> = fresh.views.iter().map(|_| vec![99; 1000]).collect();
    let places: Vec<*const i16> = buffers.iter().map(|buffer| buffer.as_ptr()).collect();
    let again = read_row_group_into(&dataset, 0, 1, buffers).unwrap();
    assert_eq!(again, fresh);
    assert_eq!(again.views.iter().map(|view| view.voxels.as_ptr()).collect::<Vec<_>>(), places);
    // Too few buffers, and too many, are no fault.
    assert_eq!(read_row_group_into(&dataset, 0, 1, vec![Vec::new()]).unwrap(), fresh);
    assert_eq!(read_row_group_into(&dataset, 0, 1, vec![Vec::new(); 5]).unwrap(), fresh);
}

#[test]
fn an_index_is_scanned_by_columns() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path());
    let dataset = Dataset::open(folder.path()).unwrap();
    let whole = dataset.index().unwrap();
    let mut seen = Vec::new();
    dataset.scan_index(&["patient_key", "region"], |place, row| seen.push((place, row.clone()))).unwrap();
    assert_eq!(seen.len(), whole.len());
    for ((_, some), all) in seen.iter().zip(&whole) {
        assert_eq!((&some.patient_key, some.region), (&all.patient_key, all.region));
        assert_eq!((some.sample_key.as_str(), some.slice_step_mm), ("", 0.0), "not decoded");
    }
    let places: Vec<_> = seen.iter().map(|(at, _)| (at.shard, at.row_group, at.row)).collect();
    assert_eq!(places[..5], [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 2, 0)]);
    assert_eq!(places[5..], [(1, 0, 0), (1, 0, 1), (1, 1, 0)]);
    let error = dataset.scan_index(&["colour"], |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("`colour`") && error.contains("index"), "{error}");
}

#[test]
fn every_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let name = &publish(folder.path()).shards[0].path;
    let path = folder.path().join(name);
    let whole = fs::read(&path).unwrap();
    let groups = Dataset::open(folder.path()).unwrap().manifest().shards[0].row_groups.clone();
    // Ten thousand different bits, spread over the file: head, row groups and footer among them.
    let bits = 8 * whole.len();
    let flips = 10_000.min(bits);
    for turn in 0..flips {
        let bit = turn * bits / flips;
        let at = bit / 8;
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        // Opened anew: an open dataset has read the footer before.
        let dataset = Dataset::open(folder.path()).unwrap();
        let found = verify(&dataset, &|| ());
        assert!(found.len() == 1 && found[0].path == *name, "bit of byte {at}: {found:?}");
        let holds =
            |group: &mtids_shards::RowGroupEntry| (group.offset..group.offset + group.length).contains(&(at as u64));
        assert_eq!(found[0].row_group, groups.iter().position(holds), "bit of byte {at}");
        // The reader: whoever reads the damaged group, or the footer, gets an error; the others get their rows.
        for (number, group) in groups.iter().enumerate() {
            let inside = (group.offset..group.offset + group.length).contains(&(at as u64));
            let footer = at as u64 >= groups.iter().map(|group| group.offset + group.length).max().unwrap();
            match read_row_group(&dataset, 0, number) {
                Ok(read) => {
                    assert!(!inside && !footer, "byte {at} of row group {number} was read");
                    assert_eq!(read.views[0].row(0), row(2 * number, Split::Train).views[0]);
                }
                Err(ShardError::Damaged { shard, row_group, kind, .. }) => {
                    assert_eq!((shard.as_str(), row_group), (name.as_str(), number));
                    assert_eq!(kind, if footer { DamageKind::Footer } else { DamageKind::Digest });
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn cut_lengthened_swapped_and_missing_shards_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let published = publish(folder.path());
    let [a, b] = [0, 1].map(|shard| folder.path().join(&published.shards[shard].path));
    let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    let found = || {
        let dataset = Dataset::open(folder.path()).unwrap();
        assert!(!verify(&dataset, &|| ()).is_empty());
        read_row_group(&dataset, 0, 0).unwrap_err().to_string()
    };
    for cut in 0..1000 {
        let length = cut * bytes_a.len() / 1000;
        fs::write(&a, &bytes_a[..length]).unwrap();
        assert!(found().contains("bytes where the manifest says"));
    }
    fs::write(&a, [bytes_a.as_slice(), b"x"].concat()).unwrap();
    assert!(found().contains("bytes where the manifest says"));
    fs::write(&a, &bytes_b).unwrap();
    assert!(found().contains("shards/train/a-"));
    fs::remove_file(&a).unwrap();
    assert!(found().contains("shards/train/a-"));
}

#[test]
fn a_manifest_that_lies_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = publish(folder.path());
    let path = folder.path().join("manifest.json");
    let mut lies: Vec<Manifest> = vec![good.clone(), good.clone(), good.clone(), good.clone()];
    lies[0].shards[0].row_groups[0].length = u64::MAX;
    lies[1].shards[0].row_groups[2].offset = u64::MAX - 1;
    lies[2].shards[0].row_groups[0].rows = 1;
    lies[3].shards[0].row_groups[0].rows = u64::MAX;
    for lie in lies {
        fs::write(&path, serde_json::to_vec(&lie).unwrap()).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert!(read_row_group(&dataset, 0, 0).is_err());
        assert!(read_row_group(&dataset, 9, 0).is_err() && read_row_group(&dataset, 0, 9).is_err());
        let _ = verify(&dataset, &|| ());
    }
    let mut later = good;
    later.description.schema_version = "99".into();
    fs::write(&path, serde_json::to_vec(&later).unwrap()).unwrap();
    assert!(Dataset::open(folder.path()).unwrap_err().to_string().contains("version 99"));
    later.description.schema_version = mtids_shards::SCHEMA_VERSION.into();
    later.description.views.reverse();
    fs::write(&path, serde_json::to_vec(&later).unwrap()).unwrap();
    assert!(Dataset::open(folder.path()).unwrap_err().to_string().contains("not sorted"));
    later.description.views.clear();
    fs::write(&path, serde_json::to_vec(&later).unwrap()).unwrap();
    assert!(Dataset::open(folder.path()).unwrap_err().to_string().contains("no view"));
    fs::write(&path, b"{").unwrap();
    assert!(matches!(Dataset::open(folder.path()), Err(ShardError::Manifest { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(Dataset::open(folder.path()), Err(ShardError::NoManifest { .. })));
}

#[test]
fn rows_that_do_not_fit_are_refused_before_a_file_appears() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = rows(2, Split::Train);
    wrong[1].views[1].pop();
    let mut one_view = rows(2, Split::Train);
    one_view[0].views.pop();
    for (rows, split) in [(wrong, Split::Train), (one_view, Split::Train), (rows(2, Split::Train), Split::Test)] {
        let error = write(&Folder::new(folder.path()), "shards/a", split, &rows);
        assert!(matches!(error, Err(ShardError::Rows { .. })));
    }
    assert!(!folder.path().join("shards").exists());
}

#[test]
fn a_manifest_counts_what_its_shards_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = publish(folder.path());
    manifest.totals.rows = 9;
    assert!(manifest.commit(&Folder::new(folder.path())).unwrap_err().to_string().contains("the shards hold 8"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_number_of_rows_in_groups_of_any_size(count in 1_usize..40, per_group in 1_usize..12) {
        let folder = tempfile::tempdir().unwrap();
        let options = ShardOptions { row_group_bytes: per_group * 2 * ROW, ..options() };
        let storage = Folder::new(folder.path());
        let description = description();
        let written = rows(count, Split::Train);
        let writer = ShardWriter::new(&storage, &description).with_options(options);
        let entry = writer.write("a", Split::Train, &written).unwrap().0;
        prop_assert_eq!(entry.row_groups.len(), count.div_ceil(per_group));
        prop_assert_eq!(entry.row_groups.iter().map(|group| group.rows).sum::<u64>(), count as u64);
        let totals = Totals { rows: count as u64, ..Default::default() };
        let groups = entry.row_groups.len();
        manifest(totals, vec![entry], vec![]).commit(&storage).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        let read: Vec<RowLabels> =
            (0..groups).flat_map(|group| read_row_group(&dataset, 0, group).unwrap().labels).collect();
        prop_assert_eq!(read, written.into_iter().map(|row| row.labels).collect::<Vec<_>>());
    }
}
