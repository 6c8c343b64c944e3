//! The map, the sets, and what becomes of measures.

use super::*;
use crate::coverage::Coverage;
use crate::operating::Operating;
use crate::reliability::bins;
use crate::subgroups::Subgroups;
use mtids_metrics::BootstrapOptions;
use mtids_runtime::random::rng_for;
use mtids_shards::{Measure, Measures};
use rand::RngExt;

/// Nodes of two regions whose true probability of metastasis is the logistic of `1.5 x - 0.5`, where the network says that of `3 x`.
fn nodes(patients: usize, seed: u64) -> Vec<Prediction> {
    let mut random = rng_for(seed, "nodes of a test", &[]);
    let mut nodes = Vec::new();
    for patient in 0..patients {
        for node in 0..1 + patient % 5 {
            let x: f64 = random.random_range(-1.0..1.0);
            let (said, truth) = (logistic(3.0 * x), logistic(1.5 * x - 0.5));
            let region = usize::from(random.random_range(0.0..1.0) < 0.4);
            let near = random.random_range(0.5..1.0);
            let by_region = if region == 0 { [near, 1.0 - near] } else { [1.0 - near, near] };
            nodes.push(Prediction {
                sample_key: format!("{patient}-{node}"),
                patient_key: format!("p{patient}"),
                region: Some(usize::from(random.random_range(0.0..1.0) < by_region[1])),
                metastasis: Some(usize::from(random.random_range(0.0..1.0) < truth)),
                pooled: by_region.iter().flat_map(|r| [r * (1.0 - said), r * said]).collect(),
                ..Prediction::default()
            });
        }
    }
    nodes
}

fn fit(nodes: &[Prediction]) -> Result<Calibration, String> {
    fit_with(nodes, Err("no measures".to_owned()))
}

fn fit_with(nodes: &[Prediction], reader: Result<MeasuresReader, String>) -> Result<Calibration, String> {
    Calibration::fit(nodes, reader, Digest::of_bytes(b"weights"), Digest::of_bytes(b"dataset"), false)
}

