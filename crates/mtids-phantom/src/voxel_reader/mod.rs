//! What fixed statistics of the voxels tell of a node: a yardstick between the exact posterior, which knows what no image shows, and a ruler.
//!
//! Method: [`statistics()`] of a patch of 16 × 48 × 48 voxels at 2 × 1 × 1 mm around the node's point, read by [`BoostedTrees`]. Each node is
//! scored by trees that were fitted to the table's labels of other patients (five folds by patient).
//! Invariants: statistics are a function of one patch, scores of the statistics and labels in their order; no thread changes a bit.
//! Units: HU, mm.

mod bins;
mod filter;
mod grown;
mod moments;
mod statistics;
mod trees;

use mtids_domain::geometry::PointMm;
use mtids_domain::volume::{AIR_HU, Volume};
use mtids_patch::{PatchGeometry, cut};
use rayon::prelude::*;

use crate::render::PADDING_HU;
pub use statistics::{COUNT, statistics};
pub use trees::{BoostedTrees, TreeRules};

/// Folds of patients.
const FOLDS: usize = 5;

/// The patch that [`statistics()`] reads: 32 × 48 × 48 mm.
pub fn field() -> PatchGeometry {
    PatchGeometry { size: filter::SIZE, spacing_mm: filter::SPACING_MM, ..PatchGeometry::default() }
}

/// Statistics around each of `points`, in their order. Padding of the scanner is air, as it is for a reader of the files.
pub(crate) fn statistics_around(volume: &Volume, points: impl Iterator<Item = [f64; 3]>) -> Vec<Vec<f32>> {
    let unpadded = volume.clone().map(|hu| if hu == PADDING_HU { AIR_HU } else { hu });
    points.map(|point| statistics(&cut(&unpadded, PointMm(point), &field()).voxels)).collect()
}

/// A node as the reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Reading<'a> {
    /// Number of the patient.
    pub(crate) patient: u32,
    /// Statistics of its voxels.
    pub(crate) statistics: &'a [f32],
    /// Whether the table calls it metastatic; none where it leaves the status open.
    pub(crate) label: Option<bool>,
}

/// The probability of metastasis of each reading, by trees fitted to the labels of other folds; none where these are of one kind.
pub(crate) fn fold_scores(readings: &[Reading<'_>]) -> Vec<Option<f64>> {
    let fold_of = |reading: &Reading<'_>| reading.patient as usize % FOLDS;
    let fitted: Vec<Option<BoostedTrees>> = (0..FOLDS)
        .into_par_iter()
        .map(|fold| {
            let seen = readings.iter().filter(|reading| fold_of(reading) != fold);
            let (rows, labels): (Vec<&[f32]>, Vec<bool>) =
                seen.filter_map(|reading| Some((reading.statistics, reading.label?))).unzip();
            BoostedTrees::fit(&rows, &labels, &TreeRules::default())
        })
        .collect();
    readings.iter().map(|reading| Some(fitted[fold_of(reading)].as_ref()?.probability(reading.statistics))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_never_depends_on_labels_of_its_own_fold() {
        let rows: Vec<Vec<f32>> = (0..200).map(|n| vec![(n * 37 % 101) as f32, (n * 53 % 89) as f32]).collect();
        let mut readings: Vec<Reading<'_>> = rows
            .iter()
            .zip(0..)
            .map(|(row, patient)| Reading { patient, statistics: row, label: Some(row[0] > 50.0) })
            .collect();
        let before = fold_scores(&readings);
        assert!(before[1].unwrap() != before[3].unwrap());
        // All labels of the fold of patient 0 turned round.
        readings.iter_mut().step_by(FOLDS).for_each(|reading| reading.label = reading.label.map(|label| !label));
        let after = fold_scores(&readings);
        assert!(before.iter().zip(&after).step_by(FOLDS).all(|(a, b)| a == b));
        assert!(before.iter().zip(&after).skip(1).step_by(FOLDS).any(|(a, b)| a != b));
    }

    #[test]
    fn without_both_states_there_is_no_score() {
        let row = [0.0f32];
        let readings: Vec<Reading<'_>> =
            (0..10).map(|patient| Reading { patient, statistics: &row, label: Some(false) }).collect();
        assert!(fold_scores(&readings).iter().all(Option::is_none));
    }
}
