//! An evaluation as people read it in a terminal: `evaluation.txt`.
//!
//! Invariant: everything comes from the evaluation's values; what is not claimed says why.

use mtids_models::{Architecture, PredictionHead};
use mtids_report::format::{interval, metric, signed, signed_interval};
use mtids_report::table::{Align, Table};

use crate::measured::Evaluation;
use crate::readers::{Readers, interval_lies};

/// The table of the terminal: the main figures beside the majority class.
pub fn text(evaluation: &Evaluation) -> String {
    let measured = &evaluation.measured;
    let mut table = Table::new([
        ("dimension", Align::Left),
        ("metric", Align::Left),
        (evaluation.architecture.title(), Align::Right),
        ("95 % interval", Align::Right),
        ("majority class", Align::Right),
        ("n samples", Align::Right),
        ("n patients", Align::Right),
    ]);
    let pooled = measured.heads.iter().find(|head| head.head == PredictionHead::Pooled);
    for figure in pooled.map(|head| head.figures.as_slice()).unwrap_or_default() {
        if matches!(
            figure.metric,
            "accuracy" | "macro-F1" | "AUROC" | "average precision" | "sensitivity" | "specificity"
        ) {
            let counts = [figure.samples, figure.patients].map(|n| n.to_string());
            table.row(figure.cells().into_iter().chain(counts));
        }
    }
    let mut text = String::new();
    if !evaluation.seen.sentence.is_empty() {
        text.push_str(&format!("\n  warning: {}\n", evaluation.seen.sentence));
    }
    text.push_str(&format!(
        "\n  {}, {} patches of {} patients\n",
        evaluation.split_in_words(),
        measured.samples,
        measured.patients
    ));
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.render());
    }
    for claim in measured.claims.iter().filter(|claim| !claim.claimed) {
        text.push_str(&format!("  {}\n", claim.sentence));
    }
    text.push_str(&readers_text(&evaluation.readers));
    if let Some(coverage) = &evaluation.coverage {
        text.push('\n');
        coverage.sentences().iter().for_each(|sentence| text.push_str(&format!("  {sentence}\n")));
    }
    if let Some(operating) = &evaluation.operating {
        text.push_str(&format!("\n{}", operating.text()));
    }
    let subgroups = evaluation.subgroups.text();
    if !subgroups.is_empty() {
        text.push_str(&format!("\n{subgroups}"));
    }
    let what = match evaluation.architecture {
        Architecture::MtIds => "A reconstruction of MT-IDS from its abstract.".to_owned(),
        baseline => format!("{}, a baseline for MT-IDS.", baseline.title()),
    };
    text.push_str(&format!("\n  {what} Research software, not for diagnosis.\n"));
    text
}

/// The readers of the status side by side, and what their differences mean.
fn readers_text(readers: &Readers) -> String {
    let mut table = Table::new([
        ("reader of the status", Align::Left),
        ("AUROC", Align::Right),
        ("95 % interval", Align::Right),
        ("n samples", Align::Right),
        ("n patients", Align::Right),
    ]);
    for figure in &readers.figures {
        table.row([
            figure.reader.title().to_owned(),
            metric(figure.auroc),
            interval(figure.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
            figure.samples.to_string(),
            figure.patients.to_string(),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}", table.render());
    text.push_str(&differences_text(readers));
    match &readers.fusion {
        Some(fusion) => text.push_str(&format!(
            "  network + measures: measures weighed on {} training samples, both answers on {} samples of {} validation patients\n",
            fusion.reader.samples, fusion.samples, fusion.patients
        )),
        None => text.push_str(&format!("  no network + measures: {}\n", readers.no_fusion)),
    }
    text
}

/// One row for each pair of readers; what is not claimed says why below the table.
fn differences_text(readers: &Readers) -> String {
    let mut table = Table::new([
        ("difference on the same samples", Align::Left),
        ("AUROC", Align::Right),
        ("95 % interval", Align::Right),
        ("n samples", Align::Right),
        ("n patients", Align::Right),
        ("interval lies", Align::Left),
    ]);
    let mut silent = String::new();
    for comparison in &readers.comparisons {
        let Some(difference) = &comparison.difference else {
            silent.push_str(&format!("  {}\n", comparison.sentence));
            continue;
        };
        table.row([
            format!("{} − {}", comparison.first.title(), comparison.second.title()),
            signed(Some(difference.value)),
            signed_interval(difference.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
            comparison.samples.to_string(),
            comparison.patients.to_string(),
            interval_lies(difference).to_owned(),
        ]);
    }
    let table = if table.is_empty() { String::new() } else { format!("\n{}", table.render()) };
    table + &silent
}
