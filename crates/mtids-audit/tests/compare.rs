//! A comparison finds what was changed for it, and a dataset beside itself has no issue.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use mtids_audit::compare::comparison::{Comparison, Drift, Overlap};
use mtids_audit::compare::config::CompareConfig;
use mtids_audit::compare::{compare, page::page, text::text};
use mtids_audit::issue::{IssueCode, Severity};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::PatientKey;
use mtids_domain::taxonomy::Station;
use mtids_shards::{CorrectionRecord, RowLabels, Split};
use support::{Published, publish, publish_as, sound};

/// The sound dataset beside another one.
fn beside(rows: &[RowLabels], published: &Published) -> Comparison {
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    publish(first.path(), &sound());
    publish_as(second.path(), rows, published);
    compare(first.path(), second.path(), &CompareConfig::default()).unwrap()
}

fn changed(change: impl FnOnce(&mut Vec<RowLabels>)) -> Comparison {
    let mut rows = sound();
    change(&mut rows);
    beside(&rows, &Published::default())
}

#[track_caller]
fn expect(found: &Comparison, severity: Severity, code: IssueCode, count: u64) {
    let issue = found.issues.iter().find(|issue| issue.code == code);
    let issue = issue.unwrap_or_else(|| panic!("{code:?} was not found among {:?}", found.issues));
    assert_eq!((issue.severity, issue.count), (severity, count), "{issue:?}");
}

fn drift<'c>(found: &'c Comparison, name: &str) -> &'c Drift {
    found.drift.iter().find(|drift| drift.name() == name).unwrap_or_else(|| panic!("no {name}: {:?}", found.drift))
}

#[test]
fn a_dataset_beside_itself_has_no_issue() {
    let found = changed(|_| ());
    assert_eq!((found.issues.len(), found.counted_issues()), (0, 0), "{:?}", found.issues);
    assert_eq!(found.rows, Overlap { both: 144, first: 0, second: 0 });
    assert_eq!(found.patients, Overlap { both: 36, first: 0, second: 0 });
    assert!(found.changed_columns.is_empty() && found.corrections.is_empty());
    assert_eq!((found.status.rows[0][0], found.status.rows[1][1], found.status.kappa), (72, 72, Some(1.0)));
    assert!(!found.drift.is_empty() && found.drift.iter().all(|drift| drift.p == 1.0), "{:?}", found.drift);
    assert!(text(&found).contains("the same dataset"));
    assert!(page(&found).contains("Both are the same dataset."));
}

#[test]
fn relabelled_rows_are_counted_along_both_dimensions() {
    let found = changed(|rows| {
        rows[0].metastasis = Some(Metastasis::Metastatic);
        rows[4].metastasis = None;
        (rows[1].region, rows[1].region_name) = (Some(0), Some("upper".into()));
    });
    expect(&found, Severity::Warning, IssueCode::Relabelled, 3);
    assert_eq!(found.status.classes, ["benign", "metastatic", "unknown"]);
    assert_eq!((found.status.rows[0][1], found.status.changed, found.status.changed_patients), (1, 2, 2));
    // Row 4 is of a patient whose first node is metastatic.
    assert_eq!(found.status.rows[1], [0, 71, 1]);
    assert_eq!(found.region.rows[1], [1, 71, 0]);
    let kappa = found.region.kappa.unwrap();
    assert!(kappa > 0.97 && kappa < 1.0, "{kappa}");
    let [low, high] = found.region.kappa_interval.unwrap();
    assert!(low < kappa && kappa <= high);
    let names: Vec<&str> = found.changed_columns.keys().map(String::as_str).collect();
    assert_eq!(names, ["metastasis", "region", "region_name"]);
    let issue = found.issues.iter().find(|issue| issue.code == IssueCode::Relabelled).unwrap();
    assert_eq!(issue.rows, ["sample0", "sample1", "sample4"]);
    assert!(text(&found).contains("status: from") && page(&found).contains("sample4"));
}

