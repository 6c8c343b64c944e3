//! JPEG-LS, lossless and near-lossless, for grey images: ITU-T T.87.
//!
//! Why our own: the only library with this codec (CharLS) needs CMake and a C++ compiler, and a reader of CT should build without. Method:
//! names follow the standard (A, B, C, N, Nn of a context; Ra, Rb, Rc, Rd around a sample). Invariants: no index comes from the file
//! unchecked; data that end early are an error, never zeros. Samples are unsigned, `precision` bits, row by row.

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

/// Run lengths by run index, as powers of two (table J of T.87, A.2.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

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
                let coding = Coding::new(&frame, &preset, near)?;
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

/// Preset coding parameters; 0 means the default.
#[derive(Default)]
struct Preset {
    max_value: usize,
    thresholds: [usize; 3],
    reset: usize,
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

/// What the equations of the standard depend on.
struct Coding {
    max_value: i32,
    near: i32,
    range: i32,
    /// Bits of a mapped error in an escape.
    qbpp: u32,
    limit: u32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Coding {
    fn new(frame: &Frame, preset: &Preset, near: i32) -> Result<Self, String> {
        let full = (1i32 << frame.precision) - 1;
        let max_value = if preset.max_value == 0 { full } else { preset.max_value as i32 };
        if max_value > full || max_value < 1 || near > 255.min(max_value / 2) {
            return Err(format!("MAXVAL {max_value} and NEAR {near} for {} bits", frame.precision));
        }
        let range = if near == 0 { max_value + 1 } else { (max_value + 2 * near) / (2 * near + 1) + 1 };
        let bits = |count: i32| 32 - (count - 1).leading_zeros();
        let bpp = bits(max_value + 1).max(2);
        let given = preset.thresholds.map(|threshold| threshold as i32);
        let usual = thresholds(max_value, near);
        let thresholds: [i32; 3] = std::array::from_fn(|n| if given[n] == 0 { usual[n] } else { given[n] });
        let [t1, t2, t3] = thresholds;
        if !(near < t1 && t1 <= t2 && t2 <= t3 && t3 <= max_value.max(t1)) {
            return Err(format!("thresholds {thresholds:?}"));
        }
        let reset = if preset.reset == 0 { 64 } else { preset.reset as i32 };
        if reset < 3 {
            return Err(format!("RESET {reset}"));
        }
        Ok(Self { max_value, near, range, qbpp: bits(range), limit: 2 * (bpp + bpp.max(8)), thresholds, reset })
    }

    /// Region of a gradient, −4 to 4.
    fn quantise(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let region = if size <= self.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        region * gradient.signum()
    }

    /// A sample from its prediction and quantised error, brought back into range.
    fn sample(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = prediction + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.max_value + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.max_value)
    }
}

/// Default thresholds (T.87, C.2.4.1.1.1).
fn thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, low: i32| if value > max_value || value < low { low } else { value };
    let [b1, b2, b3] = [3, 7, 21];
    let (t1, t2, t3) = if max_value >= 128 {
        let factor = (max_value.min(4095) + 128) / 256;
        (factor * (b1 - 2) + 2 + 3 * near, factor * (b2 - 3) + 3 + 5 * near, factor * (b3 - 4) + 4 + 7 * near)
    } else {
        let factor = 256 / (max_value + 1);
        ((b1 / factor + 3 * near).max(2), (b2 / factor + 5 * near).max(3), (b3 / factor + 7 * near).max(4))
    };
    let t1 = clamp(t1, near + 1);
    let t2 = clamp(t2, t1);
    [t1, t2, clamp(t3, t2)]
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

#[derive(Clone, Copy)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

#[derive(Clone, Copy)]
struct RunContext {
    a: i32,
    n: i32,
    nn: i32,
}

/// Smallest k with `n · 2^k ≥ a`.
fn golomb_parameter(n: i32, a: i32) -> Result<u32, String> {
    (0..24).find(|&k| i64::from(n) << k >= i64::from(a)).ok_or_else(|| "a context ran away".into())
}

struct Scan<'a> {
    bits: Bits<'a>,
    coding: Coding,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
    run_index: usize,
}

