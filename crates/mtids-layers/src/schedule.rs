//! Learning-rate schedules, pure functions of the step.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config_error};

/// Shape of the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Cosine rise from `peak / 25`, then cosine fall to `peak / 10 000` (Smith and Topin 2019).
    #[default]
    OneCycle,
    /// Linear warm-up from 0, then cosine fall to 0.
    Cosine,
    /// Linear warm-up from 0, then the peak.
    Constant,
}

/// Settings of the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Its shape.
    pub kind: ScheduleKind,
    /// Largest learning rate.
    pub peak: f64,
    /// Share of all steps spent on rising.
    pub warm_up: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::OneCycle, peak: 2e-3, warm_up: 0.25 }
    }
}

impl ScheduleConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if !(self.peak.is_finite() && self.peak > 0.0) {
            return Err(config_error("schedule.peak", "must be positive"));
        }
        if !(0.0..1.0).contains(&self.warm_up) {
            return Err(config_error("schedule.warm_up", "must lie in [0, 1)"));
        }
        Ok(())
    }
}

/// A schedule over a known number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    config: ScheduleConfig,
    steps: u64,
}

impl Schedule {
    /// A schedule over `steps` steps.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] for settings out of range.
    pub fn new(config: &ScheduleConfig, steps: u64) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), steps: steps.max(1) })
    }

    /// The learning rate of `step`, counted from 0; past the end that of the last step.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let ScheduleConfig { kind, peak, warm_up } = self.config;
        let last = (self.steps - 1).max(1) as f64;
        let at = (step.min(self.steps - 1) as f64) / last;
        let between = |from: f64, to: f64, share: f64| to + (from - to) * 0.5 * (1.0 + (PI * share).cos());
        let (start, end) = match kind {
            ScheduleKind::OneCycle => (peak / 25.0, peak / 1e4),
            ScheduleKind::Cosine | ScheduleKind::Constant => (0.0, 0.0),
        };
        if at < warm_up {
            return match kind {
                ScheduleKind::OneCycle => between(start, peak, at / warm_up),
                // The first step already moves.
                _ => peak * (at + 1.0 / (last + 1.0)).min(warm_up) / warm_up,
            };
        }
        match kind {
            ScheduleKind::Constant => peak,
            _ => between(peak, end, (at - warm_up) / (1.0 - warm_up)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: ScheduleKind) -> Vec<f64> {
        let schedule = Schedule::new(&ScheduleConfig { kind, peak: 1.0, warm_up: 0.25 }, 101).unwrap();
        (0..101).map(|step| schedule.learning_rate(step)).collect()
    }

    #[test]
    fn rates_rise_to_the_peak_and_fall() {
        for kind in [ScheduleKind::OneCycle, ScheduleKind::Cosine, ScheduleKind::Constant] {
            let rates = rates(kind);
            assert!((rates[25] - 1.0).abs() < 1e-12, "{kind:?}");
            assert!(rates[..25].windows(2).all(|pair| pair[0] <= pair[1]), "{kind:?}");
            assert!(rates[25..].windows(2).all(|pair| pair[0] >= pair[1]), "{kind:?}");
            assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
        }
        assert!((rates(ScheduleKind::OneCycle)[0] - 0.04).abs() < 1e-12);
        assert!((rates(ScheduleKind::OneCycle)[100] - 1e-4).abs() < 1e-12);
        assert!(rates(ScheduleKind::Cosine)[0] > 0.0);
        assert_eq!(rates(ScheduleKind::Constant)[100], 1.0);
    }

    #[test]
    fn one_step_and_steps_past_the_end_are_defined() {
        let schedule = Schedule::new(&ScheduleConfig::default(), 1).unwrap();
        assert!(schedule.learning_rate(0) > 0.0);
        assert_eq!(schedule.learning_rate(0), schedule.learning_rate(9));
        assert!(Schedule::new(&ScheduleConfig { peak: 0.0, ..Default::default() }, 5).is_err());
    }
}
