//! The steps between slices: equal, multiples of the usual one, or neither.
//!
//! Units: mm along the normal. Invariant: heights ascend. The usual step is the lower median: with one slice of four missing, the larger
//! of two steps is the gap.

use std::collections::BTreeMap;

use crate::limits::DEFAULT_POSITION_TOLERANCE_MM;

/// Heights closer than this are one height, in mm.
pub(crate) const SAME_HEIGHT_MM: f64 = 1e-3;

/// The steps of a stack of slices.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    steps: Vec<f64>,
    usual: f64,
    tolerance: f64,
}

impl Steps {
    /// Of ascending heights; a step may differ from the usual one by `tolerance_mm`, or by 1 % of it.
    pub(crate) fn of(heights: &[f64], tolerance_mm: f64) -> Self {
        let steps: Vec<f64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut sorted = steps.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
        Self { steps, usual, tolerance: tolerance_mm.max(0.01 * usual) }
    }

    /// Whether heights, in any order, are those of a volume on their own: at least three, none twice, at equal steps.
    pub(crate) fn are_regular(heights: impl Iterator<Item = f64>) -> bool {
        let mut sorted: Vec<f64> = heights.collect();
        sorted.sort_by(f64::total_cmp);
        let steps = Self::of(&sorted, DEFAULT_POSITION_TOLERANCE_MM);
        sorted.len() >= 3 && steps.repeated().next().is_none() && steps.unusual().next().is_none()
    }

    /// The usual step.
    pub(crate) fn usual(&self) -> f64 {
        self.usual
    }

    /// Largest accepted difference from the usual step.
    pub(crate) fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// Step number `n`, between slices `n` and `n + 1`.
    pub(crate) fn step(&self, n: usize) -> f64 {
        self.steps.get(n).copied().unwrap_or(0.0)
    }

    /// Numbers of the steps between two slices at one height.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().enumerate().filter(|(_, step)| step.abs() < SAME_HEIGHT_MM).map(|(n, _)| n)
    }

    /// Numbers of the steps that are not the usual one.
    pub(crate) fn unusual(&self) -> impl Iterator<Item = usize> + '_ {
        let differs = |step: f64| (step - self.usual).abs() > self.tolerance;
        self.steps.iter().enumerate().filter(move |(_, step)| differs(**step)).map(|(n, _)| n)
    }

    /// How many slices are missing at step `n`; `None` where the step is no multiple of the usual one.
    pub(crate) fn missing(&self, n: usize) -> Option<usize> {
        let ratio = self.step(n) / self.usual;
        let whole = ratio.round();
        let is_multiple = ratio > 1.5 && (ratio - whole).abs() * self.usual <= self.tolerance * ratio;
        // A ratio of finite numbers above 1.5; the cast saturates.
        is_multiple.then(|| whole as usize - 1)
    }

    /// The different steps with their counts: `2.500 mm × 7, 3.700 mm × 1`; at most six of them.
    pub(crate) fn census(&self) -> String {
        const SHOWN: usize = 6;
        // Told apart as far as they are written.
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        for step in &self.steps {
            *counts.entry((step * 1e3).round() as i64).or_default() += 1;
        }
        let mut listed: Vec<String> =
            counts.iter().take(SHOWN).map(|(step, count)| format!("{:.3} mm × {count}", *step as f64 / 1e3)).collect();
        if counts.len() > SHOWN {
            listed.push(format!("and {} others", counts.len() - SHOWN));
        }
        listed.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_multiples_and_other_steps_are_not() {
        let steps = Steps::of(&[0.0, 2.5, 5.0, 12.5, 15.0, 18.7], 0.02);
        assert_eq!(steps.usual(), 2.5);
        assert_eq!(steps.unusual().collect::<Vec<_>>(), [2, 4]);
        assert_eq!((steps.missing(2), steps.missing(4), steps.missing(0)), (Some(2), None, None));
        assert_eq!(steps.census(), "2.500 mm × 3, 3.700 mm × 1, 7.500 mm × 1");
    }

    #[test]
    fn a_step_of_less_than_half_is_no_gap() {
        let steps = Steps::of(&[0.0, 5.0, 10.0, 12.0, 17.0], 0.02);
        assert_eq!((steps.unusual().collect::<Vec<_>>(), steps.missing(2)), (vec![2], None));
    }

    #[test]
    fn regular_means_three_slices_at_equal_steps_in_any_order() {
        assert!(Steps::are_regular([5.0, 0.0, 2.5].into_iter()));
        assert!(Steps::are_regular([0.0, 1.0, 2.009, 3.0].into_iter()), "jitter is forgiven");
        assert!(!Steps::are_regular([0.0, 2.5].into_iter()));
        assert!(!Steps::are_regular([0.0, 2.5, 2.5, 5.0].into_iter()));
        assert!(!Steps::are_regular([0.0, 2.5, 7.5].into_iter()));
    }
}