impl<'a> Scan<'a> {
    fn new(data: &'a [u8], coding: Coding) -> Self {
        let a = ((coding.range + 32) / 64).max(2);
        Self {
            bits: Bits { data, at: 0, held: 0, count: 0, after_ff: false },
            coding,
            contexts: vec![Context { a, b: 0, c: 0, n: 1 }; 365],
            runs: [RunContext { a, n: 1, nn: 0 }; 2],
            run_index: 0,
        }
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
                if gradients.iter().all(|gradient| gradient.abs() <= self.coding.near) {
                    x = self.run(&above, &mut line, x, width)?;
                } else {
                    line[x] = self.regular(ra, rb, rc, gradients)?;
                    x += 1;
                }
            }
            // Samples lie in 0..=MAXVAL, which has at most 16 bits.
            samples.extend(line[1..=width].iter().map(|&sample| sample as u16));
            std::mem::swap(&mut above, &mut line);
        }
        Ok(samples)
    }

    fn regular(&mut self, ra: i32, rb: i32, rc: i32, gradients: [i32; 3]) -> Result<i32, String> {
        let coding = &self.coding;
        let [q1, q2, q3] = gradients.map(|gradient| coding.quantise(gradient));
        let signed = 81 * q1 + 9 * q2 + q3;
        let sign = if signed < 0 { -1 } else { 1 };
        // |81·4 + 9·4 + 4| = 364.
        let context = &mut self.contexts[signed.unsigned_abs() as usize];
        let median = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let prediction = (median + sign * context.c).clamp(0, coding.max_value);
        let k = golomb_parameter(context.n, context.a)?;
        let mapped = self.bits.golomb(k, coding.limit, coding.qbpp)?;
        let unmapped = if mapped % 2 == 0 { mapped / 2 } else { -(mapped + 1) / 2 };
        // With k = 0 a context that leans to negative errors maps them to the short codes.
        let leaning = coding.near == 0 && k == 0 && 2 * context.b <= -context.n;
        let error = if leaning { -unmapped - 1 } else { unmapped };
        context.update(error, coding.near, coding.reset);
        Ok(coding.sample(prediction, sign * error))
    }

    /// A run from column x on; returns the column behind it and the sample that ended it.
    fn run(&mut self, above: &[i32], line: &mut [i32], mut x: usize, width: usize) -> Result<usize, String> {
        let value = line[x - 1];
        while self.bits.read(1)? == 1 {
            let length = 1usize << J[self.run_index];
            let taken = length.min(width + 1 - x);
            line[x..x + taken].fill(value);
            x += taken;
            if taken == length {
                self.run_index = (self.run_index + 1).min(31);
            }
            if x > width {
                return Ok(x);
            }
        }
        let rest = self.bits.read(J[self.run_index])? as usize;
        if rest > width - x {
            return Err("a run past the end of its line".into());
        }
        line[x..x + rest].fill(value);
        x += rest;
        line[x] = self.interruption(value, above[x])?;
        self.run_index = self.run_index.saturating_sub(1);
        Ok(x + 1)
    }

    fn interruption(&mut self, ra: i32, rb: i32) -> Result<i32, String> {
        let coding = &self.coding;
        let kind = i32::from((ra - rb).abs() <= coding.near);
        let context = &mut self.runs[kind as usize];
        let k = golomb_parameter(context.n, if kind == 1 { context.a + (context.n >> 1) } else { context.a })?;
        let limit = coding.limit - J[self.run_index] - 1;
        let mapped = self.bits.golomb(k, limit, coding.qbpp)?;
        let odd = (mapped + kind) % 2;
        let size = (mapped + kind + odd) / 2;
        let usual = k != 0 || 2 * context.nn >= context.n;
        let error = if usual == (odd == 1) { -size } else { size };
        if error < 0 {
            context.nn += 1;
        }
        context.a = context.a.saturating_add((mapped + 1 - kind) >> 1);
        if context.n == coding.reset {
            context.a >>= 1;
            context.n >>= 1;
            context.nn >>= 1;
        }
        context.n += 1;
        let (prediction, sign) = if kind == 1 { (ra, 1) } else { (rb, if ra > rb { -1 } else { 1 }) };
        Ok(coding.sample(prediction, sign * error))
    }
}

impl Context {
    fn update(&mut self, error: i32, near: i32, reset: i32) {
        self.b = self.b.saturating_add(error.saturating_mul(2 * near + 1));
        self.a = self.a.saturating_add(error.abs());
        if self.n == reset {
            self.a >>= 1;
            // Rounds towards minus infinity, as the standard's two cases do.
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
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

    #[test]
    fn default_thresholds_are_those_of_the_table() {
        // T.87, table C.3.
        assert_eq!(thresholds(255, 0), [3, 7, 21]);
        assert_eq!(thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(thresholds(65535, 0), [18, 67, 276]);
        assert_eq!(thresholds(255, 3), [12, 22, 42]);
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
