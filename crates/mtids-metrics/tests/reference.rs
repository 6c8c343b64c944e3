//! Every figure beside scikit-learn's, SciPy's or NumPy's for the same input.
//!
//! `fixtures/reference.json` is written by `tests/parity/make_metric_fixtures.py`. Tolerance is 1e-12 absolute; the
//! bootstraps draw from different generators and agree within their Monte Carlo error.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mtids_metrics::{
    BootstrapOptions, Confusion, Effect, PatientSums, ShareSums, Spread, auroc, average_precision,
    bootstrap_by_patient, brier, cramers_v, expected_calibration_error, holm, mean_difference_by_patient,
    mutual_information, quantile, roc_curve, wilson,
};
use serde_json::Value;

fn fixture(key: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("fixtures/reference.json")).unwrap();
    all[key].clone()
}

fn cases(key: &str) -> Vec<Value> {
    let cases = fixture(key).as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

fn table(value: &Value) -> Vec<Vec<u64>> {
    value.as_array().unwrap().iter().map(counts).collect()
}

/// Equal to 1e-12, or both undefined.
#[track_caller]
fn same(ours: Option<f64>, theirs: &Value, case: &Value) {
    match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-12, "{ours} is not {theirs}: {case}"),
        (ours, theirs) => assert_eq!(ours, theirs, "{case}"),
    }
}

#[test]
fn roc_and_calibration_are_those_of_scikit_learn() {
    for case in cases("binary") {
        let labels = counts(&case["labels"]);
        let samples: Vec<(f64, bool)> =
            floats(&case["scores"]).into_iter().zip(labels.into_iter().map(|label| label == 1)).collect();
        same(auroc(&samples), &case["auroc"], &case);
        same(average_precision(&samples), &case["average_precision"], &case);
        same(brier(&samples), &case["brier"], &case);
        let bins = case["bins"].as_u64().unwrap() as usize;
        same(expected_calibration_error(&samples, bins), &case["expected_calibration_error"], &case);
        let points = case["roc"].as_array().unwrap();
        let curve = roc_curve(&samples);
        assert_eq!(curve.len(), points.len(), "{case}");
        for (ours, theirs) in curve.iter().zip(points) {
            same(Some(ours.false_positive_rate), &theirs[0], &case);
            same(Some(ours.true_positive_rate), &theirs[1], &case);
        }
    }
}

#[test]
fn confusion_is_that_of_scikit_learn() {
    for case in cases("confusion") {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let (truth, called) = (counts(&case["truth"]), counts(&case["called"]));
        let pairs = truth.into_iter().zip(called).map(|(truth, called)| (truth as usize, called as usize));
        let confusion = Confusion::from_pairs(classes, pairs);
        assert_eq!(confusion.rows(), table(&case["counts"]), "{case}");
        same(confusion.accuracy(), &case["accuracy"], &case);
        same(confusion.balanced_accuracy(), &case["balanced_accuracy"], &case);
        same(confusion.macro_f1(), &case["macro_f1"], &case);
        for (class, recall) in case["recall"].as_array().unwrap().iter().enumerate() {
            same(confusion.recall(class), recall, &case);
        }
    }
}

#[test]
fn association_is_that_of_scipy_with_the_bias_removed() {
    for case in cases("association") {
        let ours = cramers_v(&table(&case["table"]));
        same(ours, &case["cramers_v"], &case);
        let found = mutual_information(&table(&case["table"])).unwrap();
        for (ours, key) in [(found.bits, "bits"), (found.of_column, "of_column")] {
            let theirs = case[key].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-10, "{key}: {ours} is not {theirs}: {case}");
        }
        if let (Some(ours), Some(uncorrected)) = (ours, case["uncorrected"].as_f64()) {
            assert!(ours <= uncorrected + 1e-12, "{case}");
        }
    }
}

#[test]
fn quantiles_are_those_of_numpy() {
    for case in cases("quantile") {
        same(quantile(&floats(&case["values"]), case["share"].as_f64().unwrap()), &case["quantile"], &case);
    }
}

#[test]
fn wilson_is_that_of_scipy() {
    for case in cases("wilson") {
        let interval = wilson(case["successes"].as_u64().unwrap(), case["trials"].as_u64().unwrap());
        same(interval.map(|interval| interval.low), &case["low"], &case);
        same(interval.map(|interval| interval.high), &case["high"], &case);
    }
}

