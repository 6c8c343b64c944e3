//! Labels of rows as codes, and as targets of a step.
//!
//! Units: region codes 0…K−1; 0 benign, 1 metastatic. Invariant: an unknown label is `None`, never a class.

use mtids_models::TargetBatch;
use mtids_models::loss::LossConfig;
use mtids_shards::RowLabels;

use crate::measure_targets::MeasureTargets;

/// Region and status codes of a row.
pub(crate) fn codes(labels: &RowLabels, regions: usize) -> (Option<usize>, Option<usize>) {
    let region = labels.region.and_then(|code| usize::try_from(code).ok()).filter(|&code| code < regions);
    let metastasis = labels.metastasis.map(|status| usize::from(status.code() == 1));
    (region, metastasis)
}

/// Codes of a row as far as the loss looks at them: not those of a row of no weight, and no status by evidence of no weight.
pub(crate) fn weighed_codes(labels: &RowLabels, regions: usize, loss: &LossConfig) -> (Option<usize>, Option<usize>) {
    let (region, metastasis) = codes(labels, regions);
    let has_weight = labels.weight > 0.0;
    let has_evidence = loss.evidence_weights.of(labels.evidence) > 0.0;
    (region.filter(|_| has_weight), metastasis.filter(|_| has_weight && has_evidence))
}

/// Targets of rows, with their weights, the evidence for their labels, and their measures; `enlargement` says by how much the image of the n-th row
/// is larger than the stored one.
pub(crate) fn targets(
    rows: &[RowLabels],
    regions: usize,
    measures: &MeasureTargets,
    enlargement: impl Fn(usize) -> f64,
) -> TargetBatch {
    let mut targets = TargetBatch::default();
    for (n, row) in rows.iter().enumerate() {
        let (region, metastasis) = codes(row, regions);
        targets.region.push(region.map(|code| code as u32));
        targets.metastasis.push(metastasis.map(|code| code as u32));
        targets.weights.push(row.weight);
        targets.evidence.push(row.evidence);
        if measures.len() > 0 {
            targets.measures.push(measures.of_row(row, enlargement(n)));
        }
    }
    targets
}
