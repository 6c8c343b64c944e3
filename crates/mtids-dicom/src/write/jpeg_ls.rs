//! JPEG-LS, lossless, for grey images of 16 bits: ITU-T T.87.
//!
//! Why our own: see [`crate::pixels::jpeg_ls`], whose model this encoder shares. Method: default parameters, one scan. Invariants: what is
//! written decodes to the same samples; a byte FF is followed by a bit 0, so that no marker appears in the scan. Units: samples row by row.

use crate::pixels::jpeg_ls::model::{Coding, Model, Preset, Site};

/// Bits of a sample.
const PRECISION: u8 = 16;

/// Encodes `samples`, `columns` in a row.
///
/// # Errors
/// A sentence for an empty image.
pub(crate) fn encode(samples: &[u16], columns: u16) -> Result<Vec<u8>, String> {
    let width = usize::from(columns);
    let rows = samples.len().checked_div(width).and_then(|rows| u16::try_from(rows).ok()).filter(|&rows| rows > 0);
    let rows = rows.ok_or_else(|| format!("JPEG-LS: {} samples in rows of {columns}", samples.len()))?;
    let ([y1, y0], [x1, x0]) = (rows.to_be_bytes(), columns.to_be_bytes());
    let mut data = vec![0xFF, 0xD8];
    // Frame: bits, sides, one component that is not subsampled.
    data.extend([0xFF, 0xF7, 0, 11, PRECISION, y1, y0, x1, x0, 1, 1, 0x11, 0]);
    // Scan: that component without mapping table, NEAR 0, not interleaved, no point transform.
    data.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0]);
    let coding = Coding::new(PRECISION.into(), &Preset::default(), 0)?;
    let mut scan = Scan { bits: Bits { data, held: 0, count: 0 }, model: Model::new(coding) };
    scan.image(samples, width)?;
    let mut data = scan.bits.finish();
    data.extend([0xFF, 0xD9]);
    Ok(data)
}

struct Scan {
    bits: Bits,
    model: Model,
}

impl Scan {
    fn image(&mut self, samples: &[u16], width: usize) -> Result<(), String> {
        // Lines with one more sample at each end: `line[x + 1]` is column x.
        let (mut above, mut line) = (vec![0i32; width + 2], vec![0i32; width + 2]);
        for row in samples.chunks_exact(width) {
            above[width + 1] = above[width];
            line[0] = above[1];
            for (sample, &value) in line[1..].iter_mut().zip(row) {
                *sample = i32::from(value);
            }
            let mut x = 1;
            while x <= width {
                let [ra, rb, rc, rd] = [line[x - 1], above[x], above[x - 1], above[x + 1]];
                let gradients = [rd - rb, rb - rc, rc - ra];
                if gradients == [0; 3] {
                    x = self.run(&above, &line, x, width)?;
                } else {
                    let site = self.model.regular(ra, rb, rc, gradients)?;
                    self.sample(&site, line[x]);
                    x += 1;
                }
            }
            std::mem::swap(&mut above, &mut line);
        }
        Ok(())
    }

    /// A run from column x on; returns the column behind it and the sample that ended it.
    fn run(&mut self, above: &[i32], line: &[i32], x: usize, width: usize) -> Result<usize, String> {
        let value = line[x - 1];
        let run = line[x..=width].iter().take_while(|&&sample| sample == value).count();
        let mut rest = run;
        while rest >= 1 << self.model.run_bits() {
            self.bits.put(1, 1);
            rest -= 1 << self.model.run_bits();
            self.model.lengthen_runs();
        }
        let end = x + run;
        if end > width {
            // The end of the line ends a part that is not full.
            if rest > 0 {
                self.bits.put(1, 1);
            }
            return Ok(end);
        }
        self.bits.put(0, 1);
        self.bits.put(rest as u32, self.model.run_bits());
        let site = self.model.interruption(value, above[end])?;
        self.sample(&site, line[end]);
        self.model.shorten_runs();
        Ok(end + 1)
    }

