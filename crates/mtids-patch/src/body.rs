//! Where in a chest CT a place lies: inside the body, between the lungs. For choosing places, never for measuring.
//!
//! Method: the volume is looked at on a coarse grid along the patient's axes. In each axial plane, air that reaches the border of the plane
//! is outside; of what is left, the largest connected part is the body (the table is another). Lung is body below −500 HU. The mediastinum
//! is soft tissue that has at least 2 cm of lung on its right and on its left in the same row of cells: a rule of thumb that takes in the
//! heart, the great vessels and parts of the spine's surroundings. Units: HU, LPS mm. Invariant: the result depends on the tissue alone, not on how
//! the volume is stored, but for ties of less than half a voxel.

use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::volume::{AIR_HU, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Distance of the cells, mm.
const STEP_MM: f64 = 4.0;
/// Below it a cell is air, or lung inside the body.
const AIR_BELOW_HU: i16 = -300;
const LUNG_BELOW_HU: i16 = -500;
/// Soft tissue: above fat's noise, below bone.
const SOFT_HU: std::ops::RangeInclusive<i16> = -150..=200;
/// Lung cells that must lie on either side: 2 cm.
const LUNG_CELLS: usize = 5;
/// Most cells of a grid; beyond it the step grows, so that a volume of any extent has a bounded cost.
const MOST_CELLS: f64 = 16e6;

/// A part of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Soft tissue between the lungs.
    #[default]
    Mediastinum,
    /// Anywhere inside the outline of the body, lungs and bones included.
    Body,
}

/// The centres of all cells of a volume that lie in a place, in a fixed order, and the distance of neighbouring cells in mm.
pub fn cells_in(volume: &Volume, place: Place) -> (Vec<PointMm>, f64) {
    let grid = Grid::of(volume, STEP_MM);
    let [columns, rows, planes] = grid.size;
    let mut found = Vec::new();
    for plane in 0..planes {
        let hu: Vec<i16> =
            (0..rows * columns).map(|cell| grid.sample(volume, [cell % columns, cell / columns, plane])).collect();
        let body = body_of(&hu, columns, rows);
        let chosen: Vec<bool> = match place {
            Place::Body => body,
            Place::Mediastinum => between_lungs(&hu, &body, columns),
        };
        let cells = chosen.iter().enumerate().filter(|(_, chosen)| **chosen);
        found.extend(cells.map(|(cell, _)| grid.center([cell % columns, cell / columns, plane])));
    }
    (found, grid.step)
}

/// Cells along the patient's axes over the box of a volume.
pub(crate) struct Grid {
    pub(crate) corner: [f64; 3],
    pub(crate) step: f64,
    /// Cells along x, y, z.
    pub(crate) size: [usize; 3],
}

impl Grid {
    /// Cells of `step_mm`, or of more where that would be too many.
    pub(crate) fn of(volume: &Volume, step_mm: f64) -> Self {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for corner in 0..8 {
            let at = |axis: usize| if corner >> axis & 1 == 1 { volume.dimensions()[axis] as f64 - 1.0 } else { 0.0 };
            let point = volume.affine().to_mm(Voxel([at(0), at(1), at(2)]));
            for axis in 0..3 {
                low[axis] = low[axis].min(point.0[axis]);
                high[axis] = high[axis].max(point.0[axis]);
            }
        }
        let extent: [f64; 3] = std::array::from_fn(|axis| (high[axis] - low[axis]).max(0.0));
        let cells = extent.iter().map(|extent| extent / step_mm + 1.0).product::<f64>();
        let step = step_mm * (cells / MOST_CELLS).cbrt().max(1.0);
        Self { corner: low, step, size: extent.map(|extent| (extent / step) as usize + 1) }
    }

    fn center(&self, cell: [usize; 3]) -> PointMm {
        PointMm(std::array::from_fn(|axis| self.corner[axis] + self.step * cell[axis] as f64))
    }

    /// The nearest voxel; air outside the volume.
    pub(crate) fn sample(&self, volume: &Volume, cell: [usize; 3]) -> i16 {
        let nearest = volume.affine().to_voxel(self.center(cell)).nearest(volume.dimensions());
        nearest.and_then(|index| volume.get(index)).unwrap_or(AIR_HU)
    }
}

/// Cells of a plane inside the outline of the body.
pub(crate) fn body_of(hu: &[i16], columns: usize, rows: usize) -> Vec<bool> {
    let on_border = |cell: usize| {
        let (column, row) = (cell % columns, cell / columns);
        column == 0 || row == 0 || column + 1 == columns || row + 1 == rows
    };
    let mut outside = vec![false; hu.len()];
    let border = (0..hu.len()).filter(|&cell| on_border(cell) && hu[cell] < AIR_BELOW_HU).collect();
    flood(border, columns, rows, &mut outside, |cell| hu[cell] < AIR_BELOW_HU);
    // The largest part that is not outside; of equal ones the first.
    let mut seen = outside.clone();
    let mut best = Vec::new();
    for cell in 0..hu.len() {
        if !seen[cell] {
            let part = flood(vec![cell], columns, rows, &mut seen, |_| true);
            if part.len() > best.len() {
                best = part;
            }
        }
    }
    let mut body = vec![false; hu.len()];
    best.into_iter().for_each(|cell| body[cell] = true);
    body
}

