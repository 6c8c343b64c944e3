//! Defects of labels, evidence, tissue and scanners, each planted once and found by its check; and what to ask whom about them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use mtids_audit::audit::{Audit, audit};
use mtids_audit::config::AuditConfig;
use mtids_audit::issue::{AuditIssue, IssueCode, Severity};
use mtids_audit::opened::Opened;
use mtids_audit::worklist::{csv, worklist};
use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::pseudonym::SeriesKey;
use mtids_shards::{Measure, RowKind, RowLabels, Split};
use support::{Published, publish, publish_as, sound};

fn planted(change: impl FnOnce(&mut Vec<RowLabels>)) -> Audit {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = sound();
    change(&mut rows);
    publish(folder.path(), &rows);
    audit(folder.path(), &AuditConfig::default()).unwrap()
}

#[track_caller]
fn issue(audit: &Audit, severity: Severity, code: IssueCode, count: u64) -> &AuditIssue {
    let found = audit.issues.iter().find(|issue| issue.code == code);
    let found = found.unwrap_or_else(|| panic!("{code:?} was not found among {:?}", audit.issues));
    assert_eq!((found.severity, found.count), (severity, count), "{found:?}");
    found
}

#[track_caller]
fn has_not(audit: &Audit, code: IssueCode) {
    assert!(audit.issues.iter().all(|issue| issue.code != code), "{:?}", audit.issues);
}

fn is_metastatic(row: &RowLabels) -> bool {
    row.metastasis == Some(Metastasis::Metastatic)
}

#[test]
fn the_same_voxels_with_other_labels_are_an_error_and_unknown_contradicts_nothing() {
    // Rows 0 and 8 are of the same region, 0 and 4 differ in status.
    let found = planted(|rows| rows[4].voxels_digest = rows[0].voxels_digest.clone());
    let error = issue(&found, Severity::Error, IssueCode::SameVoxelsOtherLabels, 2);
    assert_eq!(error.rows, ["sample0", "sample4"]);
    let found = planted(|rows| {
        rows[4].voxels_digest = rows[0].voxels_digest.clone();
        rows[4].metastasis = None;
    });
    has_not(&found, IssueCode::SameVoxelsOtherLabels);
    assert_eq!(issue(&found, Severity::Error, IssueCode::DuplicateVoxels, 1).rows, ["sample0", "sample4"]);
}

#[test]
fn a_finding_given_twice_is_named_and_shifted_samples_of_one_are_not() {
    let twice = |weight: f32| {
        planted(|rows| {
            let mut copy = rows[0].clone();
            (copy.sample_key, copy.voxels_digest, copy.center_mm[0]) = ("copy".into(), "copy".into(), 1.0);
            (copy.weight, rows[0].weight) = (weight, weight);
            rows.push(copy);
        })
    };
    let found = twice(1.0);
    assert_eq!(issue(&found, Severity::Warning, IssueCode::DuplicateFinding, 2).rows, ["copy", "sample0"]);
    has_not(&found, IssueCode::ConflictingLabels);
    has_not(&twice(0.5), IssueCode::DuplicateFinding);
}

