//! A lymph node: its true appearance, drawn from overlapping benign and metastatic distributions, and the exact posterior.
//!
//! Sources of the directions (not of the numbers, which are made up): metastatic nodes are larger, rounder, more often necrotic,
//! less smooth and enhance more; benign ones keep a fatty hilum (domain literature on chest CT). The overlap is chosen so that
//! the exact posterior reaches an AUROC of about 0.95. Invariant: `posterior` is Bayes' rule on exactly the distributions that
//! were drawn from. It knows the true appearance; voxel size and noise hide part of that from any reader of the images.

use mtids_core::label::Metastasis;
use mtids_core::taxonomy::Station;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use serde::Serialize;

use crate::shape::Shape;

/// What a node looks like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Appearance {
    /// Short axis in mm.
    pub short_axis_mm: f64,
    /// Long axis over short axis in the axial plane.
    pub elongation: f64,
    /// Attenuation of the body of the node.
    pub hu: f64,
    /// A fatty hilum.
    pub hilum: bool,
    /// A necrotic core under an enhancing rim.
    pub necrosis: bool,
    /// Standard deviation of the margin over half the short axis: 0 is a smooth ellipsoid.
    pub irregularity: f64,
}

/// A node of a phantom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Station, by construction.
    pub station: Station,
    /// True state.
    pub metastasis: Metastasis,
    /// Status is withheld from the annotation table.
    pub withheld: bool,
    /// Centre in LPS mm.
    pub center_mm: [f64; 3],
    /// Turn about the z axis, radians.
    pub angle: f64,
    /// Extent along z over the short axis.
    pub height: f64,
    /// Phases of the bumps of the margin, radians.
    pub bumps: [f64; 3],
    /// Appearance.
    pub appearance: Appearance,
    /// Probability of metastasis given the appearance.
    pub posterior: f64,
}

struct Distributions {
    log_short_axis: (f64, f64),
    elongation: (f64, f64),
    hu: (f64, f64),
    hilum: f64,
    necrosis: f64,
    log_irregularity: (f64, f64),
}

fn distributions(state: Metastasis) -> Distributions {
    match state {
        Metastasis::Benign => Distributions {
            log_short_axis: (8.2f64.ln(), 0.26),
            elongation: (1.5, 0.25),
            hu: (60.0, 16.0),
            hilum: 0.30,
            necrosis: 0.03,
            log_irregularity: (0.06f64.ln(), 0.45),
        },
        Metastasis::Metastatic => Distributions {
            log_short_axis: (12.4f64.ln(), 0.28),
            elongation: (1.3, 0.18),
            hu: (76.0, 20.0),
            hilum: 0.08,
            necrosis: 0.25,
            log_irregularity: (0.09f64.ln(), 0.45),
        },
    }
}

impl Appearance {
    pub(crate) fn draw(state: Metastasis, random: &mut impl rand::Rng) -> Self {
        let from = distributions(state);
        let mut normal = |(mean, deviation): (f64, f64)| {
            // Finite by construction: every deviation above is positive.
            Normal::new(mean, deviation).map_or(mean, |normal| normal.sample(random))
        };
        let short_axis_mm = normal(from.log_short_axis).exp();
        let elongation = normal(from.elongation).max(1.0);
        let hu = normal(from.hu);
        let irregularity = normal(from.log_irregularity).exp();
        Self {
            short_axis_mm,
            elongation,
            hu,
            hilum: random.random_bool(from.hilum),
            necrosis: random.random_bool(from.necrosis),
            irregularity,
        }
    }

    fn log_likelihood(&self, state: Metastasis) -> f64 {
        let from = distributions(state);
        let density = |x: f64, (mean, deviation): (f64, f64)| -0.5 * ((x - mean) / deviation).powi(2) - deviation.ln();
        let coin = |heads: bool, p: f64| if heads { p.ln() } else { (1.0 - p).ln() };
        // An elongation drawn below 1 was lifted to 1: its likelihood is the mass of that tail.
        let elongation = if self.elongation > 1.0 {
            density(self.elongation, from.elongation)
        } else {
            let (mean, deviation) = from.elongation;
            lower_tail((1.0 - mean) / deviation).ln() + 0.5 * std::f64::consts::TAU.ln()
        };
        density(self.short_axis_mm.ln(), from.log_short_axis)
            + elongation
            + density(self.hu, from.hu)
            + density(self.irregularity.ln(), from.log_irregularity)
            + coin(self.hilum, from.hilum)
            + coin(self.necrosis, from.necrosis)
    }

