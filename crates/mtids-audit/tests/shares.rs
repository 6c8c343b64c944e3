//! Intervals of shares, patients and associations of an audit, beside what the rows say one by one.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use mtids_audit::audit::{Audit, audit};
use mtids_audit::config::AuditConfig;
use mtids_domain::label::Metastasis;
use mtids_domain::pseudonym::PatientKey;
use mtids_metrics::{Interval, ShareSums};
use mtids_shards::RowLabels;
use support::{publish, sound};

fn audited(rows: &[RowLabels]) -> Audit {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), rows);
    audit(folder.path(), &AuditConfig::default()).unwrap()
}

/// Rows whose patients lie apart, with missing names, unknown statuses, and two that name nobody.
fn varied() -> Vec<RowLabels> {
    let mut rows = sound();
    for (n, row) in rows.iter_mut().enumerate() {
        row.kernel = (n % 5 > 0).then(|| format!("kernel {}", n % 3));
        row.slice_thickness_mm = [None, Some(0.625), Some(1.25), Some(10.0)][n / 4 % 4];
        row.contrast = [None, Some(true), Some(false)][n / 8 % 3];
        row.audit.site = Some(format!("site {}", n / 4 % 2));
        if n % 11 == 0 {
            row.metastasis = None;
        }
        if n % 13 == 0 {
            (row.region, row.region_name) = (None, None);
        }
    }
    rows[7].patient_key = PatientKey::from_stored(String::new());
    rows[90].patient_key = PatientKey::from_stored("  ".to_owned());
    let (first, second) = rows.split_at(72);
    first.iter().zip(second).flat_map(|(a, b)| [b.clone(), a.clone()]).collect()
}

fn ends(sums: &ShareSums) -> Option<[f64; 2]> {
    sums.interval().map(|Interval { low, high }| [low, high])
}

#[track_caller]
fn same(ours: Option<[f64; 2]>, expected: Option<[f64; 2]>, what: &str) {
    let near = ours.zip(expected).is_some_and(|(a, b)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12));
    assert!(near || ours == expected, "{what}: {ours:?} is not {expected:?}");
}

