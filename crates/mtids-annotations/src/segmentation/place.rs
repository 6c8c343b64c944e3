//! Planes of a segment on a grid: that of the referenced image, or that of the object.
//!
//! Invariant: a plane goes to a grid only where its pixels are pixels of the grid, whichever way its rows run. Units: voxels `[i, j, k]`;
//! LPS mm. Sources: QIICR/dcmqi#89 (SpacingBetweenSlices is optional and not to be trusted), ivmartel/dwv#1922 (the geometry is that of the
//! referenced image).

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationTarget};
use mtids_domain::geometry::{Affine, PointMm, Voxel, subtract};

use super::frames::{OwnGrid, Place, Plane};
use crate::labelled::{LabelMeaning, findings as findings_of_voxels};

/// How far a pixel may lie from one of the grid, in pixels; rounded positions and spacings add up over a frame.
const ON_PIXEL: f64 = 0.25;

/// How far a frame may lie from a slice and still lie on it, in slices.
const ON_SLICE: f64 = 0.1;

/// How far a frame may lie from the slice that it is nearest to, in slices.
const NEAR_SLICE: f64 = 0.5;

/// The findings of a segment: what it means, and its planes.
///
/// # Errors
/// A sentence where its planes fit no grid, or there are more findings than the limits allow.
pub(super) fn findings(
    target: &AnnotationTarget,
    (meaning, planes): (&LabelMeaning, &[Plane]),
    own: &Result<OwnGrid, String>,
    grid: Option<(&Affine, [usize; 3])>,
    limits: &Limits,
) -> Result<Vec<Annotation>, String> {
    let (affine, voxels) = on_a_grid(planes, own, grid)?;
    findings_of_voxels(target, meaning, affine, &voxels, limits)
}

fn on_a_grid(
    planes: &[Plane],
    own: &Result<OwnGrid, String>,
    image: Option<(&Affine, [usize; 3])>,
) -> Result<(Affine, Vec<[u32; 3]>), String> {
    let on_image =
        |off| image.map(|(affine, dimensions)| voxels(planes, affine, dimensions, off).map(|voxels| (*affine, voxels)));
    let on_own = |grid: &OwnGrid| on_own_grid(planes, &grid.affine);
    if let Some(Ok(placed)) = on_image(ON_SLICE) {
        return Ok(placed);
    }
    if let Ok(grid) = own
        && grid.step_is_stated
        && let Ok(placed) = on_own(grid)
    {
        return Ok(placed);
    }
    let near = on_image(NEAR_SLICE);
    if let Some(Ok(placed)) = near {
        return Ok(placed);
    }
    let of_own = own.as_ref().map_err(Clone::clone).and_then(on_own);
    match (of_own, near) {
        (Err(own), Some(Err(image))) => {
            Err(format!("{own}; and on the grid of the referenced image: {image}; write the segmentation on that grid"))
        }
        (of_own, _) => of_own,
    }
}

/// The voxels of planes on the grid that the frames have among themselves, moved so that none lies before it.
fn on_own_grid(planes: &[Plane], affine: &Affine) -> Result<(Affine, Vec<[u32; 3]>), String> {
    let mut first = [0.0f64; 3];
    for plane in planes {
        let at = affine.to_voxel(plane.place.position).0;
        if at.iter().any(|x| !x.is_finite() || x.abs() > 1e6) {
            return Err(format!("frame {} lies far from the others", plane.frame));
        }
        for axis in 0..3 {
            first[axis] = first[axis].min(at[axis].round());
        }
    }
    let moved = Affine::new(affine.to_mm(Voxel(first)), affine.steps()).map_err(|error| error.to_string())?;
    let voxels = voxels(planes, &moved, [u32::MAX as usize; 3], ON_SLICE)
        .map_err(|detail| format!("its frames have no regular grid of their own ({detail})"))?;
    Ok((moved, voxels))
}

/// The voxels of planes on a grid, where every frame lies at most `off` slices from one of the grid and its pixels are pixels of the grid.
///
/// # Errors
/// A sentence with the frame that does not fit.
fn voxels(planes: &[Plane], affine: &Affine, dimensions: [usize; 3], off: f64) -> Result<Vec<[u32; 3]>, String> {
    let mut voxels = Vec::with_capacity(planes.iter().map(|plane| plane.pixels.len()).sum());
    for plane in planes {
        let fit = Fit::of(&plane.place, affine, off).map_err(|detail| format!("frame {} {detail}", plane.frame))?;
        let beyond = dimensions[2] as i64;
        if !(0..beyond).contains(&fit.start[2]) {
            let detail =
                format!("frame {} lies at slice {} of {beyond}, outside the image", plane.frame, fit.start[2] + 1);
            return Err(detail);
        }
        for pixel in &plane.pixels {
            voxels.push(fit.voxel(*pixel, dimensions).ok_or_else(|| {
                let [column, row] = pixel;
                format!("frame {} has a set pixel outside the grid (column {column}, row {row})", plane.frame)
            })?);
        }
    }
    Ok(voxels)
}

/// How the pixels of a frame are voxels of a grid.
struct Fit {
    /// Voxel of the first pixel.
    start: [i64; 3],
    /// Step of a column and of a row in voxels: one of them ±1, the others 0.
    steps: [[i64; 3]; 2],
}

impl Fit {
    fn of(place: &Place, affine: &Affine, off: f64) -> Result<Self, String> {
        let start = affine.to_voxel(place.position).0;
        let steps = place.steps.map(|step| {
            let next: [f64; 3] = std::array::from_fn(|n| place.position.0[n] + step[n]);
            subtract(affine.to_voxel(PointMm(next)).0, start)
        });
        let rounded = steps.map(|step| step.map(|x| x.round() as i64));
        let [row, column] = rounded;
        let lies_along = |a: [i64; 3], b: [i64; 3]| {
            a[2] == 0
                && b[2] == 0
                && a[0].abs() + a[1].abs() == 1
                && a[0].abs() == b[1].abs()
                && a[1].abs() == b[0].abs()
        };
        // A thousand pixels on, an error of a step is a thousand times as large.
        let exact = steps.iter().zip(&rounded).all(|(step, rounded)| {
            step.iter().zip(rounded).all(|(x, whole)| (x - *whole as f64).abs() <= ON_PIXEL / 512.0)
        });
        if !lies_along(row, column) || !exact {
            return Err("has other axes or another pixel spacing".into());
        }
        if start.iter().any(|x| !x.is_finite() || x.abs() > 1e9) {
            return Err("lies far away".into());
        }
        if (0..2).any(|axis| (start[axis] - start[axis].round()).abs() > ON_PIXEL) {
            return Err("lies between the pixels".into());
        }
        let from_slice = (start[2] - start[2].round()).abs();
        if from_slice > off {
            return Err(format!("lies between two slices, {:.2} of a step from the nearer", from_slice));
        }
        Ok(Self { start: start.map(|x| x.round() as i64), steps: rounded })
    }

    fn voxel(&self, [column, row]: [u16; 2], dimensions: [usize; 3]) -> Option<[u32; 3]> {
        let mut voxel = [0; 3];
        for axis in 0..3 {
            let index =
                self.start[axis] + i64::from(column) * self.steps[0][axis] + i64::from(row) * self.steps[1][axis];
            voxel[axis] = u32::try_from(index).ok().filter(|&index| (index as usize) < dimensions[axis])?;
        }
        Some(voxel)
    }
}
