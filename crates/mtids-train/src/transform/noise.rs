//! Normal noise, many numbers at once.
//!
//! Purpose: every voxel of every row of a training takes a number, so drawing them was the longest part of what is done beside the steps. Each
//! takes 12 bits of 16 random ones, which choose among [`QUANTILES`] quantiles of the standard normal distribution (decision 073). Invariants: mean 0
//! and deviation 1 over the quantiles; none is beyond 3.7; the numbers are a pure function of the generator's place, however they are grouped
//! into calls of an even length.

use std::sync::LazyLock;

use mtids_runtime::random::Rng;
use rand::RngExt;
use statrs::distribution::{ContinuousCDF, Normal};

/// Numbers that noise is chosen from; their table takes 16 KiB, half of a processor's first cache.
const QUANTILES: usize = 1 << 12;

/// Numbers of one call at most.
pub(super) const DRAWN_AT_ONCE: usize = 1024;

/// The quantiles at the middles of equal shares, stretched to deviation 1.
static TABLE: LazyLock<[f32; QUANTILES]> = LazyLock::new(|| {
    let normal = Normal::standard();
    let above: Vec<f64> =
        (QUANTILES / 2..QUANTILES).map(|n| normal.inverse_cdf((n as f64 + 0.5) / QUANTILES as f64)).collect();
    let deviation = (above.iter().map(|z| z * z).sum::<f64>() / above.len() as f64).sqrt();
    std::array::from_fn(|n| match n.checked_sub(QUANTILES / 2) {
        Some(n) => (above[n] / deviation) as f32,
        None => (-above[QUANTILES / 2 - 1 - n] / deviation) as f32,
    })
});

/// Fills `out`, of [`DRAWN_AT_ONCE`] numbers at most.
pub(super) fn standard_normal(random: &mut Rng, out: &mut [f32]) {
    let mut drawn = [0_u16; DRAWN_AT_ONCE];
    let drawn = &mut drawn[..out.len()];
    random.fill(drawn);
    let table: &[f32; QUANTILES] = &TABLE;
    out.iter_mut().zip(drawn).for_each(|(out, drawn)| *out = table[usize::from(*drawn >> 4)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;

    #[test]
    fn the_quantiles_have_the_moments_of_the_distribution() {
        let moment = |power: i32| TABLE.iter().map(|&z| f64::from(z).powi(power)).sum::<f64>() / QUANTILES as f64;
        assert!(moment(1).abs() < 1e-9 && moment(3).abs() < 1e-6, "{} {}", moment(1), moment(3));
        assert!((moment(2) - 1.0).abs() < 1e-6 && (moment(4) - 3.0).abs() < 0.02, "{} {}", moment(2), moment(4));
        assert!(TABLE.is_sorted() && TABLE[QUANTILES - 1] < 3.7);
    }

    #[test]
    fn shares_of_what_is_drawn_are_those_of_the_distribution_and_neighbours_are_independent() {
        let mut random = rng_for(1, "noise", &[]);
        let mut values = Vec::new();
        let mut part = [0.0; DRAWN_AT_ONCE];
        for _ in 0..400 {
            standard_normal(&mut random, &mut part);
            values.extend_from_slice(&part);
        }
        let normal = Normal::standard();
        for limit in [-3.0, -2.0, -1.0, -0.1, 0.0, 0.5, 1.5, 2.5] {
            let share = values.iter().filter(|&&z| f64::from(z) < limit).count() as f64 / values.len() as f64;
            let expected = normal.cdf(limit);
            let error = (expected * (1.0 - expected) / values.len() as f64).sqrt();
            assert!((share - expected).abs() < 4.0 * error + 1.0 / QUANTILES as f64, "{limit}: {share} {expected}");
        }
        for lag in [1, 2, 3, 4, 7, 64, 1024] {
            let pairs = values.iter().zip(&values[lag..]);
            let covariance = pairs.map(|(a, b)| f64::from(a * b)).sum::<f64>() / values.len() as f64;
            assert!(covariance.abs() < 4.0 / (values.len() as f64).sqrt(), "{lag}: {covariance}");
        }
    }

    #[test]
    fn parts_of_a_length_give_the_numbers_of_one_call() {
        let drawn = |lengths: &[usize]| {
            let mut random = rng_for(2, "noise", &[]);
            let part = |&length: &usize| {
                let mut out = vec![0.0; length];
                standard_normal(&mut random, &mut out);
                out
            };
            lengths.iter().flat_map(part).map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert_eq!(drawn(&[1000]), drawn(&[512, 2, 486]));
    }
}
