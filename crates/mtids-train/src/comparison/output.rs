//! Results as files: `results.json` for programs, `results.md` for a repository, `results.html` for people, and `costs.md` apart from them.
//!
//! Invariant: the first three are a function of the records alone; what trainings cost differs between machines and stands in the last.

use std::collections::BTreeMap;
use std::path::Path;

use maud::{Markup, html};
use mtids_report::chart::{Series, lines as line_chart};
use mtids_report::forest::{Estimate, forest};
use mtids_report::format::{metric, signed_interval};
use mtids_report::page::{Section, figure, page, table};
use mtids_runtime::atomic;
use strum::VariantArray;

use super::figures::{DatasetResults, Recorded};
use super::grid::{Grid, Metric};
use super::record::Course;
use super::results::Results;
use super::sheets::{self, Sheet};
use crate::error::TrainError;

/// Writes the files into the folder of the comparison.
pub(crate) fn write(out: &Path, results: &Results, recorded: &Recorded, grid: &Grid) -> Result<(), TrainError> {
    std::fs::create_dir_all(out).map_err(|error| TrainError::io(out, error))?;
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        atomic::write(&path, text.as_bytes()).map_err(|error| TrainError::io(&path, error))
    };
    let mut json = serde_json::to_value(results).map_err(|error| TrainError::io(out, error.into()))?;
    json.sort_all_objects();
    write("results.json", &format!("{json:#}\n"))?;
    write("results.md", &markdown(results, grid))?;
    write("results.html", &html_page(results, grid))?;
    write("costs.md", &sheets::costs(&recorded.costs).markdown())
}

/// How the figures are to be read.
fn reading(results: &Results, grid: &Grid) -> Vec<&'static str> {
    let mut lines = match grid.folds {
        None => vec![
            "A figure is the mean over seeds on the test patients; readers without training, and an ensemble of seeds, have one.",
            match results.datasets.iter().all(|dataset| dataset.between_seeds.is_empty()) {
                true => {
                    "95 % intervals hold the spread of patients only: no row has two seeds, and what another one would give is not in them. A tie is an \
                     interval that holds 0."
                }
                false => {
                    "95 % intervals hold two sources of spread: patients, by the bootstrap, and seeds, pooled over the rows of a dataset (networks apart from \
                     networks with measures). A tie is an interval that holds 0."
                }
            },
        ],
        Some(_) => vec![
            "A figure is the mean over the folds of all repeats, each on its own test patients; a difference is taken in each fold.",
            "95 % intervals are Student's over the folds, widened because training sets overlap (Nadeau and Bengio 2003; Bouckaert and Frank 2004). A tie is an \
             interval that holds 0.",
        ],
    };
    if !results.primary.is_empty() {
        lines.push(
            "The claims are those that the grid names, judged together by Holm's procedure; every other difference is exploratory. A claim is provisional, \
             and not judged, until all trainings of its dataset are on record. That it was named before the first of them, the history of the grid file shows.",
        );
    }
    if !results.tuning.is_empty() {
        lines.push(match grid.folds {
            None => {
                "Settings of a row were chosen on the tuning dataset by the validation AUROC of the status, from as many trials for each row."
            }
            Some(_) => {
                "Settings of a row were chosen in each fold by the status AUROC of its validation patients, from as many trials for each row."
            }
        });
    }
    lines.push("MT-IDS and DD-GB are reconstructions from an abstract; no figure here is the paper's.");
    lines
}

/// What is not on record yet.
fn state(results: &Results) -> String {
    match results.missing.len() {
        0 => format!("All {} trainings are on record.", results.cells),
        missing => format!("{missing} of {} trainings are missing, so figures are provisional.", results.cells),
    }
}

fn origin(dataset: &DatasetResults, grid: &Grid) -> String {
    let seeds: Vec<String> = grid.seeds.iter().map(u64::to_string).collect();
    let (seeds, digest) = (seeds.join(", "), dataset.digest.short());
    match dataset.folds {
        None => {
            let (nodes, patients) = (dataset.nodes, dataset.patients);
            format!("{nodes} test nodes of {patients} patients; dataset {digest}; seeds {seeds}.")
        }
        Some(folds) => format!(
            "{} nodes of {} patients in {folds} folds; dataset {digest}; dealt and trained with seeds {seeds}.",
            dataset.nodes, dataset.patients
        ),
    }
}

