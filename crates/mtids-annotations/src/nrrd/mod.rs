//! NRRD: a header of text lines, then voxels in the same file (`.nrrd`) or in files beside it (`.nhdr`).
//!
//! Only a named space is read: without `space`, left and right would be a guess. An axis of layers (`.seg.nrrd`) is the one that has no
//! direction in space. Invariant: where the header names segments, every set voxel belongs to one of them. Source: the NRRD format definition (teem.sourceforge.net/nrrd/format.html); for segments, 3D Slicer's
//! vtkMRMLSegmentationStorageNode.

mod data;
mod header;
mod segments;
mod space;
mod text;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mtids_dicom::Limits;

use crate::label_grid::{Layers, Layout, MaskFile, Stored};
use data::Encoding;
use header::Header;

/// Reads a mask from `file`, which stands at its beginning and lies at `path`.
pub(crate) fn read(path: &Path, file: File, limits: &Limits) -> Result<MaskFile, String> {
    let mut source = BufReader::new(file);
    let header = Header::read(&mut source)?;
    let rank = whole(&header, "dimension")?;
    if !(3..=4).contains(&rank) {
        return Err(format!("dimension {rank}; one volume of three dimensions is read, and layers of a fourth"));
    }
    let mut sides = numbers(&header, "sizes")?;
    if sides.len() != rank {
        return Err(format!("sizes `{}` for dimension {rank}", header.need("sizes")?));
    }
    let geometry = space::geometry(&header, rank)?;
    let layers = geometry.layer_axis.map(|axis| Layers { axis, count: sides.remove(axis) });
    let dimensions =
        <[usize; 3]>::try_from(sides).map_err(|_| format!("dimension {rank} without an axis of layers"))?;
    let names = segments::names(&header, layers.is_some())?;
    if let Some(Layers { count, .. }) = layers
        && count > 1
        && names.is_empty()
    {
        return Err(format!(
            "{count} values for each voxel, and no SegmentN_Name says that they are the layers of a segmentation; write one volume"
        ));
    }
    let encoding = Encoding::of(&header)?;
    let (stored, big_endian) = stored(&header, &encoding)?;
    let layout = Layout { affine: geometry.affine, dimensions, layers, stored, big_endian, scaling: (1.0, 0.0) };
    let bytes = layout.voxels(limits)? as u64 * stored.size() as u64;
    let voxels = data::open(path, source, &header, &encoding, bytes, limits)?;
    let mut mask = layout.labels(voxels, limits)?;
    for label in &mut mask.labels {
        match names.get(&(label.layer, label.value)) {
            Some(segment) => {
                label.name = Some(segment.name.clone());
                label.codes = segment.codes.clone();
            }
            None if names.is_empty() => {}
            None => {
                return Err(format!(
                    "voxels of value {} in layer {} belong to no segment of the header ({}); correct SegmentN_LabelValue or SegmentN_Layer",
                    label.value,
                    label.layer,
                    names.values().map(|segment| format!("`{}`", segment.name)).collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    Ok(mask)
}

/// A field that is one whole number.
fn whole(header: &Header, key: &str) -> Result<usize, String> {
    let text = header.need(key)?;
    text.parse().map_err(|_| format!("{key} `{text}`"))
}

/// A field of whole numbers.
fn numbers(header: &Header, key: &str) -> Result<Vec<usize>, String> {
    let text = header.need(key)?;
    text.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| format!("{key} `{text}`"))
}

/// The type of a voxel, and whether its bytes begin with the highest.
fn stored(header: &Header, encoding: &Encoding) -> Result<(Stored, bool), String> {
    let stored = match header.need("type")?.to_lowercase().as_str() {
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Stored::U8,
        "signed char" | "int8" | "int8_t" => Stored::I8,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Stored::U16,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Stored::I16,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Stored::U32,
        "int" | "signed int" | "int32" | "int32_t" => Stored::I32,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Stored::U64,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Stored::I64,
        "float" => Stored::F32,
        "double" => Stored::F64,
        other => return Err(format!("type `{other}` is not supported for masks; write it as uint8 or uint16")),
    };
    if encoding.is_text() {
        // Numbers as text become 64-bit numbers, little-endian, while they are read.
        return Ok((Stored::F64, false));
    }
    match header.field("endian").map(str::to_lowercase).as_deref() {
        Some("big") => Ok((stored, true)),
        Some("little") => Ok((stored, false)),
        None if stored.size() == 1 => Ok((stored, false)),
        None => Err("the header has no `endian`, and voxels of several bytes need it (little or big)".into()),
        Some(other) => Err(format!("endian `{other}`; little and big are known")),
    }
}
