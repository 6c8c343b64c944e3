//! Each check finds what was broken for it, and a sound dataset has neither errors nor warnings.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use mtids_audit::audit::{Audit, audit};
use mtids_audit::config::AuditConfig;
use mtids_audit::issue::{IssueCode, Severity};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{SeriesKey, StudyKey};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Folder;
use mtids_shards::{Channel, Manifest, Measure, RowKind, RowLabels, Split};
use support::{Published, publish, publish_as, sound};

fn audited(rows: &[RowLabels]) -> Audit {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), rows);
    audit(folder.path(), &AuditConfig::default()).unwrap()
}

fn broken(change: impl FnOnce(&mut Vec<RowLabels>)) -> Audit {
    let mut rows = sound();
    change(&mut rows);
    audited(&rows)
}

#[track_caller]
fn expect(audit: &Audit, severity: Severity, code: IssueCode, count: u64) {
    let found = audit.issues.iter().find(|issue| issue.code == code);
    let found = found.unwrap_or_else(|| panic!("{code:?} was not found among {:?}", audit.issues));
    assert_eq!((found.severity, found.count), (severity, count), "{found:?}");
}

#[test]
fn a_sound_dataset_has_no_errors_and_no_warnings() {
    let audit = audited(&sound());
    let grave: Vec<_> = audit.issues.iter().filter(|issue| issue.severity != Severity::Info).collect();
    assert!(grave.is_empty(), "{grave:?}");
    assert_eq!(audit.counted_issues(), 0);
    let all = &audit.overall;
    assert_eq!((all.rows, all.patients, all.benign, all.metastatic, all.unknown), (144, 36, 72, 72, 0));
    assert_eq!(audit.by_region.iter().map(|group| group.name(0)).collect::<Vec<_>>(), ["upper", "subcarinal"]);
    assert_eq!(audit.by_split.iter().map(|group| group.name(0)).collect::<Vec<_>>(), ["train", "validation", "test"]);
    let rows: u64 = audit.by_region_and_split.iter().map(|group| group.count.rows).sum();
    assert_eq!(rows, 144);
    assert_eq!(audit.rows_per_patient, vec![4; 36]);
}

#[test]
fn what_is_of_one_person_under_two_patients_is_found() {
    // Rows 0 and 4 are of two patients.
    let audit = broken(|rows| rows[4].study_key = rows[0].study_key.clone());
    expect(&audit, Severity::Error, IssueCode::StudyOfTwoPatients, 1);
    assert_eq!(audit.issues[0].examples, ["patient0 and patient1"]);
    let audit = broken(|rows| rows[4].instance_key = rows[0].instance_key.clone());
    expect(&audit, Severity::Error, IssueCode::InstanceOfTwoPatients, 1);
    let audit = broken(|rows| rows[4].frame_of_reference_key = rows[0].frame_of_reference_key.clone());
    expect(&audit, Severity::Warning, IssueCode::FrameOfTwoPatients, 1);
    // What is not known is not shared.
    let unknown = broken(|rows| {
        rows.iter_mut().for_each(|row| (row.frame_of_reference_key, row.instance_key) = (None, None));
    });
    assert_eq!(unknown.counted_issues(), 0, "{:?}", unknown.issues);
    // A place without finding is a row of its patient too.
    let negative = broken(|rows| {
        rows[4].study_key = rows[0].study_key.clone();
        rows[4].kind = RowKind::Negative;
    });
    expect(&negative, Severity::Error, IssueCode::StudyOfTwoPatients, 1);
}

