//! How the grid of a mask lies to that of a series, and what is odd about it.
//!
//! Purpose: a program that loses the affine of a mask writes one that looks like any other. Invariant: a mask that was cropped or resampled has
//! a right to a grid of its own; it is only told where its grid has the signs of a slip. Units: LPS mm.

use mtids_domain::geometry::{Affine, PointMm, Voxel, dot, norm};

use crate::geometry::{SeriesGeometry, grid_corners};
use crate::label_grid::MaskFile;

/// Places and steps of one grid differ by less than this share of a voxel: what rounding to 32 bits and text adds.
const ROUNDED: f64 = 0.1;

/// Whether a series has the grid of a mask, in whatever order its axes run.
pub(super) fn has_grid(series: &SeriesGeometry<'_>, mask: &MaskFile) -> bool {
    has_same_corners(series, mask.affine, mask)
}

/// Whether a series would have the grid of a mask with another map.
pub(super) fn has_same_corners(series: &SeriesGeometry<'_>, affine: Affine, mask: &MaskFile) -> bool {
    have_same_corners(series, &grid_corners(&affine, mask.dimensions), mask)
}

/// Whether a mask has the grid of a series only after the signs of x and y are turned: its program took LPS for RAS, or RAS for LPS.
pub(super) fn is_turned(series: &SeriesGeometry<'_>, mask: &MaskFile) -> bool {
    let turned = grid_corners(&mask.affine, mask.dimensions).map(|PointMm([x, y, z])| PointMm([-x, -y, z]));
    !has_grid(series, mask) && have_same_corners(series, &turned, mask)
}

/// Whether a mask has the sides of a series and lies elsewhere; one that is off by less than half a voxel is rounded otherwise.
pub(super) fn is_displaced(series: &SeriesGeometry<'_>, mask: &MaskFile) -> bool {
    let sorted = |mut sides: [usize; 3]| {
        sides.sort_unstable();
        sides
    };
    let half_a_voxel = 0.5 * smallest_step(series);
    sorted(series.dimensions) == sorted(mask.dimensions)
        && apart_mm(series, &grid_corners(&mask.affine, mask.dimensions)) > half_a_voxel
}

/// Whether the map of a mask says nothing: voxels of 1 mm from 0, as programs write that lost it.
pub(super) fn is_identity(affine: &Affine) -> bool {
    let steps = affine.steps();
    // In LPS, an identity in RAS has other signs of x and y.
    let is_of = |sign: f64| {
        let wanted = [[sign, 0.0, 0.0], [0.0, sign, 0.0], [0.0, 0.0, 1.0]];
        steps.iter().flatten().zip(wanted.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6)
    };
    norm(affine.origin().0) < 1e-6 && (is_of(1.0) || is_of(-1.0))
}

/// How far the corners of a series lie from the nearest ones of a mask at most, mm.
pub(super) fn apart_mm(series: &SeriesGeometry<'_>, of_mask: &[PointMm; 8]) -> f64 {
    let nearest = |a: &PointMm| of_mask.iter().map(|b| a.distance(*b)).fold(f64::INFINITY, f64::min);
    series.corners().iter().map(nearest).fold(0.0, f64::max)
}

pub(super) fn turned_grid(series: &SeriesGeometry<'_>) -> String {
    format!("it would have that of series {} with the signs of x and y turned (RAS, LPS)", series.series_uid)
}

fn have_same_corners(series: &SeriesGeometry<'_>, of_mask: &[PointMm; 8], mask: &MaskFile) -> bool {
    let tolerance = ROUNDED * smallest_step(series);
    let near = |a: &PointMm, b: &PointMm| a.distance(*b) <= tolerance;
    series.dimensions.iter().product::<usize>() == mask.dimensions.iter().product::<usize>()
        && series.corners().iter().all(|a| of_mask.iter().any(|b| near(a, b)))
}

fn smallest_step(series: &SeriesGeometry<'_>) -> f64 {
    series.affine.spacing().into_iter().fold(f64::INFINITY, f64::min)
}

/// What is odd about the grid of a mask that has other sides than the series that it names; `None` where it is a crop or a resampled grid as
/// programs make them.
pub(super) fn oddity(series: &SeriesGeometry<'_>, mask: &MaskFile) -> Option<String> {
    // The axis of the series along which each axis of the mask runs.
    let axes = parallel_axes(&series.affine, &mask.affine)?;
    let (own, of_series) = (mask.affine.spacing(), series.affine.spacing());
    let has_its_step = |n: usize| (own[n] - of_series[axes[n]]).abs() * mask.dimensions[n] as f64 <= ROUNDED * own[n];
    if (0..3).all(has_its_step) {
        return oddity_of_crop(series, mask, axes);
    }
    let is_of_its_extent = |n: usize| {
        let (mm, of_image) =
            (own[n] * mask.dimensions[n] as f64, of_series[axes[n]] * series.dimensions[axes[n]] as f64);
        (mm - of_image).abs() <= own[n].max(of_series[axes[n]])
    };
    let is_centred = || {
        let middle =
            |affine: &Affine, sides: [usize; 3]| affine.to_mm(Voxel(sides.map(|side| (side as f64 - 1.0) / 2.0)));
        let mm = middle(&series.affine, series.dimensions).distance(middle(&mask.affine, mask.dimensions));
        mm <= norm(of_series) + norm(own)
    };
    // Resampled as a whole, its voxels are others and its extent is not.
    if (0..3).all(is_of_its_extent) && is_centred() {
        return None;
    }
    Some(format!(
        "its voxels are of {} mm, those of the CT of {} mm, and it has not the extent of the CT: it may be resampled and cropped, or its \
         affine may be wrong",
        text_of(own),
        text_of(axes.map(|axis| of_series[axis]))
    ))
}