#[test]
fn the_joint_distribution_has_the_calibrated_status_however_sure_the_network_is() {
    let calibration = Calibration { slope: 0.0, intercept: logit(0.3), ..crate::testing::calibration() };
    for pooled in [[0.6, 1e-12, 0.4, 1e-13], [0.6, 0.0, 0.4, 0.0], [0.0, 0.25, 0.0, 0.75], [0.2, 0.1, 0.3, 0.4]] {
        let joint = calibration.joint(&Prediction { pooled: pooled.to_vec(), ..Prediction::default() });
        assert!((joint.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{joint:?}");
        assert!((joint[1] + joint[3] - 0.3).abs() < 1e-12, "{joint:?}");
    }
    // A status without any probability has the regions of the other one.
    let joint = calibration.joint(&Prediction { pooled: vec![0.6, 0.0, 0.4, 0.0], ..Prediction::default() });
    assert!((joint[1] - 0.3 * 0.6).abs() < 1e-12 && (joint[3] - 0.3 * 0.4).abs() < 1e-12);
}

#[test]
fn the_map_finds_how_often_the_network_is_right() {
    let calibration = fit(&nodes(4000, 1)).unwrap();
    assert!((calibration.slope - 0.5).abs() < 0.03, "{calibration:?}");
    assert!((calibration.intercept + 0.5).abs() < 0.05, "{calibration:?}");
}

#[test]
fn a_calibrated_distribution_keeps_its_sum_its_status_and_the_regions_within_a_status() {
    let calibration = fit(&nodes(500, 2)).unwrap();
    for node in nodes(40, 3) {
        let joint = calibration.joint(&node);
        assert!((joint.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((metastasis_probability(&joint) - calibration.metastasis(&node)).abs() < 1e-9);
        assert!((joint[1] * node.pooled[3] - joint[3] * node.pooled[1]).abs() < 1e-12);
    }
}

#[test]
fn sets_hold_the_class_of_nine_in_ten_nodes_of_new_patients() {
    // Over many calibrations, of few and of many patients, and never less where they are few.
    for (patients, most) in [(12, 1.0), (60, 0.95), (400, 0.925)] {
        let mut held = 0.0;
        for seed in 0..40 {
            let calibration = fit(&nodes(patients, 100 + seed)).unwrap();
            let fresh = nodes(300, 900 + seed);
            let is_held =
                |node: &&Prediction| calibration.set(&calibration.joint(node)).contains(&node.joint_class().unwrap());
            held += fresh.iter().filter(is_held).count() as f64 / fresh.len() as f64 / 40.0;
        }
        assert!((0.89..=most).contains(&held), "{patients} patients: {held}");
    }
}

#[test]
fn too_few_patients_and_one_status_are_said_in_words() {
    assert!(fit(&nodes(4, 1)).unwrap_err().contains("validation patients"));
    let mut nodes = nodes(30, 1);
    nodes.iter_mut().for_each(|node| node.metastasis = Some(0));
    assert!(fit(&nodes).unwrap_err().contains("one status"));
}

#[test]
fn a_network_that_ranks_worse_than_chance_is_not_turned_round() {
    let mut nodes = nodes(200, 5);
    for node in &mut nodes {
        node.metastasis = Some(usize::from(metastasis_probability(&node.pooled) < 0.3));
    }
    let calibration = fit(&nodes).unwrap();
    let share = nodes.iter().filter(|node| node.metastasis == Some(1)).count() as f64 / nodes.len() as f64;
    assert_eq!(calibration.slope, 0.0);
    assert!((calibration.metastasis(&nodes[0]) - share).abs() < 1e-9);
}

/// As [`nodes`], where an axis says as much about the status again, of which the network knows nothing.
fn measured_nodes(patients: usize, seed: u64) -> Vec<Prediction> {
    let mut random = rng_for(seed, "measures of a test", &[]);
    let mut nodes = nodes(patients, seed);
    for node in &mut nodes {
        let log_axis: f64 = random.random_range(-1.0..1.0);
        let truth = logistic(0.5 * logit(metastasis_probability(&node.pooled)) + 2.0 * log_axis - 0.5);
        node.metastasis = Some(usize::from(random.random_range(0.0..1.0) < truth));
        node.grown.set(Measure::ShortAxis, Some((2.3 + log_axis).exp() as f32));
    }
    nodes
}

fn reader_of(nodes: &[Prediction]) -> Result<MeasuresReader, String> {
    MeasuresReader::fit(&nodes.iter().map(|node| (&node.grown, node.metastasis == Some(1))).collect::<Vec<_>>())
}

#[test]
fn measures_that_help_are_part_of_the_answer_and_of_its_sets() {
    let calibration = fit_with(&measured_nodes(400, 7), reader_of(&measured_nodes(2000, 8))).unwrap();
    assert_eq!((calibration.answered_by(), calibration.no_fusion.as_str()), (Reader::Fusion, ""));
    let fresh = measured_nodes(2000, 9);
    let brier = |probability: &dyn Fn(&Prediction) -> f64| {
        let pairs: Vec<(f64, bool)> =
            fresh.iter().map(|node| (probability(node), node.metastasis == Some(1))).collect();
        mtids_metrics::brier(&pairs).unwrap()
    };
    let [both, network, measures] = [
        brier(&|node| calibration.metastasis(node)),
        brier(&|node| calibration.of_network(&node.pooled)),
        brier(&|node| calibration.of_measures(node).unwrap()),
    ];
    assert!(both < network - 0.02 && both < measures - 0.02, "{both} {network} {measures}");
    let holds = |node: &&Prediction| calibration.set(&calibration.joint(node)).contains(&node.joint_class().unwrap());
    let held = fresh.iter().filter(holds).count() as f64 / fresh.len() as f64;
    assert!((0.86..0.94).contains(&held), "{held}");
    for node in &fresh {
        let joint = calibration.joint(node);
        assert!((metastasis_probability(&joint) - calibration.metastasis(node)).abs() < 1e-9);
    }
}

#[test]
fn a_calibration_is_the_same_behind_its_file() {
    for reader in [reader_of(&measured_nodes(300, 8)), Err("no measures".to_owned())] {
        let calibration = fit_with(&measured_nodes(100, 7), reader).unwrap();
        let file = serde_json::to_string(&calibration).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&file).unwrap(), calibration, "to the last bit");
    }
}

#[test]
fn a_file_from_before_the_fusion_is_read_and_known_as_such() {
    let mut value = serde_json::to_value(fit(&nodes(50, 1)).unwrap()).unwrap();
    let keys = value.as_object_mut().unwrap();
    assert!(keys.remove("fusion").is_some() && keys.remove("no_fusion").is_some());
    let old: Calibration = serde_json::from_value(value).unwrap();
    assert_eq!((old.tried_fusion(), old.answered_by()), (false, Reader::Network));
    assert!(old.answer_in_words().contains("earlier version"));
    assert!(fit(&nodes(50, 1)).unwrap().tried_fusion());
}

#[test]
fn measures_that_say_the_contrary_are_no_part_of_the_answer() {
    let training = measured_nodes(500, 8);
    let contrary: Vec<Prediction> = training
        .into_iter()
        .map(|node| Prediction { metastasis: node.metastasis.map(|status| 1 - status), ..node })
        .collect();
    let calibration = fit_with(&measured_nodes(300, 7), reader_of(&contrary)).unwrap();
    assert_eq!(calibration.answered_by(), Reader::Network);
    assert!(
        calibration.answer_in_words().ends_with("alone: the measures add nothing to it on these validation patients")
    );
    let node = &measured_nodes(1, 9)[0];
    assert_eq!(
        (calibration.metastasis(node), calibration.of_measures(node)),
        (calibration.of_network(&node.pooled), None)
    );
}

#[test]
fn a_node_without_measures_is_answered_by_the_network_alone() {
    let calibration = fit_with(&measured_nodes(300, 7), reader_of(&measured_nodes(500, 8))).unwrap();
    for node in measured_nodes(20, 9) {
        assert!(calibration.of_measures(&node).is_some());
        let unmeasured = Prediction { grown: Measures::default(), ..node };
        let alone = calibration.of_network(&unmeasured.pooled);
        assert_eq!((calibration.metastasis(&unmeasured), calibration.of_measures(&unmeasured)), (alone, None));
    }
}

#[test]
fn few_patients_leave_no_class_out() {
    let calibration = fit(&nodes(6, 1)).unwrap();
    assert_eq!(calibration.least_probability, 0.0);
    assert_eq!(calibration.set(&[0.7, 0.3, 0.0, 0.0]), [0, 1, 2, 3]);
}

#[test]
fn whatever_is_called_calibrated_follows_the_measures() {
    // The network says the contrary of the truth, the short axis the truth.
    let row = |n: usize| {
        let state = n % 2;
        let probability = 0.8 - 0.6 * state as f64;
        let mut grown = Measures::default();
        grown.set(Measure::ShortAxis, Some([6.0, 15.0][state] + n as f32 / 100.0));
        Prediction {
            sample_key: format!("s{n}"),
            patient_key: format!("p{}", n / 4),
            region: Some(0),
            metastasis: Some(state),
            pooled: vec![1.0 - probability, probability],
            grown,
            ..Prediction::default()
        }
    };
    let rows: Vec<Prediction> = (0..80).map(row).collect();
    let calibration = crate::testing::calibration_of_measures();
    let options = BootstrapOptions { resamples: 50, seed: 1 };
    let operating = Operating::of(&calibration, &rows, options).unwrap();
    assert!(operating.average_precision.value.unwrap() > 1.0 - 1e-9, "{operating:?}");
    assert_eq!(operating.calls[0].sensitivity.value, Some(1.0));
    let subgroups = Subgroups::of(&["upper".to_owned()], &rows, Some(&calibration), options);
    assert!(
        subgroups.groups.iter().filter(|group| group.no_figure.is_none()).all(|group| group.auroc.value == Some(1.0))
    );
    let without = Subgroups::of(&["upper".to_owned()], &rows, None, options);
    assert!(
        without.groups.iter().filter(|group| group.no_figure.is_none()).all(|group| group.auroc.value == Some(0.0))
    );
    let found = bins(&calibration, &rows, options);
    assert_eq!((found[0].share.value, found[found.len() - 1].share.value), (Some(0.0), Some(1.0)));
    let coverage = Coverage::of(&calibration, &rows, options).unwrap();
    assert_eq!((coverage.share, coverage.reader), (1.0, Reader::Fusion));
    assert!(coverage.brier[1] < coverage.brier[0] && coverage.answer.contains("0.00 to theirs"), "{coverage:?}");
}

#[test]
fn numbers_that_no_fit_gives_are_found() {
    let whole = fit(&nodes(60, 3)).unwrap();
    assert_eq!(whole.out_of_range(), None);
    for (slope, threshold, key) in
        [(-3.0, 0.5, "slope"), (1e308, 0.5, "slope"), (f64::NAN, 0.5, "slope"), (1.0, 2.0, "sensitive_threshold")]
    {
        let changed = Calibration { slope, sensitive_threshold: threshold, ..whole.clone() };
        assert_eq!(changed.out_of_range(), Some(key));
    }
}
