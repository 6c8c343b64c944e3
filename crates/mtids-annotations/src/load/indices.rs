//! Voxel indices that a table gives beside places in mm.
//!
//! Purpose: where both stand in a row, the place in mm counts, and the indices can show that it is wrong. Invariant: the indices of another grid, as
//! of a resampled image, take no row away.

use mtids_domain::annotation::Annotation;
use mtids_domain::geometry::Voxel;

use crate::assign::{Chosen, NoImage, SeriesIndex};
use crate::reject::RejectReason;
use crate::table::row::TableRow;

/// Indices may differ so much from the voxel of the place: one where they count from 1, and what rounding and the corner of a voxel add.
const MOST_VOXELS: f64 = 2.0;

type Assigned = Result<(Chosen, Annotation), NoImage>;

/// Rejects the rows whose indices contradict their place, where those of most rows agree. Where they do not, the indices are of another grid, and a
/// sentence says so.
pub(super) fn reject_contradicting_indices(
    rows: &[TableRow],
    assigned: &mut [Assigned],
    index: &SeriesIndex<'_>,
) -> Option<String> {
    let apart = |row: &TableRow, assigned: &Assigned| {
        let (voxel, (chosen, annotation)) = (row.voxel_beside?, assigned.as_ref().ok()?);
        let series = index.series(chosen.series);
        let said = series.affine.to_voxel(series.image_to_mm(Voxel(voxel))).0;
        let place = series.affine.to_voxel(annotation.center).0;
        Some((0..3).map(|axis| (said[axis] - place[axis]).abs()).fold(0.0, f64::max))
    };
    let known: Vec<(usize, f64)> =
        rows.iter().zip(&*assigned).enumerate().filter_map(|(n, (row, one))| Some((n, apart(row, one)?))).collect();
    let contradicting: Vec<(usize, f64)> = known.iter().copied().filter(|(_, voxels)| *voxels > MOST_VOXELS).collect();
    let &(first, _) = contradicting.first()?;
    if contradicting.len() * 2 >= known.len() {
        return Some(format!(
            "the columns i, j, k contradict the places in mm in {} of {} rows (first: line {}); the places in mm are taken, as if i, j, k were of \
             another image: compare them, and delete the columns that are wrong",
            contradicting.len(),
            known.len(),
            rows[first].line
        ));
    }
    for (n, voxels) in contradicting {
        let detail = format!(
            "its place lies {voxels:.0} voxels from its i, j, k, which agree in most rows; correct one of them"
        );
        assigned[n] = Err(NoImage::new(RejectReason::OutsideImage, detail));
    }
    None
}
