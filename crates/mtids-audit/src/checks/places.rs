//! Findings of one series at one place: contradictions, and findings given twice.

use std::collections::BTreeSet;

use mtids_report::format::counted;
use mtids_shards::NO_CODE;
use polars::prelude::{Expr, col};

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Where, and as what, findings are labelled: a column each. Texts are numbers.
struct Places {
    series: Vec<u32>,
    sample: Vec<u32>,
    at: [Vec<f64>; 3],
    region: Vec<u32>,
    status: Vec<u32>,
    weight: Vec<f64>,
}

impl Places {
    fn of(index: &Index) -> Result<Self, AuditError> {
        let columns = ["series_key", "sample_key", "region_name", "metastasis", "weight"];
        let answer =
            index.query(|frame| frame.select(columns.into_iter().chain(AXES).map(col).collect::<Vec<Expr>>()))?;
        Ok(Self {
            series: answer.codes("series_key")?,
            sample: answer.codes("sample_key")?,
            at: [answer.values(AXES[0])?, answer.values(AXES[1])?, answer.values(AXES[2])?],
            region: answer.codes("region_name")?,
            status: answer.codes("metastasis")?,
            weight: answer.values("weight")?,
        })
    }

    /// One of several samples of a finding, so that its centre may be shifted: they share a weight of 1.
    fn is_shifted(&self, row: usize) -> bool {
        self.weight[row] < 1.0
    }

    /// Whether two rows show one place. A shifted centre may lie nearer to a neighbour than to its own finding, so samples of
    /// a finding count only where they coincide, as unshifted ones of one place do.
    fn is_same(&self, a: usize, b: usize, same_place_mm: f64) -> bool {
        let is_shifted = self.is_shifted(a) || self.is_shifted(b);
        let limit = if is_shifted { COINCIDENT_MM.min(same_place_mm) } else { same_place_mm };
        self.at.iter().map(|axis| (axis[a] - axis[b]).powi(2)).sum::<f64>().sqrt() < limit
    }

    /// Whether the labels of two rows differ; unknown contradicts nothing.
    fn contradict(&self, a: usize, b: usize) -> bool {
        let differ = |codes: &[u32]| codes[a] != NO_CODE && codes[b] != NO_CODE && codes[a] != codes[b];
        differ(&self.region) || differ(&self.status)
    }
}

const AXES: [&str; 3] = ["center_x_mm", "center_y_mm", "center_z_mm"];
/// Centres closer than this are one place, not the chance meeting of two shifts.
const COINCIDENT_MM: f64 = 0.01;

/// Patches of one place should not contradict each other, nor be two findings. Centres are those of findings, see [`Places::is_same`].
pub(super) fn shared(index: &Index, same_place_mm: f64) -> Result<Vec<AuditIssue>, AuditError> {
    let places = Places::of(index)?;
    // Sorted along the body, a place is compared only with those of its series at most `same_place_mm` further up.
    let mut order: Vec<u32> = (0..places.series.len() as u32).collect();
    order.sort_unstable_by(|a, b| {
        let (a, b) = (*a as usize, *b as usize);
        let along = places.at[2][a].total_cmp(&places.at[2][b]);
        places.series[a].cmp(&places.series[b]).then(along).then(a.cmp(&b))
    });
    let (mut contradicting, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for of_series in order.chunk_by(|a, b| places.series[*a as usize] == places.series[*b as usize]) {
        for (n, a) in of_series.iter().map(|row| *row as usize).enumerate() {
            let above = of_series[n + 1..].iter().map(|row| *row as usize);
            for b in above.take_while(|b| places.at[2][*b] - places.at[2][a] < same_place_mm) {
                if !places.is_same(a, b, same_place_mm) {
                    continue;
                }
                let both = [places.sample[a], places.sample[b]];
                if places.contradict(a, b) {
                    contradicting.extend(both);
                } else if !places.is_shifted(a) && !places.is_shifted(b) {
                    // Samples of one finding lie together by intention; which of them are of one finding no column says.
                    repeated.extend(both);
                }
            }
        }
    }
    drop(places);
    let keys = |rows: BTreeSet<u32>| -> Result<Vec<String>, AuditError> {
        let rows: Vec<u32> = rows.into_iter().collect();
        Ok(index.coded()?.index().texts_at("sample_key", &rows)?.into_iter().flatten().collect())
    };
    let (contradicting, repeated) = (keys(contradicting)?, keys(repeated)?);
    let mut issues = Vec::new();
    if !contradicting.is_empty() {
        issues.push(
            AuditIssue::new(
                Severity::Error,
                IssueCode::ConflictingLabels,
                contradicting.len() as u64,
                format!(
                    "{} less than {same_place_mm} mm apart carry different labels",
                    counted(contradicting.len() as u64, "patch", "patches")
                ),
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
                    "{} of one series are less than {same_place_mm} mm apart, with labels that agree",
                    counted(repeated.len() as u64, "patch", "patches")
                ),
                "a node annotated twice counts twice; remove one annotation",
            )
            .with_rows(repeated),
        );
    }
    Ok(issues)
}