#[test]
fn statuses_that_their_evidence_does_not_allow_are_named() {
    let by_size = |row: &mut RowLabels, short_axis: f32| {
        row.evidence = Evidence::D;
        row.short_axis_mm = Some(short_axis);
    };
    // Row 0 is benign, row 2 metastatic.
    let found = planted(|rows| {
        by_size(&mut rows[0], 10.0);
        by_size(&mut rows[2], 12.0);
    });
    assert_eq!(issue(&found, Severity::Warning, IssueCode::StatusAgainstEvidence, 1).rows, ["sample0"]);
    has_not(&planted(|rows| by_size(&mut rows[0], 9.9)), IssueCode::StatusAgainstEvidence);
    let found = planted(|rows| rows[5].metastasis = None);
    issue(&found, Severity::Info, IssueCode::EvidenceWithoutStatus, 1);
    let found = planted(|rows| rows[5].evidence = Evidence::U);
    issue(&found, Severity::Info, IssueCode::StatusWithoutEvidence, 1);
    let found = planted(|rows| {
        rows.iter_mut().for_each(|row| row.evidence = if is_metastatic(row) { Evidence::B } else { Evidence::C });
    });
    let warning = issue(&found, Severity::Warning, IssueCode::EvidenceTellsStatus, 36);
    assert_eq!(
        warning.examples,
        [
            "B: 36 patients with metastatic nodes, 0 with benign ones",
            "C: 0 patients with metastatic nodes, 36 with benign ones"
        ]
    );
    // Of 36 patients the status of the nodes of two is known: nothing is claimed of 8 rows.
    let found = planted(|rows| {
        rows.iter_mut().for_each(|row| row.evidence = if is_metastatic(row) { Evidence::B } else { Evidence::C });
        rows[8..].iter_mut().for_each(|row| row.metastasis = None);
    });
    has_not(&found, IssueCode::EvidenceTellsStatus);
    has_not(
        &planted(|rows| rows.iter_mut().step_by(3).for_each(|row| row.evidence = Evidence::B)),
        IssueCode::EvidenceTellsStatus,
    );
}

#[test]
fn places_without_tissue_and_constant_tissue_are_named() {
    let found = planted(|rows| {
        rows[7].grown.set(Measure::Shell3Hu, Some(-180.0));
        rows[8].grown.set(Measure::Shell3Hu, Some(-90.0));
        rows[9].grown.set(Measure::DeviationHu, Some(0.0));
        rows[10].grown.set(Measure::DeviationHu, Some(12.0));
    });
    assert_eq!(issue(&found, Severity::Warning, IssueCode::PlaceWithoutTissue, 1).rows, ["sample7"]);
    assert_eq!(issue(&found, Severity::Warning, IssueCode::ConstantTissue, 1).rows, ["sample9"]);
}

#[test]
fn what_could_not_be_checked_is_said_in_one_note() {
    let found = planted(|_| ());
    let note = issue(&found, Severity::Info, IssueCode::NotChecked, 8);
    assert!(note.message.contains("`near_hash` (near-copies), `folded_patient_key`"), "{}", note.message);
    let found = planted(|rows| {
        rows[100].audit.near_hash = Some("5".repeat(64).parse().unwrap());
        rows[0].audit.site = Some("north".into());
        rows[5].grown.set(Measure::AortaHu, Some(150.0));
        rows.iter_mut().for_each(|row| row.short_axis_mm = None);
    });
    let note = issue(&found, Severity::Info, IssueCode::NotChecked, 6);
    assert!(note.message.contains("`short_axis_mm` (size-confounder)"), "{}", note.message);
    assert!(!note.message.contains("near_hash") && !note.message.contains("`site`"), "{}", note.message);
}

#[test]
fn one_hash_of_all_views_gives_a_least_count_of_pairs() {
    let message = |rows_with_hash: usize| {
        let found = planted(|rows| {
            let hash = Some("5".repeat(64).parse().unwrap());
            rows[..rows_with_hash].iter_mut().for_each(|row| row.audit.near_hash = hash);
        });
        let issue = found.issues.iter().find(|issue| issue.code == IssueCode::NearCopies).unwrap();
        (issue.count, issue.message.clone())
    };
    // The rows of two patients are all compared, those of 36 are not.
    let (pairs, said) = message(8);
    assert!(pairs == 1 && said.starts_with("views of 1 pair of patients"), "{said}");
    let (pairs, said) = message(144);
    assert!(pairs < 36 * 35 / 2 && said.starts_with("views of at least "), "{said}");
}

#[test]
fn the_first_group_with_another_share_is_named_with_its_shares() {
    let found = planted(|rows| {
        for (n, row) in rows.iter_mut().enumerate() {
            row.audit.site = Some(if n / 4 < 12 { "site b" } else { "site a" }.into());
        }
        let of_site = rows.iter_mut().take(48).filter(|row| is_metastatic(row));
        of_site.take(20).for_each(|row| row.metastasis = Some(Metastasis::Benign));
    });
    let warning = issue(&found, Severity::Warning, IssueCode::StatusShareOfGroup, 1);
    assert!(
        warning.message.contains("of `site` has") && warning.message.contains("beyond chance: site "),
        "{warning:?}"
    );
    assert!(warning.message.contains("50.0 %") && warning.message.contains("8.3 %"), "{warning:?}");
}

