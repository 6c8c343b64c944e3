//! A comparison as a page: issues first, then rows, labels, columns and drift.

use maud::{Markup, html};
use mtids_report::chart::heat_map;
use mtids_report::forest::{Estimate, forest};
use mtids_report::format::{count, interval, metric, percent, signed};
use mtids_report::page::{Section, facts, figure, table};
use mtids_shards::CorrectionRecord;

use super::comparison::{Comparison, Drift, Transition};
use super::text::{NOT_TESTED, drift_cells};
use crate::count::Group;
use crate::page::issues;

/// Most figures of the plot of drift.
const MOST_PLOTTED: usize = 20;
/// Most rows of the table of drift.
const MOST_LISTED: usize = 100;
/// Most corrections of the page; the file in the dataset has all.
const MOST_CORRECTIONS: usize = 200;
/// Differences beyond this many standard deviations are drawn at it.
const LARGEST_DRAWN: f64 = 3.0;

/// The page as HTML text.
pub fn page(found: &Comparison) -> String {
    let lead = "A second dataset beside a first: rows, labels along both dimensions, voxels and drift. Research data, not for diagnosis.";
    let sections = [
        Section::new("overview", "Overview", overview(found)),
        Section::new("issues", "Issues", issues(&found.issues)),
        Section::new("relabelled", "Relabelled", relabelled(found)),
        Section::new("rows", "Rows of one only", rows(found)),
        Section::new("columns", "Changed columns", columns(found)),
        Section::new("drift", "Drift", drift(found)),
        Section::new("corrections", "Corrections", corrections(found)),
        Section::new("origin", "Source", origin(found)),
    ];
    mtids_report::page::page("Comparison of datasets", lead, &sections)
}

fn overview(found: &Comparison) -> Markup {
    let mut pairs = vec![
        ("Patients in both", count(found.patients.both)),
        ("Rows in both", count(found.rows.both)),
        ("Rows only in the first", count(found.rows.first)),
        ("Rows only in the second", count(found.rows.second)),
        ("Region changed", count(found.region.changed)),
        ("Status changed", count(found.status.changed)),
        ("Other voxels", count(found.changed_voxels)),
    ];
    if found.moved_samples > 0 {
        pairs.push(("Samples and negatives elsewhere", count(found.moved_samples)));
    }
    if found.moved_patients > 0 {
        pairs.push(("Patients in another split", count(found.moved_patients)));
    }
    html! {
        @if found.datasets[0] == found.datasets[1] { p class="good" { "Both are the same dataset." } }
        (facts(&pairs))
        @if !found.same_secret { p class="warning" { "Built with different secrets: patients and rows cannot be matched." } }
    }
}

fn relabelled(found: &Comparison) -> Markup {
    let map = |title: &str, transition: &Transition| {
        let used: Vec<usize> = (0..transition.classes.len())
            .filter(|&n| {
                transition.rows[n].iter().any(|&rows| rows > 0) || transition.rows.iter().any(|row| row[n] > 0)
            })
            .collect();
        let names: Vec<String> = used.iter().map(|&n| transition.classes[n].clone()).collect();
        let cells: Vec<Vec<f64>> =
            used.iter().map(|&row| used.iter().map(|&n| transition.rows[row][n] as f64).collect()).collect();
        figure(title, &heat_map(title, "first", "second", &names, &names, &cells))
    };
    let agreement = |name: &str, transition: &Transition| {
        vec![
            name.to_owned(),
            count(transition.changed),
            count(transition.changed_patients),
            metric(transition.kappa),
            interval(transition.kappa_interval.map(|[low, high]| (low, high))),
        ]
    };
    html! {
        div class="two" { (map("Region", &found.region)) (map("Status", &found.status)) }
        (table(&["dimension", "changed rows\t", "patients\t", "kappa\t", "95 %\t"], &[agreement("region", &found.region), agreement("status", &found.status)]))
        p class="note" {
            "The first dataset in rows, the second in columns; off the diagonal, labels changed. Kappa over rows known in both, its interval by \
             bootstrap over patients."
        }
    }
}

