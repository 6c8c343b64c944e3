//! How calibrated probabilities and sets do on patients that they were not made from.
//!
//! Invariant: nothing is claimed of the patients that the calibration was fitted on, or of fewer than [`MINIMUM_PATIENTS`].

use std::collections::{BTreeMap, BTreeSet};

use mtids_metrics::{BootstrapOptions, Interval, bootstrap_by_patient, brier, expected_calibration_error, quantile};
use mtids_models::decoding::metastasis_probability;
use mtids_report::format::{interval, metric};
use mtids_runtime::random::rng_for;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::calibration::Calibration;
use crate::prediction::{MINIMUM_PATIENTS, Prediction};
use crate::readers::Reader;
use crate::within::{ShareWithin, share_within};

/// Bins of the calibration error.
const BINS: usize = 10;
/// Calibrations that are drawn anew.
const REDRAWN: usize = 200;

/// What a calibration is worth on a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Whose answer is judged: the network's with the measures, or the network's alone.
    pub reader: Reader,
    /// The same in words, with what each part adds, or why there is one only.
    pub answer: String,
    /// Share of nodes whose set is to hold their joint class.
    pub level: f64,
    /// Nodes with region and status.
    pub nodes: usize,
    /// Their patients.
    pub patients: usize,
    /// Share of them whose set holds their joint class.
    pub share: f64,
    /// Its 95 % interval over patients.
    pub interval: Option<Interval>,
    /// The same with each patient counted once: what the level is of, a node drawn from a new patient.
    pub of_patients: ShareWithin,
    /// Mean number of joint classes in a set.
    pub mean_size: f64,
    /// Share of nodes whose set leaves one status only.
    pub one_status: f64,
    /// Calibration error of the status as the network says it, and of the answer.
    pub calibration_error: [Option<f64>; 2],
    /// Brier score likewise.
    pub brier: [Option<f64>; 2],
    /// What calibrations on as many other patients give; `None` where there are less than twice as many as the calibration had.
    pub redrawn: Option<Redrawn>,
}

/// Shares that calibrations give which are fitted on some of the patients at hand and measured on the others.
///
/// One calibration is one draw: its share lies above or below the level by the luck of its few patients, and an interval over fresh patients does
/// not hold that luck. The mean tells whether the method keeps the level on such patients, and the range what to expect of one calibration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redrawn {
    /// Calibrations.
    pub calibrations: usize,
    /// Patients of each: those of the calibration that is measured.
    pub patients: usize,
    /// Mean share of nodes whose set holds their joint class.
    pub mean: f64,
    /// Shares between which 95 of 100 calibrations lie.
    pub range: Interval,
}

impl Redrawn {
    fn of(calibration: &Calibration, labelled: &[(&Prediction, usize)], seed: u64) -> Option<Self> {
        let mut by_patient: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (n, (row, _)) in labelled.iter().enumerate() {
            by_patient.entry(&row.patient_key).or_default().push(n);
        }
        if by_patient.len() < 2 * calibration.patients {
            return None;
        }
        let mut patients: Vec<&Vec<usize>> = by_patient.values().collect();
        let mut shares = Vec::with_capacity(REDRAWN);
        for draw in 0..REDRAWN {
            patients.shuffle(&mut rng_for(seed, "calibrations drawn anew", &[draw as u64]));
            let (own, others) = patients.split_at(calibration.patients);
            let rows: Vec<Prediction> = own.iter().copied().flatten().map(|&n| labelled[n].0.clone()).collect();
            // Patients of one status only give no calibration, here as in a run.
            let Ok(drawn) =
                Calibration::fit(&rows, calibration.reader(), calibration.weights, calibration.dataset, false)
            else {
                continue;
            };
            let holds = |&&n: &&usize| drawn.set(&drawn.joint(labelled[n].0)).contains(&labelled[n].1);
            let others: Vec<&usize> = others.iter().copied().flatten().collect();
            shares.push(others.iter().filter(|n| holds(n)).count() as f64 / others.len() as f64);
        }
        shares.sort_by(f64::total_cmp);
        Some(Self {
            calibrations: shares.len(),
            patients: calibration.patients,
            range: Interval { low: quantile(&shares, 0.025)?, high: quantile(&shares, 0.975)? },
            mean: shares.iter().sum::<f64>() / shares.len() as f64,
        })
    }
}

