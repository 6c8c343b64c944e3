//! Masks as a label map in NIfTI-1, one compressed file.
//!
//! Invariants: label n + 1 is mask n, 0 is background; masks do not overlap, because a voxel has one label; `sform` alone says where voxels
//! lie; the same masks give the same bytes. LPS mm become NIfTI's RAS here and nowhere else. Source: nifti1.h (NIH, 2007).

use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Affine;

use crate::error::AnnotationError;

/// Bytes of the header and of the four behind it that say "no extension".
const VOXELS_AT: usize = 352;
/// `NIFTI_INTENT_LABEL`.
const INTENT_LABEL: i16 = 1002;

/// Writes `masks`, which lie on the grid of `affine` and `dimensions` (columns, rows, slices), to `path` (`.nii.gz`).
///
/// # Errors
/// [`AnnotationError::Write`] for a mask off the grid, for masks that overlap, for a grid or a number of masks that NIfTI-1 cannot hold, or an
/// error of writing.
pub fn write_mask_nifti(
    path: &Path,
    masks: &[Mask],
    affine: &Affine,
    dimensions: [usize; 3],
) -> Result<(), AnnotationError> {
    let fail = |detail: String| AnnotationError::Write { path: path.to_owned(), detail };
    let sides = dimensions.map(|side| i16::try_from(side).ok().filter(|&side| side > 0));
    let [Some(columns), Some(rows), Some(slices)] = sides else {
        return Err(fail(format!("{dimensions:?} voxels do not fit a NIfTI-1 file")));
    };
    let mut labels = vec![0u16; dimensions.iter().product()];
    for (n, mask) in masks.iter().enumerate() {
        let label = u16::try_from(n + 1).map_err(|_| fail(format!("{} masks; 65535 fit", masks.len())))?;
        if mask.affine != *affine {
            return Err(fail(format!("mask {n} lies on another grid")));
        }
        for voxel in &mask.voxels {
            let [i, j, k] = voxel.map(|index| index as usize);
            if i >= dimensions[0] || j >= dimensions[1] || k >= dimensions[2] {
                return Err(fail(format!("mask {n} leaves the grid at {voxel:?}")));
            }
            let stored = &mut labels[(k * dimensions[1] + j) * dimensions[0] + i];
            if *stored != 0 && *stored != label {
                return Err(fail(format!("masks {} and {n} overlap at {voxel:?}", *stored - 1)));
            }
            *stored = label;
        }
    }
    let narrow = masks.len() < 256;
    let mut bytes = header(affine, [columns, rows, slices], narrow).to_vec();
    if narrow {
        // No label is larger than the number of masks.
        bytes.extend(labels.iter().map(|&label| label as u8));
    } else {
        bytes.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
    }
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let packed = packer.write_all(&bytes).and_then(|()| packer.finish());
    packed.and_then(|packed| std::fs::write(path, packed)).map_err(|error| fail(error.to_string()))
}