#[test]
fn a_dataset_of_negatives_alone_is_said_to_have_no_finding() {
    let found = planted(|rows| {
        for row in rows.iter_mut() {
            (row.kind, row.evidence) = (RowKind::Negative, Evidence::U);
            (row.region, row.region_name, row.station, row.metastasis) = (None, None, None, None);
        }
    });
    let warning = issue(&found, Severity::Warning, IssueCode::FewPatients, 0);
    assert!(warning.message.contains("no row is a finding") && warning.advice.contains("annotations"), "{warning:?}");
}

#[test]
fn a_class_of_one_scanner_is_named_where_chance_does_not_explain_it() {
    let lower_only = |patients: usize| {
        planted(|rows| {
            for (n, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.region == Some(1)) {
                // Of the patients of the first maker, some keep the class; all others lose it.
                let (patient, round) = (n / 4 % 6, n / 4 / 6);
                if round % 3 > 0 || round / 3 * 6 + patient >= patients {
                    (row.region, row.region_name) = (Some(0), Some("upper".into()));
                }
            }
        })
    };
    let found = lower_only(6);
    let warning = issue(&found, Severity::Warning, IssueCode::ScannerOnlyClass, 1);
    assert_eq!(warning.examples, ["subcarinal: all 6 patients from maker 0"]);
    // Two of 36 patients from one of three makers: chance does that one time in three.
    has_not(&lower_only(2), IssueCode::ScannerOnlyClass);
    // Four would be beyond chance for one maker that was named before, and are fewer than five.
    has_not(&lower_only(4), IssueCode::ScannerOnlyClass);
    // Patients whose scanner is not named are not called patients of the maker.
    let found = planted(|rows| {
        for (n, row) in rows.iter_mut().enumerate() {
            match n / 4 / 6 % 3 {
                0 => {}
                1 if row.region == Some(1) => row.manufacturer = None,
                _ => (row.region, row.region_name) = (Some(0), Some("upper".into())),
            }
        }
    });
    let warning = issue(&found, Severity::Warning, IssueCode::ScannerOnlyClass, 1);
    assert_eq!(warning.examples, ["subcarinal: all 12 patients with a named scanner from maker 0; 12 more have none"]);
}

#[test]
fn prevalence_differs_beyond_chance_or_is_a_note() {
    // All nodes of four of six test patients become metastatic: 83 % against 50 %.
    let of_test = |row: &&mut RowLabels| row.split == Split::Test;
    let found = planted(|rows| {
        rows.iter_mut().filter(of_test).take(16).for_each(|row| row.metastasis = Some(Metastasis::Metastatic));
    });
    let warning = issue(&found, Severity::Warning, IssueCode::PrevalenceDiffers, 24);
    assert!(warning.message.contains("beyond chance"), "{}", warning.message);
    // Whole patients of one status: 83 % against 50 % again, but of six patients it is chance.
    let found = planted(|rows| {
        for (n, row) in rows.iter_mut().enumerate() {
            let patient = n / 4;
            let is_sick = match patient % 6 {
                5 => patient / 6 < 5,
                4 => patient / 6 % 2 == 0,
                _ => patient % 2 == 0,
            };
            row.metastasis = Some(if is_sick { Metastasis::Metastatic } else { Metastasis::Benign });
        }
    });
    let shares: Vec<_> = found.by_split.iter().map(|group| group.count.prevalence().unwrap()).collect();
    assert!((shares[0] - 0.5).abs() < 1e-9 && (shares[2] - 5.0 / 6.0).abs() < 1e-9, "{shares:?}");
    let note = issue(&found, Severity::Info, IssueCode::PrevalenceDiffers, 24);
    assert!(note.message.contains("which chance explains"), "{}", note.message);
    // Two of six test patients are left, and all their nodes are metastatic.
    let found = planted(|rows| {
        rows.retain(|row| row.split != Split::Test || matches!(row.patient_key.as_str(), "patient5" | "patient11"));
        let of_test = rows.iter_mut().filter(|row| row.split == Split::Test);
        of_test.for_each(|row| row.metastasis = Some(Metastasis::Metastatic));
    });
    let note = issue(&found, Severity::Info, IssueCode::PrevalenceDiffers, 8);
    assert!(note.message.contains("not tested, with fewer than 5 patients"), "{}", note.message);
}

