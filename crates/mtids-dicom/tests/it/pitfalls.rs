//! Crops of a real CT with one defect each: the demanded outcome, HU probes exact.

use mtids_core::geometry::PointMm;
use mtids_dicom::{Limits, load_volume};
use serde_json::Value;

use crate::{grouped, headers, shared};

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
    let Some(folder) = shared("pitfalls").map(|folder| folder.join(case)) else { return };
    let volumes: Vec<_> =
        grouped(&folder).series.iter().filter_map(|series| load_volume(series, &Limits::default()).ok()).collect();
    assert_eq!(volumes.len(), 1, "{case}");
    assert_eq!(volumes[0].volume.dimensions()[2], slices, "{case}");
    let probes = probes(&folder);
    assert!(!probes.is_empty(), "{case}");
    for (point, hu) in probes {
        assert_eq!(volumes[0].volume.nearest_hu(point), Some(hu), "{case} at {point:?}");
    }
}

#[test]
fn clean_duplicate_flipped_and_rescaled_series_give_the_same_hu() {
    for case in ["clean", "duplicate_sop", "prone_flipped", "rescale_per_slice"] {
        one_volume(case, 16);
    }
}

#[test]
fn the_identical_copy_is_counted() {
    let Some(folder) = shared("pitfalls/duplicate_sop") else { return };
    assert_eq!(grouped(&folder).duplicates.len(), 1);
}

#[test]
fn gaps_and_steps_and_cut_files_are_refused_by_reason() {
    let Some(folder) = shared("pitfalls") else { return };
    for (case, reason) in [
        ("missing_slice", "missing-slices"),
        ("unequal_spacing", "unequal-spacing"),
        ("jpegls", "unsupported-transfer-syntax"),
    ] {
        let outcome = grouped(&folder.join(case));
        assert_eq!(outcome.series.len(), 1, "{case}");
        let error = load_volume(&outcome.series[0], &Limits::default()).unwrap_err();
        assert_eq!(error.reason().as_str(), reason, "{case}: {error}");
    }
    let (_, refused) = headers(&folder.join("truncated"));
    assert!(refused.contains(&"truncated".to_owned()), "{refused:?}");
    let (_, refused) = headers(&folder.join("enhanced_ct"));
    assert!(refused.contains(&"unsupported-object".to_owned()), "{refused:?}");
}
