//! NIfTI-1 and NIfTI-2: a header, then voxels in the same file (`.nii`) or in a file beside it (`.hdr` with `.img`).
//!
//! Orientation: `sform` where its code is positive, else `qform`, as the standard orders it; a file with neither is refused, because left
//! and right would be a guess. NIfTI's RAS becomes LPS here and nowhere else. Sources: nifti1.h (NIH, 2007), nifti2.h (2011).

mod header;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use mtids_dicom::Limits;
use mtids_domain::geometry::{Affine, PointMm, dot, norm};

use crate::geometry::grid_corners;
use crate::label_grid::{Layout, MaskFile, Stored};
use header::Header;

/// Most bytes between header and voxels: extensions.
const MAX_GAP: i64 = 1 << 26;

/// Cosine between axes beyond which a grid is sheared; single precision errs by less.
const SHEARED: f64 = 1e-3;

/// Reads a mask from an uncompressed stream, the content of the file at `path`.
pub(crate) fn read(path: &Path, mut source: impl Read, limits: &Limits) -> Result<MaskFile, String> {
    let header = Header::read(&mut source)?;
    let dimensions = dimensions(&header)?;
    let stored = stored(header.data_type)?;
    let (slope, intercept) = header.scaling;
    let scaling = if slope.is_finite() && slope != 0.0 { (slope, intercept) } else { (1.0, 0.0) };
    let layout =
        Layout { affine: affine(&header)?, dimensions, layers: None, stored, big_endian: header.big_endian, scaling };
    layout.voxels(limits)?;
    let offset = header.voxel_offset - if header.is_pair { 0 } else { header.bytes };
    if !(0..=MAX_GAP).contains(&offset) {
        return Err(format!("invalid vox_offset {}", header.voxel_offset));
    }
    let gap = offset as u64;
    let mask = match header.is_pair {
        true => voxels_behind(pair(path)?, gap, &layout, limits)?,
        false => voxels_behind(source, gap, &layout, limits)?,
    };
    Ok(MaskFile { contradicting: contradicting(&header, &layout), ..mask })
}

fn voxels_behind(mut source: impl Read, gap: u64, layout: &Layout, limits: &Limits) -> Result<MaskFile, String> {
    let skipped =
        std::io::copy(&mut source.by_ref().take(gap), &mut std::io::sink()).map_err(|error| error.to_string())?;
    if skipped != gap {
        return Err("the file ends before its voxels".into());
    }
    layout.labels(source, limits)
}

/// The voxels of a header without them: `.img` or `.img.gz` beside it.
fn pair(path: &Path) -> Result<Box<dyn Read>, String> {
    let (plain, packed) = (path.with_extension("img"), path.with_extension("img.gz"));
    let open = |path: &Path| File::open(path).map_err(|error| format!("{}: {error}", path.display()));
    // To open a pipe would wait for a writer.
    if plain.is_file() && plain != path {
        return Ok(Box::new(open(&plain)?));
    }
    if packed.is_file() {
        return Ok(Box::new(MultiGzDecoder::new(open(&packed)?)));
    }
    Err(format!("a header without voxels, and {} is not beside it; write one file (.nii)", plain.display()))
}

fn stored(data_type: i16) -> Result<Stored, String> {
    Ok(match data_type {
        2 => Stored::U8,
        256 => Stored::I8,
        512 => Stored::U16,
        4 => Stored::I16,
        768 => Stored::U32,
        8 => Stored::I32,
        1280 => Stored::U64,
        1024 => Stored::I64,
        16 => Stored::F32,
        64 => Stored::F64,
        other => {
            let name = match other {
                1 => " (bits)",
                32 | 1792 | 2048 => " (complex numbers)",
                128 | 2304 => " (colours)",
                1536 => " (floats of 128 bits)",
                _ => "",
            };
            return Err(format!("data type {other}{name} is not supported for masks; write it as uint8 or int16"));
        }
    })
}