#[test]
fn empty_cells_of_the_two_dimensions_are_named() {
    let emptied = |split: Split| {
        planted(|rows| {
            let cell = |row: &&mut RowLabels| row.split == split && row.region == Some(1) && is_metastatic(row);
            rows.iter_mut().filter(cell).for_each(|row| row.metastasis = Some(Metastasis::Benign));
        })
    };
    let found = emptied(Split::Train);
    assert_eq!(issue(&found, Severity::Warning, IssueCode::EmptyCell, 1).examples, ["subcarinal, metastatic"]);
    issue(&emptied(Split::Validation), Severity::Info, IssueCode::EmptyCell, 1);
    // Four patients of training have a node of known status there, all benign: chance does that.
    let few = planted(|rows| {
        for (n, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.split == Split::Train) {
            if row.region == Some(1) {
                row.metastasis = (n < 4 * 6).then_some(Metastasis::Benign);
            }
        }
    });
    issue(&few, Severity::Info, IssueCode::EmptyCell, 1);
}

#[test]
fn pairs_of_sources_are_one_to_one_without_samples_and_few_have_no_interval() {
    // Four patients are annotated again, 1 mm off with the same labels, and 2 mm off with another status.
    let again = |patients: usize, weight: f32| {
        planted(|rows| {
            let mut others = Vec::new();
            for (n, row) in rows.iter().enumerate().take(4 * patients) {
                for (name, apart) in [("near", 1.0), ("far", 2.0)] {
                    let mut other = row.clone();
                    other.sample_key = format!("{name}{n}");
                    other.voxels_digest = format!("{name}{n}");
                    other.series_key = SeriesKey::from_stored(format!("{name} {}", row.series_key.as_str()));
                    other.label_source = "segmentation".into();
                    other.center_mm[2] += apart;
                    other.weight = weight;
                    if name == "far" {
                        other.metastasis = Some(Metastasis::Metastatic);
                    }
                    others.push(other);
                }
            }
            rows.extend(others);
        })
    };
    let status = |audit: &Audit| audit.agreement.iter().find(|one| one.dimension == "metastasis").cloned().unwrap();
    let few = status(&again(4, 1.0));
    assert_eq!((few.pairs, few.patients, few.kappa, few.interval), (16, 4, Some(1.0), None));
    assert_eq!(status(&again(5, 1.0)).interval, Some([1.0, 1.0]));
    assert!(again(5, 0.5).agreement.is_empty(), "samples may be shifted");
}

#[test]
fn sources_that_speak_of_one_place_are_set_beside_each_other() {
    // Every series again in another reconstruction, annotated by masks, which call every third node metastatic.
    let found = planted(|rows| {
        let again: Vec<RowLabels> = rows
            .iter()
            .enumerate()
            .map(|(n, row)| {
                let mut other = row.clone();
                other.sample_key = format!("again{n}");
                other.voxels_digest = format!("again{n}");
                other.series_key = SeriesKey::from_stored(format!("again {}", row.series_key.as_str()));
                other.label_source = "segmentation".into();
                other.center_mm[2] += 1.0;
                if n % 3 == 0 {
                    other.metastasis = Some(Metastasis::Metastatic);
                }
                other
            })
            .collect();
        rows.extend(again);
    });
    let of = |dimension: &str| found.agreement.iter().find(|one| one.dimension == dimension).unwrap();
    assert_eq!((of("region").sources.join(" "), of("region").pairs), ("segmentation table".to_owned(), 144));
    assert_eq!((of("region").observed, of("region").kappa), (1.0, Some(1.0)));
    let status = of("metastasis");
    let [low, high] = status.interval.unwrap();
    let kappa = status.kappa.unwrap();
    assert!(low < kappa && kappa < high && kappa < 0.8 && status.patients == 36, "{status:?}");
    assert!(mtids_audit::page::page(&found).contains("Agreement of sources"));
    assert!(planted(|_| ()).agreement.is_empty());
    assert!(!mtids_audit::page::page(&planted(|_| ())).contains("Agreement of sources"));
}