#[test]
fn a_station_evidence_or_level_that_changed_alone_needs_a_look_as_well() {
    // 4R and 4L are of one region.
    let found = changed(|rows| rows[0].station = Some(Station::S4L));
    expect(&found, Severity::Warning, IssueCode::Relabelled, 1);
    assert_eq!((found.counted_issues(), found.region.changed, found.unexplained), (1, 0, 1));
    let issue = found.issues.iter().find(|issue| issue.code == IssueCode::Relabelled).unwrap();
    assert!(issue.message.contains("station: 1 row") && issue.rows == ["sample0"], "{issue:?}");
    expect(&changed(|rows| rows[0].evidence = Evidence::D), Severity::Warning, IssueCode::Relabelled, 1);
    expect(&changed(|rows| rows[0].level = LabelLevel::Patient), Severity::Warning, IssueCode::Relabelled, 1);
    // A status that was corrected takes its evidence and level with it.
    let mut rows = sound();
    rows[0].metastasis = Some(Metastasis::Metastatic);
    (rows[0].evidence, rows[0].level) = (Evidence::U, LabelLevel::Station);
    let correction = CorrectionRecord {
        sample_key: "sample0".into(),
        dimension: "metastasis".into(),
        old: "benign".into(),
        new: "metastatic".into(),
        by: "someone".into(),
    };
    let found = beside(&rows, &Published { corrections: vec![correction], ..Published::default() });
    expect(&found, Severity::Info, IssueCode::Relabelled, 1);
    assert_eq!(found.unexplained, 0);
}

#[test]
fn a_recorded_correction_explains_a_change_along_its_dimension_only() {
    let mut rows = sound();
    rows[0].metastasis = Some(Metastasis::Metastatic);
    let correction = |dimension: &str| CorrectionRecord {
        sample_key: "sample0".into(),
        dimension: dimension.into(),
        old: "benign".into(),
        new: "metastatic".into(),
        by: "someone".into(),
    };
    let with = |rows: &[RowLabels], dimension: &str| {
        beside(rows, &Published { corrections: vec![correction(dimension)], ..Published::default() })
    };
    let found = with(&rows, "metastasis");
    expect(&found, Severity::Info, IssueCode::Relabelled, 1);
    assert_eq!((found.counted_issues(), found.corrections.len(), found.unexplained), (0, 1, 0), "{:?}", found.issues);
    assert!(page(&found).contains("someone"));
    expect(&with(&rows, "region"), Severity::Warning, IssueCode::Relabelled, 1);
    (rows[0].region, rows[0].region_name) = (Some(1), Some("subcarinal".into()));
    expect(&with(&rows, "metastasis"), Severity::Warning, IssueCode::Relabelled, 1);
}

#[test]
fn a_forgotten_table_of_corrections_is_noticed() {
    let mut corrected = sound();
    corrected[0].metastasis = Some(Metastasis::Metastatic);
    corrected[0].evidence = Evidence::U;
    let correction = CorrectionRecord {
        sample_key: "sample0".into(),
        dimension: "metastasis".into(),
        old: "benign".into(),
        new: "metastatic".into(),
        by: "someone".into(),
    };
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    publish_as(first.path(), &corrected, &Published { corrections: vec![correction], ..Published::default() });
    publish(second.path(), &sound());
    let found = compare(first.path(), second.path(), &CompareConfig::default()).unwrap();
    expect(&found, Severity::Warning, IssueCode::CorrectionsWithdrawn, 1);
    assert_eq!((found.withdrawn.len(), found.unexplained, found.counted_issues()), (1, 0, 1), "{:?}", found.issues);
    assert!(page(&found).contains("corrections of the first dataset are gone"));
}

