//! JPEG Extended with twelve bits, for grey images: sequential DCT with Huffman codes, ITU-T T.81.
//!
//! Why our own: the libraries decode eight bits only. Invariants: no index comes from the file unchecked; data that end early are an error,
//! never zeros. Samples are unsigned, row by row. The inverse DCT is computed in floating point, so that it is within half a grey level of
//! the exact one.

use std::f32::consts::PI;

use crate::pixels::jpeg_huffman::{Bits, Huffman};
use crate::pixels::markers::Markers;

/// Order in which the coefficients of a block are coded (T.81, figure A.6): row · 8 + column.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Decodes a grey image of `rows` × `columns` samples.
///
/// # Errors
/// A sentence that says what is damaged or not supported.
pub(crate) fn decode(data: &[u8], rows: usize, columns: usize) -> Result<Vec<u16>, String> {
    let mut markers = Markers::new(data);
    if markers.byte()? != 0xFF || markers.byte()? != 0xD8 {
        return Err("no start of image".into());
    }
    let mut tables = Tables::default();
    let mut frame = None;
    loop {
        match markers.next_marker()? {
            0xC0 | 0xC1 => frame = Some(Frame::read(&mut markers.segment()?, rows, columns)?),
            0xC4 => tables.read_huffman(&mut markers.segment()?)?,
            0xDB => tables.read_quantisation(&mut markers.segment()?)?,
            0xDD => tables.restart_interval = markers.segment()?.word()?,
            0xDA => {
                let frame = frame.ok_or("a scan before its frame")?;
                let scan = Scan::read(&mut markers.segment()?, &frame, &tables)?;
                return scan.image(markers.rest(), &frame, tables.restart_interval);
            }
            0xD9 => return Err("the image ends without a scan".into()),
            0xE0..=0xEF | 0xFE => _ = markers.segment()?,
            other => return Err(format!("marker FF{other:02X} has no place in a sequential JPEG")),
        }
    }
}

struct Frame {
    precision: u32,
    rows: usize,
    columns: usize,
    component: u8,
    quantisation: usize,
}

impl Frame {
    fn read(segment: &mut Markers<'_>, rows: usize, columns: usize) -> Result<Self, String> {
        let precision = u32::from(segment.byte()?);
        if (segment.word()?, segment.word()?) != (rows, columns) || rows == 0 || columns == 0 {
            return Err("sides differ from the image module".into());
        }
        if segment.byte()? != 1 || !matches!(precision, 8 | 12) {
            return Err(format!("{precision} bits, or several components; grey images of 8 and 12 bits are read"));
        }
        let component = segment.byte()?;
        let _sampling = segment.byte()?;
        let quantisation = usize::from(segment.byte()?);
        Ok(Self { precision, rows, columns, component, quantisation })
    }
}

#[derive(Default)]
struct Tables {
    quantisation: [Option<[f32; 64]>; 4],
    /// DC tables, then AC tables.
    huffman: [[Option<Huffman>; 4]; 2],
    restart_interval: usize,
}

impl Tables {
    fn read_quantisation(&mut self, segment: &mut Markers<'_>) -> Result<(), String> {
        while !segment.is_empty() {
            let head = segment.byte()?;
            let slot = self.quantisation.get_mut(usize::from(head & 15)).ok_or("a fifth quantisation table")?;
            let mut table = [0.0; 64];
            for at in ZIGZAG {
                let step = if head >> 4 == 0 { usize::from(segment.byte()?) } else { segment.word()? };
                table[usize::from(at)] = step as f32;
            }
            *slot = Some(table);
        }
        Ok(())
    }

    fn read_huffman(&mut self, segment: &mut Markers<'_>) -> Result<(), String> {
        while !segment.is_empty() {
            let head = segment.byte()?;
            let class = self.huffman.get_mut(usize::from(head >> 4)).ok_or("a Huffman table of no class")?;
            let slot = class.get_mut(usize::from(head & 15)).ok_or("a fifth Huffman table")?;
            *slot = Some(Huffman::read(segment)?);
        }
        Ok(())
    }
}

struct Scan<'a> {
    dc: &'a Huffman,
    ac: &'a Huffman,
    quantisation: &'a [f32; 64],
}

