//! A comparison in a terminal: what both have, what changed, then the issues.

use mtids_report::format::{count, counted, interval, metric, signed, signed_interval};
use mtids_report::table::{Align, Table};

use super::comparison::{Comparison, Drift, Transition};
use crate::text::{issue_counts, issue_lines};

/// Most figures of drift that are shown.
const MOST_DRIFT: usize = 10;
/// What is said where no difference was tested.
pub(super) const NOT_TESTED: &str = "Drift was not tested: a dataset has findings of fewer than five patients.";

/// The comparison as text.
pub fn text(found: &Comparison) -> String {
    let [first, second] = &found.datasets;
    if first == second {
        let same = format!("  the same dataset, digest {}\n", first.short());
        // Faults that both have count for the exit code, so they are said.
        let counts = if found.issues.is_empty() { String::new() } else { issue_counts(&found.issues, false) };
        return same + &issue_lines(&found.issues) + &counts;
    }
    let mut table = Table::new([
        ("", Align::Left),
        ("in both", Align::Right),
        ("only in the first", Align::Right),
        ("only in the second", Align::Right),
    ]);
    for (name, overlap) in [("patients", &found.patients), ("rows", &found.rows)] {
        table.row([name.to_owned(), count(overlap.both), count(overlap.first), count(overlap.second)]);
    }
    let mut text = format!("  digests {} and {}\n\n{}", first.short(), second.short(), table.render());
    for (name, transition) in [("region", &found.region), ("status", &found.status)] {
        text.push_str(&transition_text(name, transition));
    }
    if !found.changed_columns.is_empty() {
        let mut table = Table::new([("changed in rows of both", Align::Left), ("rows", Align::Right)]);
        for (column, rows) in &found.changed_columns {
            table.row([column.clone(), count(*rows)]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&drift_text(found));
    if !found.corrections.is_empty() {
        let corrections = counted(found.corrections.len() as u64, "correction", "corrections");
        text.push_str(&format!("\n  {corrections} recorded by the second dataset\n"));
    }
    text.push('\n');
    text.push_str(&issue_lines(&found.issues));
    text.push_str(&issue_counts(&found.issues, false));
    text
}

/// Changes of a label, and how far the two agree; nothing where none changed.
fn transition_text(name: &str, transition: &Transition) -> String {
    if transition.changed == 0 {
        return String::new();
    }
    let mut table = Table::new([
        (format!("{name}: from"), Align::Left),
        ("to".to_owned(), Align::Left),
        ("rows".to_owned(), Align::Right),
    ]);
    for (from, row) in transition.classes.iter().zip(&transition.rows) {
        for (to, &rows) in transition.classes.iter().zip(row) {
            if from != to && rows > 0 {
                table.row([from.clone(), to.clone(), count(rows)]);
            }
        }
    }
    let bounds = transition.kappa_interval.map(|[low, high]| (low, high));
    format!("\n{}  kappa {} ({})\n", table.render(), metric(transition.kappa), interval(bounds))
}

fn drift_text(found: &Comparison) -> String {
    if found.drift.is_empty() {
        return format!("\n  {NOT_TESTED}\n");
    }
    let mut table = Table::new([
        ("drift", Align::Left),
        ("first", Align::Right),
        ("second", Align::Right),
        ("difference", Align::Right),
        ("95 %", Align::Right),
        ("p (Holm)", Align::Right),
    ]);
    for drift in found.drift.iter().filter(|drift| drift.is_reported(&found.config)).take(MOST_DRIFT) {
        table.row(drift_cells(drift));
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}

/// A row of the table of drift.
pub(super) fn drift_cells(drift: &Drift) -> Vec<String> {
    let [low, high] = drift.interval;
    let p = if drift.adjusted_p < 0.001 { "< 0.001".to_owned() } else { format!("{:.3}", drift.adjusted_p) };
    let mean = |side: usize| metric(Some(drift.means[side])).replace('-', "−");
    vec![drift.name(), mean(0), mean(1), signed(Some(drift.difference)), signed_interval(Some((low, high))), p]
}