impl Coverage {
    /// Measures a calibration on predictions; `None` for too few patients.
    pub fn of(calibration: &Calibration, predictions: &[Prediction], bootstrap: BootstrapOptions) -> Option<Self> {
        let labelled: Vec<(&Prediction, usize)> =
            predictions.iter().filter_map(|row| Some((row, row.joint_class()?))).collect();
        let keys: Vec<&str> = labelled.iter().map(|(row, _)| row.patient_key.as_str()).collect();
        let patients = keys.iter().collect::<BTreeSet<_>>().len();
        if patients < MINIMUM_PATIENTS {
            return None;
        }
        let sets: Vec<Vec<usize>> = labelled.iter().map(|(row, _)| calibration.set(&calibration.joint(row))).collect();
        let holds: Vec<bool> = sets.iter().zip(&labelled).map(|(set, (_, class))| set.contains(class)).collect();
        let count = labelled.len() as f64;
        let mut of_patient: BTreeMap<&str, f64> = BTreeMap::new();
        keys.iter().for_each(|key| *of_patient.entry(key).or_default() += 1.0);
        let once = |drawn: &[usize]| {
            let weight = |n: &usize| 1.0 / of_patient[keys[*n]];
            let all: f64 = drawn.iter().map(weight).sum();
            (all > 0.0).then(|| drawn.iter().filter(|n| holds[**n]).map(weight).sum::<f64>() / all)
        };
        let trials: Vec<(&str, bool)> = keys.iter().copied().zip(holds.iter().copied()).collect();
        let of_nodes = share_within(&trials, bootstrap);
        // Where all sets hold, or none, no resample differs from another.
        let are_one = holds.iter().all(|held| *held == holds[0]);
        let of_patients = ShareWithin {
            value: once(&(0..labelled.len()).collect::<Vec<_>>()),
            interval: if are_one { of_nodes.interval } else { bootstrap_by_patient(&keys, bootstrap, once) },
        };
        let has_one_status = |set: &&Vec<usize>| set.iter().map(|class| class % 2).collect::<BTreeSet<_>>().len() == 1;
        let scores = |probability: &dyn Fn(&Prediction) -> f64| -> Vec<(f64, bool)> {
            labelled.iter().map(|(row, class)| (probability(row), class % 2 == 1)).collect()
        };
        let before = scores(&|row| metastasis_probability(&row.pooled));
        let behind = scores(&|row| calibration.metastasis(row));
        Some(Self {
            reader: calibration.answered_by(),
            answer: calibration.answer_in_words(),
            level: calibration.level,
            nodes: labelled.len(),
            patients,
            share: holds.iter().filter(|&&held| held).count() as f64 / count,
            interval: of_nodes.interval,
            of_patients,
            mean_size: sets.iter().map(Vec::len).sum::<usize>() as f64 / count,
            one_status: sets.iter().filter(has_one_status).count() as f64 / count,
            calibration_error: [&before, &behind].map(|scores| expected_calibration_error(scores, BINS)),
            brier: [&before, &behind].map(|scores| brier(scores)),
            redrawn: Redrawn::of(calibration, &labelled, bootstrap.seed),
        })
    }