#[test]
fn the_bootstrap_agrees_with_that_of_scipy() {
    let case = fixture("bootstrap");
    let names: Vec<String> =
        case["patients"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let patients: Vec<&str> = names.iter().map(String::as_str).collect();
    let values = floats(&case["values"]);
    let mean = |drawn: &[usize]| Some(drawn.iter().map(|&sample| values[sample]).sum::<f64>() / drawn.len() as f64);
    let interval = bootstrap_by_patient(&patients, BootstrapOptions { resamples: 20_000, seed: 5 }, mean).unwrap();
    let (low, high) = (case["low"].as_f64().unwrap(), case["high"].as_f64().unwrap());
    // The standard error of a 2.5 % point of 20 000 resamples is about 0.7 % of the interval's width.
    let tolerance = 0.03 * (high - low);
    assert!((interval.low - low).abs() < tolerance, "{interval:?} is not {low}..{high}");
    assert!((interval.high - high).abs() < tolerance, "{interval:?} is not {low}..{high}");
}

#[test]
fn the_bootstrap_is_pinned_bit_for_bit() {
    // Published evaluations can be made again only while these bits stay.
    let samples: Vec<(f64, bool)> = (0..30).map(|n| (f64::from(n * 7 % 11) / 11.0, n % 3 == 0)).collect();
    let names: Vec<String> = (0..30).map(|n| format!("p{}", n / 2)).collect();
    let patients: Vec<&str> = names.iter().map(String::as_str).collect();
    let interval = bootstrap_by_patient(&patients, BootstrapOptions { resamples: 200, seed: 9 }, |drawn| {
        auroc(&drawn.iter().map(|&sample| samples[sample]).collect::<Vec<_>>())
    })
    .unwrap();
    assert_eq!((interval.low.to_bits(), interval.high.to_bits()), (LOW, HIGH), "{interval:?}");
}

const LOW: u64 = 4_599_089_343_041_070_070;
const HIGH: u64 = 4_605_001_175_380_494_299;

#[test]
fn effects_are_those_of_scipys_t() {
    for case in cases("effect") {
        let spreads: Vec<Spread> = case["spreads"]
            .as_array()
            .unwrap()
            .iter()
            .map(floats)
            .map(|spread| Spread { variance: spread[0], degrees: spread[1] })
            .collect();
        let effect = Effect::new(case["value"].as_f64().unwrap(), &spreads).unwrap();
        for (ours, key) in [(effect.interval.low, "low"), (effect.interval.high, "high"), (effect.p, "p")] {
            let theirs = case[key].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-9 * theirs.abs().max(1e-3), "{key}: {ours} is not {theirs}: {case}");
        }
    }
}

#[test]
fn adjusted_p_values_are_those_of_statsmodels() {
    for case in cases("holm") {
        let adjusted = holm(&floats(&case["p"]));
        for (ours, theirs) in adjusted.iter().zip(floats(&case["holm"])) {
            same(Some(*ours), &theirs.into(), &case);
        }
    }
}

/// Errors and intervals are equal to 1e-9: both are sums over patients in another order.
#[test]
fn differences_of_clustered_samples_are_those_of_statsmodels() {
    let mut of_clusters = 0;
    for case in cases("clustered") {
        let patients = case["patients"].as_array().unwrap().iter().map(|sides| {
            let [first, second] = [floats(&sides[0]), floats(&sides[1])];
            PatientSums {
                samples: [first.len() as f64, second.len() as f64],
                sums: [first.iter().sum(), second.iter().sum()],
            }
        });
        let effect = mean_difference_by_patient(&patients.collect::<Vec<PatientSums>>()).unwrap();
        for (ours, theirs) in
            [(effect.value, "value"), (effect.interval.low, "low"), (effect.interval.high, "high"), (effect.p, "p")]
        {
            let theirs = case[theirs].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-9, "{ours} is not {theirs}: {}", case["name"]);
        }
        of_clusters += usize::from(case["is_of_clusters"].as_bool().unwrap());
    }
    assert!(of_clusters >= 2, "{of_clusters} cases have the variance of clusters");
}

/// Errors and intervals are equal to 1e-9, as those of differences.
#[test]
fn shares_of_clustered_samples_are_those_of_statsmodels() {
    for case in cases("share") {
        let mut sums = ShareSums::default();
        case["patients"].as_array().unwrap().iter().map(floats).for_each(|one| sums.add(one[0], one[1]));
        same(sums.share(), &case["share"], &case);
        let (error, interval) = (sums.clustered_error().unwrap(), sums.interval().unwrap());
        for (ours, key) in [(error, "error"), (interval.low, "low"), (interval.high, "high")] {
            let theirs = case[key].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-9, "{key}: {ours} is not {theirs}: {}", case["name"]);
        }
    }
}
