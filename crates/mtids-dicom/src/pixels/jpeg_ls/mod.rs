//! JPEG-LS, lossless and near-lossless, for grey images: ITU-T T.87.
//!
//! Why our own: the only library with this codec (CharLS) needs CMake and a C++ compiler, and a reader of CT should build without. Method:
//! [`model`] predicts and learns, this file reads headers and bits; names follow the standard (Ra, Rb, Rc, Rd around a sample). Invariants: no
//! index comes from the file unchecked; data that end early are an error, never zeros. Samples are unsigned, `precision` bits, row by row.

pub(crate) mod model;

use crate::pixels::jpeg_ls::model::{Coding, Model, Preset, Site};
use crate::pixels::markers::Markers;

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Samples may differ from those that were encoded.
    pub(crate) lossy: bool,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) samples: Vec<u16>,
}

/// Decodes an image of at most `max_samples` samples.
///
/// # Errors
/// A sentence that says what is damaged or not supported.
pub(crate) fn decode(data: &[u8], max_samples: usize) -> Result<Decoded, String> {
    let mut markers = Markers::new(data);
    if markers.byte()? != 0xFF || markers.byte()? != 0xD8 {
        return Err("no start of image".into());
    }
    let mut frame = None;
    let mut preset = Preset::default();
    loop {
        match markers.next_marker()? {
            0xF7 => frame = Some(Frame::read(&mut markers.segment()?, max_samples)?),
            0xF8 => preset.read(&mut markers.segment()?)?,
            0xDA => {
                let frame = frame.ok_or("a scan before its frame")?;
                let near = scan_header(&mut markers.segment()?)?;
                let coding = Coding::new(frame.precision, &preset, near)?;
                let samples = Scan::new(markers.rest(), coding).image(&frame)?;
                return Ok(Decoded { lossy: near > 0, rows: frame.rows, columns: frame.columns, samples });
            }
            0xD9 => return Err("the image ends without a scan".into()),
            0xDD => return Err("restart intervals are not read".into()),
            // Application data and comments.
            0xE0..=0xEF | 0xFE => _ = markers.segment()?,
            other => return Err(format!("marker FF{other:02X} has no place in JPEG-LS")),
        }
    }
}

struct Frame {
    precision: u32,
    rows: usize,
    columns: usize,
}

impl Frame {
    fn read(segment: &mut Markers<'_>, max_samples: usize) -> Result<Self, String> {
        let precision = u32::from(segment.byte()?);
        let (rows, columns) = (segment.word()?, segment.word()?);
        if !(2..=16).contains(&precision) || rows == 0 || columns == 0 {
            return Err(format!("{rows} × {columns} samples of {precision} bits"));
        }
        if rows * columns > max_samples {
            return Err(format!("{rows} × {columns} samples, more than the {max_samples} of the image module"));
        }
        match segment.byte()? {
            1 => Ok(Self { precision, rows, columns }),
            components => Err(format!("{components} components; grey images have one")),
        }
    }
}

impl Preset {
    fn read(&mut self, segment: &mut Markers<'_>) -> Result<(), String> {
        match segment.byte()? {
            1 => {
                self.max_value = segment.word()?;
                for threshold in &mut self.thresholds {
                    *threshold = segment.word()?;
                }
                self.reset = segment.word()?;
                Ok(())
            }
            kind => Err(format!("preset parameters of kind {kind} are not read")),
        }
    }
}

/// Returns NEAR, the largest error of a sample.
fn scan_header(segment: &mut Markers<'_>) -> Result<i32, String> {
    if segment.byte()? != 1 {
        return Err("a scan of several components".into());
    }
    let (_, mapping) = (segment.byte()?, segment.byte()?);
    let near = segment.byte()?;
    let (interleave, transform) = (segment.byte()?, segment.byte()?);
    if mapping != 0 || interleave != 0 || transform != 0 {
        return Err("mapping tables, interleaving and point transforms are not read".into());
    }
    Ok(i32::from(near))
}

/// Bits of a scan: after a byte FF only seven bits follow, and FF with a high bit behind it is a marker.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    after_ff: bool,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 48 {
            let Some(&byte) = self.data.get(self.at) else { return };
            if self.after_ff && byte & 0x80 != 0 {
                return;
            }
            let bits = if self.after_ff { 7 } else { 8 };
            self.held = self.held << bits | u64::from(byte);
            self.count += bits;
            self.after_ff = byte == 0xFF;
            self.at += 1;
        }
    }

    fn read(&mut self, bits: u32) -> Result<u32, String> {
        if bits == 0 {
            return Ok(0);
        }
        if self.count < bits {
            self.fill();
            if self.count < bits {
                return Err("the data end inside the image".into());
            }
        }
        self.count -= bits;
        Ok((self.held >> self.count) as u32 & (u32::MAX >> (32 - bits)))
    }

    /// A code of T.87, A.5.3: zeros in unary, then `k` bits; from `limit` on an escape with `qbpp` bits.
    fn golomb(&mut self, k: u32, limit: u32, qbpp: u32) -> Result<i32, String> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > limit {
                return Err("a code longer than its limit".into());
            }
        }
        let value = if zeros < limit.saturating_sub(qbpp + 1) {
            u64::from(zeros) << k | u64::from(self.read(k)?)
        } else {
            u64::from(self.read(qbpp)?) + 1
        };
        i32::try_from(value)
            .ok()
            .filter(|&value| value <= 1 << 18)
            .ok_or_else(|| "an error larger than any sample".into())
    }
}