    /// Lines for a terminal and a report.
    pub fn sentences(&self) -> Vec<String> {
        let Self { level, nodes, patients, share, of_patients, mean_size, one_status, .. } = self;
        let [error, calibrated_error] = self.calibration_error;
        let bounds = interval(self.interval.as_ref().map(|bounds| (bounds.low, bounds.high)));
        let mut sentences = vec![
            self.answer.clone(),
            format!(
                "sets of {:.0} %: {share:.3} [{bounds}] of {nodes} nodes of {patients} patients, {} [{}] with each patient counted once; \
                 {mean_size:.1} classes on average; one status in {one_status:.2} of the nodes",
                100.0 * level,
                metric(of_patients.value),
                of_patients.bounds()
            ),
            format!(
                "calibration error of the status: {} for the network's own probability, {} for the calibrated answer",
                metric(error),
                metric(calibrated_error)
            ),
        ];
        sentences.extend(self.redrawn.as_ref().map(|Redrawn { calibrations, patients, mean, range }| {
            format!(
                "{calibrations} calibrations on {patients} of these patients each, measured on the others: {mean:.3} on average, 95 % of them \
                 within [{}]",
                interval(Some((range.low, range.high)))
            )
        }));
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::calibration;

    fn row(patient: usize, class: usize, pooled: [f64; 4]) -> Prediction {
        Prediction {
            patient_key: format!("p{patient}"),
            region: Some(class / 2),
            metastasis: Some(class % 2),
            pooled: pooled.into(),
            ..Prediction::default()
        }
    }

    #[test]
    fn shares_sizes_and_errors_are_those_of_the_sets() {
        let calibration = calibration();
        let mut rows: Vec<Prediction> = (0..8).map(|n| row(n, 0, [0.7, 0.1, 0.1, 0.1])).collect();
        rows.push(row(8, 3, [0.7, 0.1, 0.1, 0.1]));
        rows.push(row(9, 1, [0.4, 0.3, 0.3, 0.0]));
        let options = BootstrapOptions { resamples: 200, seed: 1 };
        let coverage = Coverage::of(&calibration, &rows, options).unwrap();
        assert_eq!((coverage.nodes, coverage.patients), (10, 10));
        assert!((coverage.share - 0.9).abs() < 1e-12 && (coverage.mean_size - 1.2).abs() < 1e-12, "{coverage:?}");
        assert!((coverage.one_status - 0.9).abs() < 1e-12);
        // Where all sets hold, the interval of patients is Wilson's too.
        let sure = Coverage::of(
            &calibration,
            &rows[..8].iter().cloned().chain((10..14).map(|n| row(n, 0, [0.7, 0.1, 0.1, 0.1]))).collect::<Vec<_>>(),
            options,
        )
        .unwrap();
        assert!(
            (sure.of_patients.value, sure.of_patients.interval) == (Some(1.0), sure.interval)
                && sure.interval.unwrap().low < 1.0
        );
        // Eight more nodes of a patient whose sets hold them count as one.
        let more: Vec<Prediction> = rows.iter().cloned().chain((0..8).map(|_| rows[0].clone())).collect();
        let more = Coverage::of(&calibration, &more, options).unwrap();
        assert!((more.share - 17.0 / 18.0).abs() < 1e-12 && (more.of_patients.value.unwrap() - 0.9).abs() < 1e-12);
        assert!(coverage.interval.unwrap().low < 0.9);
        // A map that changes nothing changes no error.
        assert_eq!(
            coverage.brier[0].map(|score| (score * 1e9).round()),
            coverage.brier[1].map(|score| (score * 1e9).round())
        );
        assert!(Coverage::of(&calibration, &rows[..3], options).is_none());
        assert_eq!(coverage.redrawn, None, "50 patients were the calibration's, and 10 are here");
        assert_eq!(coverage.sentences().len(), 3);
    }

    #[test]
    fn calibrations_drawn_anew_keep_the_level_on_average() {
        // The class is the likelier one in seven of ten nodes, as the network says.
        let rows: Vec<Prediction> = (0..600)
            .map(|n| row(n / 3, if n % 10 < 7 { 0 } else { 1 + n % 3 }, [0.7, 0.15 + 1e-4 * (n % 7) as f64, 0.1, 0.05]))
            .collect();
        let options = BootstrapOptions { resamples: 50, seed: 1 };
        let calibration = Calibration { patients: 40, ..calibration() };
        let redrawn = Coverage::of(&calibration, &rows, options).unwrap().redrawn.unwrap();
        assert_eq!((redrawn.calibrations, redrawn.patients), (REDRAWN, 40));
        assert!(redrawn.range.low < redrawn.mean && redrawn.mean < redrawn.range.high, "{redrawn:?}");
        assert!((0.89..0.97).contains(&redrawn.mean), "{redrawn:?}");
        assert_eq!(Coverage::of(&calibration, &rows, options).unwrap().redrawn, Some(redrawn));
    }
}
