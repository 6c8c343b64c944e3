//! A comparison finds what a rebuild must not change: keys, patients, kinds, facts; and it is not misled by rounding or by numbers that are none.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use mtids_audit::compare::compare;
use mtids_audit::compare::comparison::{Comparison, Overlap};
use mtids_audit::compare::config::CompareConfig;
use mtids_audit::issue::{AuditIssue, IssueCode, Severity};
use mtids_domain::pseudonym::PatientKey;
use mtids_shards::{RowKind, RowLabels, Split};
use support::{publish, sound};

fn between(first: &[RowLabels], second: &[RowLabels]) -> Comparison {
    let folders = [first, second].map(|rows| {
        let folder = tempfile::tempdir().unwrap();
        publish(folder.path(), rows);
        folder
    });
    compare(folders[0].path(), folders[1].path(), &CompareConfig::default()).unwrap()
}

fn changed(change: impl FnOnce(&mut Vec<RowLabels>)) -> Comparison {
    let mut rows = sound();
    change(&mut rows);
    between(&sound(), &rows)
}

#[track_caller]
fn issue(found: &Comparison, severity: Severity, code: IssueCode, count: u64) -> &AuditIssue {
    let issue = found.issues.iter().find(|issue| issue.code == code);
    let issue = issue.unwrap_or_else(|| panic!("{code:?} was not found among {:?}", found.issues));
    assert_eq!((issue.severity, issue.count), (severity, count), "{issue:?}");
    issue
}

#[track_caller]
fn has_not(found: &Comparison, code: IssueCode) {
    assert!(found.issues.iter().all(|issue| issue.code != code), "{:?}", found.issues);
}

#[test]
fn a_number_that_is_none_hides_no_drift_of_its_column() {
    let found = changed(|rows| {
        rows.iter_mut().for_each(|row| row.short_axis_mm = row.short_axis_mm.map(|mm| 10.0 * mm));
        rows[0].short_axis_mm = Some(f32::NAN);
    });
    let drift = found.drift.iter().find(|drift| drift.name() == "short_axis_mm").unwrap();
    assert!(drift.is_reported(&found.config) && drift.rows == [144, 143] && drift.means[1] > 100.0, "{drift:?}");
    let none = issue(&found, Severity::Error, IssueCode::NotFinite, 1);
    assert_eq!(none.examples, ["short_axis_mm: 0, then 1 row"]);
    issue(&found, Severity::Warning, IssueCode::FactsChanged, 143);
    // Beside itself such a dataset has no issue, and one that was mended has a note.
    let mut rows = sound();
    (rows[0].short_axis_mm, rows[1].center_mm[0]) = (Some(f32::NAN), f64::INFINITY);
    assert!(between(&rows, &rows).issues.is_empty());
    issue(&between(&rows, &sound()), Severity::Info, IssueCode::NotFinite, 2);
}

#[test]
fn a_weight_or_place_that_is_none_is_an_error_and_so_is_one_in_another_row() {
    type Change = fn(&mut RowLabels);
    let changes: [(Change, &str); 4] = [
        (|row| row.weight = f32::NAN, "weight: 0, then 1 row"),
        (|row| row.center_mm[1] = f64::INFINITY, "center_y_mm: 0, then 1 row"),
        (|row| row.pad_fraction = f32::NEG_INFINITY, "pad_fraction: 0, then 1 row"),
        (|row| row.center_voxel[0] = f64::NAN, "center_i: 0, then 1 row"),
    ];
    for (change, shown) in changes {
        let found = changed(|rows| change(&mut rows[3]));
        assert_eq!(issue(&found, Severity::Error, IssueCode::NotFinite, 1).examples, [shown]);
    }
    let with = |row: usize| {
        let mut rows = sound();
        rows[row].weight = f32::NAN;
        rows
    };
    let error = between(&with(0), &with(5));
    let error = issue(&error, Severity::Error, IssueCode::NotFinite, 1);
    assert_eq!(error.examples, ["weight: 1, then 1 row, 1 of them others than before"]);
    has_not(&between(&with(0), &with(0)), IssueCode::NotFinite);
}

#[test]
fn findings_that_moved_by_more_than_a_millimetre_are_a_warning() {
    let moved = |by_mm: f64| changed(|rows| rows[4..7].iter_mut().for_each(|row| row.center_mm[0] += by_mm));
    let found = moved(2.5);
    let warning = issue(&found, Severity::Warning, IssueCode::MovedSamples, 3);
    assert!(warning.message.contains("up to 2.50 mm away; 3 of them are findings"), "{}", warning.message);
    let found = moved(1.0);
    let note = issue(&found, Severity::Info, IssueCode::MovedSamples, 3);
    assert!(note.message.ends_with("under the same key, up to 1.00 mm away"), "{}", note.message);
}

