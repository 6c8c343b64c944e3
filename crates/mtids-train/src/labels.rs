//! Labels of rows as codes, and as targets of a step.
//!
//! Units: region codes 0…K−1; 0 benign, 1 metastatic. Invariant: an unknown label is `None`, never a class.

use mtids_models::TargetBatch;
use mtids_shards::RowLabels;

/// Region and status codes of a row.
pub(crate) fn codes(labels: &RowLabels, regions: usize) -> (Option<usize>, Option<usize>) {
    let region = labels.region.and_then(|code| usize::try_from(code).ok()).filter(|&code| code < regions);
    let metastasis = labels.metastasis.map(|status| usize::from(status.code() == 1));
    (region, metastasis)
}

/// Targets of rows, with their weights and the evidence for their labels.
pub(crate) fn targets<'a>(rows: impl Iterator<Item = &'a RowLabels>, regions: usize) -> TargetBatch {
    let mut targets = TargetBatch::default();
    for row in rows {
        let (region, metastasis) = codes(row, regions);
        targets.region.push(region.map(|code| code as u32));
        targets.metastasis.push(metastasis.map(|code| code as u32));
        targets.weights.push(row.weight);
        targets.evidence.push(row.evidence);
    }
    targets
}
