//! Findings at one place: contradictions, and findings given twice.
//!
//! Series of a study that share a frame of reference show one body in one position, so labels of theirs must not contradict each other. Series
//! without a frame stand for themselves. Two reconstructions of a scan may both have each finding, so only within a series is one given twice.
//! Invariants: a row without series and frame has no place; the cost is that of a sort.

use std::collections::{BTreeSet, HashMap};

use mtids_report::format::counted;
use mtids_shards::NO_CODE;
use polars::prelude::col;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

const AXES: [&str; 3] = ["center_x_mm", "center_y_mm", "center_z_mm"];
/// Centres closer than this are one place, not the chance meeting of two shifts.
const COINCIDENT_MM: f64 = 0.01;
/// Weight of each of two samples of a finding; of more it is lower.
const WEIGHT_OF_TWO: f32 = 0.5;

/// The group of a row that names neither frame nor series.
const NO_GROUP: u64 = u64::MAX;

/// Where, and as what, findings are labelled: a column each. Texts are numbers, and numbers are in single precision, as the index has them: of ten
/// million rows the columns take 440 MB.
struct Places {
    /// Rows of one number are compared; [`NO_GROUP`] for one that is not.
    groups: Vec<u64>,
    series: Vec<u32>,
    sample: Vec<u32>,
    at: [Vec<f32>; 3],
    region: Vec<u32>,
    status: Vec<u32>,
    size: Vec<f32>,
    weight: Vec<f32>,
}

/// Rows that contradict each other, and rows that say one thing twice.
#[derive(Default)]
struct Pairs {
    contradicting: BTreeSet<u32>,
    repeated: BTreeSet<u32>,
}

impl Places {
    fn of(index: &Index) -> Result<Self, AuditError> {
        // Column by column, since each question holds what it asked for.
        let codes = |name: &str| -> Result<Vec<u32>, AuditError> {
            index.query(|frame| frame.select([col(name)]))?.codes(name)
        };
        let numbers = |name: &str| -> Result<Vec<f32>, AuditError> {
            let values = index.query(|frame| frame.select([col(name)]))?.values(name)?;
            Ok(values.into_iter().map(|value| value as f32).collect())
        };
        let series = codes("series_key")?;
        // A series has no number of a study, so it is never taken for a frame.
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let frames = codes("study_key")?.into_iter().zip(codes("frame_of_reference_key")?);
        let groups = frames.zip(&series).map(|((study, frame), series)| {
            let has_frame = study != NO_CODE && frame != NO_CODE;
            // Without a series both halves have all bits set, which is no group.
            if has_frame { pair(study, frame) } else { pair(NO_CODE, *series) }
        });
        Ok(Self {
            groups: groups.collect(),
            sample: codes("sample_key")?,
            at: [numbers(AXES[0])?, numbers(AXES[1])?, numbers(AXES[2])?],
            region: codes("region_name")?,
            status: codes("metastasis")?,
            size: numbers("short_axis_mm")?,
            weight: numbers("weight")?,
            series,
        })
    }

    /// Rows that have a place, group by group, and in each along the body.
    fn order(&self) -> Vec<u32> {
        let group = |row: &u32| self.groups[*row as usize];
        let mut order: Vec<u32> = (0..self.series.len() as u32).filter(|row| group(row) != NO_GROUP).collect();
        // Most files have the rows of a study together, and then groups, which are of first rows, rise.
        if !order.is_sorted_by_key(group) {
            order.sort_by_key(group);
        }
        let along = |a: &u32, b: &u32| self.at[2][*a as usize].total_cmp(&self.at[2][*b as usize]).then(a.cmp(b));
        for rows in order.chunk_by_mut(|a, b| group(a) == group(b)) {
            rows.sort_unstable_by(along);
        }
        order
    }

    /// What all samples of the finding of a row share; none where its weight is none of a sample: they share a weight of 1.
    fn finding(&self, row: u32) -> Option<[u64; 5]> {
        let row = row as usize;
        let is_part = self.weight[row] > 0.0 && self.weight[row] <= WEIGHT_OF_TWO;
        let codes = [self.series[row], self.region[row], self.status[row]].map(u64::from);
        let numbers = [self.size[row], self.weight[row]].map(|number| u64::from(number.to_bits()));
        is_part.then(|| [codes[0], codes[1], codes[2], numbers[0], numbers[1]])
    }

