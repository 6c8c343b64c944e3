//! Labels on a grid, and how the voxels of a file become them.
//!
//! Invariants: value 0 is background, every other value a label of its own; exactly the announced voxels are read. Units: LPS mm; voxel
//! order i fastest.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationTarget};
use mtids_domain::geometry::Affine;

use crate::error::AnnotationError;
use crate::labelled::{LabelMeaning, findings};

/// Labels on a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskFile {
    /// The file.
    pub path: PathBuf,
    /// Map from voxel indices to LPS mm.
    pub affine: Affine,
    /// Columns, rows, slices.
    pub dimensions: [usize; 3],
    /// Set voxels `[i, j, k]` by label, sorted by `(k, j, i)`.
    pub labels: BTreeMap<u32, Vec<[u32; 3]>>,
}

impl MaskFile {
    /// The findings, for the image that `target` names.
    ///
    /// # Errors
    /// [`AnnotationError::File`] where there are more than the limits allow.
    pub fn findings(&self, target: &AnnotationTarget, limits: &Limits) -> Result<Vec<Annotation>, AnnotationError> {
        let mut found = Vec::new();
        for (label, voxels) in &self.labels {
            let meaning = LabelMeaning::named(format!("label {label}"));
            let of_label = findings(target, &meaning, self.affine, voxels, limits);
            found.extend(of_label.map_err(|detail| AnnotationError::file(&self.path, detail))?);
        }
        Ok(found)
    }
}

/// How a voxel is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

impl Stored {
    /// Bytes of a voxel.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn value(self, bytes: &[u8], big_endian: bool) -> f64 {
        let mut little = [0; 8];
        let size = self.size();
        little[..size].copy_from_slice(&bytes[..size]);
        if big_endian {
            little[..size].reverse();
        }
        let [a, b, c, d, ..] = little;
        match self {
            Self::U8 => f64::from(a),
            Self::I8 => f64::from(a as i8),
            Self::U16 => f64::from(u16::from_le_bytes([a, b])),
            Self::I16 => f64::from(i16::from_le_bytes([a, b])),
            Self::U32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            Self::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Self::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Self::F64 => f64::from_le_bytes(little),
        }
    }
}

/// What a header says of the voxels behind it.
pub(crate) struct Layout {
    pub(crate) affine: Affine,
    pub(crate) dimensions: [usize; 3],
    pub(crate) stored: Stored,
    pub(crate) big_endian: bool,
    /// Value = slope · stored + intercept.
    pub(crate) scaling: (f64, f64),
}

impl Layout {
    /// Number of voxels, within the limits.
    pub(crate) fn voxels(&self, limits: &Limits) -> Result<usize, String> {
        let count = self.dimensions.iter().try_fold(1_u64, |product, &side| product.checked_mul(side as u64));
        match count {
            Some(count) if count > 0 && count <= limits.max_voxels => Ok(count as usize),
            _ => Err(format!("{:?} voxels; between 1 and {} are read", self.dimensions, limits.max_voxels)),
        }
    }

    /// Reads exactly the announced voxels, slice by slice.
    pub(crate) fn labels(&self, mut source: impl Read, limits: &Limits) -> Result<MaskFile, String> {
        self.voxels(limits)?;
        let [columns, rows, slices] = self.dimensions;
        let size = self.stored.size();
        // A row at a time: a slice may be as large as the limit on voxels allows.
        let mut row = vec![0; columns * size];
        let mut labels: BTreeMap<u32, Vec<[u32; 3]>> = BTreeMap::new();
        let mut set = 0;
        for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
            source.read_exact(&mut row).map_err(|error| format!("slice {k} of {slices}: {error}"))?;
            for (i, bytes) in row.chunks_exact(size).enumerate() {
                let value = self.scaling.0 * self.stored.value(bytes, self.big_endian) + self.scaling.1;
                if value == 0.0 {
                    continue;
                }
                let label = value.round();
                if !((label - value).abs() < 1e-3 && (1.0..=f64::from(u32::MAX)).contains(&label)) {
                    return Err(format!(
                        "voxel value {value}; a mask has integers from 0 (not an image or a probability map)"
                    ));
                }
                set += 1;
                if set > limits.max_set_voxels {
                    return Err(limits.too_many_set_voxels());
                }
                labels.entry(label as u32).or_default().push([i as u32, j as u32, k as u32]);
                if labels.len() > limits.max_findings {
                    return Err(format!("more than {} labels", limits.max_findings));
                }
            }
        }
        Ok(MaskFile { path: PathBuf::new(), affine: self.affine, dimensions: self.dimensions, labels })
    }
}
