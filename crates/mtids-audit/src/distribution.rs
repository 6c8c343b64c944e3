//! Counts along both label dimensions.
//!
//! Invariants: the parts of a count add up (benign + metastatic + unknown = rows); groups come in a fixed order.

use polars::prelude::{Expr, LazyFrame, SortMultipleOptions, col, len, lit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::index::{Answer, Index};

/// The splits, in the order people read them.
pub(crate) const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// What a group of rows holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Rows.
    pub rows: u64,
    /// Patients.
    pub patients: u64,
    /// Rows known to be benign.
    pub benign: u64,
    /// Rows known to be metastatic.
    pub metastatic: u64,
    /// Rows of unknown status.
    pub unknown: u64,
}

impl Count {
    /// Share of metastatic rows among those of known status.
    pub fn prevalence(&self) -> Option<f64> {
        let known = self.benign + self.metastatic;
        (known > 0).then(|| self.metastatic as f64 / known as f64)
    }
}

/// A count by names: of a split, a region, a station, …; `None` stands for unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Names, in the order of the table's heading.
    pub names: Vec<Option<String>>,
    /// Its rows.
    #[serde(flatten)]
    pub count: Count,
}

impl Group {
    /// The name at a position, `unknown` for null.
    pub fn name(&self, position: usize) -> &str {
        self.names.get(position).and_then(Option::as_deref).unwrap_or("unknown")
    }
}

/// Short axes of the rows of a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sizes {
    /// `benign`, `metastatic` or `unknown`.
    pub status: String,
    /// Short axes, mm, sorted.
    pub short_axes_mm: Vec<f64>,
}

impl Sizes {
    /// Value below which the given share of the short axes lies, by linear interpolation.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        mtids_metrics::quantile(&self.short_axes_mm, share)
    }
}

fn aggregates() -> [Expr; 5] {
    [
        len().alias("rows"),
        col("patient_key").n_unique().alias("patients"),
        col("metastasis").eq(lit(0)).sum().alias("benign"),
        col("metastasis").eq(lit(1)).sum().alias("metastatic"),
        col("metastasis").null_count().alias("unknown"),
    ]
}

fn counts(answer: &Answer) -> Result<Vec<Count>, AuditError> {
    let rows = answer.counts("rows")?;
    let patients = answer.counts("patients")?;
    let benign = answer.counts("benign")?;
    let metastatic = answer.counts("metastatic")?;
    let unknown = answer.counts("unknown")?;
    Ok((0..answer.len())
        .map(|n| Count {
            rows: rows[n],
            patients: patients[n],
            benign: benign[n],
            metastatic: metastatic[n],
            unknown: unknown[n],
        })
        .collect())
}

/// Everything at once.
pub(crate) fn overall(index: &Index) -> Result<Count, AuditError> {
    let answer = index.query(|frame| frame.select(aggregates()))?;
    Ok(counts(&answer)?.first().copied().unwrap_or_default())
}

/// Counts by the values of `keys`.
pub(crate) fn by<const N: usize>(index: &Index, keys: [&str; N]) -> Result<Vec<Group>, AuditError> {
    groups(&index.grouped(keys, aggregates())?, keys)
}

/// The same of some rows, which a query over this index gives.
pub(crate) fn by_in<const N: usize>(index: &Index, rows: LazyFrame, keys: [&str; N]) -> Result<Vec<Group>, AuditError> {
    let expressions: Vec<Expr> = keys.iter().map(|key| col(*key)).collect();
    let grouped = rows.group_by(expressions).agg(aggregates()).sort(keys, SortMultipleOptions::default());
    groups(&index.answer(grouped)?, keys)
}

/// Patients of a group by the status of their nodes; one with nodes of both counts as either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusPatients {
    /// Names, in the order of the keys.
    pub(crate) names: Vec<Option<String>>,
    /// Patients with a benign node, and with a metastatic one.
    pub(crate) benign_and_metastatic: [u64; 2],
}

/// Patients of known status by the values of `keys`.
pub(crate) fn patients_by_status<const N: usize>(
    index: &Index,
    keys: [&str; N],
) -> Result<Vec<StatusPatients>, AuditError> {
    let with = |code: i32| col("patient_key").filter(col("metastasis").eq(lit(code))).n_unique();
    let answer = index.grouped(keys, [with(0).alias("benign"), with(1).alias("metastatic")])?;
    let names = keys.iter().map(|key| answer.texts(key)).collect::<Result<Vec<_>, _>>()?;
    let (benign, metastatic) = (answer.counts("benign")?, answer.counts("metastatic")?);
    Ok((0..answer.len())
        .map(|n| StatusPatients {
            names: names.iter().map(|column| column[n].clone()).collect(),
            benign_and_metastatic: [benign[n], metastatic[n]],
        })
        .collect())
}

fn groups<const N: usize>(answer: &Answer, keys: [&str; N]) -> Result<Vec<Group>, AuditError> {
    let names = keys.iter().map(|key| answer.texts(key)).collect::<Result<Vec<_>, _>>()?;
    Ok(counts(answer)?
        .into_iter()
        .enumerate()
        .map(|(n, count)| Group { names: names.iter().map(|column| column[n].clone()).collect(), count })
        .collect())
}

/// Short axes by status; statuses without any are left out.
pub(crate) fn sizes(index: &Index) -> Result<Vec<Sizes>, AuditError> {
    let answer = index.query(|frame| {
        frame.filter(col("short_axis_mm").is_not_null()).select([col("metastasis"), col("short_axis_mm")])
    })?;
    let status = answer.numbers("metastasis")?;
    let mm = answer.numbers("short_axis_mm")?;
    let of = |name: &str, code: Option<f64>| {
        let pairs = status.iter().zip(&mm);
        let mut short_axes_mm: Vec<f64> = pairs.filter(|(s, _)| **s == code).filter_map(|(_, mm)| *mm).collect();
        short_axes_mm.sort_by(f64::total_cmp);
        Sizes { status: name.to_owned(), short_axes_mm }
    };
    let all = [of("benign", Some(0.0)), of("metastatic", Some(1.0)), of("unknown", None)];
    Ok(all.into_iter().filter(|sizes| !sizes.short_axes_mm.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prevalence_leaves_the_unknown_out() {
        let count = Count { rows: 10, patients: 2, benign: 3, metastatic: 1, unknown: 6 };
        assert_eq!(count.prevalence(), Some(0.25));
        assert_eq!(Count::default().prevalence(), None);
    }

    #[test]
    fn quantiles_interpolate() {
        let sizes = Sizes { status: "benign".into(), short_axes_mm: vec![2.0, 4.0, 10.0] };
        assert_eq!(sizes.quantile(0.5), Some(4.0));
        assert_eq!(sizes.quantile(0.75), Some(7.0));
        assert_eq!(Sizes { status: String::new(), short_axes_mm: vec![] }.quantile(0.5), None);
    }
}