#[test]
fn leakage_is_an_error() {
    let audit = broken(|rows| rows[0].split = Split::Test);
    expect(&audit, Severity::Error, IssueCode::PatientInTwoSplits, 1);
    assert_eq!(audit.issues[0].examples, ["patient0"], "errors come first");
    assert!(audit.counted_issues() >= 1);
    let audit = broken(|rows| rows[1].sample_key = rows[0].sample_key.clone());
    expect(&audit, Severity::Error, IssueCode::DuplicateSample, 1);
    let audit = broken(|rows| rows[4].voxels_digest = rows[0].voxels_digest.clone());
    expect(&audit, Severity::Error, IssueCode::DuplicateVoxels, 1);
    let audit = broken(|rows| rows[1].voxels_digest = rows[0].voxels_digest.clone());
    expect(&audit, Severity::Warning, IssueCode::DuplicateVoxels, 1);
}

#[test]
fn one_place_with_two_labels_is_an_error_and_unknown_contradicts_nothing() {
    let near = |rows: &mut Vec<RowLabels>| rows[2].center_mm = [1.0, 1.0, 1.0];
    expect(&broken(near), Severity::Error, IssueCode::ConflictingLabels, 2);
    let unknown = broken(|rows| {
        near(rows);
        rows[2].metastasis = None;
    });
    assert!(unknown.issues.iter().all(|issue| issue.code != IssueCode::ConflictingLabels));
    let in_another_series = |change: fn(&mut RowLabels)| {
        broken(|rows| {
            near(rows);
            rows[2].series_key = SeriesKey::from_stored("another".to_owned());
            rows[..3].iter_mut().for_each(change);
        })
    };
    // Series of one frame of reference show one body in one position; without it, or in another study, they need not.
    expect(&in_another_series(|_| ()), Severity::Error, IssueCode::ConflictingLabels, 2);
    let elsewhere: [fn(&mut RowLabels); 2] = [
        |row| row.frame_of_reference_key = None,
        |row| row.study_key = StudyKey::from_stored(format!("study of {}", row.series_key.as_str())),
    ];
    for change in elsewhere {
        let found = in_another_series(change);
        assert!(found.issues.iter().all(|issue| issue.code != IssueCode::ConflictingLabels), "{:?}", found.issues);
    }
}

#[test]
fn a_node_of_two_series_of_a_frame_is_given_once_in_each() {
    let again = |is_in_one_series: bool| {
        broken(|rows| {
            let mut copy = rows[0].clone();
            (copy.sample_key, copy.voxels_digest, copy.instance_key) = ("copy".into(), "copy".into(), None);
            if !is_in_one_series {
                copy.series_key = SeriesKey::from_stored("another".to_owned());
            }
            rows.push(copy);
        })
    };
    expect(&again(true), Severity::Warning, IssueCode::DuplicateFinding, 2);
    let found = again(false);
    assert_eq!(found.counted_issues(), 0, "{:?}", found.issues);
}

/// Rows 0 and 2 (benign and metastatic, one series) as findings `apart_mm` from each other, cut 8 times each: the first sample
/// unshifted, the others up to 4 mm off along each axis.
fn neighbours(apart_mm: f64) -> Audit {
    broken(|rows| {
        let findings = [rows[0].clone(), rows[2].clone()];
        rows[0].center_mm = [0.0; 3];
        rows[2].center_mm = [apart_mm, 0.0, 0.0];
        for row in [0, 2] {
            rows[row].weight = 0.125;
        }
        for (finding, labels) in findings.into_iter().enumerate() {
            for sample in 1..8 {
                let shift = [4.0, 2.5, 1.5].map(|mm| mm * f64::sin((7 * finding + sample) as f64 * mm));
                let center_mm = [shift[0] + finding as f64 * apart_mm, shift[1], shift[2]];
                let key = format!("{}-{sample}", labels.sample_key);
                let (sample_key, voxels_digest) = (key.clone(), key);
                rows.push(RowLabels { sample_key, voxels_digest, center_mm, weight: 0.125, ..labels.clone() });
            }
        }
    })
}

#[test]
fn shifted_samples_of_true_neighbours_are_no_conflict() {
    let audit = neighbours(6.0);
    assert!(audit.issues.iter().all(|issue| issue.code != IssueCode::ConflictingLabels), "{:?}", audit.issues);
    expect(&neighbours(0.0), Severity::Error, IssueCode::ConflictingLabels, 2);
}

