//! Labels on a grid, and how the voxels of a file become them.
//!
//! Invariants: value 0 is background, every other value a label of its own; the layers of a file may overlap, and each has its own values;
//! exactly the announced voxels are read. Units: LPS mm; voxel order i fastest.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationTarget, Code};
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
    /// Another map that the file gives too, where it contradicts the first: `qform` beside `sform` of a NIfTI file.
    pub contradicting: Option<Affine>,
    /// Columns, rows, slices.
    pub dimensions: [usize; 3],
    /// Labels with set voxels, by layer and value.
    pub labels: Vec<MaskLabel>,
}

/// The voxels of one label.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskLabel {
    /// Layer of the file, from 0.
    pub layer: u32,
    /// Value in that layer.
    pub value: u32,
    /// Name given by the file; for people, never a label.
    pub name: Option<String>,
    /// Codes given by the file.
    pub codes: Vec<Code>,
    /// Set voxels `[i, j, k]`, sorted by `(k, j, i)`.
    pub voxels: Vec<[u32; 3]>,
}

impl MaskFile {
    /// The findings, for the image that `target` names. A label without name is called after its value.
    ///
    /// # Errors
    /// [`AnnotationError::File`] where there are more than the limits allow.
    pub fn findings(&self, target: &AnnotationTarget, limits: &Limits) -> Result<Vec<Annotation>, AnnotationError> {
        let mut found = Vec::new();
        for label in &self.labels {
            let name = label.name.clone().unwrap_or_else(|| format!("label {}", label.value));
            let meaning = LabelMeaning { codes: label.codes.clone(), ..LabelMeaning::named(name) };
            let of_label = findings(target, &meaning, self.affine, &label.voxels, limits);
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
    U64,
    I64,
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
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The number; integers beyond 2⁵³ are rounded, and no label is so large.
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
            Self::U64 => u64::from_le_bytes(little) as f64,
            Self::I64 => i64::from_le_bytes(little) as f64,
            Self::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Self::F64 => f64::from_le_bytes(little),
        }
    }
}

/// An axis of the file along which voxels have several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    /// Which axis of the file, 0 the fastest.
    pub(crate) axis: usize,
    /// Number of values.
    pub(crate) count: usize,
}

/// Most voxels of a row: DICOM's limit on columns.
const LONGEST_ROW: usize = 65_535;

/// What a header says of the voxels behind it.
pub(crate) struct Layout {
    pub(crate) affine: Affine,
    pub(crate) dimensions: [usize; 3],
    pub(crate) layers: Option<Layers>,
    pub(crate) stored: Stored,
    pub(crate) big_endian: bool,
    /// Value = slope · stored + intercept.
    pub(crate) scaling: (f64, f64),
}

impl Layout {
    /// Number of values, within the limits.
    pub(crate) fn voxels(&self, limits: &Limits) -> Result<usize, String> {
        let count = self.sides().iter().try_fold(1_u64, |product, &side| product.checked_mul(side as u64));
        match count {
            Some(count) if count > 0 && count <= limits.max_voxels => Ok(count as usize),
            _ => Err(format!("{:?} voxels; between 1 and {} are read", self.sides(), limits.max_voxels)),
        }
    }

    /// Lengths of the axes of the file, the fastest first.
    fn sides(&self) -> Vec<usize> {
        let mut sides = self.dimensions.to_vec();
        if let Some(layers) = self.layers {
            sides.insert(layers.axis, layers.count);
        }
        sides
    }

    /// Reads exactly the announced voxels, row by row: a slice may be as large as the limit on voxels allows, and a row is no longer than one of
    /// an image, so a few bytes of a header reserve little.
    pub(crate) fn labels(&self, mut source: impl Read, limits: &Limits) -> Result<MaskFile, String> {
        self.voxels(limits)?;
        let sides = self.sides();
        let size = self.stored.size();
        if sides[0] > LONGEST_ROW {
            return Err(format!("rows of {} voxels; {LONGEST_ROW} are read, and no image has more columns", sides[0]));
        }
        let mut row = vec![0; sides[0] * size];
        let mut found = Found { layout: self, limits, set: 0, labels: BTreeMap::new() };
        // Index of the row on each axis of the file; the first stays 0.
        let mut at = vec![0; sides.len()];
        loop {
            source.read_exact(&mut row).map_err(|error| {
                let last = sides.len() - 1;
                format!("slice {} of {} cannot be read: {error}", at[last], sides[last])
            })?;
            // Most rows of a mask are background; 0 is all zero bytes in every type.
            if self.scaling.1 != 0.0 || row.iter().any(|byte| *byte != 0) {
                for (i, bytes) in row.chunks_exact(size).enumerate() {
                    found.add(&at, i, bytes)?;
                }
            }
            let Some(axis) = (1..sides.len()).find(|&axis| at[axis] + 1 < sides[axis]) else { break };
            at[axis] += 1;
            at[1..axis].fill(0);
        }
        let label = |((layer, value), voxels)| MaskLabel { layer, value, name: None, codes: Vec::new(), voxels };
        let labels = found.labels.into_iter().map(label).collect();
        Ok(MaskFile {
            path: PathBuf::new(),
            affine: self.affine,
            contradicting: None,
            dimensions: self.dimensions,
            labels,
        })
    }
}

/// Set voxels by layer and value, while they are read.
struct Found<'a> {
    layout: &'a Layout,
    limits: &'a Limits,
    set: usize,
    labels: BTreeMap<(u32, u32), Vec<[u32; 3]>>,
}

impl Found<'_> {
    /// Adds the voxel at position `i` of the row `at`.
    fn add(&mut self, at: &[usize], i: usize, bytes: &[u8]) -> Result<(), String> {
        let (slope, intercept) = self.layout.scaling;
        let value = slope * self.layout.stored.value(bytes, self.layout.big_endian) + intercept;
        if value == 0.0 {
            return Ok(());
        }
        let label = value.round();
        if !((label - value).abs() < 1e-3 && (1.0..=f64::from(u32::MAX)).contains(&label)) {
            return Err(format!("voxel value {value}; a mask has integers from 0 (not an image or a probability map)"));
        }
        self.set += 1;
        if self.set > self.limits.max_set_voxels {
            return Err(self.limits.too_many_set_voxels());
        }
        let index = |axis: usize| (if axis == 0 { i } else { at[axis] }) as u32;
        let (layer, voxel) = match self.layout.layers {
            None => (0, [0, 1, 2].map(index)),
            // The other axes follow one another as in the grid.
            Some(Layers { axis, .. }) => (index(axis), [0, 1, 2].map(|n| index(if n < axis { n } else { n + 1 }))),
        };
        self.labels.entry((layer, label as u32)).or_default().push(voxel);
        if self.labels.len() > self.limits.max_findings {
            return Err(format!("more than {} labels", self.limits.max_findings));
        }
        Ok(())
    }
}
