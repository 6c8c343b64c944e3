//! Planes of a segment on a grid: that of the referenced image, or that of the object.
//!
//! Invariant: a plane goes to a grid only where its pixels are pixels of the grid, whichever way its rows run; where it fits none, they may
//! lie at most half a pixel beside. Units: voxels `[i, j, k]`; LPS mm. Sources: QIICR/dcmqi#89 (SpacingBetweenSlices is optional and not to be trusted), ivmartel/dwv#1922 (the geometry is that of the
//! referenced image).

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationTarget};
use mtids_domain::geometry::{Affine, PointMm, Voxel, dot, norm, subtract};

use super::frames::{OwnGrid, Place, Plane, Said};
use crate::labelled::{LabelMeaning, findings as findings_of_voxels};

/// How far a pixel may lie from one of the grid, in pixels; rounded positions and spacings add up over a frame.
const ON_PIXEL: f64 = 0.25;

/// How far a frame may lie from the grid.
#[derive(Clone, Copy)]
struct Off {
    /// From a slice, in slices.
    slice: f64,
    /// From a pixel in the plane, in pixels.
    pixel: f64,
}

impl Off {
    /// It lies on it.
    const ON: Self = Self { slice: 0.1, pixel: ON_PIXEL };
    /// It goes to the nearest slice.
    const NEAR_SLICE: Self = Self { slice: 0.5, pixel: ON_PIXEL };
    /// Its pixels go to the nearest ones: those of a tilted stack lie at another place between the pixels in every slice of the grid that the
    /// repair of the tilt makes.
    const NEAR_PIXEL: Self = Self { slice: 0.1, pixel: 0.5 };
}

/// From this many slices of the image on, the object was drawn on a thicker reconstruction: its planes fill what lies between them.
const THICKER: f64 = 1.5;

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
    // Before the image: planes of a thick reconstruction lie on slices of a thin one by chance, and would be torn apart there.
    if let (Ok(grid), Some((affine, _))) = (own, image)
        && is_thicker(grid, affine)
        && let Ok(placed) = on_own(grid)
    {
        return Ok(placed);
    }
    if let Some(Ok(placed)) = on_image(Off::ON) {
        return Ok(placed);
    }
    if let Ok(grid) = own
        && grid.said == Said::Spacing
        && let Ok(placed) = on_own(grid)
    {
        return Ok(placed);
    }
    let near = on_image(Off::NEAR_SLICE);
    if let Some(Ok(placed)) = near {
        return Ok(placed);
    }
    let of_own = own.as_ref().map_err(Clone::clone).and_then(on_own);
    match (of_own, near) {
        (Err(own), Some(Err(image))) => on_image(Off::NEAR_PIXEL).and_then(Result::ok).ok_or_else(|| {
            format!("{own}; and on the grid of the referenced image: {image}; write the segmentation on that grid")
        }),
        (of_own, _) => of_own,
    }
}

/// Whether the slices of an object are said to lie farther apart than those of an image that is cut in parallel planes.
fn is_thicker(own: &OwnGrid, image: &Affine) -> bool {
    let ([_, _, own_step], [_, _, image_step]) = (own.affine.steps(), image.steps());
    let along = dot(own_step, image_step).abs();
    let is_parallel = along > 0.99 * norm(own_step) * norm(image_step);
    own.said != Said::Nothing && is_parallel && norm(own_step) >= THICKER * norm(image_step)
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
    let voxels = voxels(planes, &moved, [u32::MAX as usize; 3], Off::ON)
        .map_err(|detail| format!("its frames have no regular grid of their own ({detail})"))?;
    Ok((moved, voxels))
}

/// The voxels of planes on a grid, where every frame lies at most `off` from its slices and pixels.
///
/// # Errors
/// A sentence with the frame that does not fit.
fn voxels(planes: &[Plane], affine: &Affine, dimensions: [usize; 3], off: Off) -> Result<Vec<[u32; 3]>, String> {
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
    fn of(place: &Place, affine: &Affine, off: Off) -> Result<Self, String> {
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
        if (0..2).any(|axis| (start[axis] - start[axis].round()).abs() > off.pixel) {
            return Err("lies between the pixels".into());
        }
        let from_slice = (start[2] - start[2].round()).abs();
        if from_slice > off.slice {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of 8 × 8 × 8 voxels of 1 × 1 × `step` mm.
    fn image(step: f64) -> Affine {
        Affine::new(PointMm::new(0.0, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, step]]).unwrap()
    }

    /// Frames with one set pixel, its position at `(0, y, z)`.
    fn planes(positions: &[[f64; 2]]) -> Vec<Plane> {
        let plane = |(frame, &[y, z]): (usize, &[f64; 2])| Plane {
            frame,
            place: Place { position: PointMm::new(0.0, y, z), steps: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] },
            image: None,
            pixels: vec![[2, 3]],
        };
        positions.iter().enumerate().map(plane).collect()
    }

    fn own(step: f64, said: Said) -> Result<OwnGrid, String> {
        Ok(OwnGrid { affine: image(step), said })
    }

    #[test]
    fn frames_of_a_tilted_stack_go_to_the_nearest_pixels_of_the_repaired_grid() {
        // Half a millimetre of shear for each slice.
        let tilted = planes(&[[0.0, 0.0], [0.4, 2.0], [0.8, 4.0]]);
        let (_, voxels) = on_a_grid(&tilted, &own(2.0, Said::Spacing), Some((&image(2.0), [8; 3]))).unwrap();
        assert_eq!(voxels, [[2, 3, 0], [2, 3, 1], [2, 4, 2]]);
        // Not where it lies between the slices as well.
        let off = planes(&[[0.0, 0.0], [0.4, 2.0], [0.8, 5.0]]);
        let fault = on_a_grid(&off, &own(2.0, Said::Nothing), Some((&image(2.0), [8; 3]))).unwrap_err();
        assert!(fault.contains("lies between"), "{fault}");
    }

    #[test]
    fn a_stated_thicker_step_goes_before_the_slices_of_the_image() {
        let thick = planes(&[[0.0, 0.0], [0.0, 5.0]]);
        let step_of = |said, step| {
            let (affine, _) = on_a_grid(&thick, &own(5.0, said), Some((&image(step), [8; 3]))).unwrap();
            affine.spacing()[2]
        };
        // On slices of 1.25 mm, whether SpacingBetweenSlices or SliceThickness says it; and nearly on some of 1.2 mm.
        assert_eq!([Said::Spacing, Said::Thickness].map(|said| step_of(said, 1.25)), [5.0; 2]);
        assert_eq!(step_of(Said::Thickness, 1.2), 5.0);
        // Where nothing is said, or the image is as thick.
        assert_eq!(step_of(Said::Nothing, 1.25), 1.25);
        assert_eq!(step_of(Said::Spacing, 4.9), 4.9);
    }
}
