//! Masks in research formats: a grid of labels in a file that names no image.
//!
//! Purpose: [`read_mask`] reads NIfTI-1 (`.nii`, `.nii.gz`) and NRRD (`.nrrd`) by content, not by name. Invariants: value 0 is background,
//! every other value a label of its own; both formats end in LPS mm; decompression stops at the bytes that the header announces, so a
//! small file cannot fill the memory. Units: LPS mm; voxel order i fastest.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use mtids_dicom::Limits;

use crate::error::AnnotationError;
use crate::label_grid::MaskFile;
use crate::{nifti, nrrd};

/// Whether a file name is that of a mask file.
pub fn is_mask_file(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    [".nii", ".nii.gz", ".nrrd"].iter().any(|ending| name.ends_with(ending))
}

/// Reads a mask file.
///
/// # Errors
/// [`AnnotationError::File`] with the file and what is wrong.
pub fn read_mask(path: &Path, limits: &Limits) -> Result<MaskFile, AnnotationError> {
    let mut file = File::open(path).map_err(|error| AnnotationError::file(path, error.to_string()))?;
    let mut start = [0; 4];
    file.read_exact(&mut start).map_err(|_| AnnotationError::file(path, "shorter than any header"))?;
    let whole = std::io::Cursor::new(start).chain(file);
    let result = if start.starts_with(b"NRRD") {
        nrrd::read(whole, limits)
    } else if start.starts_with(&[0x1f, 0x8b]) {
        nifti::read(MultiGzDecoder::new(whole), limits)
    } else {
        nifti::read(whole, limits)
    };
    result.map(|mask| MaskFile { path: path.to_owned(), ..mask }).map_err(|detail| AnnotationError::file(path, detail))
}
