//! Groups of made-up nodes, whose figures are known.

use super::*;
use mtids_shards::Measures;

const OPTIONS: BootstrapOptions = BootstrapOptions { resamples: 200, seed: 1 };

fn names() -> Vec<String> {
    vec!["upper".into(), "lower".into()]
}

/// Forty patients with a benign and a metastatic node each. In the upper region (even patients) the network is right, in the lower one it says
/// the same of all; the scanner follows the region, and patient 1 has one of its own.
fn rows() -> Vec<Prediction> {
    let row = |n: usize| {
        let (patient, state) = (n / 2, n % 2);
        let is_upper = patient.is_multiple_of(2);
        let probability = if is_upper { 0.3 + 0.4 * state as f64 } else { 0.4 };
        let mut grown = Measures::default();
        grown.set(Measure::ShortAxis, [Some(9.9), Some(10.0), Some(20.0), None][patient % 4]);
        let scan = Scan {
            manufacturer: Some(if is_upper { "A" } else { "B" }.to_owned()),
            model: (patient == 1).then(|| "rare".to_owned()),
            kernel: None,
            slice_thickness_mm: Some(if is_upper { 1.5 } else { 5.0 }),
        };
        Prediction {
            sample_key: format!("s{n}"),
            patient_key: format!("p{patient}"),
            region: Some(patient % 2),
            metastasis: Some(state),
            pooled: vec![1.0 - probability, probability],
            grown,
            scan,
            ..Prediction::default()
        }
    };
    (0..80).map(row).collect()
}

fn calibration() -> Calibration {
    Calibration { sensitive_threshold: 0.35, ..crate::testing::calibration() }
}

fn find<'a>(subgroups: &'a Subgroups, grouping: Grouping, name: &str) -> &'a Subgroup {
    subgroups.groups.iter().find(|group| group.grouping == grouping && group.name == name).unwrap()
}

#[test]
fn a_region_where_the_network_fails_shows() {
    let subgroups = Subgroups::of(&names(), &rows(), Some(&calibration()), OPTIONS);
    let upper = find(&subgroups, Grouping::Region, "upper");
    assert_eq!((upper.nodes, upper.metastatic, upper.patients), (40, 20, 20));
    assert_eq!(upper.auroc.value, Some(1.0));
    assert_eq!((upper.sensitivity.value, upper.specificity.value), (Some(1.0), Some(1.0)));
    let lower = find(&subgroups, Grouping::Region, "lower");
    assert_eq!(lower.auroc.value, Some(0.5));
    assert_eq!((lower.sensitivity.value, lower.specificity.value), (Some(1.0), Some(0.0)));
    assert!(lower.specificity.interval.unwrap().high > 0.1, "twenty patients do not make it certain");
    let text = subgroups.text();
    assert!(text.contains("nothing is corrected") && text.contains("from p 0.35"), "{text}");
}

#[test]
fn classes_of_size_and_thickness_have_their_bounds() {
    let subgroups = Subgroups::of(&names(), &rows(), None, OPTIONS);
    for name in ["below 10 mm", "10 to below 20 mm", "20 mm and more", "not measured"] {
        assert_eq!(find(&subgroups, Grouping::ShortAxis, name).nodes, 20, "{name}");
    }
    assert_eq!(find(&subgroups, Grouping::SliceThickness, "up to 1.5 mm").nodes, 40);
    assert_eq!(find(&subgroups, Grouping::SliceThickness, "above 3 mm").nodes, 40);
    let upper = find(&subgroups, Grouping::Region, "upper");
    assert_eq!((subgroups.threshold, upper.sensitivity.value), (None, None), "no threshold without a calibration");
    assert!(upper.auroc.interval.is_some());
}

#[test]
fn small_groups_groups_of_one_status_and_groupings_of_one_group_say_so() {
    let mut rows = rows();
    for row in rows.iter_mut().filter(|row| row.region == Some(1)) {
        row.metastasis = Some(0);
    }
    let subgroups = Subgroups::of(&names(), &rows, None, OPTIONS);
    let rare = find(&subgroups, Grouping::Scanner, "B rare");
    assert_eq!((rare.nodes, rare.auroc.value), (2, None));
    assert!(rare.no_figure.as_ref().unwrap().contains("1 patient, at least 5"), "{rare:?}");
    let lower = find(&subgroups, Grouping::Region, "lower");
    assert!(lower.no_figure.as_ref().unwrap().contains("one status"), "{lower:?}");
    assert_eq!(subgroups.undivided, ["kernel: all nodes are of one group, not stated"]);
    let text = subgroups.text();
    assert!(text.contains("scanner B rare: no figure for 2 nodes: 1 patient"), "{text}");
    // One metastasis more is a second status, of one patient only.
    rows[2].metastasis = Some(1);
    let few = Subgroups::of(&names(), &rows, None, OPTIONS);
    let lower = find(&few, Grouping::Region, "lower");
    assert!(lower.no_figure.as_ref().unwrap().contains("1 patient with a metastatic node"), "{lower:?}");
}

#[test]
fn rare_kernels_are_one_group_and_no_node_is_lost() {
    let mut rows = rows();
    for (n, row) in rows.iter_mut().enumerate() {
        row.scan.kernel = Some(format!("K{:02}", n % 20)).filter(|_| n < 70);
    }
    let subgroups = Subgroups::of(&names(), &rows, None, OPTIONS);
    let kernels: Vec<(&str, usize)> = subgroups
        .groups
        .iter()
        .filter(|group| group.grouping == Grouping::Kernel)
        .map(|group| (group.name.as_str(), group.nodes))
        .collect();
    // K00 to K09 have four nodes each, the others three.
    assert_eq!(kernels.len(), MOST + 2);
    assert_eq!((kernels[0], kernels[10]), (("K00", 4), ("K10", 3)));
    assert_eq!((kernels[MOST], kernels[MOST + 1]), (("8 others", 24), ("not stated", 10)));
    assert_eq!(kernels.iter().map(|kernel| kernel.1).sum::<usize>(), 80);
}

#[test]
fn no_node_has_no_text() {
    assert_eq!(Subgroups::of(&names(), &[], None, OPTIONS).text(), "");
}
