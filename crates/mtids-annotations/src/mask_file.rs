//! Masks in research formats: a grid of labels in a file that names no image.
//!
//! Purpose: [`read_mask`] reads NIfTI (`.nii`, `.nii.gz`, `.hdr` with `.img`) and NRRD (`.nrrd`, `.seg.nrrd`, `.nhdr`) by content, not by
//! name. Invariants: value 0 is background, every other value a label of its own; both formats end in LPS mm; decompression stops at the
//! bytes that the header announces, so a small file cannot fill the memory. Units: LPS mm; voxel order i fastest.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use mtids_dicom::Limits;

use crate::error::AnnotationError;
use crate::label_grid::MaskFile;
use crate::{nifti, nrrd};

/// Endings of files that are read as masks.
const ENDINGS: [&str; 5] = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".hdr"];

/// Endings of masks that are not read, and what to do.
const OTHERS: [(&str, &str); 6] = [
    (".mha", "MetaImage is not read; write it as NIfTI (.nii.gz) or NRRD (.nrrd)"),
    (".mhd", "MetaImage is not read; write it as NIfTI (.nii.gz) or NRRD (.nrrd)"),
    (".mgz", "FreeSurfer volumes are not read; write it as NIfTI (mri_convert a.mgz a.nii.gz)"),
    (".mgh", "FreeSurfer volumes are not read; write it as NIfTI (mri_convert a.mgh a.nii.gz)"),
    (".img", "the voxels of a pair; name its header (.hdr)"),
    (".img.gz", "the voxels of a pair; name its header (.hdr)"),
];

fn has_ending(path: &Path, ending: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().ends_with(ending))
}

/// Whether a file name is that of a mask file that is read.
pub fn is_mask_file(path: &Path) -> bool {
    ENDINGS.iter().any(|ending| has_ending(path, ending))
}

/// Whether a file name is that of a mask, read or not: it is no table.
pub(crate) fn is_any_mask(path: &Path) -> bool {
    is_mask_file(path) || OTHERS.iter().any(|(ending, _)| has_ending(path, ending))
}

/// Whether a file name is that of the voxels of a pair, which its header names.
pub(crate) fn is_half_of_pair(path: &Path) -> bool {
    [".img", ".img.gz"].iter().any(|ending| has_ending(path, ending))
}

/// The name of a mask file without folders and ending.
pub(crate) fn mask_stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let endings = [".seg.nrrd"].iter().chain(&ENDINGS);
    let length = endings.filter_map(|ending| Some(lower.strip_suffix(ending)?.len())).min().unwrap_or(name.len());
    name[..length].to_owned()
}

/// Reads a mask file.
///
/// # Errors
/// [`AnnotationError::File`] with the file and what is wrong.
pub fn read_mask(path: &Path, limits: &Limits) -> Result<MaskFile, AnnotationError> {
    let named = |detail: String| AnnotationError::file(path, detail);
    if let Some((_, detail)) = OTHERS.iter().find(|(ending, _)| has_ending(path, ending)) {
        return Err(named((*detail).to_owned()));
    }
    let mut file = File::open(path).map_err(|error| named(error.to_string()))?;
    let mut start = [0; 4];
    file.read_exact(&mut start).map_err(|_| named("shorter than any header".into()))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| named(error.to_string()))?;
    let result = if start.starts_with(b"NRRD") {
        nrrd::read(path, file, limits)
    } else if start.starts_with(&[0x1f, 0x8b]) {
        nifti::read(path, MultiGzDecoder::new(file), limits)
    } else {
        nifti::read(path, std::io::BufReader::new(file), limits)
    };
    result.map(|mask| MaskFile { path: path.to_owned(), ..mask }).map_err(named)
}
