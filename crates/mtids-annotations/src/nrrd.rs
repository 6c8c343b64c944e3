//! NRRD: a header of text lines, an empty line, then voxels, raw or gzip.
//!
//! Only the attached form with a named space is read: without `space`, left and right would be a guess. Source: the NRRD format
//! definition (teem.sourceforge.net/nrrd/format.html).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use mtids_dicom::Limits;
use mtids_domain::geometry::{Affine, PointMm};

use crate::label_grid::{Layout, MaskFile, Stored};

/// Longest accepted header in bytes.
const MAX_HEADER: u64 = 64 << 10;

/// Reads a mask.
pub(crate) fn read(source: impl Read, limits: &Limits) -> Result<MaskFile, String> {
    let mut source = BufReader::new(source);
    let fields = header(&mut source)?;
    let need = |key: &str| fields.get(key).map(String::as_str).ok_or_else(|| format!("the header has no `{key}`"));
    if fields.contains_key("data file") || fields.contains_key("datafile") {
        return Err("header and voxels must be in one file (`.nrrd`, not `.nhdr`)".into());
    }
    if need("dimension")? != "3" {
        return Err(format!("dimension {}; one volume of three dimensions is read", need("dimension")?));
    }
    let sides: Vec<usize> = need("sizes")?.split_whitespace().filter_map(|side| side.parse().ok()).collect();
    let dimensions = <[usize; 3]>::try_from(sides).map_err(|_| format!("sizes `{}`", fields["sizes"]))?;
    let stored = match need("type")? {
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Stored::U8,
        "signed char" | "int8" | "int8_t" => Stored::I8,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Stored::U16,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Stored::I16,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Stored::U32,
        "int" | "signed int" | "int32" | "int32_t" => Stored::I32,
        "float" => Stored::F32,
        "double" => Stored::F64,
        other => return Err(format!("type `{other}` is not supported for masks")),
    };
    let big_endian = match fields.get("endian").map(String::as_str) {
        Some("big") => true,
        Some("little") => false,
        None if stored.size() == 1 => false,
        other => return Err(format!("endian {other:?} for voxels of several bytes")),
    };
    let layout = Layout { affine: affine(&fields)?, dimensions, stored, big_endian, scaling: (1.0, 0.0) };
    match need("encoding")? {
        "raw" => layout.labels(source, limits),
        "gzip" | "gz" => layout.labels(MultiGzDecoder::new(source), limits),
        other => Err(format!("encoding `{other}`; raw and gzip are read")),
    }
}

/// Fields in lower case, up to the empty line.
fn header(source: &mut impl BufRead) -> Result<BTreeMap<String, String>, String> {
    let mut fields = BTreeMap::new();
    let mut left = MAX_HEADER;
    loop {
        let mut line = Vec::new();
        let read = source.by_ref().take(left).read_until(b'\n', &mut line).map_err(|error| error.to_string())? as u64;
        left -= read;
        let text =
            std::str::from_utf8(&line).map_err(|_| "the header is not text".to_owned())?.trim_end_matches(['\r', '\n']);
        if read == 0 || left == 0 {
            return Err("the header does not end".into());
        }
        if text.is_empty() {
            return Ok(fields);
        }
        // `key:=value` lines are free text of the author; comments start with `#`.
        if let Some((key, value)) = text.split_once(": ").filter(|(key, _)| !key.starts_with('#')) {
            fields.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
}

fn affine(fields: &BTreeMap<String, String>) -> Result<Affine, String> {
    let need = |key: &str| fields.get(key).map(String::as_str).ok_or_else(|| format!("the header has no `{key}`"));
    let space = need("space")?.to_lowercase();
    let sign = match space.as_str() {
        "left-posterior-superior" | "lps" => 1.0,
        "right-anterior-superior" | "ras" => -1.0,
        other => return Err(format!("space `{other}`; left-posterior-superior and right-anterior-superior are read")),
    };
    let vectors = |text: &str| -> Option<Vec<[f64; 3]>> {
        text.split(')')
            .map(|part| part.trim().trim_start_matches('('))
            .filter(|part| !part.is_empty())
            .map(|part| {
                let numbers: Vec<f64> = part.split(',').filter_map(|number| number.trim().parse().ok()).collect();
                let [x, y, z] = <[f64; 3]>::try_from(numbers).ok()?;
                Some([sign * x, sign * y, z])
            })
            .collect()
    };
    let directions = need("space directions")?;
    let steps = vectors(directions).and_then(|steps| <[[f64; 3]; 3]>::try_from(steps).ok());
    let steps = steps.ok_or_else(|| format!("space directions `{directions}`"))?;
    let origin = need("space origin")?;
    let origins = vectors(origin).and_then(|origins| <[[f64; 3]; 1]>::try_from(origins).ok());
    let [origin] = origins.ok_or_else(|| format!("space origin `{origin}`"))?;
    Affine::new(PointMm(origin), steps).map_err(|error| error.to_string())
}
