//! One-dimensional resampling weights: the triangle kernel, widened when reducing.
//!
//! Units: source voxels. Invariants: weights of one target sum to 1 over the infinite grid; only those inside the volume are
//! kept, and their sum tells how much of the kernel fell outside. A position that is not finite lies outside.

/// Weights of one target position along one source axis: `weights[n]` belongs to source index `first + n`, which exists.
#[derive(Clone, Debug)]
pub(crate) struct Taps {
    pub(crate) first: usize,
    pub(crate) weights: Vec<f64>,
    /// Sum of the kept weights: 1 inside the volume, 0 outside, between them at the border.
    pub(crate) inside: f64,
}

impl Taps {
    const OUTSIDE: Taps = Taps { first: 0, weights: Vec::new(), inside: 0.0 };

    /// Triangle of half-width `max(1, |step|)` around `position`, normalised, on an axis of `length` voxels. `step` is the
    /// distance of neighbouring targets in source voxels: up to 1 this is linear interpolation, beyond it the triangle covers
    /// the gap, which is the anti-aliasing.
    pub(crate) fn triangle(position: f64, step: f64, length: usize) -> Self {
        let reach = step.abs().max(1.0);
        if !(position > -reach && position < length as f64 - 1.0 + reach) {
            return Self::OUTSIDE;
        }
        // A source index at distance `reach` has weight zero; the tiny shrink keeps it out despite rounding.
        let first = (position - reach + 1e-9).ceil() as i64;
        let last = (position + reach - 1e-9).floor() as i64;
        let weight = |index: i64| (1.0 - (index as f64 - position).abs() / reach).max(0.0);
        let sum: f64 = (first..=last).map(weight).sum();
        let kept = first.max(0)..=last.min(length as i64 - 1);
        if kept.is_empty() {
            return Self::OUTSIDE;
        }
        let first = *kept.start() as usize;
        let weights: Vec<f64> = kept.map(|index| weight(index) / sum).collect();
        let inside = weights.iter().sum();
        Self { first, weights, inside }
    }

    /// The nearest voxel. Half-way between two it is the one further along the direction of `step`, so that a flipped storage
    /// chooses the same voxel.
    pub(crate) fn nearest(position: f64, step: f64, length: usize) -> Self {
        let index = if step < 0.0 { (position - 0.5).ceil() } else { (position + 0.5).floor() };
        if !(index >= 0.0 && index < length as f64) {
            return Self::OUTSIDE;
        }
        Self { first: index as usize, weights: vec![1.0], inside: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn on_a_voxel_centre_only_that_voxel_counts() {
        let taps = Taps::triangle(4.0, 0.5, 9);
        assert_eq!((taps.first, taps.weights.as_slice()), (4, [1.0].as_slice()));
        let half = Taps::triangle(4.5, 1.0, 9);
        assert_eq!((half.first, half.weights.as_slice()), (4, [0.5, 0.5].as_slice()));
    }

    #[test]
    fn what_falls_outside_is_left_out() {
        let border = Taps::triangle(-0.25, 1.0, 9);
        assert_eq!((border.first, border.inside), (0, 0.75));
        assert_eq!(Taps::triangle(8.5, 1.0, 9).inside, 0.5);
        for nowhere in [-1.0, 9.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Taps::triangle(nowhere, 1.0, 9).inside, 0.0);
            assert_eq!(Taps::nearest(nowhere, 1.0, 9).inside, 0.0);
        }
    }

    #[test]
    fn a_flipped_axis_breaks_a_tie_the_same_way() {
        // Index 3 of 9 voxels is index 5 of the flipped axis.
        assert_eq!(Taps::nearest(2.5, 1.0, 9).first, 3);
        assert_eq!(Taps::nearest(5.5, -1.0, 9).first, 5);
    }

    proptest! {
        #[test]
        fn weights_sum_to_one_and_balance(position in 10.0..50.0f64, step in 0.0..6.0f64) {
            let taps = Taps::triangle(position, step, 60);
            prop_assert!((taps.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!((taps.inside - 1.0).abs() < 1e-12);
            prop_assert!(taps.weights.iter().all(|&weight| weight >= 0.0));
            if step <= 1.0 {
                let mean: f64 = taps.weights.iter().enumerate().map(|(n, w)| (taps.first + n) as f64 * w).sum();
                prop_assert!((mean - position).abs() < 1e-6);
            }
        }
    }
}
