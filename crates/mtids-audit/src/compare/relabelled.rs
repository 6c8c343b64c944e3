//! Why labels of the same rows differ: a correction that the second dataset records, one of the first that is withdrawn, or nobody knows.
//!
//! Invariants: a correction explains a change only where the label before and the label after are those that it names; where the first dataset
//! was corrected itself, the label before is that of its correction. A row with any change that nothing explains needs a look.

use std::collections::{BTreeMap, BTreeSet};

use mtids_shards::CorrectionRecord;

use super::pairs::{Change, Pairs, status_name};
use crate::error::AuditError;

/// Columns of labels, each with its own dimension of corrections, and the other one that changes it: a station says the region, a region leaves
/// the station open, and a status takes its evidence and level with it.
const LABELS: [(&str, &str, &str); 5] = [
    ("region_name", "region", "station"),
    ("station", "station", "region"),
    ("metastasis", "metastasis", "metastasis"),
    ("evidence", "evidence", "metastasis"),
    ("level", "level", "metastasis"),
];

/// Rows with another label.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Relabelled {
    /// Keys of rows whose changes corrections of the second dataset explain.
    pub(super) explained: Vec<String>,
    /// Keys of rows with a change that nothing explains.
    pub(super) others: Vec<String>,
    /// Corrections of the first dataset that the second lacks, and whose labels are others there.
    pub(super) withdrawn: Vec<CorrectionRecord>,
}

/// Judges every changed label; `first` are corrections that only the first dataset has, `second` those that only the second has.
pub(super) fn relabelled(
    pairs: &Pairs<'_>,
    first: &[CorrectionRecord],
    second: &[CorrectionRecord],
) -> Result<Relabelled, AuditError> {
    let mut changes = Changes::new();
    for (column, ..) in LABELS {
        let name_of: fn(&str) -> &str = if column == "metastasis" { status_name } else { |stored| stored };
        for Change { key, labels } in pairs.changes(column, name_of)? {
            changes.entry(key).or_default().insert(column, labels);
        }
    }
    Ok(judged(&changes, first, second))
}

/// By key and column, the label before and after.
type Changes = BTreeMap<String, BTreeMap<&'static str, [String; 2]>>;

fn judged(changes: &Changes, first: &[CorrectionRecord], second: &[CorrectionRecord]) -> Relabelled {
    let [first, second] = [first, second].map(by_key);
    let mut found = Relabelled::default();
    for (key, changed) in changes {
        let [before, after] = [&first, &second].map(|records| records.get(key.as_str()).cloned().unwrap_or_default());
        let touched = |records: &[&CorrectionRecord], dimension: &str| {
            records.iter().any(|one| reach(&one.dimension).any(|column| reach(dimension).any(|other| other == column)))
        };
        let holds = |one: &&&CorrectionRecord| {
            own_column(&one.dimension)
                .and_then(|column| changed.get(column))
                .is_some_and(|[old, new]| *new == one.new && (*old == one.old || touched(&before, &one.dimension)))
        };
        let is_withdrawn = |one: &&&CorrectionRecord| {
            let labels = own_column(&one.dimension).and_then(|column| changed.get(column));
            labels.is_some_and(|[old, _]| *old == one.new) && !touched(&after, &one.dimension)
        };
        let kept: Vec<&CorrectionRecord> = after.iter().filter(holds).copied().collect();
        let gone: Vec<&CorrectionRecord> = before.iter().filter(is_withdrawn).copied().collect();
        let reached =
            |column: &str| kept.iter().chain(&gone).any(|one| reach(&one.dimension).any(|other| other == column));
        if !changed.keys().all(|column| reached(column)) {
            found.others.push(key.clone());
        } else if gone.is_empty() {
            found.explained.push(key.clone());
        }
        found.withdrawn.extend(gone.into_iter().cloned());
    }
    found
}

