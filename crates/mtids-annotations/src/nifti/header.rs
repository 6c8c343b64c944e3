//! The fields of a NIfTI header, whichever version and byte order.
//!
//! Invariant: places and widths of fields are named here and nowhere else. Sources: nifti1.h, nifti2.h.

use std::io::Read;

/// What a header says.
pub(super) struct Header {
    pub(super) big_endian: bool,
    /// Its own length.
    pub(super) bytes: i64,
    /// The voxels are in another file.
    pub(super) is_pair: bool,
    /// Rank, then seven sides.
    pub(super) dimensions: [i64; 8],
    pub(super) data_type: i16,
    /// `qfac`, then the sizes of a voxel.
    pub(super) voxel_sizes: [f64; 4],
    pub(super) voxel_offset: i64,
    /// Slope and intercept.
    pub(super) scaling: (f64, f64),
    pub(super) units: i32,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    pub(super) quaternion: [f64; 3],
    pub(super) quaternion_offset: [f64; 3],
    pub(super) sform: [[f64; 4]; 3],
}

/// Fixed bytes with fields.
struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Fields<'_> {
    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.take(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.take(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.take(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.take(at)))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.take(at))
    }
}

const BYTES_1: usize = 348;
const BYTES_2: usize = 540;

impl Header {
    pub(super) fn read(source: &mut impl Read) -> Result<Self, String> {
        let mut bytes = [0; BYTES_2];
        let first = &mut bytes[..BYTES_1];
        source.read_exact(first).map_err(|error| format!("no NIfTI header: {error}"))?;
        let size = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let is =
            |expected: i32| [(size, false), (size.swap_bytes(), true)].into_iter().find(|(size, _)| *size == expected);
        match (is(BYTES_1 as i32), is(BYTES_2 as i32)) {
            (Some((_, big_endian)), _) => Self::version_1(&Fields { bytes: &bytes[..BYTES_1], big_endian }),
            (_, Some((_, big_endian))) => {
                let rest = source.read_exact(&mut bytes[BYTES_1..]);
                rest.map_err(|error| format!("no NIfTI-2 header: {error}"))?;
                Self::version_2(&Fields { bytes: &bytes, big_endian })
            }
            _ => Err("neither NIfTI nor NRRD".into()),
        }
    }

    fn version_1(fields: &Fields<'_>) -> Result<Self, String> {
        let is_pair = match &fields.bytes[344..348] {
            b"n+1\0" => false,
            b"ni1\0" => true,
            _ => return Err("Analyze 7.5 (no NIfTI magic): it has no orientation; write it as NIfTI (.nii)".into()),
        };
        let offset = fields.f32(108);
        if !(0.0..=1e9).contains(&offset) || offset.fract() != 0.0 {
            return Err(format!("invalid vox_offset {offset}"));
        }
        Ok(Self {
            big_endian: fields.big_endian,
            bytes: BYTES_1 as i64,
            is_pair,
            dimensions: std::array::from_fn(|n| i64::from(fields.i16(40 + 2 * n))),
            data_type: fields.i16(70),
            voxel_sizes: std::array::from_fn(|n| fields.f32(76 + 4 * n)),
            voxel_offset: offset as i64,
            scaling: (fields.f32(112), fields.f32(116)),
            units: i32::from(fields.bytes[123]),
            qform_code: i32::from(fields.i16(252)),
            sform_code: i32::from(fields.i16(254)),
            quaternion: std::array::from_fn(|n| fields.f32(256 + 4 * n)),
            quaternion_offset: std::array::from_fn(|n| fields.f32(268 + 4 * n)),
            sform: std::array::from_fn(|row| std::array::from_fn(|n| fields.f32(280 + 16 * row + 4 * n))),
        })
    }

    fn version_2(fields: &Fields<'_>) -> Result<Self, String> {
        let is_pair = match &fields.bytes[4..12] {
            b"n+2\0\r\n\x1a\n" => false,
            b"ni2\0\r\n\x1a\n" => true,
            _ => return Err("a NIfTI-2 header whose magic is damaged, as by a transfer of text; copy it again".into()),
        };
        Ok(Self {
            big_endian: fields.big_endian,
            bytes: BYTES_2 as i64,
            is_pair,
            dimensions: std::array::from_fn(|n| fields.i64(16 + 8 * n)),
            data_type: fields.i16(12),
            voxel_sizes: std::array::from_fn(|n| fields.f64(104 + 8 * n)),
            voxel_offset: fields.i64(168),
            scaling: (fields.f64(176), fields.f64(184)),
            units: fields.i32(500),
            qform_code: fields.i32(344),
            sform_code: fields.i32(348),
            quaternion: std::array::from_fn(|n| fields.f64(352 + 8 * n)),
            quaternion_offset: std::array::from_fn(|n| fields.f64(376 + 8 * n)),
            sform: std::array::from_fn(|row| std::array::from_fn(|n| fields.f64(400 + 32 * row + 8 * n))),
        })
    }
}
