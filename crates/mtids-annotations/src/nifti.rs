//! NIfTI-1: a header of 348 bytes, then voxels.
//!
//! Orientation: `sform` where its code is positive, else `qform`, as the standard orders it; a file with neither is refused, because left
//! and right would be a guess. NIfTI's RAS becomes LPS here and nowhere else. Source: nifti1.h (NIH, 2007).

use std::io::Read;

use mtids_dicom::Limits;
use mtids_domain::geometry::{Affine, PointMm};

use crate::label_grid::{Layout, MaskFile, Stored};

const HEADER: usize = 348;

struct Header {
    bytes: [u8; HEADER],
    big_endian: bool,
}

impl Header {
    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    fn short(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.take(at))
    }

    fn float(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.take(at)))
    }

    fn floats<const N: usize>(&self, at: usize) -> [f64; N] {
        std::array::from_fn(|n| self.float(at + 4 * n))
    }
}

/// Reads a mask from an uncompressed stream.
pub(crate) fn read(mut source: impl Read, limits: &Limits) -> Result<MaskFile, String> {
    let mut bytes = [0; HEADER];
    source.read_exact(&mut bytes).map_err(|error| format!("no NIfTI header: {error}"))?;
    let size = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let big_endian = match (size, size.swap_bytes()) {
        (348, _) => false,
        (_, 348) => true,
        (540, _) | (_, 540) => return Err("NIfTI-2; write it as NIfTI-1".into()),
        _ => return Err("neither NIfTI nor NRRD".into()),
    };
    let header = Header { bytes, big_endian };
    if !matches!(&bytes[344..348], b"n+1\0") {
        return Err("header and voxels must be in one file (magic `n+1`)".into());
    }
    let dimensions = dimensions(&header)?;
    let stored = match header.short(70) {
        2 => Stored::U8,
        256 => Stored::I8,
        512 => Stored::U16,
        4 => Stored::I16,
        768 => Stored::U32,
        8 => Stored::I32,
        16 => Stored::F32,
        64 => Stored::F64,
        other => return Err(format!("data type {other} is not supported for masks")),
    };
    let slope = header.float(112);
    let scaling = if slope.is_finite() && slope != 0.0 { (slope, header.float(116)) } else { (1.0, 0.0) };
    let offset = header.float(108);
    if !(348.0..=1e6).contains(&offset) {
        return Err(format!("invalid vox_offset {offset}"));
    }
    let layout = Layout { affine: affine(&header)?, dimensions, stored, big_endian, scaling };
    layout.voxels(limits)?;
    let gap = offset as u64 - HEADER as u64;
    let skipped =
        std::io::copy(&mut source.by_ref().take(gap), &mut std::io::sink()).map_err(|error| error.to_string())?;
    if skipped != gap {
        return Err("the file ends before its voxels".into());
    }
    layout.labels(source, limits)
}

fn dimensions(header: &Header) -> Result<[usize; 3], String> {
    let rank = header.short(40);
    let sides: Vec<i16> = (1..=7).map(|n| header.short(40 + 2 * n)).collect();
    let used = usize::try_from(rank).ok().filter(|rank| (3..=7).contains(rank)).ok_or(format!("{rank} dimensions"))?;
    if sides[..3].iter().any(|&side| side < 1) || sides[3..used].iter().any(|&side| side > 1) {
        return Err(format!("sides {:?}; one volume of three dimensions is read", &sides[..used]));
    }
    Ok([sides[0] as usize, sides[1] as usize, sides[2] as usize])
}

/// Map to LPS mm.
fn affine(header: &Header) -> Result<Affine, String> {
    // Rows of the map to RAS mm: (i, j, k, 1) → x, y, z.
    let rows: [[f64; 4]; 3] = if header.short(254) > 0 {
        [header.floats(280), header.floats(296), header.floats(312)]
    } else if header.short(252) > 0 {
        quaternion(header)
    } else {
        return Err("neither sform nor qform gives the orientation".into());
    };
    // x and y change sign from RAS to LPS.
    let to_lps = |row: usize, value: f64| if row < 2 { -value } else { value };
    let column = |c: usize| std::array::from_fn(|row| to_lps(row, rows[row][c]));
    Affine::new(PointMm(column(3)), [column(0), column(1), column(2)]).map_err(|error| error.to_string())
}

/// Rotation by the unit quaternion of `qform`, times the voxel size; a negative `qfac` turns the third axis.
fn quaternion(header: &Header) -> [[f64; 4]; 3] {
    let [b, c, d]: [f64; 3] = header.floats(256);
    let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let offset: [f64; 3] = header.floats(268);
    let [qfac, dx, dy, dz]: [f64; 4] = header.floats(76);
    let size = [dx, dy, if qfac < 0.0 { -dz } else { dz }];
    std::array::from_fn(|row| {
        let [x, y, z]: [f64; 3] = std::array::from_fn(|column| rotation[row][column] * size[column]);
        [x, y, z, offset[row]]
    })
}