#[test]
fn gaps_are_named() {
    let audit = broken(|rows| rows.retain(|row| row.split != Split::Validation));
    expect(&audit, Severity::Warning, IssueCode::EmptySplit, 0);
    let audit = broken(|rows| rows.retain(|row| row.split != Split::Train || row.region == Some(0)));
    expect(&audit, Severity::Error, IssueCode::ClassMissingFromTrain, 2);
    let audit = broken(|rows| {
        for row in rows.iter_mut().filter(|row| row.split == Split::Test && row.patient_key.as_str() != "patient5") {
            (row.region, row.region_name) = (Some(0), Some("upper".into()));
        }
    });
    expect(&audit, Severity::Warning, IssueCode::SmallClass, 1);
    let audit = broken(|rows| rows.truncate(4));
    expect(&audit, Severity::Warning, IssueCode::FewPatients, 1);
    assert!(audit.issues.iter().any(|issue| issue.message.contains("too few for any conclusion")));
    let audit =
        broken(|rows| rows.iter_mut().filter(|row| row.split == Split::Test).for_each(|row| row.metastasis = None));
    expect(&audit, Severity::Warning, IssueCode::UnknownLabels, 24);
    let audit = broken(|rows| rows.iter_mut().for_each(|row| (row.region, row.region_name) = (None, None)));
    assert_eq!(audit.issues.iter().filter(|issue| issue.code == IssueCode::UnknownLabels).count(), 3);
}

#[test]
fn weak_evidence_and_uneven_splits_are_named() {
    let audit = broken(|rows| rows[..40].iter_mut().for_each(|row| row.evidence = Evidence::D));
    expect(&audit, Severity::Warning, IssueCode::LabelsFromSize, 40);
    let audit = broken(|rows| rows[3].level = LabelLevel::Patient);
    expect(&audit, Severity::Info, IssueCode::WeakLabels, 1);
    let audit = broken(|rows| {
        let test = rows.iter_mut().filter(|row| row.split == Split::Test);
        test.take(20).for_each(|row| row.metastasis = Some(Metastasis::Metastatic));
    });
    expect(&audit, Severity::Warning, IssueCode::PrevalenceDiffers, 24);
    let audit = broken(|rows| rows[7].pad_fraction = 0.5);
    expect(&audit, Severity::Info, IssueCode::PaddedPatches, 1);
}

#[test]
fn confounders_are_named() {
    let metastatic = |row: &RowLabels| row.metastasis == Some(Metastasis::Metastatic);
    let audit = broken(|rows| {
        rows.iter_mut().for_each(|row| row.short_axis_mm = Some(if metastatic(row) { 20.0 } else { 5.0 }));
    });
    expect(&audit, Severity::Warning, IssueCode::SizeConfounder, 144);
    // One scanner for patients with metastases, another for those without.
    let audit = broken(|rows| {
        for (n, row) in rows.iter_mut().enumerate() {
            let sick = (n / 4) % 2 == 1;
            row.metastasis = Some(if sick { Metastasis::Metastatic } else { Metastasis::Benign });
            row.manufacturer = Some(if sick { "hospital" } else { "screening" }.to_owned());
        }
    });
    expect(&audit, Severity::Warning, IssueCode::AcquisitionConfounder, 36);
}

#[test]
fn a_size_rule_counts_nodes_and_not_their_shifted_samples() {
    // A site with 28 rows of each status, which 10 mm tells apart.
    let of_a_ruler = |weight: f32| {
        let audit = broken(|rows| {
            rows.iter_mut().for_each(|row| row.weight = weight);
            for (n, row) in rows.iter_mut().take(56).enumerate() {
                row.audit.site = Some("ruler".into());
                row.metastasis = Some(if n % 2 == 0 { Metastasis::Metastatic } else { Metastasis::Benign });
                row.short_axis_mm = Some(if n % 2 == 0 { 10.0 } else { 9.9 });
            }
        });
        audit.issues.iter().find(|issue| issue.code == IssueCode::SizeRuleOfGroup).map(|issue| issue.count)
    };
    assert_eq!(of_a_ruler(1.0), Some(56));
    assert_eq!(of_a_ruler(0.5), None, "14 nodes of each status");
}