impl<'a> Scan<'a> {
    fn read(segment: &mut Markers<'_>, frame: &Frame, tables: &'a Tables) -> Result<Self, String> {
        if segment.byte()? != 1 || segment.byte()? != frame.component {
            return Err("a scan of another component".into());
        }
        let selectors = segment.byte()?;
        let huffman = |class: usize, number: u8| {
            tables.huffman[class].get(usize::from(number)).and_then(Option::as_ref).ok_or("a Huffman table is missing")
        };
        let quantisation = tables.quantisation.get(frame.quantisation).and_then(Option::as_ref);
        Ok(Self {
            dc: huffman(0, selectors >> 4)?,
            ac: huffman(1, selectors & 15)?,
            quantisation: quantisation.ok_or("the quantisation table is missing")?,
        })
    }

    fn image(&self, data: &[u8], frame: &Frame, restart_interval: usize) -> Result<Vec<u16>, String> {
        let (down, across) = (frame.rows.div_ceil(8), frame.columns.div_ceil(8));
        let mut bits = Bits::new(data);
        let cosines = cosines();
        let (middle, top) = ((1 << (frame.precision - 1)) as f32, ((1u32 << frame.precision) - 1) as f32);
        let mut samples = vec![0u16; frame.rows * frame.columns];
        let mut dc = 0;
        for block in 0..down * across {
            if restart_interval > 0 && block > 0 && block % restart_interval == 0 {
                bits.restart()?;
                dc = 0;
            }
            let coefficients = self.coefficients(&mut bits, &mut dc)?;
            let values = inverse(&coefficients, &cosines);
            let (row, column) = (block / across * 8, block % across * 8);
            for (y, line) in values.chunks_exact(8).enumerate().take(frame.rows - row) {
                let start = (row + y) * frame.columns + column;
                let width = 8.min(frame.columns - column);
                for (sample, value) in samples[start..start + width].iter_mut().zip(line) {
                    *sample = (value + middle).round().clamp(0.0, top) as u16;
                }
            }
        }
        Ok(samples)
    }

    /// Dequantised coefficients of a block, row by row.
    fn coefficients(&self, bits: &mut Bits<'_>, dc: &mut i32) -> Result<[f32; 64], String> {
        let mut block = [0.0; 64];
        let size = u32::from(self.dc.decode(bits)?);
        if size > 15 {
            return Err(format!("a difference of {size} bits"));
        }
        *dc += bits.signed(size)?;
        // No image of 12 bits comes near.
        if dc.abs() > 1 << 20 {
            return Err("a mean beyond any sample".into());
        }
        block[0] = *dc as f32 * self.quantisation[0];
        let mut at = 1;
        while at < 64 {
            let code = self.ac.decode(bits)?;
            let (zeros, size) = (usize::from(code >> 4), u32::from(code & 15));
            match (zeros, size) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += zeros;
                    let place = usize::from(*ZIGZAG.get(at).ok_or("more coefficients than a block has")?);
                    block[place] = bits.signed(size)? as f32 * self.quantisation[place];
                    at += 1;
                }
            }
        }
        Ok(block)
    }
}

/// `[frequency][place]`: C(u)/2 · cos((2x + 1)uπ/16), the one-dimensional inverse DCT of T.81, A.3.3.
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|u| {
        std::array::from_fn(|x| {
            let scale = if u == 0 { 0.5f32.sqrt() / 2.0 } else { 0.5 };
            scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos()
        })
    })
}

fn inverse(coefficients: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut rows = [0.0; 64];
    for v in 0..8 {
        for x in 0..8 {
            rows[v * 8 + x] = (0..8).map(|u| coefficients[v * 8 + u] * cosines[u][x]).sum();
        }
    }
    let mut values = [0.0; 64];
    for y in 0..8 {
        for x in 0..8 {
            values[y * 8 + x] = (0..8).map(|v| rows[v * 8 + x] * cosines[v][y]).sum();
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_inverse_transform_undoes_the_transform() {
        let cosines = cosines();
        let values: [f32; 64] = std::array::from_fn(|n| (n * n % 97) as f32 - 40.0);
        let mut coefficients = [0.0f32; 64];
        for v in 0..8 {
            for u in 0..8 {
                coefficients[v * 8 + u] =
                    (0..64).map(|n| values[n] * cosines[u][n % 8] * cosines[v][n / 8]).sum::<f32>();
            }
        }
        for (found, value) in inverse(&coefficients, &cosines).iter().zip(values) {
            assert!((found - value).abs() < 1e-3, "{found} for {value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole: Vec<u8> = [&[0xFF, 0xD8][..], &data].concat();
            let _ = decode(&whole, 8, 8);
        }
    }
}
