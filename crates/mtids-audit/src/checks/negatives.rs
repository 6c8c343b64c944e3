//! Places without finding: they bear no label, and lie away from every finding of their series, and of series in the same frame of reference.

use std::collections::{BTreeSet, HashMap};

use mtids_report::format::counted;
use mtids_shards::NO_CODE;
use polars::prelude::{Expr, col, lit};

use crate::error::AuditError;
use crate::index::{Answer, Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The kind of rows at places without finding.
const NEGATIVE: &str = "negative";

/// Negatives with a label, and negatives at a finding.
pub(super) fn negatives(index: &Index, same_place_mm: f64) -> Result<Vec<AuditIssue>, AuditError> {
    // Most datasets have none.
    if !index.coded()?.kept("kind")?.values.iter().any(|kind| kind == NEGATIVE) {
        return Ok(Vec::new());
    }
    let is_negative = index.is("kind", NEGATIVE)?;
    let keys = |condition: Expr| -> Result<Vec<String>, AuditError> {
        let kept = is_negative.clone().and(condition);
        let answer = index.query_of(Rows::All, |frame| frame.filter(kept).select([col("sample_key")]))?;
        Ok(answer.texts("sample_key")?.into_iter().flatten().collect())
    };
    let is_labelled = ["metastasis", "region_name", "station"].map(|name| col(name).is_not_null());
    let [status, region, station] = is_labelled;
    let mut near: BTreeSet<String> = keys(col("finding_distance_mm").lt(lit(same_place_mm)))?.into_iter().collect();
    near.extend(at_findings(index, &is_negative, same_place_mm)?);
    let near: Vec<String> = near.into_iter().collect();
    let mut issues = Vec::new();
    for (severity, code, keys, words, advice) in [
        (
            Severity::Error,
            IssueCode::LabelledNegative,
            keys(status.or(region).or(station))?,
            "a label".to_owned(),
            "a place without finding has no status: the dataset was not written by mtids-prep, or was changed; build it again",
        ),
        (
            Severity::Warning,
            IssueCode::NegativeNearFinding,
            near,
            format!("a finding less than {same_place_mm} mm away"),
            "a network is told that a node is none: draw negatives further away, and build again",
        ),
    ] {
        if !keys.is_empty() {
            let count = keys.len() as u64;
            let message = format!("{} {words}", counted(count, "negative has", "negatives have"));
            issues.push(AuditIssue::new(severity, code, count, message, advice).with_rows(keys));
        }
    }
    Ok(issues)
}

/// What tells where a row lies: study, frame of reference and series, then its centre.
const PLACE: [&str; 6] =
    ["study_key", "frame_of_reference_key", "series_key", "center_x_mm", "center_y_mm", "center_z_mm"];

/// Rows of one frame of reference of a study, or of one series without a frame, lie in one space.
fn spaces(answer: &Answer) -> Result<Vec<[u32; 2]>, AuditError> {
    let [studies, frames, series] = [answer.codes(PLACE[0])?, answer.codes(PLACE[1])?, answer.codes(PLACE[2])?];
    let space = |((study, frame), series)| match study != NO_CODE && frame != NO_CODE {
        true => [study, frame],
        false => [NO_CODE, series],
    };
    Ok(studies.into_iter().zip(frames).zip(series).map(space).collect())
}

/// Keys of negatives that lie at a finding by their places, whatever their column says.
fn at_findings(index: &Index, is_negative: &Expr, same_place_mm: f64) -> Result<Vec<String>, AuditError> {
    let columns = || PLACE.map(col).to_vec();
    let all = index.query_of(Rows::All, |frame| {
        frame.filter(is_negative.clone()).select([columns(), vec![col("sample_key")]].concat())
    })?;
    let keys = all.texts("sample_key")?;
    let places = |answer: &Answer| -> Result<[Vec<f64>; 3], AuditError> {
        Ok([answer.values(PLACE[3])?, answer.values(PLACE[4])?, answer.values(PLACE[5])?])
    };
    let at = places(&all)?;
    let mut by_space: HashMap<[u32; 2], Vec<usize>> = HashMap::new();
    for (n, space) in spaces(&all)?.into_iter().enumerate() {
        by_space.entry(space).or_default().push(n);
    }
    let findings = index.query(|frame| frame.select(columns()))?;
    let finding_at = places(&findings)?;
    let mut near = BTreeSet::new();
    for (row, space) in spaces(&findings)?.into_iter().enumerate() {
        for &n in by_space.get(&space).into_iter().flatten() {
            let squared: f64 = (0..3).map(|axis| (finding_at[axis][row] - at[axis][n]).powi(2)).sum();
            if squared < same_place_mm * same_place_mm {
                near.insert(n);
            }
        }
    }
    Ok(near.into_iter().filter_map(|n| keys[n].clone()).collect())
}
