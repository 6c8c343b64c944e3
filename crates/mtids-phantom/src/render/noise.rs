//! Blur of the kernel and correlated noise, in the plane of a slice.
//!
//! Invariants: blur keeps the sum away from the border (samples beyond the border repeat it); noise has the given deviation whatever its
//! grain. Units: pixels for widths, HU or SUV for deviations.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Weights of a Gaussian of deviation `sigma` pixels, adding up to 1; one weight where it is narrower than a seventh of a pixel.
fn gaussian(sigma: f64) -> Vec<f32> {
    // A narrower kernel has less than one part in 10⁵ beside its middle.
    if sigma < 0.15 {
        return vec![1.0];
    }
    let reach = (3.0 * sigma).ceil() as i32;
    let weights: Vec<f64> = (-reach..=reach).map(|n| (-0.5 * (f64::from(n) / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Convolves both axes of a plane with `weights` (odd in number).
fn convolve(plane: &mut [f32], columns: usize, weights: &[f32]) {
    let reach = weights.len() / 2;
    if reach == 0 || plane.is_empty() {
        return;
    }
    let rows = plane.len() / columns;
    let mut padded = vec![0.0f32; columns + 2 * reach];
    for line in plane.chunks_exact_mut(columns) {
        padded[reach..reach + columns].copy_from_slice(line);
        padded[..reach].fill(line[0]);
        padded[reach + columns..].fill(line[columns - 1]);
        // One weight after the other over the whole line: the inner loop runs over neighbours.
        line.fill(0.0);
        for (n, weight) in weights.iter().enumerate() {
            line.iter_mut().zip(&padded[n..]).for_each(|(sum, x)| *sum += weight * x);
        }
    }
    // Along the columns whole rows are added up, for the same reason.
    let source = plane.to_vec();
    for (j, line) in plane.chunks_exact_mut(columns).enumerate() {
        line.fill(0.0);
        for (n, weight) in weights.iter().enumerate() {
            let from = (j + n).saturating_sub(reach).min(rows - 1);
            let row = &source[from * columns..(from + 1) * columns];
            line.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
        }
    }
}

/// Blurs a plane of `columns` by a Gaussian of `sigma` pixels.
pub(crate) fn blur(plane: &mut [f32], columns: usize, sigma: f64) {
    convolve(plane, columns, &gaussian(sigma));
}

/// Noise of a scanner: Gaussian, correlated over `grain` pixels, without its slowest part, as filtered back-projection leaves it.
#[derive(Debug)]
pub(crate) struct Grain {
    weights: Vec<f32>,
    scale: f32,
}

impl Grain {
    pub(crate) fn new(grain: f64, deviation: f64) -> Self {
        let weights = gaussian(grain);
        // White noise of deviation 1 has the sum of squared weights as its variance after each axis.
        let axis: f64 = weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
        Self { weights, scale: (deviation / axis) as f32 }
    }

    /// Noise for one slice.
    pub(crate) fn slice(&self, columns: usize, rows: usize, random: &mut impl Rng) -> Vec<f32> {
        let mut plane: Vec<f32> = (0..columns * rows).map(|_| StandardNormal.sample(random)).collect();
        convolve(&mut plane, columns, &self.weights);
        plane.iter_mut().for_each(|x| *x *= self.scale);
        plane
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;

    #[test]
    fn noise_has_its_deviation_for_any_grain() {
        for grain in [0.0, 0.4, 0.9, 2.0] {
            let noise = Grain::new(grain, 12.0).slice(128, 128, &mut rng_for(1, "noise", &[]));
            let mean: f64 = noise.iter().map(|&x| f64::from(x)).sum::<f64>() / noise.len() as f64;
            let square: f64 = noise.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / noise.len() as f64;
            assert!(mean.abs() < 1.0, "{mean}");
            assert!((square.sqrt() / 12.0 - 1.0).abs() < 0.06, "{grain}: {}", square.sqrt());
        }
    }

    #[test]
    fn blur_keeps_the_sum_and_a_constant() {
        let mut plane = vec![0.0; 21 * 17];
        plane[8 * 21 + 10] = 100.0;
        blur(&mut plane, 21, 1.2);
        assert!((plane.iter().sum::<f32>() - 100.0).abs() < 1e-3);
        assert!(plane[8 * 21 + 10] < 30.0 && (plane[8 * 21 + 11] - plane[9 * 21 + 10]).abs() < 1e-5);
        let mut flat = vec![7.0; 40];
        blur(&mut flat, 8, 3.0);
        assert!(flat.iter().all(|x| (x - 7.0).abs() < 1e-4));
    }
}
