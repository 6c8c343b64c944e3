//! What a JPEG-LS decoder and an encoder have in common: contexts, predictions and the order of errors. Source: T.87, annex A.
//!
//! Method: names follow the standard (A, B, C, N, Nn of a context; Ra, Rb, Rc around a sample). Invariant: whoever asks for a [`Site`] and
//! teaches the model the error found there is in step with everybody who did the same. Samples are unsigned.

/// Run lengths by run index, as powers of two (table J of T.87, A.2.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Preset coding parameters; 0 means the default.
#[derive(Default)]
pub(crate) struct Preset {
    pub(crate) max_value: usize,
    pub(crate) thresholds: [usize; 3],
    pub(crate) reset: usize,
}

/// What the equations of the standard depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coding {
    max_value: i32,
    pub(crate) near: i32,
    range: i32,
    /// Bits of a mapped error in an escape.
    pub(crate) qbpp: u32,
    limit: u32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Coding {
    /// From the bits of a sample, the preset parameters of the file, and NEAR.
    ///
    /// # Errors
    /// A sentence for parameters that the standard does not allow.
    pub(crate) fn new(precision: u32, preset: &Preset, near: i32) -> Result<Self, String> {
        let full = (1i32 << precision) - 1;
        let max_value = if preset.max_value == 0 { full } else { preset.max_value as i32 };
        if max_value > full || max_value < 1 || near > 255.min(max_value / 2) {
            return Err(format!("MAXVAL {max_value} and NEAR {near} for {} bits", precision));
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
    pub(crate) fn sample(&self, prediction: i32, error: i32) -> i32 {
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

impl Coding {
    /// The error of a sample against its prediction, brought into the range that [`Coding::sample`] undoes; for lossless coding.
    #[cfg(feature = "write")]
    pub(crate) fn error(&self, sign: i32, sample: i32, prediction: i32) -> i32 {
        let error = (sign * (sample - prediction)).rem_euclid(self.range);
        if error >= (self.range + 1) / 2 { error - self.range } else { error }
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

/// How the error of a sample is coded.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    context: usize,
    pub(crate) prediction: i32,
    pub(crate) sign: i32,
    /// Golomb parameter.
    pub(crate) k: u32,
    /// Longest code.
    pub(crate) limit: u32,
    order: Order,
}

/// Which errors have the shorter codes.
#[derive(Clone, Copy)]
enum Order {
    /// Small errors, of both signs in turn; where `leaning`, the negative ones first.
    Regular { leaning: bool },
    /// As at the end of a run: `kind` is 1 where the samples to the left and above agree.
    Interruption { kind: i32, usual: bool },
}

impl Site {
    /// The error of a mapped one.
    pub(crate) fn unmapped(&self, mapped: i32) -> i32 {
        match self.order {
            Order::Regular { leaning } => {
                let unmapped = if mapped % 2 == 0 { mapped / 2 } else { -(mapped + 1) / 2 };
                if leaning { -unmapped - 1 } else { unmapped }
            }
            Order::Interruption { kind, usual } => {
                let odd = (mapped + kind) % 2;
                let size = (mapped + kind + odd) / 2;
                if usual == (odd == 1) { -size } else { size }
            }
        }
    }

    /// The number, at least 0, that stands for an error in the file.
    #[cfg(feature = "write")]
    pub(crate) fn mapped(&self, error: i32) -> i32 {
        match self.order {
            Order::Regular { leaning } => {
                let error = if leaning { -error - 1 } else { error };
                if error >= 0 { 2 * error } else { -2 * error - 1 }
            }
            Order::Interruption { kind, usual } => {
                let odd = i32::from(error != 0 && usual == (error < 0));
                2 * error.abs() - kind - odd
            }
        }
    }
}

/// All that was learnt from the samples so far.
pub(crate) struct Model {
    pub(crate) coding: Coding,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
    run_index: usize,
}

impl Model {
    pub(crate) fn new(coding: Coding) -> Self {
        let a = ((coding.range + 32) / 64).max(2);
        Self {
            coding,
            contexts: vec![Context { a, b: 0, c: 0, n: 1 }; 365],
            runs: [RunContext { a, n: 1, nn: 0 }; 2],
            run_index: 0,
        }
    }

    /// Bits of the length of a run's next part, and of its rest.
    pub(crate) fn run_bits(&self) -> u32 {
        J[self.run_index]
    }

    /// A part of a run was full.
    pub(crate) fn lengthen_runs(&mut self) {
        self.run_index = (self.run_index + 1).min(31);
    }

    /// A run was interrupted, and the sample behind it coded.
    pub(crate) fn shorten_runs(&mut self) {
        self.run_index = self.run_index.saturating_sub(1);
    }

    /// The site of a sample outside runs.
    pub(crate) fn regular(&self, ra: i32, rb: i32, rc: i32, gradients: [i32; 3]) -> Result<Site, String> {
        let coding = &self.coding;
        let [q1, q2, q3] = gradients.map(|gradient| coding.quantise(gradient));
        let signed = 81 * q1 + 9 * q2 + q3;
        let sign = if signed < 0 { -1 } else { 1 };
        // |81·4 + 9·4 + 4| = 364.
        let at = signed.unsigned_abs() as usize;
        let context = &self.contexts[at];
        let median = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let prediction = (median + sign * context.c).clamp(0, coding.max_value);
        let k = golomb_parameter(context.n, context.a)?;
        // With k = 0 a context that leans to negative errors maps them to the short codes.
        let leaning = coding.near == 0 && k == 0 && 2 * context.b <= -context.n;
        Ok(Site { context: at, prediction, sign, k, limit: coding.limit, order: Order::Regular { leaning } })
    }

    /// The site of the sample that ends a run.
    pub(crate) fn interruption(&self, ra: i32, rb: i32) -> Result<Site, String> {
        let kind = i32::from((ra - rb).abs() <= self.coding.near);
        let context = &self.runs[kind as usize];
        let k = golomb_parameter(context.n, if kind == 1 { context.a + (context.n >> 1) } else { context.a })?;
        let usual = k != 0 || 2 * context.nn >= context.n;
        let (prediction, sign) = if kind == 1 { (ra, 1) } else { (rb, if ra > rb { -1 } else { 1 }) };
        let limit = self.coding.limit - self.run_bits() - 1;
        Ok(Site { context: kind as usize, prediction, sign, k, limit, order: Order::Interruption { kind, usual } })
    }

    /// Learns the error found at a site, and its mapped form.
    pub(crate) fn learn(&mut self, site: &Site, error: i32, mapped: i32) {
        let reset = self.coding.reset;
        match site.order {
            Order::Regular { .. } => self.contexts[site.context].update(error, self.coding.near, reset),
            Order::Interruption { kind, .. } => self.runs[site.context].update(error, mapped, kind, reset),
        }
    }
}

impl RunContext {
    fn update(&mut self, error: i32, mapped: i32, kind: i32, reset: i32) {
        if error < 0 {
            self.nn += 1;
        }
        self.a = self.a.saturating_add((mapped + 1 - kind) >> 1);
        if self.n == reset {
            self.a >>= 1;
            self.n >>= 1;
            self.nn >>= 1;
        }
        self.n += 1;
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

    #[test]
    fn default_thresholds_are_those_of_the_table() {
        // T.87, table C.3.
        assert_eq!(thresholds(255, 0), [3, 7, 21]);
        assert_eq!(thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(thresholds(65535, 0), [18, 67, 276]);
        assert_eq!(thresholds(255, 3), [12, 22, 42]);
    }
}