#[test]
fn the_worklist_has_one_line_for_a_finding_and_none_for_a_negative() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = sound();
    // Rows 0 and 2 are two nodes of one series, cut twice each.
    for (n, volume) in [(0, 300.0), (2, 500.0)] {
        rows[n].weight = 0.5;
        rows[n].grown.set(Measure::Volume, Some(volume));
        rows[n].grown.set(Measure::Shell3Hu, Some(-180.0));
        let mut sample = rows[n].clone();
        (sample.sample_key, sample.voxels_digest) = (format!("again{n}"), format!("again{n}"));
        sample.center_mm[1] += 2.0;
        rows.push(sample);
    }
    let mut negative = rows[5].clone();
    (negative.sample_key, negative.kind) = ("negative".into(), RowKind::Negative);
    (negative.metastasis, negative.evidence) = (None, Evidence::U);
    rows.push(negative);
    publish(folder.path(), &rows);
    let found = audit(folder.path(), &AuditConfig::default()).unwrap();
    let items = worklist(&Opened::new(folder.path()).unwrap(), &found).unwrap();
    let of = |issue: &str| -> Vec<&str> {
        items.iter().filter(|item| item.issue == issue).map(|item| item.finding.as_str()).collect()
    };
    assert_eq!(of("place-without-tissue"), ["sample0", "sample2"]);
    assert_eq!(of("duplicate-voxels"), ["sample5"], "the negative has its voxels");
}

#[test]
fn the_worklist_asks_each_source_about_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = sound();
    rows[4].voxels_digest = rows[0].voxels_digest.clone();
    rows[4].label_source = "segmentation".into();
    rows[4].center_voxel[2] = 11.6;
    rows[7].grown.set(Measure::Shell3Hu, Some(-180.0));
    publish_as(folder.path(), &rows, &Published::default());
    let found = audit(folder.path(), &AuditConfig::default()).unwrap();
    let items = worklist(&Opened::new(folder.path()).unwrap(), &found).unwrap();
    let asked: Vec<(&str, &str, &str)> =
        items.iter().map(|item| (item.source.as_str(), item.finding.as_str(), item.issue)).collect();
    let expected = [
        ("segmentation", "sample4", "duplicate-voxels"),
        ("segmentation", "sample4", "same-voxels-other-labels"),
        ("table", "sample0", "duplicate-voxels"),
        ("table", "sample0", "same-voxels-other-labels"),
        ("table", "sample7", "place-without-tissue"),
    ];
    assert_eq!(asked, expected);
    assert_eq!((items[0].slice, items[0].status, items[0].region.as_deref()), (12, "metastatic", Some("upper")));
    let text = String::from_utf8(csv(&items).unwrap()).unwrap();
    assert!(
        text.starts_with(
            "source,site,series,slice,x_mm,y_mm,z_mm,finding,region,station,status,evidence,severity,issue,question\n"
        ),
        "{text}"
    );
    assert!(text.contains("table,unknown,series1,0,30.00,0.00,0.00,sample7,subcarinal,7,"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("source,") || line.contains(",A,")), "{text}");
    // A sound dataset leaves nobody to ask; the file has its heading.
    publish(folder.path(), &sound());
    let found = audit(folder.path(), &AuditConfig::default()).unwrap();
    let nothing = worklist(&Opened::new(folder.path()).unwrap(), &found).unwrap();
    assert_eq!((nothing.len(), String::from_utf8(csv(&nothing).unwrap()).unwrap().lines().count()), (0, 1));
}
