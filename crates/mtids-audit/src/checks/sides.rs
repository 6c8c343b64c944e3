//! Sides of stations: against the midline of the body, and against each other within a series.
//!
//! LPS x = 0 is not the midline of the body. So a finding is judged by its own place only where the build found the midline at its height, and a
//! patient who lies off centre gives nothing. Where it did not, places are those of the rows, which are shifted in all samples but the first.
//! Invariants: stations 3 and 7, those without side and rows without series are not judged; a series with one side only says nothing. Units: LPS mm,
//! x towards the left.

use std::collections::BTreeSet;

use mtids_domain::nodal::Side;
use mtids_domain::taxonomy::Station;
use mtids_report::format::counted;
use mtids_shards::NO_CODE;
use polars::prelude::{col, lit};

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Column of the offset from the midline, of the node itself.
const MIDLINE: &str = "midline_offset_mm";

/// The side of each station of the index, by its code.
fn sides_of_stations(index: &Index) -> Result<Vec<Option<Side>>, AuditError> {
    let kept = index.coded()?.kept("station")?;
    let of = |code: &String| Station::ALL.iter().find(|station| station.code() == code).and_then(|one| Side::of(*one));
    Ok(kept.values.iter().map(of).collect())
}

/// Findings of sided stations that lie on the other side of the midline by more than the margin.
pub(super) fn against_midline(index: &Index, margin_mm: f64) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(MIDLINE) {
        return Ok(None);
    }
    let sides = sides_of_stations(index)?;
    let of_station = |(code, side): (usize, &Option<Side>)| {
        let beyond = match (*side)? {
            Side::Right => col(MIDLINE).gt(lit(margin_mm)),
            Side::Left => col(MIDLINE).lt(lit(-margin_mm)),
        };
        // NaN would lie beyond every margin.
        Some(col("station").eq(lit(code as u32)).and(col(MIDLINE).is_finite()).and(beyond))
    };
    let Some(wrong) = sides.iter().enumerate().filter_map(of_station).reduce(|one, other| one.or(other)) else {
        return Ok(None);
    };
    let keys = index.keys(wrong)?;
    let count = keys.len() as u64;
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::SideAgainstMidline,
            count,
            format!(
                "{} on the other side of the body than the station, by more than {margin_mm} mm from the midline",
                counted(count, "patch lies", "patches lie")
            ),
            "look at them: the side of the label is wrong, or the series is mirrored",
        )
        .with_rows(keys)
    }))
}

/// Findings of right-sided stations that lie more to the left than one of a left-sided station, by more than the margin; both are named.
pub(super) fn crossed(index: &Index, margin_mm: f64) -> Result<Option<AuditIssue>, AuditError> {
    let sides = sides_of_stations(index)?;
    if sides.iter().all(Option::is_none) {
        return Ok(None);
    }
    let has_midline = index.has(MIDLINE);
    let mut columns = vec!["series_key", "station", "center_x_mm", "sample_key"];
    columns.extend(has_midline.then_some(MIDLINE));
    let columns: Vec<_> = columns.into_iter().map(col).collect();
    let answer = index.query(|frame| frame.filter(col("station").is_not_null()).select(columns))?;
    let offsets = if has_midline { answer.values(MIDLINE)? } else { vec![f64::NAN; answer.len()] };
    let (series, stations) = (answer.codes("series_key")?, answer.codes("station")?);
    let (x, samples) = (answer.values("center_x_mm")?, answer.codes("sample_key")?);
    let side = |row: u32| sides.get(stations[row as usize] as usize).copied().flatten();
    let has_series = |row: u32| series[row as usize] != NO_CODE;
    let is_known = |row: u32| has_series(row) && side(row).is_some() && x[row as usize].is_finite();
    let mut order: Vec<u32> = (0..series.len() as u32).filter(|row| is_known(*row)).collect();
    order.sort_unstable_by_key(|row| (series[*row as usize], *row));
    let mut wrong = BTreeSet::new();
    for of_series in order.chunk_by(|a, b| series[*a as usize] == series[*b as usize]) {
        // Offsets belong to the node; they and LPS x are never mixed.
        let has_offset = of_series.iter().all(|row| offsets[*row as usize].is_finite());
        let x = if has_offset { &offsets } else { &x };
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
            format!(
                "{} of right-sided and left-sided stations on the wrong side of each other, by more than {margin_mm} mm",
                counted(rows.len() as u64, "patch lies", "patches lie")
            ),
            "look at them: the side of a label is wrong, or the series is mirrored",
        )
        .with_rows(keys.into_iter().flatten()),
    ))
}