#[test]
fn one_row_of_a_patient_in_another_split_is_a_leak() {
    // Patient 4 is of validation.
    let found = changed(|rows| rows[16].split = Split::Train);
    issue(&found, Severity::Error, IssueCode::PatientMovedSplit, 1);
    let leak = issue(&found, Severity::Error, IssueCode::PatientInTwoSplits, 1);
    assert_eq!(leak.examples, ["patient4"]);
    assert_eq!(found.moved_patients, 1);
    // As one that was there before; the audit of either dataset names it.
    let mut rows = sound();
    rows[16].split = Split::Train;
    assert!(between(&rows, &rows).issues.is_empty());
}

#[test]
fn merged_patients_are_an_error() {
    let merge = |patients: usize| {
        changed(|rows| {
            rows[..4 * patients].iter_mut().for_each(|row| row.patient_key = PatientKey::from_stored("one".to_owned()));
        })
    };
    let found = merge(4);
    let changed = issue(&found, Severity::Error, IssueCode::PatientChanged, 16);
    assert!(changed.message.contains("those of 4 patients are of 1 patient now"), "{}", changed.message);
    assert_eq!((changed.examples[0].as_str(), changed.rows.len()), ("patient0 → one", 16));
    issue(&merge(36), Severity::Error, IssueCode::PatientChanged, 144);
}

#[test]
fn keys_of_more_than_one_row_are_an_error_and_multiply_nothing() {
    let again = |times: usize| {
        move |rows: &mut Vec<RowLabels>| {
            for n in 0..times {
                let mut copy = rows[0].clone();
                (copy.voxels_digest, copy.center_mm[1]) = (format!("again{n}"), 50.0 * (n + 1) as f64);
                rows.push(copy);
            }
        }
    };
    let found = changed(again(3));
    let error = issue(&found, Severity::Error, IssueCode::DuplicateSample, 1);
    assert!(error.message.contains("of the second dataset") && error.rows == ["sample0"], "{error:?}");
    // Rows of that key are left out on both sides.
    assert_eq!(found.rows, Overlap { both: 143, first: 0, second: 0 });
    assert!(found.changed_columns.is_empty(), "{:?}", found.changed_columns);
    let mut rows = sound();
    again(1)(&mut rows);
    let found = between(&rows, &rows);
    assert_eq!(found.issues.iter().filter(|issue| issue.code == IssueCode::DuplicateSample).count(), 2);
    assert_eq!(found.rows, Overlap { both: 143, first: 0, second: 0 });
}

#[test]
fn a_finding_that_became_a_negative_is_an_error() {
    let found = changed(|rows| rows[..3].iter_mut().for_each(|row| row.kind = RowKind::Negative));
    let kinds = issue(&found, Severity::Error, IssueCode::KindChanged, 3);
    assert_eq!(kinds.examples, ["finding → negative: 3 rows"]);
}

#[test]
fn facts_that_changed_are_counted_and_rounding_is_no_change() {
    let found = changed(|rows| {
        rows[0].short_axis_mm = Some(80.0);
        rows[1].label_source = "segmentation".into();
        rows[2].manufacturer = None;
        rows[3].weight = 0.5;
        rows[3].short_axis_mm = None;
    });
    let facts = issue(&found, Severity::Warning, IssueCode::FactsChanged, 4);
    for part in ["short_axis_mm: 2 rows", "label_source: 1 row", "manufacturer: 1 row", "weight: 1 row"] {
        assert!(facts.message.contains(part), "{}", facts.message);
    }
    assert_eq!(facts.rows, ["sample0", "sample1", "sample2", "sample3"]);
    assert!(found.counted_issues() > 0);
    let found = changed(|rows| {
        rows[0].short_axis_mm = rows[0].short_axis_mm.map(|mm| mm * 1.0001);
        rows[1].slice_step_mm *= 1.0001;
    });
    assert_eq!(found.changed_columns.len(), 2);
    assert!(found.issues.is_empty(), "{:?}", found.issues);
}

#[test]
fn a_place_that_moved_by_rounding_excuses_no_other_voxels() {
    let shifted = |by_mm: f64| {
        changed(|rows| {
            for row in rows.iter_mut() {
                row.center_mm[0] += by_mm;
                row.voxels_digest = format!("other {}", row.voxels_digest);
            }
        })
    };
    for by_mm in [1e-9, 0.009] {
        let found = shifted(by_mm);
        issue(&found, Severity::Warning, IssueCode::ChangedVoxels, 144);
        has_not(&found, IssueCode::MovedSamples);
    }
    let found = shifted(0.011);
    issue(&found, Severity::Info, IssueCode::MovedSamples, 144);
    has_not(&found, IssueCode::ChangedVoxels);
}
