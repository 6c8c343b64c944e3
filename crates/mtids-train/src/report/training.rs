//! How the training went: losses and validation, what the balancer did, and how tasks used the shared experts.

use maud::{Markup, html};
use mtids_report::chart::{Series, lines};
use mtids_report::format::{metric, percent};
use mtids_report::page::{figure, table};

use super::course::{curve, curves, ends, mean, tasks};
use crate::measured::Evaluation;
use crate::run_folder::log::{EpochLine, LossLine};

/// Losses, learning rate and validation.
pub(super) fn training(losses: &[LossLine], epochs: &[EpochLine]) -> Markup {
    let loss = curves(losses, |line, task| line.losses.get(task).copied().flatten());
    let rate = [curve("learning rate", losses, |line| Some(1000.0 * line.learning_rate))];
    let norm = [curve("gradient norm", losses, |line| Some(line.gradient_norm))];
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
            @if !validation[0].points.is_empty() { (figure("Validation", &lines("Validation", "epoch", "score", &validation, Some((0.0, 1.0))))) }
            (figure("Learning rate", &lines("Learning rate", "step", "rate, thousandths", &rate, None)))
            (figure("Gradient norm before clipping", &lines("Gradient norm before clipping", "step", "norm", &norm, None)))
        }
        p class="note" { "Points are means of ten steps or more; all steps are in losses.jsonl." }
    }
}

/// What the balancer saw and did; `rule` is its name.
pub(super) fn balancing(rule: &str, losses: &[LossLine]) -> Markup {
    let coefficients = curves(losses, |line, task| line.coefficients.get(task).copied());
    let conflicts = [curve("conflicting pairs", losses, |line| Some(line.conflicting_share))];
    let range = |task: &str| {
        let values = || losses.iter().filter_map(|line| line.coefficients.get(task).copied());
        let (least, most) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), c| (l.min(c), m.max(c)));
        [mean(values()), Some(least).filter(|end| end.is_finite()), Some(most).filter(|end| end.is_finite())]
    };
    let row = |task: &&str| {
        let loss = ends(losses, |line| line.losses.get(*task).copied().flatten());
        let coefficient = ends(losses, |line| line.coefficients.get(*task).copied());
        let numbers = loss.into_iter().chain(coefficient).chain(range(task)).map(metric);
        std::iter::once((*task).to_owned()).chain(numbers).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = tasks(losses).iter().map(row).collect();
    let columns = [
        "task",
        "loss, first tenth\t",
        "last tenth\t",
        "coefficient, first tenth\t",
        "last tenth\t",
        "mean\t",
        "least\t",
        "largest\t",
    ];
    let steps = losses.iter().filter(|line| line.conflicting_share > 0.0).count();
    let share = percent(steps as f64 / losses.len().max(1) as f64);
    let [first, last] = ends(losses, |line| Some(line.conflicting_share));
    html! {
        p {
            "Gradients of tasks conflicted in " (steps) " of " (losses.len()) " steps (" (share) "). Of the pairs of tasks, "
            (metric(mean(losses.iter().map(|line| line.conflicting_share)))) " did on average: " (metric(first))
            " in the first tenth of the training, " (metric(last)) " in the last."
        }
        div class="two" {
            @if !coefficients.is_empty() { (figure("Coefficient per task", &lines("Coefficient per task", "step", "coefficient", &coefficients, None))) }
            (figure("Gradient conflicts", &lines("Gradient conflicts", "step", "share of pairs", &conflicts, Some((0.0, 1.0)))))
        }
        (table(&columns, &rows))
        p class="note" {
            "A coefficient is what " (rule) " multiplied the gradient of a task with before the sum; 0 where a batch had no label for it. Two "
            "tasks conflict where the cosine of their gradients is negative."
            @if rule == "dd-gb" {
                " DD-GB turns conflicting directions as little as removes the conflict, and draws the norms of the tasks towards each other; "
                "it is reconstructed from the abstract, and none of its equations is the paper's."
            }
        }
    }
}

/// Use of the shared experts by task, over the training and by true region.
pub(super) fn gates(evaluation: &Evaluation, losses: &[LossLine]) -> Markup {
    let measured = &evaluation.measured;
    let shares = curves(losses, |line, task| line.shared_branch.get(task).copied());
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
    let title = "Weight of the shared experts in training";
    html! {
        @if !shares.is_empty() { (figure(title, &lines(title, "step", "weight", &shares, Some((0.0, 1.0))))) }
        h3 { "On the " (evaluation.split_in_words()) }
        (table(&columns, &rows))
        p class="note" { "Mean weight of the shared experts in each task's gate, over all patches and by true region; the rest goes to the task's own experts, and where the architecture reads them to those of other tasks." }
    }
}
