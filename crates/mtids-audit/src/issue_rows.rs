//! The first rows of each issue with what tells where they are, for the page: each issue links to them.
//!
//! Invariants: rows come in the order of their keys; only pseudonyms and keys appear; issues of counts, which name no row, have none here. Units: LPS
//! mm; slices from 0.

use std::collections::BTreeMap;

use maud::{Markup, html};
use mtids_report::page::table;

use crate::audit::Audit;
use crate::error::AuditError;
use crate::index::Rows;
use crate::issue::AuditIssue;
use crate::opened::Opened;

/// Most rows of an issue that the page shows; `audit.json` and the worklist have all.
const MOST: usize = 20;

/// Columns that are shown, and how they are called; those of numbers end in a tab.
const SHOWN: [(&str, &str); 11] = [
    ("sample_key", "finding"),
    ("patient_key", "patient"),
    ("split", "split"),
    ("series_key", "series"),
    ("center_k", "slice\t"),
    ("region_name", "region"),
    ("station", "station"),
    ("metastasis", "status"),
    ("evidence", "evidence"),
    ("short_axis_mm", "mm\t"),
    ("label_source", "source"),
];

/// Rows by their keys, each with a text for every column that is shown.
#[derive(Clone, Debug, Default)]
pub struct IssueRows(BTreeMap<String, Vec<String>>);

impl IssueRows {
    /// Reads the rows that the page shows.
    ///
    /// # Errors
    /// [`AuditError`] for an index that cannot be read.
    pub fn of(Opened { index, .. }: &Opened, audit: &Audit) -> Result<Self, AuditError> {
        let keys: Vec<&str> = audit.issues.iter().flat_map(shown).map(String::as_str).collect();
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let answer = index.rows_of_keys(Rows::All, keys, &SHOWN.map(|(column, _)| column))?;
        let mut rows = vec![Vec::new(); answer.len()];
        for (column, _) in SHOWN {
            let texts: Vec<Option<String>> = match column {
                "center_k" => written(answer.numbers(column)?, |slice| format!("{slice:.0}")),
                "short_axis_mm" => written(answer.numbers(column)?, |mm| format!("{mm:.1}")),
                "metastasis" => written(answer.numbers(column)?, |status| {
                    (if status == 1.0 { "metastatic" } else { "benign" }).to_owned()
                }),
                _ => answer.texts(column)?,
            };
            rows.iter_mut().zip(texts).for_each(|(row, text)| row.push(text.unwrap_or_else(|| "–".to_owned())));
        }
        Ok(Self(rows.into_iter().filter_map(|row| Some((row.first()?.clone(), row))).collect()))
    }

    /// Whether there is anything to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether rows of an issue are shown.
    pub(crate) fn has(&self, issue: &AuditIssue) -> bool {
        issue.rows.iter().any(|key| self.0.contains_key(key))
    }

    /// The rows of all issues, each under its anchor.
    pub(crate) fn section(&self, issues: &[AuditIssue]) -> Markup {
        let columns = SHOWN.map(|(_, name)| name);
        html! {
            @for (n, issue) in issues.iter().enumerate().filter(|(_, issue)| self.has(issue)) {
                h3 id=(anchor(n)) { (issue.code.name()) }
                p { (issue.message) }
                @let rows: Vec<Vec<String>> = shown(issue).filter_map(|key| self.0.get(key).cloned()).collect();
                (table(&columns, &rows))
                @if issue.rows.len() > MOST {
                    p class="note" { "The first " (MOST) " of " (issue.rows.len()) " in audit.json." }
                }
            }
        }
    }
}

/// Where the rows of the issue with this number stand.
pub(crate) fn anchor(number: usize) -> String {
    format!("rows-{}", number + 1)
}

/// Keys of the rows of an issue that are shown.
fn shown(issue: &AuditIssue) -> impl Iterator<Item = &String> {
    issue.rows.iter().take(MOST)
}

fn written(numbers: Vec<Option<f64>>, text: impl Fn(f64) -> String) -> Vec<Option<String>> {
    numbers.into_iter().map(|number| number.map(&text)).collect()
}
