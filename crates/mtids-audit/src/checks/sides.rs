//! Sides of stations against each other: within a series, what is labelled right lies to the right of what is labelled left.
//!
//! LPS x = 0 is not the midline of the body, so no finding is judged by its own place, and a patient who lies off centre gives nothing.
//! Invariants: stations 3 and 7 and those without side are not judged; a series with one side only says nothing. Units: LPS mm, x towards
//! the left.

use std::collections::BTreeSet;

use mtids_domain::nodal::Side;
use mtids_domain::taxonomy::Station;
use polars::prelude::col;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Findings of right-sided stations that lie more to the left than one of a left-sided station, by more than the margin; both are named.
pub(super) fn crossed(index: &Index, margin_mm: f64) -> Result<Option<AuditIssue>, AuditError> {
    let sides: Vec<Option<Side>> = index
        .coded()?
        .kept("station")?
        .values
        .iter()
        .map(|code| Station::ALL.iter().find(|station| station.code() == code).and_then(|station| Side::of(*station)))
        .collect();
    if sides.iter().all(Option::is_none) {
        return Ok(None);
    }
    let columns = ["series_key", "station", "center_x_mm", "sample_key"].map(col);
    let answer = index.query(|frame| frame.filter(col("station").is_not_null()).select(columns))?;
    let (series, stations) = (answer.codes("series_key")?, answer.codes("station")?);
    let (x, samples) = (answer.values("center_x_mm")?, answer.codes("sample_key")?);
    let side = |row: u32| sides.get(stations[row as usize] as usize).copied().flatten();
    let mut order: Vec<u32> = (0..series.len() as u32).filter(|row| side(*row).is_some()).collect();
    order.sort_unstable_by_key(|row| (series[*row as usize], *row));
    let mut wrong = BTreeSet::new();
    for of_series in order.chunk_by(|a, b| series[*a as usize] == series[*b as usize]) {
        let of =
            |wanted: Side| of_series.iter().filter(move |row| side(**row) == Some(wanted)).map(|row| *row as usize);
        let leftmost_right = of(Side::Right).map(|row| x[row]).fold(f64::NEG_INFINITY, f64::max);
        let rightmost_left = of(Side::Left).map(|row| x[row]).fold(f64::INFINITY, f64::min);
        if leftmost_right - rightmost_left > margin_mm {
            wrong.extend(of(Side::Right).filter(|row| x[*row] - rightmost_left > margin_mm).map(|row| samples[row]));
            wrong.extend(of(Side::Left).filter(|row| leftmost_right - x[*row] > margin_mm).map(|row| samples[row]));
        }
    }
    if wrong.is_empty() {
        return Ok(None);
    }
    let rows: Vec<u32> = wrong.into_iter().collect();
    let keys = index.coded()?.index().texts_at("sample_key", &rows)?;
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::SidesCrossed,
            rows.len() as u64,
            format!("{} patches of right-sided and left-sided stations lie on the wrong side of each other by more than {margin_mm} mm", rows.len()),
            "look at them: the side of a label is wrong, or the series is mirrored",
        )
        .with_rows(keys.into_iter().flatten()),
    ))
}
