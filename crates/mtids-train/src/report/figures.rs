//! Figures of the page: the main ones, all of them, confusion and curves, and the status by region.

use maud::{Markup, html};
use mtids_metrics::PrecisionRecallPoint;
use mtids_models::PredictionHead;
use mtids_report::chart::{Series, heat_map, lines};
use mtids_report::format::metric;
use mtids_report::page::{facts, figure, table};

use crate::measured::{Evaluation, Figure, Share};
use crate::seen::Acquaintance;

/// The main figures, and of whom they are.
pub(super) fn result(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let pooled = measured.heads.iter().find(|head| head.head == PredictionHead::Pooled);
    let pick = |dimension: &str, name: &str| {
        let figure =
            pooled?.figures.iter().find(|figure| figure.dimension.name() == dimension && figure.metric == name)?;
        Some((metric(figure.majority), metric(figure.value)))
    };
    let named = [
        ("Region accuracy", pick("region", "accuracy")),
        ("Metastasis accuracy", pick("metastasis", "accuracy")),
        ("Metastasis AUROC", pick("metastasis", "AUROC")),
        ("Joint accuracy", pick("joint", "accuracy")),
    ];
    let shown: Vec<(String, String)> = named
        .into_iter()
        .filter_map(|(name, figure)| {
            figure.map(|(majority, value)| (format!("{name}; majority class {majority}"), value))
        })
        .collect();
    let shown: Vec<(&str, String)> = shown.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let whom = match evaluation.seen.acquaintance {
        Acquaintance::Unseen | Acquaintance::SeenLeftOut => "patients not seen in training",
        Acquaintance::OwnSplit => "patients seen in training",
        Acquaintance::Unknown => "patients",
    };
    html! {
        @if !evaluation.seen.sentence.is_empty() { p class="warning" { (evaluation.seen.sentence) } }
        p { (evaluation.split_in_words()) ": " (measured.samples) " patches of " (measured.patients) " " (whom) "." }
        @if !shown.is_empty() { (facts(&shown)) }
        @for claim in measured.claims.iter().filter(|claim| !claim.claimed) { p class="warning" { (claim.sentence) } }
        p class="note" { "The majority class is that of the training split. Intervals are 95 % bootstrap intervals over patients." }
    }
}

/// Every figure of every prediction head.
pub(super) fn figures(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let of = |wanted: PredictionHead| measured.heads.iter().find(|head| head.head == wanted);
    let Some(pooled) = of(PredictionHead::Pooled) else { return html! {} };
    let rows: Vec<Vec<String>> = pooled
        .figures
        .iter()
        .map(|figure| {
            let same = |other: &&Figure| other.dimension == figure.dimension && other.metric == figure.metric;
            let beside = |wanted| metric(of(wanted).and_then(|head| head.figures.iter().find(same)?.value));
            let others = [beside(PredictionHead::Joint), beside(PredictionHead::Product)];
            let counts = format!("{} / {}", figure.samples, figure.patients);
            figure.cells().into_iter().chain(others).chain([counts]).collect()
        })
        .collect();
    let model = format!("{}\t", evaluation.architecture.title());
    let columns = [
        "dimension",
        "metric",
        &model,
        "95 % interval\t",
        "majority\t",
        "joint head\t",
        "two heads\t",
        "n / patients\t",
    ];
    html! {
        (table(&columns, &rows))
        p class="note" { (evaluation.architecture.title()) ": all heads pooled with learned weights. Beside it the joint head alone, and the region head times the metastasis head. Intervals are 95 % bootstrap intervals over patients." }
    }
}

/// Confusion matrices and curves.
pub(super) fn confusion(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let counts = |rows: &[Vec<u64>]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.iter().map(|&n| n as f64).collect()).collect()
    };
    let states = ["benign".to_owned(), "metastatic".to_owned()];
    let model = evaluation.architecture.title();
    let roc: Vec<(f64, f64)> =
        measured.roc.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    let chance = Series { name: "chance".into(), points: vec![(0.0, 0.0), (1.0, 1.0)] };
    let roc = [Series { name: model.into(), points: roc }, chance];
    let positives: u64 = measured.metastasis_confusion.get(1).map_or(0, |row| row.iter().sum());
    let labelled: u64 = measured.metastasis_confusion.iter().flatten().sum();
    let share = positives as f64 / labelled.max(1) as f64;
    let recall = Series { name: model.into(), points: steps(&measured.precision_recall) };
    let recall =
        [recall, Series { name: "a score that says nothing".into(), points: vec![(0.0, share), (1.0, share)] }];
    html! {
        div class="two" {
            (figure("Region: true and predicted", &heat_map("Region", "true", "called", &measured.regions, &measured.regions, &counts(&measured.region_confusion))))
            (figure("Metastasis: true and predicted", &heat_map("Metastasis", "true", "called", &states, &states, &counts(&measured.metastasis_confusion))))
            @if !measured.roc.is_empty() {
                (figure("ROC of metastasis", &lines("ROC of metastasis", "false positive rate", "true positive rate", &roc, Some((0.0, 1.0)))))
            }
            @if !measured.precision_recall.is_empty() {
                (figure("Precision and recall of metastasis", &lines("Precision and recall of metastasis", "recall", "precision", &recall, Some((0.0, 1.0)))))
            }
        }
    }
}

/// The curve of precision and recall: up to each point the precision is the point's own.
fn steps(curve: &[PrecisionRecallPoint]) -> Vec<(f64, f64)> {
    let starts = std::iter::once(0.0).chain(curve.iter().map(|point| point.recall));
    let step =
        |(start, point): (f64, &PrecisionRecallPoint)| [(start, point.precision), (point.recall, point.precision)];
    starts.zip(curve).flat_map(step).collect()
}

/// Sensitivity and specificity by true region.
pub(super) fn regions(evaluation: &Evaluation) -> Markup {
    let share = |share: &Share| format!("{}/{} ({})", share.successes, share.n, share.within.bounds());
    let rows: Vec<Vec<String>> = evaluation
        .measured
        .per_region
        .iter()
        .map(|row| {
            vec![
                row.region.clone(),
                share(&row.conditional_sensitivity),
                share(&row.conditional_specificity),
                share(&row.located_sensitivity),
                share(&row.located_specificity),
            ]
        })
        .collect();
    html! {
        (table(&["region", "sensitivity\t", "specificity\t", "located sensitivity\t", "located specificity\t"], &rows))
        p class="note" { "Sensitivity and specificity of the status among nodes truly in the region; \"located\" also requires the correct region. Counts with 95 % bootstrap intervals over patients; of shares on which all nodes agree, Wilson's interval of their patients." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_precision_goes_by_steps() {
        let point = |recall, precision| PrecisionRecallPoint { recall, precision };
        let steps = steps(&[point(0.5, 1.0), point(1.0, 0.8)]);
        assert_eq!(steps, [(0.0, 1.0), (0.5, 1.0), (0.5, 0.8), (1.0, 0.8)]);
    }
}