#[test]
fn rows_of_one_side_only_are_named_and_a_moved_finding_is_both() {
    let found = changed(|rows| {
        rows[8].sample_key = "moved".into();
        rows[8].center_mm[2] += 1.0;
        let mut other = rows[12].clone();
        (other.sample_key, other.voxels_digest) = ("new".into(), "new".into());
        other.center_mm[2] += 40.0;
        rows.push(other);
        rows.remove(20);
    });
    assert_eq!(found.rows, Overlap { both: 142, first: 2, second: 2 });
    expect(&found, Severity::Warning, IssueCode::RemovedRows, 2);
    expect(&found, Severity::Info, IssueCode::AddedRows, 2);
    expect(&found, Severity::Info, IssueCode::MovedFindings, 1);
    let removed: u64 = found.removed.iter().map(|group| group.count.rows).sum();
    assert_eq!((removed, found.moved_findings), (2, 1));
    let rows = |code: IssueCode| &found.issues.iter().find(|issue| issue.code == code).unwrap().rows;
    assert_eq!(rows(IssueCode::RemovedRows), &["sample20", "sample8"]);
    assert_eq!(rows(IssueCode::AddedRows), &["moved", "new"]);
}

#[test]
fn other_voxels_and_another_split_are_told_from_other_labels() {
    let found = changed(|rows| rows[3].voxels_digest = "other".into());
    expect(&found, Severity::Warning, IssueCode::ChangedVoxels, 1);
    assert_eq!(found.issues.len(), 1, "{:?}", found.issues);
    let found = changed(|rows| rows[..4].iter_mut().for_each(|row| row.split = Split::Test));
    expect(&found, Severity::Error, IssueCode::PatientMovedSplit, 1);
    assert_eq!(found.issues[0].examples, ["patient0"]);
    assert_eq!(found.changed_columns.get("split"), Some(&4));
}

#[test]
fn negatives_drawn_anew_and_samples_shifted_otherwise_have_no_other_voxels() {
    let sampled = || {
        let mut rows = sound();
        [3, 5, 7].into_iter().for_each(|n| rows[n].weight = 0.125);
        rows
    };
    let mut rows = sampled();
    for n in [3, 5] {
        rows[n].voxels_digest = format!("other {n}");
        rows[n].center_mm[0] += 25.0;
    }
    rows[7].center_mm[2] += 0.5;
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    publish(first.path(), &sampled());
    publish(second.path(), &rows);
    let found = compare(first.path(), second.path(), &CompareConfig::default()).unwrap();
    assert_eq!((found.moved_samples, found.changed_voxels, found.counted_issues()), (3, 0, 0), "{:?}", found.issues);
    expect(&found, Severity::Info, IssueCode::MovedSamples, 3);
    assert_eq!(found.issues[0].rows, ["sample3", "sample5", "sample7"]);
    assert!(page(&found).contains("Samples and negatives elsewhere"));
}

#[test]
fn a_shift_of_a_column_is_drift_and_chance_is_none() {
    let found =
        changed(|rows| rows.iter_mut().for_each(|row| row.short_axis_mm = row.short_axis_mm.map(|mm| mm + 2.0)));
    let shifted = drift(&found, "short_axis_mm");
    assert!((shifted.difference - 2.0).abs() < 1e-6 && shifted.adjusted_p < 1e-6, "{shifted:?}");
    assert!((shifted.standardised - 1.0).abs() < 0.1, "seven sizes a millimetre apart have an sd of 2: {shifted:?}");
    assert_eq!(found.drift[0].name(), "short_axis_mm", "what drifts comes first");
    expect(&found, Severity::Warning, IssueCode::Drift, 1);
    assert!(text(&found).contains("+2.000"));
    // Half of other patients with more metastases: beyond chance; one more metastasis: not.
    let found = changed(|rows| {
        for row in rows.iter_mut() {
            row.patient_key = PatientKey::from_stored(format!("other {}", row.patient_key.as_str()));
            row.sample_key = format!("other {}", row.sample_key);
            row.metastasis = Some(Metastasis::Metastatic);
        }
    });
    assert!(drift(&found, "metastasis").is_reported(&found.config));
    let found = changed(|rows| rows[0].metastasis = Some(Metastasis::Metastatic));
    assert!(!drift(&found, "metastasis").is_reported(&found.config), "{:?}", drift(&found, "metastasis"));
    assert!(drift(&found, "metastasis").p > 0.2);
}

