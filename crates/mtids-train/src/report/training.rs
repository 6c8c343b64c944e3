//! How the training went: losses, what the balancer did, validation, gates.

use maud::{Markup, html};
use mtids_report::chart::{Series, lines};
use mtids_report::format::metric;
use mtids_report::page::{figure, table};

use crate::measured::Evaluation;
use crate::run_folder::log::{EpochLine, LossLine};

/// Curves of the training.
pub(super) fn training(losses: &[LossLine], epochs: &[EpochLine]) -> Markup {
    let tasks: Vec<&String> = losses.first().map(|line| line.losses.keys().collect()).unwrap_or_default();
    let per_task = |value: &dyn Fn(&LossLine, &str) -> Option<f64>| -> Vec<Series> {
        let series = |task: &&String| Series {
            name: (*task).clone(),
            points: smooth(losses.iter().filter_map(|line| Some((line.step as f64, value(line, task)?))).collect()),
        };
        tasks.iter().map(series).collect()
    };
    let loss = per_task(&|line, task| line.losses.get(task).copied().flatten());
    let coefficients = per_task(&|line, task| line.coefficients.get(task).copied());
    let conflicts = [Series {
        name: "share of conflicting pairs".into(),
        points: smooth(losses.iter().map(|line| (line.step as f64, line.conflicting_share)).collect()),
    }];
    let looks = |name: &str, value: fn(&EpochLine) -> Option<f64>| Series {
        name: name.into(),
        points: epochs.iter().filter_map(|line| Some((line.epoch as f64, value(line)?))).collect(),
    };
    let validation = [
        looks("macro-F1", |line| line.validation_score),
        looks("region accuracy", |line| line.region_accuracy),
        looks("metastasis AUROC", |line| line.metastasis_auroc),
    ];
    html! {
        div class="two" {
            (figure("Loss per task", &lines("Loss per task", "step", "loss", &loss, None)))
            (figure("Coefficient per task", &lines("Coefficient per task", "step", "coefficient", &coefficients, None)))
            (figure("Gradient conflicts", &lines("Gradient conflicts", "step", "share", &conflicts, Some((0.0, 1.0)))))
            @if !validation[0].points.is_empty() { (figure("Validation", &lines("Validation", "epoch", "score", &validation, Some((0.0, 1.0))))) }
        }
        p class="note" { "Lines are running means of ten steps; all steps are in losses.jsonl." }
    }
}

/// Running mean of ten points, so that single batches do not hide the course.
fn smooth(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points
        .iter()
        .enumerate()
        .map(|(n, &(x, _))| {
            let window = &points[n.saturating_sub(9)..=n];
            (x, window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64)
        })
        .collect()
}

/// Use of the shared experts by task and region.
pub(super) fn gates(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let regions: Vec<String> = measured.regions.iter().map(|region| format!("{region}\t")).collect();
    let mut columns = vec!["task", "all\t"];
    columns.extend(regions.iter().map(String::as_str));
    let rows: Vec<Vec<String>> = measured
        .gates
        .iter()
        .map(|gate| {
            let by_region = gate.shared_by_region.iter().map(|&share| metric(share));
            [gate.task.clone(), metric(gate.shared)].into_iter().chain(by_region).collect()
        })
        .collect();
    html! {
        (table(&columns, &rows))
        p class="note" { "Mean weight of the shared experts in each task's gate, over all patches and by true region; the rest goes to the task's own experts, and where the architecture reads them to those of other tasks." }
    }
}
