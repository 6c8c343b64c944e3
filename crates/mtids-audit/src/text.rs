//! The audit in a terminal: the counts, then the issues.

use mtids_report::format::{count, counted, percent};
use mtids_report::table::{Align, Table};

use crate::audit::Audit;
use crate::count::Count;
use crate::issue::{AuditIssue, Severity};

/// The audit as text.
pub fn text(audit: &Audit) -> String {
    let heading = [
        ("", Align::Left),
        ("patches", Align::Right),
        ("patients", Align::Right),
        ("benign", Align::Right),
        ("metastatic", Align::Right),
        ("unknown", Align::Right),
        ("metastatic of known", Align::Right),
    ];
    let cells = |name: &str, c: &Count| {
        let share = c.prevalence().map_or_else(|| "–".to_owned(), percent);
        [
            name.to_owned(),
            count(c.rows),
            count(c.patients),
            count(c.benign),
            count(c.metastatic),
            count(c.unknown),
            share,
        ]
    };
    let mut table = Table::new(heading);
    for group in audit.by_split.iter().chain(&audit.by_region) {
        table.row(cells(group.name(0), &group.count));
    }
    table.row(cells("all", &audit.overall));
    let mut text = format!("{}\n", table.render());
    text.push_str(&issue_lines(audit.issues.iter().filter(|issue| !is_note(issue))));
    text.push_str(&issue_counts(&audit.issues, audit.issues.iter().any(is_note)));
    text
}

fn is_note(issue: &AuditIssue) -> bool {
    issue.severity == Severity::Info
}

/// A line for each issue.
pub(crate) fn issue_lines<'a>(issues: impl IntoIterator<Item = &'a AuditIssue>) -> String {
    let line = |issue: &AuditIssue| format!("  {}: {} [{}]\n", issue.severity.name(), issue.message, issue.code.name());
    issues.into_iter().map(line).collect()
}

/// How many issues of each severity there are, and where to read notes that are not shown.
pub(crate) fn issue_counts(issues: &[AuditIssue], are_notes_hidden: bool) -> String {
    let of = |severity: Severity| issues.iter().filter(|issue| issue.severity == severity).count() as u64;
    let hidden = if are_notes_hidden { " (read them in audit.html)" } else { "" };
    format!(
        "  {}, {}, {}{hidden}\n",
        counted(of(Severity::Error), "error", "errors"),
        counted(of(Severity::Warning), "warning", "warnings"),
        counted(of(Severity::Info), "note", "notes")
    )
}
