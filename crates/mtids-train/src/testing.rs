//! Rows and a calibration for the tests of this crate.

use mtids_domain::label::{Evidence, LabelLevel};
use mtids_domain::pseudonym::{PatientKey, SeriesKey, StudyKey};
use mtids_metrics::{Logistic, LogisticInput};
use mtids_runtime::digest::Digest;
use mtids_shards::{AuditFacts, Measure, Measures, RowKind, RowLabels, Split};

use crate::calibration::Calibration;
use crate::fusion::{Fusion, MeasuresReader};

/// A finding without labels or measures; the patient's name is the sample's key too.
pub(crate) fn row(patient: &str, split: Split) -> RowLabels {
    RowLabels {
        sample_key: patient.to_owned(),
        kind: RowKind::Finding,
        patient_key: PatientKey::from_stored(patient),
        study_key: StudyKey::from_stored("s"),
        series_key: SeriesKey::from_stored("s"),
        frame_of_reference_key: None,
        instance_key: None,
        split,
        center_voxel: [0.0; 3],
        center_mm: [0.0; 3],
        region: None,
        region_name: None,
        station: None,
        metastasis: None,
        evidence: Evidence::U,
        level: LabelLevel::Node,
        label_source: "table".into(),
        short_axis_mm: None,
        finding_distance_mm: None,
        study_day: None,
        manufacturer: None,
        model: None,
        kernel: None,
        slice_thickness_mm: None,
        slice_step_mm: 1.0,
        pixel_spacing_mm: 1.0,
        kvp: None,
        contrast: None,
        pet: false,
        repaired: None,
        pad_fraction: 0.0,
        weight: 1.0,
        audit: AuditFacts::default(),
        voxels_digest: format!("voxels of {patient}"),
        grown: Measures::default(),
        mask: None,
    }
}

/// A calibration that leaves probabilities as they are; a class of a quarter is in the set.
pub(crate) fn calibration() -> Calibration {
    Calibration {
        weights: Digest::of_bytes(b"w"),
        dataset: Digest::of_bytes(b"d"),
        chose_epoch: false,
        nodes: 100,
        patients: 50,
        slope: 1.0,
        intercept: 0.0,
        fusion: None,
        no_fusion: String::new(),
        level: 0.9,
        sensitive_threshold: 0.2,
        least_probability: 0.25,
    }
}

/// A calibration whose answer is the short axis alone: a node of 10 mm is metastatic with a probability of one half.
pub(crate) fn calibration_of_measures() -> Calibration {
    let input = |mean: f64, weight: f64| LogisticInput { mean, deviation: 1.0, weight };
    let reader = MeasuresReader {
        measures: vec![Measure::ShortAxis],
        model: Logistic { intercept: 0.0, inputs: vec![input(10.0_f64.ln(), 4.0)] },
        ranges: vec![[1.0_f64.ln(), 100.0_f64.ln()]],
        samples: 1000,
    };
    let model = Logistic { intercept: 0.0, inputs: vec![input(0.0, 0.0), input(0.0, 1.0)] };
    Calibration { fusion: Some(Fusion { reader, model, samples: 100, patients: 50 }), ..calibration() }
}
