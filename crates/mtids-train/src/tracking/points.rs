//! The logs of a run as values by step.
//!
//! Invariants: times count from the first step, because a run folder knows no time of day; more logs only add points. Units: seconds, steps.

use super::cosine_picture::{CosinePicture, MeanCosines};
use crate::gate_weights::WeightHistogram;
use crate::run_folder::log::{EpochLine, LossLine, TimingLine};

/// Values that were logged at one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// Steps done.
    pub(super) step: u64,
    /// Seconds of training until then.
    pub(super) seconds: f64,
    /// Value by tag.
    pub(super) values: Vec<(String, f64)>,
    /// Histogram by tag.
    pub(super) histograms: Vec<(String, WeightHistogram)>,
    /// Cosines between the tasks' gradients, the mean over the steps of an epoch.
    pub(super) cosines: Option<CosinePicture>,
}

/// All values of a run in the order of steps; `samples` make a step.
pub(super) fn points(losses: &[LossLine], epochs: &[EpochLine], timings: &[TimingLine], samples: usize) -> Vec<Point> {
    let mut points = Vec::new();
    let (mut epochs, mut timings) = (epochs.iter().peekable(), timings.iter().peekable());
    let mut seconds = 0.0;
    let mut cosines = MeanCosines::default();
    for line in losses {
        cosines.add(&line.cosines);
        let mut values = scalars(line);
        // A log that was cut back may lack the time of a step.
        while let Some(timing) = timings.next_if(|timing| timing.step <= line.step) {
            seconds += timing.seconds;
            if timing.step == line.step && timing.seconds > 0.0 {
                values.push(("speed/seconds_per_step".to_owned(), timing.seconds));
                values.push(("speed/samples_per_second".to_owned(), samples as f64 / timing.seconds));
                let whole = timing.waited + timing.seconds;
                values.push(("speed/waiting_share".to_owned(), timing.waited / whole));
            }
        }
        points.push(Point { step: line.step, seconds, values, histograms: Vec::new(), cosines: None });
        while let Some(epoch) = epochs.next_if(|epoch| epoch.step <= line.step) {
            let known = [
                ("validation/macro_f1", epoch.validation_score),
                ("validation/region_accuracy", epoch.region_accuracy),
                ("validation/metastasis_auroc", epoch.metastasis_auroc),
            ];
            let values: Vec<(String, f64)> =
                known.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect();
            let histograms = histograms(epoch);
            let cosines = std::mem::take(&mut cosines).picture();
            if !values.is_empty() || !histograms.is_empty() || cosines.is_some() {
                points.push(Point { step: epoch.step, seconds, values, histograms, cosines });
            }
        }
    }
    points
}

/// The weights of the gates at the end of an epoch, by tag.
fn histograms(epoch: &EpochLine) -> Vec<(String, WeightHistogram)> {
    let tasks = epoch.gates.iter();
    let branches = tasks.flat_map(|(task, gate)| gate.iter().map(move |(branch, weights)| (task, branch, weights)));
    branches.map(|(task, branch, weights)| (format!("gate/weights/{task}/{branch}"), weights.clone())).collect()
}

/// The values of a step, by tag.
fn scalars(line: &LossLine) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    values.extend(line.losses.iter().filter_map(|(task, loss)| Some((format!("loss/{task}"), (*loss)?))));
    values.extend(line.coefficients.iter().map(|(task, value)| (format!("balancer/coefficient/{task}"), *value)));
    values.push(("balancer/conflicting_share".to_owned(), line.conflicting_share));
    values.extend(line.gradient_norms.iter().map(|(task, norm)| (format!("balancer/gradient_norm/{task}"), *norm)));
    values.extend(line.cosines.iter().map(|(pair, cosine)| (format!("balancer/cosine/{pair}"), *cosine)));
    values.extend(line.shared_branch.iter().map(|(task, share)| (format!("gate/shared_branch/{task}"), *share)));
    values.push(("optimizer/gradient_norm".to_owned(), line.gradient_norm));
    values.push(("optimizer/learning_rate".to_owned(), line.learning_rate));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate_weights::gate_histograms;
    use crate::prediction::Prediction;
    use std::collections::BTreeMap;

    fn line(step: u64) -> LossLine {
        LossLine {
            step,
            epoch: 0,
            losses: BTreeMap::from([("joint".to_owned(), Some(0.5)), ("region".to_owned(), None)]),
            coefficients: BTreeMap::from([("joint".to_owned(), 1.0)]),
            gradient_norm: 2.0,
            gradient_norms: BTreeMap::from([("joint".to_owned(), 2.0)]),
            cosines: BTreeMap::from([("joint/region".to_owned(), -0.5)]),
            learning_rate: 1e-3,
            ..LossLine::default()
        }
    }

    #[test]
    fn a_loss_that_is_not_known_has_no_value() {
        let tags: Vec<String> = scalars(&line(1)).into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(
            tags,
            [
                "loss/joint",
                "balancer/coefficient/joint",
                "balancer/conflicting_share",
                "balancer/gradient_norm/joint",
                "balancer/cosine/joint/region",
                "optimizer/gradient_norm",
                "optimizer/learning_rate"
            ]
        );
    }

    #[test]
    fn gates_of_a_validated_epoch_have_a_histogram_by_task_and_branch() {
        let predictions =
            [0.2, 0.3].map(|shared| Prediction { branches: vec![vec![shared, 1.0 - shared]], ..Prediction::default() });
        let gates = gate_histograms(&["joint".to_owned()], &predictions);
        // Without any label there is no score, and weights all the same.
        let epoch = EpochLine { step: 3, epoch: 1, gates, ..EpochLine::default() };
        let found = points(&[line(3), line(4)], &[epoch], &[], 8);
        let tags: Vec<&str> = found[1].histograms.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!((found.len(), found[1].step, found[1].values.len()), (3, 3, 0));
        assert_eq!(tags, ["gate/weights/joint/private", "gate/weights/joint/shared"]);
        assert_eq!((found[1].histograms[1].1.count(), found[1].histograms[1].1.sum), (2, 0.5));
    }

    #[test]
    fn more_logs_only_add_points() {
        let losses: Vec<LossLine> = (1..=6).map(line).collect();
        let timings: Vec<TimingLine> =
            (1..=6).map(|step| TimingLine { step, seconds: 0.5, ..TimingLine::default() }).collect();
        let epoch = EpochLine { step: 3, epoch: 1, validation_score: Some(0.7), ..EpochLine::default() };
        let part = points(&losses[..4], std::slice::from_ref(&epoch), &timings[..4], 8);
        let whole = points(&losses, &[epoch], &timings, 8);
        assert_eq!((part.len(), whole.len()), (5, 7));
        assert!(whole.starts_with(&part));
        assert_eq!((whole[6].seconds, whole[3].step, whole[3].values[0].1), (3.0, 3, 0.7));
        assert_eq!(whole.iter().map(|point| point.cosines.is_some()).collect::<Vec<_>>()[3..5], [true, false]);
    }
}