#[test]
fn what_was_not_tested_is_not_called_fine_and_a_column_that_is_gone_is_drift() {
    let fine = "drifts beyond chance";
    let few: Vec<RowLabels> = sound().into_iter().take(16).collect();
    let found = beside(&few, &Published::default());
    assert!(found.drift.is_empty(), "four patients: {:?}", found.drift);
    assert!(page(&found).contains("not tested") && text(&found).contains("not tested"));
    assert!(!page(&found).contains(fine));
    let found = changed(|rows| rows[3].voxels_digest = "other".into());
    assert!(page(&found).contains(fine) && !text(&found).contains("not tested"));
    // The mean of a column without values is not there to be tested.
    let found = changed(|rows| rows.iter_mut().for_each(|row| row.kvp = None));
    assert!(found.drift.iter().all(|drift| drift.name() != "kvp"));
    assert!(drift(&found, "kvp = unknown").is_reported(&found.config), "{:?}", found.drift);
    expect(&found, Severity::Warning, IssueCode::Drift, 1);
}

#[test]
fn without_a_common_secret_nothing_is_said_of_rows() {
    let mut rows = sound();
    for row in &mut rows {
        row.sample_key = format!("x{}", row.sample_key);
        row.patient_key = PatientKey::from_stored(format!("x{}", row.patient_key.as_str()));
    }
    let found = beside(&rows, &Published { fingerprint: "other".into(), ..Published::default() });
    expect(&found, Severity::Warning, IssueCode::DifferentSecrets, 288);
    assert_eq!(found.issues.len(), 1, "{:?}", found.issues);
    assert!(page(&found).contains("different secrets"));
}

#[test]
fn the_policy_decides_what_counts_and_the_json_form_comes_back() {
    let mut found = changed(|rows| rows[3].voxels_digest = "other".into());
    assert_eq!(found.counted_issues(), 1);
    found.config.fail_on = mtids_audit::config::FailOn::Error;
    assert_eq!(found.counted_issues(), 0);
    let read: Comparison = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(read, found);
    assert!(!page(&found).contains("http") && page(&found).matches("<script").count() == 1);
}

#[test]
fn a_folder_that_is_no_dataset_is_named() {
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    publish(first.path(), &sound());
    let error = compare(first.path(), second.path(), &CompareConfig::default()).unwrap_err().to_string();
    assert!(error.contains(second.path().to_str().unwrap()), "{error}");
    let setting = CompareConfig { significance: 2.0, ..CompareConfig::default() };
    assert!(compare(first.path(), first.path(), &setting).unwrap_err().to_string().contains("significance"));
}

#[test]
fn statuses_that_changed_places_between_sites_are_drift_of_each_site_and_of_no_whole() {
    let with_sites = |turned: bool| {
        let mut rows = sound();
        for row in &mut rows {
            let is_first = (row.metastasis == Some(Metastasis::Metastatic)) != turned;
            row.audit.site = Some(if is_first { "A" } else { "B" }.into());
        }
        rows
    };
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    publish(first.path(), &with_sites(false));
    publish(second.path(), &with_sites(true));
    let found = compare(first.path(), second.path(), &CompareConfig::default()).unwrap();
    assert_eq!(drift(&found, "metastasis").difference, 0.0);
    assert_eq!(drift(&found, "site = A").difference, 0.0);
    let at = drift(&found, "metastasis at site A");
    assert_eq!((at.means, at.rows), ([1.0, 0.0], [72, 72]));
    assert!(at.is_reported(&CompareConfig::default()), "{at:?}");
    assert!(page(&found).contains("metastasis at site A"));

    let audit = mtids_audit::audit::audit(first.path(), &mtids_audit::config::AuditConfig::default()).unwrap();
    let of_sites: u64 = audit.by_region_and_site.iter().map(|group| group.count.rows).sum();
    assert_eq!((of_sites, audit.by_site.len()), (144, 2));
    assert!(mtids_audit::page::page(&audit).contains("Region and site"));
}
