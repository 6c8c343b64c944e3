//! Findings of one series at one place: contradictions, and findings given twice.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::col;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Where, and as what, a row is labelled.
struct Place {
    sample: String,
    at: [f64; 3],
    region: Option<String>,
    status: Option<String>,
    /// One of several samples of a finding, so that its centre may be shifted.
    shifted: bool,
}

impl Place {
    /// Whether two rows show one place. A shifted centre may lie nearer to a neighbour than to its own finding, so samples of
    /// a finding count only where they coincide, as unshifted ones of one place do.
    fn is_same(&self, other: &Self, same_place_mm: f64) -> bool {
        let limit = if self.shifted || other.shifted { COINCIDENT_MM.min(same_place_mm) } else { same_place_mm };
        self.at.iter().zip(&other.at).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() < limit
    }
}

/// Centres closer than this are one place, not the chance meeting of two shifts.
const COINCIDENT_MM: f64 = 0.01;

/// Patches of one place should not contradict each other, nor be two findings. Centres are those of findings, see [`Place::is_same`].
pub(super) fn shared(index: &Index, same_place_mm: f64) -> Result<Vec<AuditIssue>, AuditError> {
    let columns = [
        "series_key",
        "sample_key",
        "center_x_mm",
        "center_y_mm",
        "center_z_mm",
        "region_name",
        "metastasis",
        "weight",
    ];
    let answer = index.query(|frame| frame.select(columns.map(col)))?;
    let series = answer.texts("series_key")?;
    let sample = answer.texts("sample_key")?;
    let region = answer.texts("region_name")?;
    let status = answer.texts("metastasis")?;
    let weight = answer.numbers("weight")?;
    let axis = ["center_x_mm", "center_y_mm", "center_z_mm"].map(|name| answer.numbers(name));
    let [x, y, z] = axis;
    let (x, y, z) = (x?, y?, z?);
    let mut places: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for n in 0..answer.len() {
        places.entry(series[n].clone().unwrap_or_default()).or_default().push(Place {
            sample: sample[n].clone().unwrap_or_default(),
            at: [x[n], y[n], z[n]].map(|mm| mm.unwrap_or(f64::NAN)),
            region: region[n].clone(),
            status: status[n].clone(),
            // The samples of a finding share a weight of 1.
            shifted: weight[n].is_some_and(|weight| weight < 1.0),
        });
    }
    let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    let (mut contradicting, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for places in places.values_mut() {
        // Sorted along the body, a place is compared only with those at most `same_place_mm` further up.
        places.sort_by(|a, b| a.at[2].total_cmp(&b.at[2]));
        for (n, a) in places.iter().enumerate() {
            for b in places[n + 1..].iter().take_while(|b| b.at[2] - a.at[2] < same_place_mm) {
                if !a.is_same(b, same_place_mm) {
                    continue;
                }
                if differ(&a.region, &b.region) || differ(&a.status, &b.status) {
                    contradicting.extend([a.sample.clone(), b.sample.clone()]);
                } else if !a.shifted && !b.shifted && a.sample != b.sample {
                    // Samples of one finding lie together by intention; which of them are of one finding no column says.
                    repeated.extend([a.sample.clone(), b.sample.clone()]);
                }
            }
        }
    }
    let mut issues = Vec::new();
    if !contradicting.is_empty() {
        issues.push(
            AuditIssue::new(
                Severity::Error,
                IssueCode::ConflictingLabels,
                contradicting.len() as u64,
                format!("{} patches less than {same_place_mm} mm apart carry different labels", contradicting.len()),
                "two sources or readers disagree about one node: correct the annotations",
            )
            .with_rows(contradicting),
        );
    }
    if !repeated.is_empty() {
        issues.push(
            AuditIssue::new(
                Severity::Warning,
                IssueCode::DuplicateFinding,
                repeated.len() as u64,
                format!(
                    "{} patches of one series are less than {same_place_mm} mm apart, with labels that agree",
                    repeated.len()
                ),
                "a node annotated twice counts twice; remove one annotation",
            )
            .with_rows(repeated),
        );
    }
    Ok(issues)
}