    /// For each of these rows, whether it is one of several samples of a finding, so that its centre may be shifted. A row of low weight that no
    /// other one goes with was only weighted.
    fn are_shifted(&self, rows: &[u32]) -> Vec<bool> {
        let mut samples: HashMap<[u64; 5], u32> = HashMap::new();
        rows.iter().filter_map(|row| self.finding(*row)).for_each(|one| *samples.entry(one).or_default() += 1);
        let has_others = |finding: [u64; 5]| samples.get(&finding).is_some_and(|samples| *samples > 1);
        rows.iter().map(|row| self.finding(*row).is_some_and(has_others)).collect()
    }

    fn distance_mm(&self, a: usize, b: usize) -> f64 {
        let along = |axis: &Vec<f32>| f64::from(axis[a]) - f64::from(axis[b]);
        self.at.iter().map(|axis| along(axis).powi(2)).sum::<f64>().sqrt()
    }

    /// Whether the labels of two rows differ; unknown contradicts nothing.
    fn contradict(&self, a: usize, b: usize) -> bool {
        let differ = |codes: &[u32]| codes[a] != NO_CODE && codes[b] != NO_CODE && codes[a] != codes[b];
        differ(&self.region) || differ(&self.status)
    }

    /// Compares the rows of a group, which come in their order along the body: each only with those at most `same_place_mm` further up. A shifted
    /// centre may lie nearer to a neighbour than to its own finding, so samples count only where they coincide, as unshifted ones of one place do.
    fn compare(&self, rows: &[u32], same_place_mm: f64, found: &mut Pairs) {
        let are_shifted = self.are_shifted(rows);
        for (n, a) in rows.iter().map(|row| *row as usize).enumerate() {
            let above = (n + 1..rows.len()).map(|m| (m, rows[m] as usize));
            for (m, b) in
                above.take_while(|(_, b)| f64::from(self.at[2][*b]) - f64::from(self.at[2][a]) < same_place_mm)
            {
                let is_shifted = are_shifted[n] || are_shifted[m];
                let limit = if is_shifted { COINCIDENT_MM.min(same_place_mm) } else { same_place_mm };
                // A place that is none is near to nothing.
                let is_same = self.distance_mm(a, b) < limit;
                let both = [self.sample[a], self.sample[b]];
                if is_same && self.contradict(a, b) {
                    found.contradicting.extend(both);
                } else if is_same && !is_shifted && self.series[a] == self.series[b] {
                    // Samples of one finding lie together by intention; which of them are of one finding no column says.
                    found.repeated.extend(both);
                }
            }
        }
    }
}

/// Patches of one place should not contradict each other, nor be two findings. Centres are those of findings, see [`Places::compare`].
pub(super) fn shared(index: &Index, same_place_mm: f64) -> Result<Vec<AuditIssue>, AuditError> {
    let places = Places::of(index)?;
    let mut found = Pairs::default();
    for rows in places.order().chunk_by(|a, b| places.groups[*a as usize] == places.groups[*b as usize]) {
        places.compare(rows, same_place_mm, &mut found);
    }
    drop(places);
    let keys = |rows: BTreeSet<u32>| -> Result<Vec<String>, AuditError> {
        let rows: Vec<u32> = rows.into_iter().collect();
        Ok(index.coded()?.index().texts_at("sample_key", &rows)?.into_iter().flatten().collect())
    };
    let mut issues = Vec::new();
    for (severity, code, rows, words, advice) in [
        (
            Severity::Error,
            IssueCode::ConflictingLabels,
            found.contradicting,
            format!("less than {same_place_mm} mm apart carry different labels"),
            "two sources or readers disagree about one node: correct the annotations",
        ),
        (
            Severity::Warning,
            IssueCode::DuplicateFinding,
            found.repeated,
            format!("of one series are less than {same_place_mm} mm apart, with labels that agree"),
            "a node annotated twice counts twice; remove one annotation",
        ),
    ] {
        if !rows.is_empty() {
            let count = rows.len() as u64;
            let message = format!("{} {words}", counted(count, "patch", "patches"));
            issues.push(AuditIssue::new(severity, code, count, message, advice).with_rows(keys(rows)?));
        }
    }
    Ok(issues)
}