struct Scan<'a> {
    bits: Bits<'a>,
    model: Model,
}

impl<'a> Scan<'a> {
    fn new(data: &'a [u8], coding: Coding) -> Self {
        Self { bits: Bits { data, at: 0, held: 0, count: 0, after_ff: false }, model: Model::new(coding) }
    }

    fn image(mut self, frame: &Frame) -> Result<Vec<u16>, String> {
        let width = frame.columns;
        let mut samples = Vec::with_capacity(frame.rows * width);
        // Lines with one more sample at each end: `line[x + 1]` is column x.
        let (mut above, mut line) = (vec![0i32; width + 2], vec![0i32; width + 2]);
        for _ in 0..frame.rows {
            above[width + 1] = above[width];
            line[0] = above[1];
            let mut x = 1;
            while x <= width {
                let [ra, rb, rc, rd] = [line[x - 1], above[x], above[x - 1], above[x + 1]];
                let gradients = [rd - rb, rb - rc, rc - ra];
                if gradients.iter().all(|gradient| gradient.abs() <= self.model.coding.near) {
                    x = self.run(&above, &mut line, x, width)?;
                } else {
                    let site = self.model.regular(ra, rb, rc, gradients)?;
                    line[x] = self.sample(&site)?;
                    x += 1;
                }
            }
            // Samples lie in 0..=MAXVAL, which has at most 16 bits.
            samples.extend(line[1..=width].iter().map(|&sample| sample as u16));
            std::mem::swap(&mut above, &mut line);
        }
        Ok(samples)
    }

    /// A run from column x on; returns the column behind it and the sample that ended it.
    fn run(&mut self, above: &[i32], line: &mut [i32], mut x: usize, width: usize) -> Result<usize, String> {
        let value = line[x - 1];
        while self.bits.read(1)? == 1 {
            let length = 1usize << self.model.run_bits();
            let taken = length.min(width + 1 - x);
            line[x..x + taken].fill(value);
            x += taken;
            if taken == length {
                self.model.lengthen_runs();
            }
            if x > width {
                return Ok(x);
            }
        }
        let rest = self.bits.read(self.model.run_bits())? as usize;
        if rest > width - x {
            return Err("a run past the end of its line".into());
        }
        line[x..x + rest].fill(value);
        x += rest;
        let site = self.model.interruption(value, above[x])?;
        line[x] = self.sample(&site)?;
        self.model.shorten_runs();
        Ok(x + 1)
    }

    fn sample(&mut self, site: &Site) -> Result<i32, String> {
        let coding = self.model.coding;
        let mapped = self.bits.golomb(site.k, site.limit, coding.qbpp)?;
        let error = site.unmapped(mapped);
        self.model.learn(site, error, mapped);
        Ok(coding.sample(site.prediction, site.sign * error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The worked example of T.87, H.3.
    const EXAMPLE: [u8; 52] = [
        0xFF, 0xD8, 0xFF, 0xF7, 0x00, 0x0B, 0x08, 0x00, 0x04, 0x00, 0x04, 0x01, 0x01, 0x11, 0x00, 0xFF, 0xDA, 0x00,
        0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0xC0, 0x00, 0x00, 0x6C, 0x80, 0x20, 0x8E, 0x01, 0xC0, 0x00, 0x00,
        0x57, 0x40, 0x00, 0x00, 0x6E, 0xE6, 0x00, 0x00, 0x01, 0xBC, 0x18, 0x00, 0x00, 0x05, 0xD8, 0x00,
    ];
    const EXAMPLE_END: [u8; 5] = [0x00, 0x91, 0x60, 0xFF, 0xD9];

    fn example() -> Vec<u8> {
        [EXAMPLE.as_slice(), &EXAMPLE_END].concat()
    }

    #[test]
    fn the_example_of_the_standard() {
        let decoded = decode(&example(), 16).unwrap();
        let expected = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
        assert_eq!((decoded.rows, decoded.columns, decoded.samples.as_slice()), (4, 4, expected.as_slice()));
    }

    #[test]
    fn damage_is_named() {
        assert!(decode(&example()[..40], 16).unwrap_err().contains("end inside the image"));
        assert!(decode(&example(), 15).unwrap_err().contains("more than"));
        assert!(decode(b"\xFF\xD8\xFF\xD9", 16).unwrap_err().contains("without a scan"));
        assert!(decode(&[], 16).is_err());
    }

    proptest! {
        #[test]
        fn damaged_streams_never_panic(at in 0usize..57, value: u8, second in 0usize..57, other: u8) {
            let mut bytes = example();
            bytes[at] = value;
            bytes[second] = other;
            let _ = decode(&bytes, 1 << 16);
        }
    }
}