fn by_key(records: &[CorrectionRecord]) -> BTreeMap<&str, Vec<&CorrectionRecord>> {
    let mut found: BTreeMap<&str, Vec<&CorrectionRecord>> = BTreeMap::new();
    for one in records {
        found.entry(&one.sample_key).or_default().push(one);
    }
    found
}

/// The column whose labels a correction names.
fn own_column(dimension: &str) -> Option<&'static str> {
    LABELS.into_iter().find(|(_, own, _)| *own == dimension).map(|(column, ..)| column)
}

/// The columns that a correction changes.
fn reach(dimension: &str) -> impl Iterator<Item = &'static str> {
    LABELS.into_iter().filter(move |(_, own, other)| [*own, *other].contains(&dimension)).map(|(column, ..)| column)
}

/// Keys of the rows of these corrections.
pub(super) fn keys(records: &[CorrectionRecord]) -> BTreeSet<String> {
    records.iter().map(|one| one.sample_key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(dimension: &str, old: &str, new: &str) -> CorrectionRecord {
        let [dimension, old, new] = [dimension, old, new].map(str::to_owned);
        CorrectionRecord { sample_key: "k".into(), dimension, old, new, by: "x".into() }
    }

    /// Changes of one row: explained, other, and how many corrections are withdrawn.
    fn judge(
        changed: &[(&'static str, &str, &str)],
        first: &[CorrectionRecord],
        second: &[CorrectionRecord],
    ) -> (usize, usize, usize) {
        let labels = changed.iter().map(|&(column, old, new)| (column, [old, new].map(str::to_owned))).collect();
        let found = judged(&Changes::from([("k".to_owned(), labels)]), first, second);
        (found.explained.len(), found.others.len(), found.withdrawn.len())
    }

    #[test]
    fn a_correction_explains_the_change_that_it_names_and_what_follows_from_it() {
        let status = ("metastasis", "benign", "metastatic");
        let named = [record("metastasis", "benign", "metastatic")];
        assert_eq!(judge(&[status, ("evidence", "D", "U"), ("level", "station", "node")], &[], &named), (1, 0, 0));
        assert_eq!(judge(&[status, ("station", "4R", "4L")], &[], &named), (0, 1, 0));
        assert_eq!(judge(&[status], &[], &[]), (0, 1, 0));
        // Another label before or after than the correction names.
        assert_eq!(judge(&[("metastasis", "unknown", "metastatic")], &[], &named), (0, 1, 0));
        assert_eq!(judge(&[("metastasis", "benign", "unknown")], &[], &named), (0, 1, 0));
        let moved = [("region_name", "upper", "subcarinal"), ("station", "4R", "7")];
        assert_eq!(judge(&moved, &[], &[record("station", "4R", "7")]), (1, 0, 0));
        assert_eq!(judge(&moved, &[], &[record("region", "upper", "subcarinal")]), (1, 0, 0));
        assert_eq!(judge(&moved, &[], &[record("evidence", "D", "A")]), (0, 1, 0));
    }

    #[test]
    fn a_correction_that_is_gone_is_withdrawn_and_one_that_is_replaced_is_explained() {
        let before = [record("metastasis", "benign", "metastatic")];
        let back = [("metastasis", "metastatic", "benign"), ("evidence", "U", "D")];
        assert_eq!(judge(&back, &before, &[]), (0, 0, 1));
        // The label of the source was corrected meanwhile, so nothing changed.
        assert_eq!(judge(&[("evidence", "U", "A")], &before, &[]), (0, 1, 0));
        let revised = [("metastasis", "metastatic", "unknown")];
        assert_eq!(judge(&revised, &before, &[record("metastasis", "benign", "unknown")]), (1, 0, 0));
        // The first build made the evidence of the corrected status unknown; the second names it.
        assert_eq!(judge(&[("evidence", "U", "A")], &before, &[record("evidence", "D", "A")]), (1, 0, 0));
        assert_eq!(keys(&before), BTreeSet::from(["k".to_owned()]));
    }
}
