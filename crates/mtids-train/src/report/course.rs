//! The course of a training, thinned to what a page can show.
//!
//! Invariant: a curve has at most [`POINTS`] points however long the training was, the last step among them.

use mtids_report::chart::Series;

use crate::run_folder::log::LossLine;

/// Most points of a curve.
const POINTS: usize = 300;
/// Fewest steps that a point is the mean of, so that single batches do not hide the course.
const WINDOW: usize = 10;

/// A value of every step as a curve.
pub(super) fn curve(name: &str, losses: &[LossLine], value: impl Fn(&LossLine) -> Option<f64>) -> Series {
    let points = losses.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect();
    Series { name: name.to_owned(), points: thinned(points) }
}

/// A value of every step and task as curves, for those tasks that have it.
pub(super) fn curves(losses: &[LossLine], value: impl Fn(&LossLine, &str) -> Option<f64>) -> Vec<Series> {
    let series = |task: &&str| curve(task, losses, |line| value(line, task));
    tasks(losses).iter().map(series).filter(|series| !series.points.is_empty()).collect()
}

/// Names of the tasks.
pub(super) fn tasks(losses: &[LossLine]) -> Vec<&str> {
    losses.first().map(|line| line.losses.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Means over the first and the last tenth of the steps, of those that have a value.
pub(super) fn ends(losses: &[LossLine], value: impl Fn(&LossLine) -> Option<f64>) -> [Option<f64>; 2] {
    let tenth = losses.len().div_ceil(10);
    [&losses[..tenth], &losses[losses.len() - tenth..]].map(|lines| mean(lines.iter().filter_map(&value)))
}

/// The mean of values; `None` without one.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Means over the steps up to each point.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(POINTS).max(1);
    let window = stride.max(WINDOW);
    // Counted from the end, so that the last step is a point.
    let ends: Vec<usize> = (0..points.len()).rev().step_by(stride).collect();
    let of_end = |end: usize| {
        let part = &points[(end + 1).saturating_sub(window)..=end];
        (points[end].0, part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64)
    };
    ends.into_iter().rev().map(of_end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn line(step: u64) -> LossLine {
        LossLine {
            step,
            epoch: 0,
            losses: BTreeMap::from([("joint".to_owned(), Some(step as f64)), ("region".to_owned(), None)]),
            gradient_norm: 1.0,
            learning_rate: 1e-3,
            ..LossLine::default()
        }
    }

    #[test]
    fn a_long_course_has_few_points_and_keeps_its_last_step() {
        for steps in [1, 7, 299, 300, 301, 4321] {
            let points = thinned((1..=steps).map(|n| (f64::from(n), 2.0)).collect());
            assert!((1..=POINTS).contains(&points.len()), "{steps} steps: {} points", points.len());
            assert_eq!(*points.last().unwrap(), (f64::from(steps), 2.0));
            assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        assert!(thinned(Vec::new()).is_empty());
    }

    #[test]
    fn points_are_means_and_tasks_without_a_value_have_no_curve() {
        let losses: Vec<LossLine> = (1..=20).map(line).collect();
        let found = curves(&losses, |line, task| line.losses.get(task).copied().flatten());
        assert_eq!(found.len(), 1, "the region was never labelled");
        assert_eq!((found[0].points[0], found[0].points[19]), ((1.0, 1.0), (20.0, 15.5)));
        let value = |line: &LossLine| line.losses["joint"];
        assert_eq!(ends(&losses, value), [Some(1.5), Some(19.5)]);
        assert_eq!(ends(&[], value), [None, None]);
    }
}