/// Which training of each row stands for it where one is shown.
fn first_training(grid: &Grid) -> &'static str {
    match grid.folds {
        None => "The first seed on the first dataset",
        Some(_) => "The first fold of the first repeat on the first dataset",
    }
}

fn between_seeds(dataset: &DatasetResults) -> Option<String> {
    if dataset.between_seeds.is_empty() {
        return None;
    }
    let listed = |of: &BTreeMap<Metric, f64>| {
        let all: Vec<String> = of.iter().map(|(metric, one)| format!("{} {one:.4}", metric.title())).collect();
        all.join(", ")
    };
    let mut text = format!("Standard deviation between seeds, pooled over rows: {}", listed(&dataset.between_seeds));
    if !dataset.between_seeds_with_measures.is_empty() {
        text.push_str(&format!("; with measures: {}", listed(&dataset.between_seeds_with_measures)));
    }
    let mut by_row = sheets::deviations(dataset, Metric::StatusAuroc);
    by_row.sort_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some((least, low)), Some((most, high))) = (by_row.first(), by_row.last()) {
        text.push_str(&format!(". By row, status AUROC: from {low:.4} ({least}) to {high:.4} ({most})"));
    }
    Some(text + ".")
}

fn markdown(results: &Results, grid: &Grid) -> String {
    let mut text = format!("# {}\n\n{}\n", results.title, state(results));
    text.push('\n');
    for line in reading(results, grid) {
        text.push_str(&format!("* {line}\n"));
    }
    let mut part = |title: &str, note: &str, sheet: &Sheet| {
        if !sheet.rows.is_empty() {
            let note = if note.is_empty() { String::new() } else { format!("{note}\n\n") };
            text.push_str(&format!("\n## {title}\n\n{note}{}", sheet.markdown()));
        }
    };
    part("Claims", "", &sheets::comparisons(results, &results.primary, true));
    for dataset in &results.datasets {
        let note = [Some(origin(dataset, grid)), between_seeds(dataset)].into_iter().flatten().collect::<Vec<_>>();
        part(&format!("Rows on {}", dataset.name), &note.join(" "), &sheets::lines(dataset, Metric::VARIANTS));
    }
    for dataset in &results.datasets {
        let note = "The first row against every other, over the seeds that both have; exploratory, but for claims.";
        part(
            &format!("Differences on {}", dataset.name),
            note,
            &sheets::comparisons(results, &dataset.differences, false),
        );
    }
    part("Tuning", "", &sheets::tuning(&results.tuning));
    text
}

fn sheet_html(sheet: &Sheet) -> Markup {
    let columns: Vec<&str> = sheet.columns.iter().map(String::as_str).collect();
    table(&columns, &sheet.rows)
}

fn forest_of(results: &Results, dataset: &DatasetResults, of: Metric) -> Option<Markup> {
    let rows: Vec<Estimate> = dataset
        .differences
        .iter()
        .filter(|one| one.metric == of)
        .filter_map(|one| {
            let effect = one.effect?;
            let bounds = (effect.interval.low, effect.interval.high);
            Some(Estimate {
                name: sheets::title_of(results, &one.second).to_owned(),
                value: effect.value,
                interval: bounds,
                label: signed_interval(Some(bounds)),
            })
        })
        .collect();
    let reference = sheets::title_of(results, &dataset.differences.first()?.first).to_owned();
    let title = format!("{}: {reference} minus each other", of.title());
    let axis = format!("right of the line: {reference} is better");
    (!rows.is_empty()).then(|| figure(&title, &forest(&title, &axis, &rows)))
}

fn series(course: &Course, values: &[f64], name: &str) -> Series {
    let points = course.step.iter().map(|&step| step as f64).zip(values.iter().copied()).collect();
    Series { name: name.to_owned(), points }
}

