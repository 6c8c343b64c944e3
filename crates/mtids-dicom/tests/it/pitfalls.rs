//! Crops of a real CT with one defect each: the demanded outcome, HU probes exact.

use std::collections::BTreeMap;

use mtids_dicom::{FileKind, Limits, ReasonCode, group, load_volume, read_header};
use mtids_domain::geometry::PointMm;
use serde_json::Value;

use crate::{files, grouped, headers, shared};

fn probes(folder: &std::path::Path) -> Vec<(PointMm, i16)> {
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    expected["probes_lps_mm_hu"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|probe| (PointMm::new(number(&probe[0]), number(&probe[1]), number(&probe[2])), number(&probe[3]) as i16))
        .collect()
}

/// The case holds exactly one usable volume, which has the HU at every probe.
fn one_volume(case: &str, slices: usize) {
    let folder = shared("pitfalls").join(case);
    let volumes: Vec<_> =
        grouped(&folder).series.iter().filter_map(|series| load_volume(series, &Limits::default()).ok()).collect();
    assert_eq!(volumes.len(), 1, "{case}");
    assert_eq!(volumes[0].volume.dimensions()[2], slices, "{case}");
    let probes = probes(&folder);
    assert!(!probes.is_empty(), "{case}");
    for (point, hu) in probes {
        assert_eq!(volumes[0].volume.nearest(point), Some(hu), "{case} at {point:?}");
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn clean_duplicate_flipped_and_rescaled_series_give_the_same_hu() {
    for case in ["clean", "duplicate_sop", "prone_flipped", "rescale_per_slice", "jpegls", "enhanced_ct"] {
        one_volume(case, 16);
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_identical_copy_is_counted() {
    let folder = shared("pitfalls/duplicate_sop");
    assert_eq!(grouped(&folder).duplicates.len(), 1);
}

#[test]
#[ignore = "needs ../shared/data"]
fn gaps_and_steps_and_cut_files_are_refused_by_reason() {
    let folder = shared("pitfalls");
    for (case, reason) in [("missing_slice", "missing-slices"), ("unequal_spacing", "unequal-spacing")] {
        let outcome = grouped(&folder.join(case));
        assert_eq!(outcome.series.len(), 1, "{case}");
        let error = load_volume(&outcome.series[0], &Limits::default()).unwrap_err();
        assert_eq!(error.reason().as_str(), reason, "{case}: {error}");
    }
    let outcome = grouped(&folder.join("missing_slice"));
    let error = load_volume(&outcome.series[0], &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("10.000 mm from -627.50 mm to -617.50 mm"), "the place of the missing slice: {error}");
}

#[test]
#[ignore = "needs ../shared/data"]
fn cut_files_are_named_and_leave_a_gap_not_zeros() {
    let folder = shared("pitfalls/truncated");
    for name in ["F009.dcm", "F012.dcm"] {
        assert_eq!(
            read_header(&folder.join(name), &Limits::default()).unwrap_err().reason(),
            ReasonCode::Truncated,
            "{name}"
        );
    }
    let (headers, refused) = headers(&folder);
    assert_eq!((headers.len(), refused.len()), (14, 3), "two cut files and expected.json");
    let outcome = group(headers);
    assert_eq!(load_volume(&outcome.series[0], &Limits::default()).unwrap_err().reason(), ReasonCode::MissingSlices);
}

#[test]
#[ignore = "needs ../shared/data"]
fn a_mixed_folder_gives_its_long_series_and_a_reason_for_everything_else() {
    let folder = shared("pitfalls/mixed_folder");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in files(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "dcm")) {
        let key = match read_header(&path, &Limits::default()) {
            Ok(FileKind::Image(_) | FileKind::Frames(_)) => "image".to_owned(),
            Ok(FileKind::Report { .. }) => "report".to_owned(),
            Ok(FileKind::Segmentation { .. }) => "segmentation".to_owned(),
            Ok(FileKind::Structures { .. }) => "structures".to_owned(),
            Ok(FileKind::Other { .. }) => "other".to_owned(),
            Err(error) => error.reason().to_string(),
        };
        *counts.entry(key).or_default() += 1;
    }
    let expected = [("empty", 1), ("image", 24), ("not-dicom", 1), ("not-original", 1), ("other", 1)];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected.map(|(key, n)| (key.to_owned(), n)));
    let mut outcome = grouped(&folder);
    assert_eq!(outcome.series.len(), 2);
    outcome.series.sort_by_key(|series| series.instances.len());
    let volume = load_volume(&outcome.series[1], &Limits::default()).unwrap().volume;
    assert_eq!(volume.dimensions()[2], 16);
    for (point, hu) in probes(&folder) {
        assert_eq!(volume.nearest(point), Some(hu), "{point:?}");
    }
}