/// What is odd about a mask with the voxel size of its CT.
fn oddity_of_crop(series: &SeriesGeometry<'_>, mask: &MaskFile, axes: [usize; 3]) -> Option<String> {
    let origin = mask.affine.origin();
    let [lattice, turned] = [origin, PointMm([-origin.0[0], -origin.0[1], origin.0[2]])].map(|place| {
        let voxel = series.affine.to_voxel(place).0;
        (voxel, voxel.iter().all(|x| (x - x.round()).abs() <= 2.0 * ROUNDED))
    });
    let (first, is_on_lattice) = lattice;
    if !is_on_lattice {
        let cause = if turned.1 { "; with the signs of x and y turned (RAS, LPS) they would" } else { "" };
        return Some(format!(
            "it has the voxel size of the CT, and its voxels do not lie on those of the CT{cause}: its affine may be wrong"
        ));
    }
    let is_at_end = (0..3).all(|axis| {
        let last = series.dimensions[axis] as f64 - 1.0;
        first[axis].round() == 0.0 || first[axis].round() == last
    });
    // Slices may be left out at the end of a CT; nobody crops columns or rows from its very first voxel.
    let has_other_sides = (0..3).any(|n| axes[n] != 2 && mask.dimensions[n] != series.dimensions[axes[n]]);
    (is_at_end && has_other_sides).then(|| {
        "it starts at the first voxel of the CT with its voxel size, and has other numbers of columns or rows: a cropped or resampled mask \
         with the affine of the whole CT?"
            .to_owned()
    })
}

/// For each axis of a grid the one of another that it runs along, in whatever direction; `None` where they are turned against each other.
fn parallel_axes(of: &Affine, other: &Affine) -> Option<[usize; 3]> {
    let along = |step: &[f64; 3]| {
        let is_parallel = |a: &[f64; 3]| dot(*a, *step).abs() >= 0.9999 * norm(*a) * norm(*step);
        of.steps().iter().position(is_parallel)
    };
    let [a, b, c] = other.steps();
    let axes = [along(&a)?, along(&b)?, along(&c)?];
    (axes[0] != axes[1] && axes[1] != axes[2] && axes[0] != axes[2]).then_some(axes)
}

fn text_of(spacing: [f64; 3]) -> String {
    spacing.map(|mm| format!("{mm:.2}")).join(" × ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SliceUids;

    fn series() -> SeriesGeometry<'static> {
        let steps = [[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 2.5]];
        SeriesGeometry {
            patient_id: "P",
            series_uid: "1",
            part: 0,
            study_uid: "2",
            frame_of_reference_uid: None,
            affine: Affine::new(PointMm::new(-100.1, -80.3, 30.0), steps).unwrap(),
            dimensions: [64, 60, 40],
            slices: SliceUids::Listed(&[]),
        }
    }

    fn told(origin: [f64; 3], steps: [f64; 3], dimensions: [usize; 3]) -> Option<String> {
        let [a, b, c] = steps;
        let affine = Affine::new(PointMm(origin), [[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]]).unwrap();
        let mask = MaskFile { path: "m".into(), affine, contradicting: None, dimensions, labels: Vec::new() };
        oddity(&series(), &mask)
    }

    #[test]
    fn crops_and_resampled_masks_are_not_told() {
        let (x, y, z) = (-100.1, -80.3, 30.0);
        let fine = [0.7, 0.7, 2.5];
        assert_eq!(told([x + 7.0, y + 1.4, z + 5.0], fine, [20, 20, 10]), None, "a crop");
        assert_eq!(told([x, y, z], fine, [64, 60, 30]), None, "slices left out");
        assert_eq!(told([x + 42.0, y + 39.9, z], [-0.7, -0.7, 2.5], [50, 50, 40]), None, "a crop, axes turned round");
        assert_eq!(told([x, y, z], [1.0, 1.0, 1.0], [45, 42, 100]), None, "resampled to 1 mm");
        assert_eq!(told([x - 0.35, y, z], [1.4, 1.4, 2.5], [32, 30, 40]), None, "every second column");
    }

    #[test]
    fn the_signs_of_a_lost_affine_are_told() {
        let (x, y, z) = (-100.1, -80.3, 30.0);
        let fine = [0.7, 0.7, 2.5];
        for (place, sides) in [([x, y, z], [32, 30, 20]), ([x, y, z], [20, 60, 40]), ([x + 44.1, y, z], [50, 60, 40])] {
            let signs = if place[0] > x { [-0.7, 0.7, 2.5] } else { fine };
            assert!(told(place, signs, sides).unwrap().contains("starts at the first voxel"), "{place:?}");
        }
        let turned = told([-(x + 7.0), -(y + 7.0), z + 5.0], [-0.7, -0.7, 2.5], [20, 20, 10]).unwrap();
        assert!(turned.contains("do not lie on those of the CT; with the signs of x and y turned"), "{turned}");
        assert!(told([x + 7.3, y, z], fine, [20, 20, 10]).unwrap().contains("its affine may be wrong"));
        assert!(told([0.0; 3], [2.0, 2.0, 2.0], [20, 20, 10]).unwrap().contains("not the extent of the CT"));
    }

    #[test]
    fn an_identity_is_known_in_both_spaces() {
        let of = |x: f64, at: f64| {
            Affine::new(PointMm::new(at, 0.0, 0.0), [[x, 0.0, 0.0], [0.0, x, 0.0], [0.0, 0.0, 1.0]]).unwrap()
        };
        assert!(is_identity(&of(1.0, 0.0)) && is_identity(&of(-1.0, 0.0)));
        assert!(!is_identity(&of(1.0, 0.5)) && !is_identity(&of(0.7, 0.0)));
    }
}