    /// Probability of metastasis given this appearance.
    pub(crate) fn posterior(&self, prevalence: f64) -> f64 {
        let odds = prevalence.ln() - (1.0 - prevalence).ln() + self.log_likelihood(Metastasis::Metastatic)
            - self.log_likelihood(Metastasis::Benign);
        1.0 / (1.0 + (-odds).exp())
    }
}

impl Node {
    /// Largest radius in mm.
    pub(crate) fn reach(&self) -> f64 {
        0.5 * self.appearance.short_axis_mm * self.appearance.elongation.max(self.height)
    }

    /// Volume in mm³ of the ellipsoid, whose margin the bumps move in and out alike.
    pub fn volume_mm3(&self) -> f64 {
        let short = self.appearance.short_axis_mm;
        std::f64::consts::PI / 6.0 * short.powi(3) * self.appearance.elongation * self.height
    }

    /// The ellipsoid, with its radii multiplied by `scale`.
    pub(crate) fn shape(&self, scale: f64) -> Shape {
        let short = 0.5 * self.appearance.short_axis_mm * scale;
        Shape::Ellipsoid {
            center: self.center_mm,
            radii: [short * self.appearance.elongation, short, short * self.height],
            angle: self.angle,
        }
    }

    /// How far in mm the bumpy margin lies outside the ellipsoid in the direction of `point`.
    pub(crate) fn bump(&self, point: [f64; 3]) -> f64 {
        let offset: [f64; 3] = std::array::from_fn(|axis| point[axis] - self.center_mm[axis]);
        let length = offset.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
        let wave: f64 = offset.iter().zip(self.bumps).map(|(x, phase)| (5.0 * x / length + phase).sin()).sum();
        // Three sines have a variance of 3/2.
        0.5 * self.appearance.short_axis_mm * self.appearance.irregularity * wave / 1.5f64.sqrt()
    }
}

/// Standard normal distribution function (Abramowitz and Stegun 26.2.17, error below 1e-7).
fn lower_tail(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.2316419 * x.abs());
    let polynomial = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    let upper = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * polynomial;
    if x >= 0.0 { 1.0 - upper } else { upper }
}

/// Area under the ROC curve of `scores` for the positive `truth`; ties count half. `None` with one class only.
pub(crate) fn auroc(scored: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = sorted.iter().filter(|(_, truth)| *truth).count();
    let negatives = sorted.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut rank_sum = 0.0;
    let mut at = 0;
    while at < sorted.len() {
        let end = at + sorted[at..].iter().take_while(|(score, _)| *score == sorted[at].0).count();
        let mean_rank = (at + end + 1) as f64 / 2.0;
        rank_sum += mean_rank * sorted[at..end].iter().filter(|(_, truth)| *truth).count() as f64;
        at = end;
    }
    let (p, n) = (positives as f64, negatives as f64);
    Some((rank_sum - p * (p + 1.0) / 2.0) / (p * n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_core::random::stream;

    #[test]
    fn the_posterior_is_calibrated() {
        let mut random = stream(1, "calibration", &[]);
        let mut bins = [(0.0, 0.0, 0.0); 5];
        for _ in 0..40_000 {
            let state = if random.random_bool(0.4) { Metastasis::Metastatic } else { Metastasis::Benign };
            let posterior = Appearance::draw(state, &mut random).posterior(0.4);
            let bin = &mut bins[((posterior * 5.0) as usize).min(4)];
            bin.0 += 1.0;
            bin.1 += posterior;
            bin.2 += f64::from(state.code());
        }
        for (count, posterior, observed) in bins {
            let error = 4.0 * (0.25f64 / count).sqrt();
            assert!((posterior / count - observed / count).abs() < error, "{posterior} {observed} of {count}");
        }
    }

    #[test]
    fn the_best_possible_reader_is_good_but_not_perfect() {
        let mut random = stream(2, "oracle", &[]);
        let scored: Vec<(f64, bool)> = (0..40_000)
            .map(|n| {
                let state = Metastasis::ALL[n % 2];
                (Appearance::draw(state, &mut random).posterior(0.35), state == Metastasis::Metastatic)
            })
            .collect();
        let oracle = auroc(&scored).unwrap();
        assert!((0.94..0.965).contains(&oracle), "{oracle}");
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(auroc(&[(0.1, false), (0.5, true), (0.5, false), (0.9, true)]), Some(0.875));
        assert_eq!(auroc(&[(0.1, false)]), None);
        assert!((lower_tail(0.0) - 0.5).abs() < 1e-7);
        assert!((lower_tail(-1.96) - 0.025).abs() < 1e-4);
    }
}
