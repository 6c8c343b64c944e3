//! Reports that replace earlier ones of the same patient and study (Predecessor Documents).

use mtids_annotations::{Resolved, SeriesGeometry};
use mtids_dicom::{FileOutcome, SkipReason};
use mtids_domain::geometry::Voxel;

use crate::report_places::{loaded, wide};
use crate::sr_content::{Document, Item, group, scoord_3d};
use crate::written::grid;

fn node(name: &str, i: f64) -> Item {
    let place = grid().to_mm(Voxel([i, 30.0, 1.0])).0.map(|mm| mm as f32);
    group(name, vec![scoord_3d("POINT", &place, "2.25.2")])
}

/// What these reports give, each with its groups.
fn of(reports: Vec<(Document<'_>, Vec<Item>)>) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = reports.into_iter().map(|(document, groups)| document.write(folder.path(), groups)).collect();
    let other = SeriesGeometry { series_uid: "2.25.33", study_uid: "2.25.11", ..wide() };
    loaded(&paths, &[wide(), other], &[])
}

fn document<'a>(uid: &'a str, predecessors: &'a [&'a str]) -> Document<'a> {
    Document { uid, predecessors, ..Document::default() }
}

/// Whether each report was read, and what is said of those that another one replaces.
fn outcomes(resolved: &Resolved) -> Vec<Option<&str>> {
    let outcome = |object| match object {
        &FileOutcome::Skipped { reason: SkipReason::SupersededReport, ref detail, .. } => Some(detail.as_str()),
        _ => None,
    };
    resolved.objects.iter().map(outcome).collect()
}

#[test]
fn what_a_later_report_moved_or_deleted_does_not_come_back() {
    for (groups, findings) in [(vec![node("LN 7", 24.0)], 1), (Vec::new(), 0)] {
        // The later one first, too: the order of files says nothing.
        for turned in [false, true] {
            let mut reports = vec![
                (document("2.25.901", &[]), vec![node("LN 4R", 20.0)]),
                (document("2.25.902", &["2.25.901"]), groups.clone()),
            ];
            if turned {
                reports.reverse();
            }
            let resolved = of(reports);
            assert_eq!(resolved.findings[0].len(), findings);
            let told = outcomes(&resolved)[usize::from(turned)].unwrap();
            assert!(told.contains("report 2.25.902 of the same study"), "{told}");
        }
    }
}

#[test]
fn chains_leave_the_last_report() {
    let resolved = of(vec![
        (document("2.25.901", &[]), vec![node("a", 10.0)]),
        (document("2.25.902", &["2.25.901"]), vec![node("b", 20.0)]),
        (document("2.25.903", &["2.25.902"]), vec![node("c", 30.0)]),
    ]);
    let names: Vec<bool> = outcomes(&resolved).iter().map(Option::is_some).collect();
    assert_eq!((names, resolved.findings[0].len()), (vec![true, true, false], 1));
}

#[test]
fn reports_that_replace_each_other_are_read_and_told() {
    let resolved = of(vec![
        (document("2.25.901", &["2.25.902"]), vec![node("a", 10.0)]),
        (document("2.25.902", &["2.25.901"]), vec![node("b", 20.0)]),
        // Itself, and one that is not here.
        (document("2.25.903", &["2.25.903", "2.25.999"]), vec![node("c", 30.0)]),
    ]);
    assert_eq!((outcomes(&resolved), resolved.findings[0].len()), (vec![None; 3], 3));
    assert_eq!(resolved.told.iter().filter(|told| told.contains("a report that it replaces itself")).count(), 2);
    // One after the circle replaces all of it.
    let resolved = of(vec![
        (document("2.25.901", &["2.25.902"]), vec![node("a", 10.0)]),
        (document("2.25.902", &["2.25.901"]), vec![node("b", 20.0)]),
        (document("2.25.903", &["2.25.902"]), vec![node("c", 30.0)]),
    ]);
    assert_eq!(resolved.findings[0].len(), 1);
}

#[test]
fn no_report_of_another_study_or_patient_silences_one() {
    let earlier = || (document("2.25.901", &[]), vec![node("LN 4R", 20.0)]);
    let later = || document("2.25.902", &["2.25.901"]);
    for other in [Document { study: "2.25.11", ..later() }, Document { patient: "TEST-9", ..later() }] {
        let resolved = of(vec![earlier(), (other, Vec::new())]);
        assert_eq!((outcomes(&resolved), resolved.findings[0].len()), (vec![None; 2], 1));
    }
}
