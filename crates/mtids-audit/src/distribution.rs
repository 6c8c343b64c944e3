//! Counts along both label dimensions.
//!
//! Invariant: groups come in a fixed order.

use polars::prelude::{Expr, LazyFrame, SortMultipleOptions, col, len, lit};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::count::{Count, Group};
use crate::error::AuditError;
use crate::index::{Answer, Index};

/// The splits, in the order people read them.
pub(crate) const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// Most short axes of a status that are kept: what a page draws, to a 2000th.
const MOST_SIZES: usize = 2000;

/// Short axes of the rows of a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sizes {
    /// `benign`, `metastatic` or `unknown`.
    pub status: String,
    /// Rows that have one.
    pub rows: u64,
    /// Short axes, mm, sorted; of more than 2000 rows, those at 2000 even steps.
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
    let groups = index.counted(&[], || {
        let answer = index.query(|frame| frame.select(aggregates()))?;
        groups(&answer, [])
    })?;
    Ok(groups.first().map(|group| group.count).unwrap_or_default())
}

/// Counts by the values of `keys`; checks and tables ask for the same ones, which are counted once.
pub(crate) fn by<const N: usize>(index: &Index, keys: [&str; N]) -> Result<Vec<Group>, AuditError> {
    index.counted(&keys, || groups(&index.grouped(keys, aggregates())?, keys))
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
        .map(|(n, count)| Group {
            names: names.iter().map(|column| column[n].clone()).collect(),
            count,
            intervals: None,
        })
        .collect())
}

/// Short axes by status; statuses without any are left out.
pub(crate) fn sizes(index: &Index) -> Result<Vec<Sizes>, AuditError> {
    let known = col("short_axis_mm").is_not_null();
    let mut all = Vec::new();
    for (status, code) in [("benign", Some(0)), ("metastatic", Some(1)), ("unknown", None)] {
        let is_status = code.map_or_else(|| col("metastasis").is_null(), |code: i32| col("metastasis").eq(lit(code)));
        let kept = known.clone().and(is_status);
        let mut mm = index.query(|frame| frame.filter(kept).select([col("short_axis_mm")]))?.values("short_axis_mm")?;
        mm.par_sort_unstable_by(f64::total_cmp);
        if !mm.is_empty() {
            let rows = mm.len() as u64;
            all.push(Sizes { status: status.to_owned(), rows, short_axes_mm: thinned(mm) });
        }
    }
    Ok(all)
}

/// The sorted values, or as many of them as are kept, at even steps with both ends.
fn thinned(sorted: Vec<f64>) -> Vec<f64> {
    if sorted.len() <= MOST_SIZES {
        return sorted;
    }
    let last = (sorted.len() - 1) as f64;
    let step = last / (MOST_SIZES - 1) as f64;
    (0..MOST_SIZES).map(|n| sorted[((n as f64 * step).round() as usize).min(sorted.len() - 1)]).collect()
}

/// Rows of each patient, sorted.
pub(crate) fn rows_per_patient(index: &Index) -> Result<Vec<u64>, AuditError> {
    let answer = index.query(|frame| frame.group_by([col("patient_key")]).agg([len().alias("rows")]))?;
    let mut rows = answer.counts("rows")?;
    rows.sort_unstable();
    Ok(rows)
}

/// Findings of whatever a column of keys names.
pub(crate) fn rows_per_key(index: &Index, key: &str) -> Result<Vec<u64>, AuditError> {
    // A key is the number of its first row.
    let mut rows = vec![0u32; index.coded()?.index().rows()];
    for first in index.query(|frame| frame.select([col(key)]))?.codes(key)? {
        rows.get_mut(first as usize).into_iter().for_each(|rows| *rows += 1);
    }
    Ok(rows.into_iter().filter(|rows| *rows > 0).map(u64::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sizes_are_kept_at_even_steps_with_both_ends() {
        let kept = thinned((0..100_001).map(f64::from).collect());
        assert_eq!((kept.len(), kept[0], kept[MOST_SIZES - 1]), (MOST_SIZES, 0.0, 100_000.0));
        assert!(kept.windows(2).all(|pair| (50.0..=51.0).contains(&(pair[1] - pair[0]))));
        assert_eq!(thinned(vec![1.0, 2.0]), [1.0, 2.0]);
    }

    #[test]
    fn quantiles_interpolate() {
        let sizes = Sizes { status: "benign".into(), rows: 3, short_axes_mm: vec![2.0, 4.0, 10.0] };
        assert_eq!(sizes.quantile(0.5), Some(4.0));
        assert_eq!(sizes.quantile(0.75), Some(7.0));
        assert_eq!(Sizes { status: String::new(), rows: 0, short_axes_mm: vec![] }.quantile(0.5), None);
    }
}
