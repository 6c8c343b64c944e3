//! One-dimensional resampling weights: the triangle kernel, widened when reducing.
//!
//! Units: source voxels. Invariant: weights of one target sum to 1 over the infinite grid; indices outside the volume are kept, so
//! that the caller pads them.

/// Weights of one target position along one source axis: `weights[n]` belongs to source index `first + n`.
#[derive(Clone, Debug)]
pub(crate) struct Taps {
    pub(crate) first: i64,
    pub(crate) weights: Vec<f64>,
}

impl Taps {
    /// Triangle of half-width `max(1, step)` around `position`, normalised. `step` is the distance of neighbouring targets in source
    /// voxels: up to 1 this is linear interpolation, beyond it the triangle covers the gap, which is the anti-aliasing.
    pub(crate) fn triangle(position: f64, step: f64) -> Self {
        let reach = step.abs().max(1.0);
        // A source index at distance `reach` has weight zero; the tiny shrink keeps it out despite rounding.
        let first = (position - reach + 1e-9).ceil() as i64;
        let last = (position + reach - 1e-9).floor() as i64;
        let mut weights: Vec<f64> =
            (first..=last).map(|index| (1.0 - (index as f64 - position).abs() / reach).max(0.0)).collect();
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        Self { first, weights }
    }

    /// The nearest index, half away from the lower one.
    pub(crate) fn nearest(position: f64) -> Self {
        Self { first: (position + 0.5).floor() as i64, weights: vec![1.0] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn on_a_voxel_centre_only_that_voxel_counts() {
        let taps = Taps::triangle(4.0, 0.5);
        assert_eq!((taps.first, taps.weights.as_slice()), (4, [1.0].as_slice()));
        let half = Taps::triangle(4.5, 1.0);
        assert_eq!((half.first, half.weights.as_slice()), (4, [0.5, 0.5].as_slice()));
    }

    proptest! {
        #[test]
        fn weights_sum_to_one_and_balance(position in -20.0..20.0f64, step in 0.0..6.0f64) {
            let taps = Taps::triangle(position, step);
            prop_assert!((taps.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!(taps.weights.iter().all(|&weight| weight >= 0.0));
            if step <= 1.0 {
                let mean: f64 = taps.weights.iter().enumerate().map(|(n, w)| (taps.first + n as i64) as f64 * w).sum();
                prop_assert!((mean - position).abs() < 1e-6);
            }
        }
    }
}
