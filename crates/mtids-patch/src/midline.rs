//! The midline of the body at a height: the plane that mirrors the bones of the back onto themselves.
//!
//! LPS x = 0 is the middle of the scanner, not of the patient. Nor does the outline of the body give the midline: arms and a border of the
//! field shift it. Method: bone in the back part of the body, which is spine and ribs, is counted in five axial planes of 2 mm cells, 16 mm
//! in all. The midline is where most of it has bone at the mirrored place of its row. The aorta with contrast agent has no mirror image, so it
//! shifts nothing. Units: LPS mm, HU. Invariants: the result depends on the tissue alone; where there is little bone, or little of it
//! has a mirror image, there is none. Errors that were measured: docs/decisions/061.

use std::collections::BTreeMap;

use mtids_domain::geometry::PointMm;
use mtids_domain::volume::Volume;

use crate::body::{Grid, body_of};

/// Distance of the cells, mm; the midline comes in steps of half of it.
const STEP_MM: f64 = 2.0;
/// Planes that are looked at, from that of the place, mm.
const PLANES_MM: [f64; 5] = [-8.0, -4.0, 0.0, 4.0, 8.0];
/// Bone, spongy bone of the old included.
const BONE_FROM_HU: i16 = 150;
/// The back of the body: what lies behind this share of its depth.
const BACK_FROM: f64 = 0.6;
/// Least bone in all planes together, mm²; a vertebra has 1000 in each.
const LEAST_BONE_MM2: f64 = 1500.0;
/// Least share of the bone that has a mirror image.
const LEAST_MIRRORED: f64 = 0.3;

/// Bone of a plane, mirrored at each axis.
struct PlaneBone {
    /// Cells whose mirror image is bone, by twice the number of the axis' cell.
    mirrored: Vec<u32>,
    /// Cells of bone.
    cells: u32,
}

/// The midlines of a volume; a plane is looked at once.
pub struct Midline<'a> {
    volume: &'a Volume,
    grid: Grid,
    planes: BTreeMap<usize, PlaneBone>,
}

impl<'a> Midline<'a> {
    /// Midlines of this volume.
    pub fn new(volume: &'a Volume) -> Self {
        Self { volume, grid: Grid::of(volume, STEP_MM), planes: BTreeMap::new() }
    }

    /// How far a place lies from the midline at its height, mm, positive towards the patient's left; `None` where no midline is found.
    pub fn offset_mm(&mut self, place: PointMm) -> Option<f64> {
        Some(place.0[0] - self.at(place.0[2])?)
    }

    /// LPS x of the midline at a height, mm.
    fn at(&mut self, z: f64) -> Option<f64> {
        let planes: Vec<usize> = PLANES_MM.iter().filter_map(|away| self.plane_at(z + away)).collect();
        let (mut mirrored, mut cells) = (vec![0_u32; (2 * self.grid.size[0]).saturating_sub(1)], 0);
        for plane in planes {
            let (volume, grid) = (self.volume, &self.grid);
            let bone = self.planes.entry(plane).or_insert_with(|| bone_of(volume, grid, plane));
            mirrored.iter_mut().zip(&bone.mirrored).for_each(|(sum, count)| *sum += count);
            cells += bone.cells;
        }
        // Of equal axes the first.
        let (axis, most) = mirrored.into_iter().enumerate().rev().max_by_key(|(_, count)| *count)?;
        let is_found = f64::from(cells) * self.grid.step.powi(2) >= LEAST_BONE_MM2
            && f64::from(most) >= LEAST_MIRRORED * f64::from(cells);
        is_found.then(|| self.grid.corner[0] + self.grid.step * axis as f64 / 2.0)
    }

    /// The plane of cells nearest to a height.
    fn plane_at(&self, z: f64) -> Option<usize> {
        let plane = ((z - self.grid.corner[2]) / self.grid.step).round();
        (plane >= 0.0 && plane < self.grid.size[2] as f64).then_some(plane as usize)
    }
}

fn bone_of(volume: &Volume, grid: &Grid, plane: usize) -> PlaneBone {
    let [columns, rows, _] = grid.size;
    let hu: Vec<i16> =
        (0..rows * columns).map(|cell| grid.sample(volume, [cell % columns, cell / columns, plane])).collect();
    let body = body_of(&hu, columns, rows);
    let mut bone = PlaneBone { mirrored: vec![0; (2 * columns).saturating_sub(1)], cells: 0 };
    let in_body = || body.iter().enumerate().filter(|(_, inside)| **inside).map(|(cell, _)| cell / columns);
    let (Some(front), Some(back)) = (in_body().min(), in_body().max()) else { return bone };
    let from = front + (BACK_FROM * (back - front) as f64) as usize;
    for row in from..=back {
        let is_bone = |column: &usize| {
            let cell = row * columns + column;
            body[cell] && hu[cell] >= BONE_FROM_HU
        };
        let bones: Vec<usize> = (0..columns).filter(is_bone).collect();
        bones.iter().for_each(|one| bones.iter().for_each(|other| bone.mirrored[one + other] += 1));
        bone.cells += bones.len() as u32;
    }
    bone
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::{Affine, Voxel};
    use mtids_domain::volume::AIR_HU;

    /// A body of 300 × 200 mm around `center_x`, with spine, ribs, a bright aorta on the left and one arm, in a field of 400 mm.
    fn chest(center_x: f64, has_bone: bool) -> Volume {
        let affine =
            Affine::new(PointMm::new(-200.0, -150.0, 0.0), [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]]);
        let affine = affine.unwrap();
        let mut voxels = Vec::new();
        for k in 0..6 {
            for j in 0..150 {
                for i in 0..200 {
                    let [x, y, _] = affine.to_mm(Voxel([f64::from(i), f64::from(j), f64::from(k)])).0;
                    let x = x - center_x;
                    let is_in =
                        |at: [f64; 2], radii: [f64; 2]| ((x - at[0]) / radii[0]).hypot((y - at[1]) / radii[1]) < 1.0;
                    let rib = (x / 140.0).hypot(y / 90.0);
                    voxels.push(match () {
                        () if has_bone && is_in([0.0, 60.0], [18.0, 16.0]) => 250,
                        () if has_bone && (0.9..0.96).contains(&rib) => 300,
                        () if has_bone && is_in([30.0, 45.0], [14.0, 14.0]) => 350,
                        () if is_in([0.0, 0.0], [150.0, 100.0]) || is_in([-170.0, 20.0], [30.0, 30.0]) => 40,
                        () => AIR_HU,
                    });
                }
            }
        }
        Volume::new(voxels, [200, 150, 6], affine).unwrap()
    }

    #[test]
    fn a_place_is_measured_from_the_spine_however_far_off_centre_the_patient_lies() {
        for center_x in [0.0, 60.0, -60.0] {
            let volume = chest(center_x, true);
            let mut midline = Midline::new(&volume);
            for offset in [-40.0, 0.0, 25.0] {
                let found = midline.offset_mm(PointMm::new(center_x + offset, 0.0, 12.0)).unwrap();
                assert!((found - offset).abs() <= 2.0, "{center_x}: {found} instead of {offset}");
            }
        }
    }

    #[test]
    fn without_bone_or_outside_the_volume_there_is_no_midline() {
        let (soft, bony) = (chest(0.0, false), chest(0.0, true));
        assert_eq!(Midline::new(&soft).offset_mm(PointMm::new(0.0, 0.0, 12.0)), None);
        assert_eq!(Midline::new(&bony).offset_mm(PointMm::new(0.0, 0.0, 90.0)), None);
    }
}