/// Sound rows, the grown volume of which tells the status and the mean nothing; `masked` says which rows have a mask.
fn measured(masked: impl Fn(usize, bool) -> bool) -> Vec<RowLabels> {
    let mut rows = sound();
    for (n, row) in rows.iter_mut().enumerate() {
        let metastatic = row.metastasis == Some(Metastasis::Metastatic);
        row.grown.set(Measure::Volume, Some(if metastatic { 900.0 + n as f32 } else { 300.0 + n as f32 }));
        row.grown.set(Measure::MeanHu, Some(40.0 + (n * 7 % 11) as f32));
        row.mask = masked(n, metastatic).then(|| row.grown.clone());
    }
    rows
}

#[test]
fn measures_are_shown_by_status_with_an_interval() {
    let found = audited(&measured(|n, _| n % 2 == 0));
    let of = |of: &str, measure: Measure| {
        found.measures.iter().find(|row| row.of == of && row.measure == measure.name()).unwrap()
    };
    let volume = of("grown", Measure::Volume);
    assert_eq!((volume.benign.rows, volume.metastatic.rows, volume.auroc), (72, 72, Some(1.0)));
    assert_eq!((volume.unit.as_str(), volume.interval), ("mm³", Some([1.0, 1.0])));
    assert!(volume.metastatic.median.unwrap() > volume.benign.median.unwrap() + 500.0);
    let mean = of("grown", Measure::MeanHu);
    let [low, high] = mean.interval.unwrap();
    assert!(low < 0.5 && 0.5 < high && high - low < 0.5, "{mean:?}");
    assert_eq!(of("mask", Measure::Volume).benign.rows + of("mask", Measure::Volume).metastatic.rows, 72);
    assert!(found.measures.iter().all(|row| row.measure != "suv_max"), "no row has it");
    assert!(mtids_audit::page::page(&found).contains("Of the region grown from the point"));
    assert!(!mtids_audit::page::page(&audited(&sound())).contains("Of the region grown from the point"));
}

#[test]
fn masks_of_one_status_only_are_a_leak_that_names_the_views_that_show_them() {
    let balanced = audited(&measured(|n, _| n % 3 == 0));
    assert!(balanced.issues.iter().all(|issue| issue.code != IssueCode::MasksTellStatus), "{:?}", balanced.issues);
    let leaking = measured(|_, metastatic| metastatic);
    let found = audited(&leaking);
    expect(&found, Severity::Warning, IssueCode::MasksTellStatus, 144);
    let issue = |audit: &Audit| {
        let issue = audit.issues.iter().find(|issue| issue.code == IssueCode::MasksTellStatus).unwrap();
        format!("{} {}", issue.message, issue.advice)
    };
    assert!(issue(&found).contains("0 of 72 benign and 72 of 72 metastatic"), "{}", issue(&found));
    assert!(issue(&found).contains("no view shows masks"));
    let folder = tempfile::tempdir().unwrap();
    let shown = Published { channels: vec![Channel::Ct, Channel::Mask], ..Published::default() };
    publish_as(folder.path(), &leaking, &shown);
    let shown = audit(folder.path(), &AuditConfig::default()).unwrap();
    assert!(issue(&shown).contains("`near` (mask)"), "{}", issue(&shown));
}