#[test]
fn intervals_are_those_of_the_rows_patient_by_patient() {
    let rows = varied();
    let audit = audited(&rows);
    let thickness = |row: &RowLabels| row.slice_thickness_mm.map(|mm| format!("{:?}", (2.0 * mm).round() / 2.0));
    let contrast = |row: &RowLabels| row.contrast.map(|given| given.to_string());
    let region = |row: &RowLabels| row.region_name.clone();
    let site = |row: &RowLabels| row.audit.site.clone();
    type Names<'a> = &'a dyn Fn(&RowLabels) -> Vec<Option<String>>;
    let tables: [(&str, &[_], Names<'_>); 8] = [
        ("region", &audit.by_region, &|row| vec![region(row)]),
        ("split", &audit.by_split, &|row| vec![Some(row.split.name().to_owned())]),
        ("scanner", &audit.by_scanner, &|row| vec![row.manufacturer.clone(), None, row.kernel.clone()]),
        ("source", &audit.by_source, &|row| vec![Some(row.label_source.to_string())]),
        ("kernel", &audit.by_region_and_kernel, &|row| vec![region(row), row.kernel.clone()]),
        ("thickness", &audit.by_region_and_slice_thickness, &|row| vec![region(row), thickness(row)]),
        ("contrast", &audit.by_region_and_contrast, &|row| vec![region(row), contrast(row)]),
        ("site", &audit.by_region_and_site, &|row| vec![region(row), site(row)]),
    ];
    let has_patient = |row: &&RowLabels| !row.patient_key.as_str().trim().is_empty();
    let mut by_patient: BTreeMap<&str, Vec<&RowLabels>> = BTreeMap::new();
    for row in rows.iter().filter(has_patient) {
        by_patient.entry(row.patient_key.as_str()).or_default().push(row);
    }
    let mut compared = 0;
    for (table, groups, names) in tables {
        let all: BTreeSet<Vec<Option<String>>> = rows.iter().map(names).collect();
        assert_eq!(groups.iter().map(|group| group.names.clone()).collect::<BTreeSet<_>>(), all, "{table}");
        for group in groups {
            let [mut of_all, mut metastatic, mut unknown] = [ShareSums::default(); 3];
            for rows in by_patient.values() {
                let own: Vec<_> = rows.iter().filter(|row| names(row) == group.names).collect();
                let count = |of: &dyn Fn(&RowLabels) -> bool| own.iter().filter(|row| of(row)).count() as f64;
                of_all.add(rows.len() as f64, own.len() as f64);
                metastatic.add(
                    count(&|row| row.metastasis.is_some()),
                    count(&|row| row.metastasis == Some(Metastasis::Metastatic)),
                );
                unknown.add(own.len() as f64, count(&|row| row.metastasis.is_none()));
            }
            let count = |of: &dyn Fn(&&RowLabels) -> bool| {
                rows.iter().filter(|row| names(row) == group.names).filter(of).count() as u64
            };
            let counts = [
                count(&|_| true),
                count(&|row| row.metastasis == Some(Metastasis::Benign)),
                count(&|row| row.metastasis == Some(Metastasis::Metastatic)),
                count(&|row| row.metastasis.is_none()),
            ];
            let ours = &group.count;
            assert_eq!([ours.rows, ours.benign, ours.metastatic, ours.unknown], counts, "{table} {:?}", group.names);
            let patients = by_patient.values().filter(|rows| rows.iter().any(|row| names(row) == group.names)).count();
            assert_eq!(ours.patients, patients as u64, "{table} {:?}", group.names);
            let found = group.intervals.unwrap();
            let what = format!("{table} {:?}", group.names);
            same(found.rows, ends(&of_all), &what);
            same(found.metastatic, ends(&metastatic), &what);
            same(found.unknown, ends(&unknown), &what);
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
    let order: Vec<&str> = audit.by_region_and_slice_thickness[..4].iter().map(|group| group.name(1)).collect();
    assert_eq!(order, ["unknown", "0.5", "1.5", "10.0"], "by number, unknown first");
}

#[test]
fn patients_and_studies_are_counted_once() {
    let mut rows = sound();
    // Patient 0 has only unknown statuses, patient 1 only benign nodes, patient 2 metastases in both regions.
    rows[..4].iter_mut().for_each(|row| row.metastasis = None);
    rows[4..8].iter_mut().for_each(|row| row.metastasis = Some(Metastasis::Benign));
    rows[8..12].iter_mut().for_each(|row| row.metastasis = Some(Metastasis::Metastatic));
    rows[12].patient_key = PatientKey::from_stored(String::new());
    let audit = audited(&rows);
    let patients = &audit.patients;
    assert_eq!((patients.unknown, patients.benign, patients.metastatic), (1, 1, 34));
    assert_eq!(patients.by_metastatic_regions.iter().sum::<u64>(), 36);
    assert_eq!(patients.by_metastatic_regions[0], 2);
    let studies = audit.studies.unwrap();
    assert_eq!((studies.count, studies.fewest, studies.median, studies.most), (36, 4, 4, 4));
}

#[test]
fn a_scanner_that_tells_the_status_has_all_of_it_and_the_others_have_none() {
    let mut rows = sound();
    for (n, row) in rows.iter_mut().enumerate() {
        let patient = n / 4;
        row.metastasis = Some(if patient % 2 == 0 { Metastasis::Benign } else { Metastasis::Metastatic });
        row.manufacturer = Some(format!("maker {}", patient % 2));
        row.kernel = Some(format!("kernel {}", patient / 2 % 3));
    }
    let audit = audited(&rows);
    let of = |column: &str, dimension: &str| {
        let mut found = audit.associations.iter().filter(|one| one.column == column && one.dimension == dimension);
        found.next().unwrap_or_else(|| panic!("{column} and {dimension} among {:?}", audit.associations))
    };
    let maker = of("manufacturer", "metastasis");
    assert_eq!((maker.count, maker.of_label), (36, 1.0));
    assert!((0.95..1.0).contains(&maker.mutual_information), "{maker:?}");
    assert!((maker.cramers_v - 1.0).abs() < 1e-12);
    assert!(of("kernel", "metastasis").cramers_v < 0.1 && of("manufacturer", "region").mutual_information < 1e-9);
    assert_eq!(audit.associations[0].column, "region_name");
    assert!(audit.associations[0].mutual_information < 0.01);
}
