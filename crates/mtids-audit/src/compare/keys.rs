//! Keys that occur in more than one row of a dataset: such rows cannot be matched, and a join would multiply them.
//!
//! Invariant: two datasets without such a key are joined as they are.

use mtids_report::format::counted;
use polars::prelude::{JoinArgs, JoinType, LazyFrame, SortMultipleOptions, col, len, lit};

use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// What joins the rows.
pub(super) const KEY: &str = "sample_key";
/// How people call the two datasets.
const NAMES: [&str; 2] = ["first", "second"];

/// The keys, by dataset.
pub(super) struct Repeated {
    keys: [Vec<String>; 2],
    /// The same with a mark, for a join.
    marked: Vec<(String, LazyFrame)>,
}

impl Repeated {
    /// Of the first and the second dataset.
    pub(super) fn of(datasets: [&Index; 2]) -> Result<Self, AuditError> {
        let mut found = Self { keys: [Vec::new(), Vec::new()], marked: Vec::new() };
        for ((name, keys), index) in NAMES.into_iter().zip(&mut found.keys).zip(datasets) {
            let answer = index.query_of(Rows::All, |frame| {
                let rows = frame.filter(col(KEY).is_not_null()).group_by([col(KEY)]).agg([len().alias("rows")]);
                let several = rows.filter(col("rows").gt(lit(1))).select([col(KEY)]);
                several.sort([KEY], SortMultipleOptions::default())
            })?;
            *keys = answer.texts(KEY)?.into_iter().flatten().collect();
            if !keys.is_empty() {
                let mark = format!("repeated in the {name}");
                found.marked.push((mark.clone(), answer.into_frame().with_column(lit(true).alias(mark))));
            }
        }
        Ok(found)
    }

    /// Rows of either dataset without those whose key is repeated in one of them.
    pub(super) fn without(&self, rows: LazyFrame) -> LazyFrame {
        self.marked.iter().fold(rows, |rows, (mark, keys)| {
            let marked = rows.join(keys.clone(), [col(KEY)], [col(KEY)], JoinArgs::new(JoinType::Left));
            marked.filter(col(mark.as_str()).is_null())
        })
    }

    /// An issue for each dataset that has them.
    pub(super) fn issues(&self) -> Vec<AuditIssue> {
        let of_dataset = |(name, keys): (&str, &Vec<String>)| {
            let count = keys.len() as u64;
            (count > 0).then(|| {
                AuditIssue::new(
                    Severity::Error,
                    IssueCode::DuplicateSample,
                    count,
                    format!(
                        "{} in more than one row of the {name} dataset: these rows are not compared",
                        counted(count, "sample key occurs", "sample keys occur")
                    ),
                    "sample keys must be unique; the dataset was not written by mtids-prep, or was changed: build it again",
                )
                .with_rows(keys.iter().cloned())
            })
        };
        NAMES.into_iter().zip(&self.keys).filter_map(of_dataset).collect()
    }
}