#[test]
fn an_index_that_counts_other_rows_than_the_manifest_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), &sound());
    let other = tempfile::tempdir().unwrap();
    publish(other.path(), &sound()[..100]);
    // A manifest of all rows that names an index of some.
    let [storage, of_some] = [folder.path(), other.path()].map(Folder::new);
    let mut manifest = Manifest::load(&storage).unwrap();
    manifest.files = Manifest::load(&of_some).unwrap().files;
    let index = &manifest.file("index.parquet").unwrap().path;
    std::fs::copy(other.path().join(index), folder.path().join(index)).unwrap();
    manifest.commit(&storage).unwrap();
    let audit = audit(folder.path(), &AuditConfig::default()).unwrap();
    expect(&audit, Severity::Error, IssueCode::IndexDiffersFromManifest, 5);
}

#[test]
fn rows_of_another_split_than_their_shard_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), &sound());
    let storage = Folder::new(folder.path());
    let mut manifest = Manifest::load(&storage).unwrap();
    manifest.shards.iter_mut().filter(|shard| shard.split == Split::Test).for_each(|shard| shard.split = Split::Train);
    manifest.commit(&storage).unwrap();
    let audit = audit(folder.path(), &AuditConfig::default()).unwrap();
    expect(&audit, Severity::Error, IssueCode::IndexDiffersFromManifest, 1);
    let issue = audit.issues.iter().find(|issue| issue.code == IssueCode::IndexDiffersFromManifest).unwrap();
    assert_eq!(issue.examples, ["shards/test/c: 24 rows of test in the index, train published"]);
}

#[test]
fn an_edited_missing_or_foreign_index_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), &sound());
    let published = Manifest::load(&Folder::new(folder.path())).unwrap().file("index.parquet").unwrap().path.clone();
    let refused = || {
        let error = audit(folder.path(), &AuditConfig::default()).unwrap_err().to_string();
        assert!(error.contains(&published), "{error}");
        error
    };
    // Valid Parquet, other labels.
    let other = tempfile::tempdir().unwrap();
    let mut rows = sound();
    rows.iter_mut().for_each(|row| row.metastasis = Some(Metastasis::Benign));
    publish(other.path(), &rows);
    std::fs::copy(other.path().join("index.parquet"), folder.path().join(&published)).unwrap();
    assert!(refused().contains("digest differs"));
    std::fs::write(folder.path().join(&published), b"not parquet").unwrap();
    refused();
    std::fs::remove_file(folder.path().join(&published)).unwrap();
    refused();
    // The copy for people misleads no program.
    publish(folder.path(), &sound());
    std::fs::write(folder.path().join("index.parquet"), b"not parquet").unwrap();
    assert_eq!(audit(folder.path(), &AuditConfig::default()).unwrap().overall.rows, 144);
}

#[test]
fn the_page_and_the_json_form_are_the_same_each_time() {
    let (one, two) = (audited(&sound()), audited(&sound()));
    assert_eq!(mtids_audit::page::page(&one), mtids_audit::page::page(&two));
    assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap());
    let read: Audit = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
    assert_eq!(read, one);
}

/// A dataset with an error, a warning and notes, as it is shown to people; digest and version are fixed.
fn shown() -> Audit {
    let mut audit = broken(|rows| {
        rows[2].center_mm = [1.0, 1.0, 1.0];
        rows[1].voxels_digest = rows[0].voxels_digest.clone();
        rows[3].level = LabelLevel::Patient;
        rows[7].pad_fraction = 0.5;
        rows.iter_mut().filter(|row| row.split == Split::Test).for_each(|row| row.metastasis = None);
    });
    audit.dataset_digest = Digest::of_bytes(b"");
    audit.program = Program::new("mtids-audit", "0.0.0");
    audit
}

#[test]
fn the_terminal_table_is_the_one_of_the_snapshot() {
    insta::assert_snapshot!(mtids_audit::text::text(&shown()));
}

#[test]
fn the_page_is_the_one_of_the_snapshot() {
    // One element a line, so that a change shows as few lines.
    insta::assert_snapshot!(mtids_audit::page::page(&shown()).replace("><", ">\n<"));
}