/// Marks and returns the cells that are reached from `start` over edges, through unmarked cells that `passes` accepts.
fn flood(
    start: Vec<usize>,
    columns: usize,
    rows: usize,
    marked: &mut [bool],
    passes: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut reached = start;
    reached.iter().for_each(|&cell| marked[cell] = true);
    let mut next = 0;
    while let Some(&cell) = reached.get(next) {
        next += 1;
        let (column, row) = (cell % columns, cell / columns);
        let neighbours = [
            (column > 0).then(|| cell - 1),
            (column + 1 < columns).then_some(cell + 1),
            (row > 0).then(|| cell - columns),
            (row + 1 < rows).then_some(cell + columns),
        ];
        for neighbour in neighbours.into_iter().flatten() {
            if !marked[neighbour] && passes(neighbour) {
                marked[neighbour] = true;
                reached.push(neighbour);
            }
        }
    }
    reached
}

/// Soft tissue with lung on both sides in its row.
fn between_lungs(hu: &[i16], body: &[bool], columns: usize) -> Vec<bool> {
    let mut chosen = vec![false; hu.len()];
    for row in 0..hu.len() / columns.max(1) {
        let cells = row * columns..(row + 1) * columns;
        let is_lung = |&cell: &usize| body[cell] && hu[cell] < LUNG_BELOW_HU;
        let all = cells.clone().filter(is_lung).count();
        let mut before = 0;
        for cell in cells {
            if is_lung(&cell) {
                before += 1;
            } else if body[cell] && SOFT_HU.contains(&hu[cell]) && before >= LUNG_CELLS && all - before >= LUNG_CELLS {
                chosen[cell] = true;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::Affine;

    /// A body of radius 100 mm with two lungs, a table below it, stored with the given steps.
    fn chest(steps: [[f64; 3]; 3], corner: [f64; 3], dimensions: [usize; 3]) -> Volume {
        let affine = Affine::new(PointMm(corner), steps).unwrap();
        let mut voxels = Vec::new();
        for k in 0..dimensions[2] {
            for j in 0..dimensions[1] {
                for i in 0..dimensions[0] {
                    let [x, y, _] = affine.to_mm(Voxel([i as f64, j as f64, k as f64])).0;
                    let lung = |center: f64| ((x - center) / 35.0).hypot(y / 60.0) < 1.0;
                    voxels.push(match () {
                        () if x.hypot(y) < 100.0 && (lung(-52.0) || lung(52.0)) => -850,
                        () if x.hypot(y) < 100.0 => 40,
                        // The table.
                        () if (110.0..118.0).contains(&y) => 300,
                        () => AIR_HU,
                    });
                }
            }
        }
        Volume::new(voxels, dimensions, affine).unwrap()
    }

    #[test]
    fn the_mediastinum_lies_between_the_lungs_and_the_table_is_no_body() {
        let volume = chest([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]], [-120.0, -120.0, 0.0], [121, 121, 4]);
        let (body, step) = cells_in(&volume, Place::Body);
        assert_eq!(step, STEP_MM);
        let area = body.len() as f64 * step * step / 4.0;
        // Four planes of a disc of radius 100 mm, with its lungs.
        assert!((area / (std::f64::consts::PI * 100.0 * 100.0) - 1.0).abs() < 0.05, "{area}");
        assert!(body.iter().all(|point| point.0[1] < 105.0));
        let (middle, _) = cells_in(&volume, Place::Mediastinum);
        assert!(middle.len() > 100);
        for point in &middle {
            assert!(point.0[0].abs() < 52.0 && point.0[1].abs() < 60.0, "{point:?}");
        }
        assert!(middle.iter().any(|point| point.0[0].abs() < 3.0 && point.0[1].abs() < 3.0));
    }

    #[test]
    fn how_the_volume_is_stored_does_not_matter() {
        let axial = chest([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 4.0]], [-120.0, -120.0, 0.0], [121, 121, 4]);
        let turned = chest([[0.0, 0.0, 4.0], [-2.0, 0.0, 0.0], [0.0, -2.0, 0.0]], [120.0, 120.0, 0.0], [4, 121, 121]);
        for place in [Place::Body, Place::Mediastinum] {
            assert_eq!(cells_in(&axial, place), cells_in(&turned, place));
        }
    }

    #[test]
    fn volumes_without_a_body_have_no_places() {
        let affine =
            Affine::new(PointMm::new(0.0, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
        let air = Volume::new(vec![AIR_HU; 30 * 30 * 3], [30, 30, 3], affine).unwrap();
        for place in [Place::Body, Place::Mediastinum] {
            assert_eq!(cells_in(&air, place).0, []);
        }
    }
}