fn header(affine: &Affine, sides: [i16; 3], narrow: bool) -> [u8; VOXELS_AT] {
    let mut header = [0; VOXELS_AT];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let [columns, rows, slices] = sides;
    put(0, &348i32.to_le_bytes());
    // `regular`, a relic of Analyze 7.5 that some readers look for.
    put(38, b"r");
    for (n, side) in [3, columns, rows, slices, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * n, &side.to_le_bytes());
    }
    put(68, &INTENT_LABEL.to_le_bytes());
    // Data type and bits: unsigned of one or two bytes.
    let [kind, bits] = if narrow { [2i16, 8] } else { [512, 16] };
    put(70, &kind.to_le_bytes());
    put(72, &bits.to_le_bytes());
    let [dx, dy, dz] = affine.spacing();
    for (n, size) in [1.0, dx, dy, dz, 1.0, 1.0, 1.0, 1.0].into_iter().enumerate() {
        put(76 + 4 * n, &(size as f32).to_le_bytes());
    }
    put(108, &(VOXELS_AT as f32).to_le_bytes());
    put(112, &1f32.to_le_bytes());
    // Units: mm.
    put(123, &[2]);
    put(148, b"mtids");
    // `qform_code` at 252 stays 0; `sform_code` 1: scanner coordinates.
    put(254, &1i16.to_le_bytes());
    for row in 0..3 {
        // x and y change sign from LPS to RAS.
        let sign = if row < 2 { -1.0 } else { 1.0 };
        let [a, b, c] = affine.steps().map(|step| step[row]);
        for (n, value) in [a, b, c, affine.origin().0[row]].into_iter().enumerate() {
            put(280 + 16 * row + 4 * n, &((sign * value) as f32).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_mask;
    use mtids_dicom::Limits;
    use mtids_domain::geometry::PointMm;
    use proptest::prelude::*;

    fn grid() -> Affine {
        let (sin, cos) = 0.3f64.sin_cos();
        let steps = [[0.7 * cos, 0.7 * sin, 0.0], [-0.8 * sin, 0.8 * cos, 0.0], [0.0, 0.0, -2.5]];
        Affine::new(PointMm::new(-120.5, 30.25, -400.125), steps).unwrap()
    }

    fn masks(voxels: &[[u32; 3]], of: usize) -> Vec<Mask> {
        let part = |n| voxels.iter().copied().skip(n).step_by(of).collect();
        (0..of).map(|n| Mask { affine: grid(), voxels: part(n) }).collect()
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.nii.gz");
        let write = |masks: &[Mask], dimensions| write_mask_nifti(&path, masks, &grid(), dimensions);
        let twice = [&[[1, 1, 1]][..], &[[1, 1, 1]]].map(|voxels| Mask { affine: grid(), voxels: voxels.to_vec() });
        assert!(write(&twice, [4, 4, 4]).unwrap_err().to_string().contains("masks 0 and 1 overlap"));
        assert!(write(&twice[..1], [4, 4, 1]).unwrap_err().to_string().contains("leaves the grid"));
        assert!(write(&[], [4, 40_000, 1]).is_err() && write(&[], [4, 0, 1]).is_err());
        write(&[], [4, 4, 4]).unwrap();
        assert!(read_mask(&path, &Limits::default()).unwrap().labels.is_empty());
    }

    #[test]
    fn many_masks_have_two_bytes_and_bytes_do_not_change() {
        let folder = tempfile::tempdir().unwrap();
        let voxels: Vec<[u32; 3]> = (0..300).map(|n| [n % 10, n / 10 % 10, n / 100]).collect();
        let bytes = ["a.nii.gz", "b.nii.gz"].map(|name| {
            write_mask_nifti(&folder.path().join(name), &masks(&voxels, 300), &grid(), [10, 10, 3]).unwrap();
            std::fs::read(folder.path().join(name)).unwrap()
        });
        assert_eq!(bytes[0], bytes[1]);
        let read = read_mask(&folder.path().join("a.nii.gz"), &Limits::default()).unwrap();
        assert_eq!(read.labels.len(), 300);
        assert_eq!((read.labels[299].value, &*read.labels[299].voxels), (300, &[[9, 9, 2]][..]));
    }

    proptest! {
        #[test]
        fn masks_come_back_with_their_place(set in prop::collection::btree_set((0u32..3, 0u32..4, 0u32..5), 2..40)) {
            let voxels: Vec<[u32; 3]> = set.into_iter().map(|(k, j, i)| [i, j, k]).collect();
            let masks = masks(&voxels, 2);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mask.nii.gz");
            write_mask_nifti(&path, &masks, &grid(), [5, 4, 3]).unwrap();
            let read = read_mask(&path, &Limits::default()).unwrap();
            prop_assert_eq!(read.dimensions, [5, 4, 3]);
            for (n, mask) in masks.iter().enumerate() {
                prop_assert_eq!(read.labels[n].value as usize, n + 1);
                prop_assert_eq!(&read.labels[n].voxels, &mask.voxels);
            }
            let numbers = |affine: &Affine| [affine.origin().0].into_iter().chain(affine.steps()).flatten().collect::<Vec<_>>();
            for (a, b) in numbers(&read.affine).into_iter().zip(numbers(&grid())) {
                prop_assert!((a - b).abs() < 1e-4, "{a} for {b}");
            }
        }
    }
}
