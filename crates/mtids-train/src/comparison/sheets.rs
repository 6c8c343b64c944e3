//! The tables of a comparison, made once for the terminal, Markdown and the page.

use std::collections::BTreeMap;

use mtids_metrics::{Effect, variance};
use mtids_report::format::{count, counted, interval, metric, signed, signed_interval};
use mtids_report::table::{Align, Table};

use super::figures::{Comparison, DatasetResults, Line, Verdict};
use super::grid::Metric;
use super::record::Cost;
use super::results::{Results, Trial};

/// A table: names of columns, those of numbers with a tab at the end, and cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sheet {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Sheet {
    fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    fn is_number(column: &str) -> bool {
        column.ends_with('\t')
    }

    /// As a table of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        let mut text = line(&mut self.columns.iter().map(|name| name.trim_end().to_owned()));
        text.push_str(&line(
            &mut self.columns.iter().map(|name| (if Self::is_number(name) { "--:" } else { "---" }).to_owned()),
        ));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(|cell| cell.replace('|', "\\|"))));
        }
        text
    }

    /// As a table of the terminal.
    pub(crate) fn terminal(&self) -> String {
        let align = |name: &str| if Self::is_number(name) { Align::Right } else { Align::Left };
        let mut table = Table::new(self.columns.iter().map(|name| (name.trim_end(), align(name))));
        for row in &self.rows {
            table.row(row.iter().map(String::as_str));
        }
        if table.is_empty() { String::new() } else { table.render() }
    }
}

fn with_interval(effect: Option<&Effect>) -> String {
    let words = |effect: &Effect| {
        format!("{} [{}]", metric(Some(effect.value)), interval(Some((effect.interval.low, effect.interval.high))))
    };
    effect.map_or_else(|| "–".to_owned(), words)
}

/// Every row and reader of a dataset, by these metrics.
pub(crate) fn lines(dataset: &DatasetResults, metrics: &[Metric]) -> Sheet {
    let trainings = if dataset.folds.is_some() { "folds\t" } else { "seeds\t" };
    let mut columns = vec!["row".to_owned(), trainings.to_owned(), "parameters\t".to_owned()];
    columns.extend(metrics.iter().map(|metric| format!("{}\t", metric.title())));
    columns.extend(["Δm, %\t".to_owned(), "rank\t".to_owned()]);
    let row = |line: &Line| {
        let mut cells = vec![
            line.title.clone(),
            if line.is_trained { line.seeds.to_string() } else { "–".into() },
            line.parameters.map_or_else(|| "–".to_owned(), |number| count(number as u64)),
        ];
        cells.extend(metrics.iter().map(|metric| with_interval(line.figures.get(metric))));
        let delta = line.delta_m.map(|delta| format!("{:+.2}", 100.0 * delta).replace('-', "−"));
        cells.push(delta.unwrap_or_else(|| "–".into()));
        cells.push(line.mean_rank.map_or_else(|| "–".into(), |rank| format!("{rank:.1}")));
        cells
    };
    Sheet { columns, rows: dataset.lines.iter().map(row).collect() }
}

/// What a difference says, in words.
pub(crate) fn words(comparison: &Comparison) -> &'static str {
    match (comparison.verdict, comparison.adjusted_p.is_some()) {
        (Verdict::Above, true) => "above",
        (Verdict::Below, true) => "below",
        (Verdict::Above, false) => "above, exploratory",
        (Verdict::Below, false) => "below, exploratory",
        (Verdict::Tie, _) => "tie",
        (Verdict::NotShown, _) => "not shown",
        (Verdict::Open, _) => "open",
        (Verdict::Provisional, _) => "provisional",
    }
}

/// The title of a row or reader.
pub(crate) fn title_of<'r>(results: &'r Results, name: &'r str) -> &'r str {
    let lines = results.datasets.iter().flat_map(|dataset| &dataset.lines);
    lines.into_iter().find(|line| line.name == name).map_or(name, |line| line.title.as_str())
}

/// The standard deviation between the seeds of each trained row that has two or more, by a metric.
pub(crate) fn deviations(dataset: &DatasetResults, metric: Metric) -> Vec<(&str, f64)> {
    let of_line = |line: &'_ Line| {
        let values: Vec<f64> = line.by_seed.get(&metric)?.iter().flatten().copied().collect();
        variance(&values).map(|spread| spread.variance.sqrt())
    };
    let trained = dataset.lines.iter().filter(|line| line.is_trained && line.parameters.is_some());
    trained.filter_map(|line| Some((line.title.as_str(), of_line(line)?))).collect()
}

/// Differences with their intervals; claims with their p-values.
pub(crate) fn comparisons<'r>(
    results: &Results,
    comparisons: impl IntoIterator<Item = &'r Comparison>,
    is_claimed: bool,
) -> Sheet {
    let mut sheet = Sheet::new(&["difference", "metric", "value\t", "95 % interval\t"]);
    if is_claimed {
        sheet.columns.extend(["p\t".to_owned(), "p, Holm\t".to_owned()]);
    }
    sheet.columns.extend(["seeds\t".to_owned(), "nodes / patients\t".to_owned(), "result".to_owned()]);
    for comparison in comparisons {
        let effect = comparison.effect.as_ref();
        let metric = match results.datasets.len() {
            0 | 1 => comparison.metric.title().to_owned(),
            _ => format!("{}, {}", comparison.metric.title(), comparison.dataset),
        };
        let mut row = vec![
            format!("{} − {}", title_of(results, &comparison.first), title_of(results, &comparison.second)),
            metric,
            signed(effect.map(|effect| effect.value)),
            signed_interval(effect.map(|effect| (effect.interval.low, effect.interval.high))),
        ];
        if is_claimed {
            let is_judged = comparison.verdict != Verdict::Provisional;
            row.push(p_value(effect.filter(|_| is_judged).map(|effect| effect.p)));
            row.push(p_value(comparison.adjusted_p));
        }
        row.push(comparison.common_seeds.map_or_else(|| "–".into(), |seeds| seeds.to_string()));
        row.push(format!("{} / {}", comparison.nodes, comparison.patients));
        row.push(words(comparison).to_owned());
        sheet.rows.push(row);
    }
    sheet
}

fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".into(),
        Some(p) if p < 0.001 => "< 0.001".into(),
        Some(p) => format!("{p:.3}"),
    }
}

/// Trials, and which one each row takes.
pub(crate) fn tuning(trials: &[Trial]) -> Sheet {
    let mut sheet = Sheet::new(&["row", "trial", "validation status AUROC\t", "taken"]);
    for trial in trials {
        sheet.rows.push(vec![
            trial.row.clone(),
            if trial.set.is_empty() { "as it is".into() } else { trial.set.join(", ") },
            match trial.status_auroc {
                Some(value) => format!("{value:.3}"),
                None => if trial.is_diverged { "diverged" } else { "–" }.to_owned(),
            },
            match trial.taken_in {
                Some(folds) => counted(folds as u64, "fold", "folds"),
                None if trial.is_chosen => "yes".into(),
                None => String::new(),
            },
        ]);
    }
    sheet
}

/// What the trainings cost.
pub(crate) fn costs(costs: &BTreeMap<String, Cost>) -> Sheet {
    let mut sheet = Sheet::new(&["training", "minutes\t", "memory, MiB\t"]);
    for (cell, cost) in costs {
        let memory = cost.peak_mib.map_or_else(|| "–".into(), |mib| mib.to_string());
        sheet.rows.push(vec![cell.clone(), format!("{:.1}", cost.seconds / 60.0), memory]);
    }
    sheet
}