fn courses(results: &Results) -> Markup {
    html! {
        @for (row, course) in &results.courses {
            h3 { (sheets::title_of(results, row)) }
            div class="two" {
                (figure("Share of pairs of tasks in conflict", &line_chart("conflict", "step", "share",
                    &[series(course, &course.conflicting_share, "conflicting")], Some((0.0, 1.0)))))
                (figure("Coefficient of the balancer", &line_chart("coefficients", "step", "coefficient",
                    &course.coefficients.iter().map(|(task, values)| series(course, values, task)).collect::<Vec<_>>(), None)))
            }
        }
    }
}

/// Weight of the shared branch of each task by true region, for rows with a gate.
fn gates(results: &Results) -> Option<Markup> {
    let regions = results.regions.len();
    let mut columns = vec!["row".to_owned(), "task".to_owned()];
    columns.extend(results.regions.iter().map(|region| format!("{region}\t")));
    let mut rows = Vec::new();
    for (row, tasks) in &results.shared_branch {
        for (task, shares) in tasks.iter().filter(|(_, shares)| shares.len() == regions) {
            let mut cells = vec![sheets::title_of(results, row).to_owned(), task.clone()];
            cells.extend(shares.iter().map(|&share| metric(share)));
            rows.push(cells);
        }
    }
    (!rows.is_empty()).then(|| sheet_html(&Sheet { columns, rows }))
}

fn html_page(results: &Results, grid: &Grid) -> String {
    let mut sections = vec![Section::new(
        "reading",
        "Reading",
        html! {
            p class=(if results.missing.is_empty() { "good" } else { "warning" }) { (state(results)) }
            ul { @for line in reading(results, grid) { li { (line) } } }
        },
    )];
    if !results.primary.is_empty() {
        let sheet = sheets::comparisons(results, &results.primary, true);
        sections.push(Section::new("claims", "Claims", sheet_html(&sheet)));
    }
    for dataset in &results.datasets {
        let body = html! {
            p class="note" { (origin(dataset, grid)) @if let Some(text) = between_seeds(dataset) { " " (text) } }
            (sheet_html(&sheets::lines(dataset, &[Metric::StatusAuroc, Metric::JointAccuracy, Metric::RegionAccuracy])))
            @for of in [Metric::StatusAuroc, Metric::JointAccuracy] {
                @if let Some(plot) = forest_of(results, dataset, of) { (plot) }
            }
        };
        sections.push(Section::new(format!("on-{}", dataset.name), format!("On {}", dataset.name), body));
    }
    if !results.tuning.is_empty() {
        sections.push(Section::new("tuning", "Tuning", sheet_html(&sheets::tuning(&results.tuning))));
    }
    if !results.courses.is_empty() {
        let body = html! { p class="note" { (first_training(grid)) "." } (courses(results)) };
        sections.push(Section::new("courses", "Conflicts and balancing", body));
    }
    if let Some(body) = gates(results) {
        let note = format!("Mean weight of the shared branch by true region. {}.", first_training(grid));
        sections.push(Section::new("gates", "Routing", html! { p class="note" { (note) } (body) }));
    }
    page(&results.title, "Rows of one grid on the same patients, nodes and seeds.", &sections)
}

/// What the terminal shows.
pub fn text(results: &Results) -> String {
    let mut text = format!("\n  {}\n", state(results));
    for dataset in &results.datasets {
        text.push_str(&format!(
            "\n  {}: {} test nodes of {} patients{}\n\n",
            dataset.name,
            dataset.nodes,
            dataset.patients,
            dataset.folds.map(|folds| format!(", {folds} folds")).unwrap_or_default()
        ));
        let sheet = sheets::lines(dataset, &[Metric::StatusAuroc, Metric::JointAccuracy]);
        text.push_str(&sheet.terminal());
    }
    if !results.primary.is_empty() {
        text.push('\n');
        text.push_str(&sheets::comparisons(results, &results.primary, true).terminal());
    }
    text.push_str("\n  Research software, not for diagnosis.\n");
    text
}