    fn sample(&mut self, site: &Site, sample: i32) {
        let coding = self.model.coding;
        let error = coding.error(site.sign, sample, site.prediction);
        let mapped = site.mapped(error);
        self.bits.golomb(mapped as u32, site.k, site.limit, coding.qbpp);
        self.model.learn(site, error, mapped);
    }
}

/// Bits of a scan, most significant first, behind the headers in `data`.
struct Bits {
    data: Vec<u8>,
    /// Bits that do not fill a byte yet.
    held: u32,
    count: u32,
}

impl Bits {
    /// Bits of the next byte: after FF its high bit stays 0.
    fn room(&self) -> u32 {
        if self.data.last() == Some(&0xFF) { 7 } else { 8 }
    }

    /// Puts the lowest `bits` bits of `value`.
    fn put(&mut self, value: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.held = self.held << 1 | (value >> bit & 1);
            self.count += 1;
            if self.count == self.room() {
                // At most eight bits.
                self.data.push(self.held as u8);
                (self.held, self.count) = (0, 0);
            }
        }
    }

    fn zeros(&mut self, count: u32) {
        (0..count).for_each(|_| self.put(0, 1));
    }

    /// A code of T.87, A.5.3: zeros in unary, then `k` bits; for large values an escape with `qbpp` bits.
    fn golomb(&mut self, value: u32, k: u32, limit: u32, qbpp: u32) {
        let (zeros, escape) = (value >> k, limit - qbpp - 1);
        if zeros < escape {
            self.zeros(zeros);
            self.put(1, 1);
            self.put(value, k);
        } else {
            self.zeros(escape);
            self.put(1, 1);
            self.put(value - 1, qbpp);
        }
    }

    /// Fills the last byte with zeros; a byte FF must not stand before the marker that follows.
    fn finish(mut self) -> Vec<u8> {
        while self.count > 0 || self.data.last() == Some(&0xFF) {
            self.put(0, 1);
        }
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::jpeg_ls::decode;
    use proptest::prelude::*;

    fn comes_back(samples: &[u16], columns: u16) -> usize {
        let data = encode(samples, columns).unwrap();
        let decoded = decode(&data, samples.len()).unwrap();
        assert_eq!((decoded.samples.as_slice(), decoded.columns), (samples, usize::from(columns)));
        assert!(!decoded.lossy);
        data.len()
    }

    #[test]
    fn flat_and_smooth_images_are_small() {
        assert!(comes_back(&[1024; 64 * 64], 64) < 100);
        let smooth: Vec<u16> = (0..64u16 * 64).map(|n| 1000 + 3 * (n % 64) + 2 * (n / 64)).collect();
        assert!(comes_back(&smooth, 64) < 64 * 64);
        assert!(encode(&[], 5).is_err() && encode(&[1], 0).is_err());
    }

    #[test]
    fn extremes_beside_each_other_come_back() {
        let checks: Vec<u16> = (0..31 * 17).map(|n| if n % 2 == 0 { 0 } else { u16::MAX }).collect();
        comes_back(&checks, 31);
        comes_back(&[u16::MAX; 9], 3);
    }

    proptest! {
        #[test]
        fn noise_comes_back(columns in 1u16..40, samples in prop::collection::vec(any::<u16>(), 1..600)) {
            prop_assume!(samples.len() >= usize::from(columns));
            comes_back(&samples[..samples.len() / usize::from(columns) * usize::from(columns)], columns);
        }

        #[test]
        fn slopes_runs_and_little_noise_come_back(
            columns in 1u16..90,
            rows in 1u16..30,
            slope in (0u16..9, 0u16..9),
            step in 1u16..40,
            noise in prop::collection::vec(0u16..3, 1..50),
        ) {
            let samples: Vec<u16> = (0..columns * rows)
                .map(|n| 60_000 + (n % columns / step * slope.0) + n / columns * slope.1 + noise[usize::from(n) % noise.len()])
                .collect();
            comes_back(&samples, columns);
        }
    }
}