fn dimensions(header: &Header) -> Result<[usize; 3], String> {
    let [rank, sides @ ..] = header.dimensions;
    let used = usize::try_from(rank).ok().filter(|rank| (3..=7).contains(rank));
    let used = used.ok_or_else(|| format!("{rank} dimensions; one volume of three is read"))?;
    let (volume, more) = sides[..used].split_at(3);
    if more.iter().any(|&side| side > 1) {
        let volumes = more.iter().fold(1_i64, |product, &side| product.saturating_mul(side.max(1)));
        return Err(format!(
            "sides {:?}: {volumes} volumes; write the one volume of three dimensions that is the mask",
            &sides[..used]
        ));
    }
    let side = |n: usize| usize::try_from(volume[n]).ok().filter(|&side| side > 0 && u32::try_from(side).is_ok());
    match [side(0), side(1), side(2)] {
        [Some(columns), Some(rows), Some(slices)] => Ok([columns, rows, slices]),
        _ => Err(format!("sides {:?}; one volume of three dimensions is read", &sides[..used])),
    }
}

/// Map to LPS mm.
fn affine(header: &Header) -> Result<Affine, String> {
    if header.sform_code > 0 {
        return to_lps(header, header.sform);
    }
    if header.qform_code > 0 {
        return to_lps(header, quaternion(header));
    }
    Err("neither sform nor qform gives the orientation; write it with one of them".into())
}

/// The map of `qform`, where it places the voxels elsewhere than that of `sform`. Programs differ in which of the two they take. A sheared grid is
/// said by `sform` alone: `qform` can only come near it.
fn contradicting(header: &Header, layout: &Layout) -> Option<Affine> {
    if header.sform_code <= 0 || header.qform_code <= 0 {
        return None;
    }
    let other = to_lps(header, quaternion(header)).ok()?;
    let sform = &layout.affine;
    let [i, j, k] = sform.steps().map(|step| step.map(|x| x / norm(step)));
    let is_sheared = [dot(i, j), dot(j, k), dot(i, k)].iter().any(|cosine| cosine.abs() > SHEARED);
    let corners = |affine: &Affine| grid_corners(affine, layout.dimensions);
    let apart = corners(sform).iter().zip(corners(&other)).map(|(a, b)| a.distance(b)).fold(0.0, f64::max);
    let finest = sform.spacing().into_iter().fold(f64::INFINITY, f64::min);
    (!is_sheared && apart > 0.5 * finest).then_some(other)
}

/// To LPS mm, from the rows of a map to RAS: (i, j, k, 1) → x, y, z.
fn to_lps(header: &Header, rows: [[f64; 4]; 3]) -> Result<Affine, String> {
    let scale = match header.units & 7 {
        // Nothing is said where the unit is 0, and writers mean mm.
        0 | 2 => 1.0,
        1 => 1000.0,
        3 => 0.001,
        other => return Err(format!("xyzt_units {other} is no unit of length")),
    };
    // x and y change sign from RAS to LPS.
    let to_lps = |row: usize, value: f64| scale * if row < 2 { -value } else { value };
    let column = |c: usize| std::array::from_fn(|row| to_lps(row, rows[row][c]));
    Affine::new(PointMm(column(3)), [column(0), column(1), column(2)]).map_err(|error| error.to_string())
}

/// Rotation by the unit quaternion of `qform`, times the voxel size; a negative `qfac` turns the third axis.
fn quaternion(header: &Header) -> [[f64; 4]; 3] {
    let [b, c, d] = header.quaternion;
    let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let offset = header.quaternion_offset;
    let [qfac, dx, dy, dz] = header.voxel_sizes;
    let size = [dx, dy, if qfac < 0.0 { -dz } else { dz }];
    std::array::from_fn(|row| {
        let [x, y, z]: [f64; 3] = std::array::from_fn(|column| rotation[row][column] * size[column]);
        [x, y, z, offset[row]]
    })
}
