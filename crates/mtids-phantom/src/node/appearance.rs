//! What a node looks like: drawn from overlapping benign and metastatic laws, with the exact likelihood of what was drawn.
//!
//! Invariant: [`Laws::log_ratio`] is the ratio of exactly the densities that [`Laws::draw`] draws from, over the features that the patient's
//! images show: enhancement with contrast agent only, uptake with PET only. It knows the true appearance; voxel size and noise hide part
//! of that from any reader of the images.

use mtids_domain::label::Metastasis;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use serde::Serialize;

use crate::config::{AppearanceLaw, LogNormalLaw, NormalLaw, PhantomConfig};

/// What a node looks like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Appearance {
    /// Short axis in mm.
    pub short_axis_mm: f64,
    /// Long axis over short axis in the axial plane.
    pub elongation: f64,
    /// Standard deviation of the margin over half the short axis: 0 is a smooth ellipsoid.
    pub irregularity: f64,
    /// Enhancement above native tissue in the venous phase, HU.
    pub enhancement_hu: f64,
    /// Uptake in PET, SUV by body weight.
    pub uptake_suv: f64,
    /// A fatty hilum.
    pub hilum: bool,
    /// A core without enhancement.
    pub necrosis: bool,
    /// A calcification.
    pub calcified: bool,
    /// One, two or three nodes grown together.
    pub lobules: u8,
}

/// What the images of a patient can show of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visible {
    pub(crate) enhancement: bool,
    pub(crate) uptake: bool,
}

/// The laws of a cohort, with its signal set.
#[derive(Debug)]
pub(crate) struct Laws {
    benign: AppearanceLaw,
    metastatic: AppearanceLaw,
}

impl Laws {
    pub(crate) fn new(config: &PhantomConfig) -> Self {
        let benign = config.nodes.benign.clone();
        let signal = &config.interference;
        let metastatic = benign.toward(&config.nodes.metastatic, signal.size_signal, signal.appearance_signal);
        Self { benign, metastatic }
    }

    fn of(&self, state: Metastasis) -> &AppearanceLaw {
        match state {
            Metastasis::Benign => &self.benign,
            Metastasis::Metastatic => &self.metastatic,
        }
    }

    pub(crate) fn draw(&self, state: Metastasis, random: &mut impl rand::Rng) -> Appearance {
        let law = self.of(state);
        let mut normal = |law: NormalLaw| {
            // Deviations are checked to be positive, so the law exists.
            Normal::new(law.mean, law.deviation).map_or(law.mean, |normal| normal.sample(random))
        };
        let mut positive =
            |law: LogNormalLaw| normal(NormalLaw { mean: law.median.ln(), deviation: law.log_deviation }).exp();
        let short_axis_mm = positive(law.short_axis_mm);
        let irregularity = positive(law.irregularity);
        let uptake_suv = positive(law.uptake_suv);
        let elongation = normal(law.elongation).max(1.0);
        let enhancement_hu = normal(law.enhancement_hu);
        let pick: f64 = random.random_range(0.0..1.0);
        let lobules = match pick {
            pick if pick < law.lobules[0] => 1,
            pick if pick < law.lobules[0] + law.lobules[1] => 2,
            _ => 3,
        };
        Appearance {
            short_axis_mm,
            elongation,
            irregularity,
            enhancement_hu,
            uptake_suv,
            hilum: random.random_bool(law.hilum),
            necrosis: random.random_bool(law.necrosis),
            calcified: random.random_bool(law.calcified),
            lobules,
        }
    }

    /// log P(appearance | metastatic) − log P(appearance | benign), of what is visible.
    pub(crate) fn log_ratio(&self, seen: &Appearance, visible: Visible) -> f64 {
        log_likelihood(&self.metastatic, seen, visible) - log_likelihood(&self.benign, seen, visible)
    }
}

fn log_likelihood(law: &AppearanceLaw, seen: &Appearance, visible: Visible) -> f64 {
    let density = |x: f64, law: NormalLaw| -0.5 * ((x - law.mean) / law.deviation).powi(2) - law.deviation.ln();
    let positive =
        |x: f64, law: LogNormalLaw| density(x.ln(), NormalLaw { mean: law.median.ln(), deviation: law.log_deviation });
    let coin = |heads: bool, p: f64| if heads { p.ln() } else { (1.0 - p).ln() };
    // An elongation drawn below 1 was lifted to 1: its likelihood is the mass of that tail.
    let elongation = if seen.elongation > 1.0 {
        density(seen.elongation, law.elongation)
    } else {
        // Beyond 37 deviations the tail has no floating-point number.
        lower_tail((1.0 - law.elongation.mean) / law.elongation.deviation).max(1e-300).ln()
            + 0.5 * std::f64::consts::TAU.ln()
    };
    let mut sum = positive(seen.short_axis_mm, law.short_axis_mm)
        + elongation
        + positive(seen.irregularity, law.irregularity)
        + coin(seen.hilum, law.hilum)
        + coin(seen.calcified, law.calcified)
        + law.lobules[usize::from(seen.lobules.clamp(1, 3) - 1)].ln();
    if visible.enhancement {
        sum += density(seen.enhancement_hu, law.enhancement_hu);
    }
    // A dead core neither enhances nor takes up; without both it is not seen.
    if visible.enhancement || visible.uptake {
        sum += coin(seen.necrosis, law.necrosis);
    }
    if visible.uptake {
        sum += positive(seen.uptake_suv, law.uptake_suv);
    }
    sum
}

/// Standard normal distribution function (Abramowitz and Stegun 26.2.17, error below 1e-7).
fn lower_tail(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.2316419 * x.abs());
    let polynomial = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    let upper = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * polynomial;
    if x >= 0.0 { 1.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Interference;
    use crate::spread::bayes;
    use mtids_runtime::random::rng_for;

    const ALL: Visible = Visible { enhancement: true, uptake: true };

    #[test]
    fn the_posterior_is_calibrated_whatever_is_visible() {
        let laws = Laws::new(&PhantomConfig::default());
        for visible in [ALL, Visible { enhancement: false, uptake: false }] {
            let mut random = rng_for(1, "calibration", &[]);
            let mut bins = [(0.0, 0.0, 0.0); 5];
            for _ in 0..40_000 {
                let state = if random.random_bool(0.4) { Metastasis::Metastatic } else { Metastasis::Benign };
                let posterior = bayes(0.4, laws.log_ratio(&laws.draw(state, &mut random), visible));
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
    }

    #[test]
    fn without_signal_every_node_has_the_prior() {
        let interference = Interference { size_signal: 0.0, appearance_signal: 0.0, ..Default::default() };
        let laws = Laws::new(&PhantomConfig { interference, ..Default::default() });
        let mut random = rng_for(2, "no signal", &[]);
        for n in 0..200 {
            let seen = laws.draw(Metastasis::ALL[n % 2], &mut random);
            assert!(laws.log_ratio(&seen, ALL).abs() < 1e-9);
        }
    }

    #[test]
    fn the_normal_tail_is_right() {
        assert!((lower_tail(0.0) - 0.5).abs() < 1e-7);
        assert!((lower_tail(-1.96) - 0.025).abs() < 1e-4);
    }
}