fn rows(found: &Comparison) -> Markup {
    let list = |groups: &[Group]| {
        let cells = |group: &Group| {
            let c = &group.count;
            let numbers = [c.rows, c.patients, c.benign, c.metastatic, c.unknown].map(count);
            let share = c.prevalence().map_or_else(|| "–".to_owned(), percent);
            [group.name(0).to_owned(), group.name(1).to_owned()].into_iter().chain(numbers).chain([share]).collect()
        };
        let rows: Vec<Vec<String>> = groups.iter().map(cells).collect();
        let columns = [
            "region",
            "split",
            "rows\t",
            "patients\t",
            "benign\t",
            "metastatic\t",
            "unknown\t",
            "metastatic of known\t",
        ];
        html! { @if rows.is_empty() { p { "None." } } @else { (table(&columns, &rows)) } }
    };
    html! {
        h3 { "Only in the first" } (list(&found.removed))
        h3 { "Only in the second" } (list(&found.added))
        p class="note" {
            "Findings by region and split. " (count(found.moved_findings)) " of those only in the first have one only in the second less than "
            (found.config.same_place_mm) " mm away."
        }
    }
}

fn columns(found: &Comparison) -> Markup {
    let share =
        |rows: u64| if found.rows.both > 0 { percent(rows as f64 / found.rows.both as f64) } else { "–".to_owned() };
    let rows: Vec<Vec<String>> =
        found.changed_columns.iter().map(|(column, rows)| vec![column.clone(), count(*rows), share(*rows)]).collect();
    html! {
        @if rows.is_empty() { p { "No column of a row in both changed." } }
        @else { (table(&["column", "rows\t", "of rows in both\t"], &rows)) }
    }
}

fn drift(found: &Comparison) -> Markup {
    let drawn = |value: f64| value.clamp(-LARGEST_DRAWN, LARGEST_DRAWN);
    let estimate = |drift: &Drift| {
        // The interval in the unit of the standardised difference.
        let scale = if drift.difference == 0.0 { 0.0 } else { drift.standardised / drift.difference };
        Estimate {
            name: drift.name(),
            value: drawn(drift.standardised),
            interval: (drawn(drift.interval[0] * scale), drawn(drift.interval[1] * scale)),
            label: format!("{} sd", signed(Some(drawn(drift.standardised)))),
        }
    };
    let reported: Vec<&Drift> = found.drift.iter().filter(|drift| drift.is_reported(&found.config)).collect();
    let plotted: Vec<Estimate> = reported.iter().take(MOST_PLOTTED).map(|drift| estimate(drift)).collect();
    let rows: Vec<Vec<String>> = found.drift.iter().take(MOST_LISTED).map(drift_cells).collect();
    html! {
        @if found.drift.is_empty() { p class="warning" { (NOT_TESTED) } }
        @else if plotted.is_empty() { p class="good" { "No column and no share of a label drifts beyond chance." } }
        @else {
            (figure("Drift beyond chance", &forest("Drift beyond chance", "standard deviations, second minus first", &plotted)))
        }
        @if !rows.is_empty() {
            (table(&["column or value", "first\t", "second\t", "difference\t", "95 %\t", "p (Holm)\t"], &rows))
        }
        p class="note" {
            "Means of columns and shares of values; rows are clustered by patient, and patients of both datasets are known to be the same. The \
             p-values are adjusted for " (count(found.drift.len() as u64)) " differences. "
            "A column that fewer than five patients of a side know is not tested."
            @if found.drift.len() > MOST_LISTED { " The first " (MOST_LISTED) " are shown; comparison.json has all." }
        }
    }
}

fn corrections(found: &Comparison) -> Markup {
    let cells = |one: &CorrectionRecord| {
        [&one.sample_key, &one.dimension, &one.old, &one.new, &one.by].map(String::clone).to_vec()
    };
    let rows: Vec<Vec<String>> = found.corrections.iter().take(MOST_CORRECTIONS).map(cells).collect();
    html! {
        @if rows.is_empty() { p { "The second dataset records no correction that the first does not have." } }
        @else { (table(&["row", "dimension", "old", "new", "by"], &rows)) }
        @if !found.withdrawn.is_empty() {
            p class="warning" { (count(found.withdrawn.len() as u64)) " corrections of the first dataset are gone, and the labels are others:" }
            @let rows: Vec<Vec<String>> = found.withdrawn.iter().take(MOST_CORRECTIONS).map(cells).collect();
            (table(&["row", "dimension", "old", "new", "by"], &rows))
        }
        p class="note" { (count(found.unexplained)) " relabelled rows have no recorded correction." }
    }
}

fn origin(found: &Comparison) -> Markup {
    let rows = [
        vec!["first dataset".to_owned(), found.datasets[0].to_string()],
        vec!["second dataset".to_owned(), found.datasets[1].to_string()],
        vec!["program".to_owned(), format!("{} {}", found.program.name, found.program.version)],
    ];
    table(&["what", "which"], &rows)
}
