//! Rounding to stored values, without a call for each voxel.
//!
//! Invariant: equal to [`f64::round`] and a saturating cast, to the bit. Below SSE4.1, which a build for any x86-64 may not use, `round` is a function of
//! the C library.

/// The largest number below one half. With one half itself the sum of 0.49999997 would be rounded up to 1.
const BELOW_HALF: f32 = 0.499_999_97;

/// The nearest stored value: halves go away from 0, what is beyond the range becomes its end, and NaN becomes 0.
pub(super) fn to_stored(value: f32) -> i16 {
    // The cast cuts towards 0 and saturates.
    (value + BELOW_HALF.copysign(value)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_ends_and_what_is_no_number_are_rounded_as_the_library_does() {
        assert_eq!(BELOW_HALF, 0.5_f32.next_down());
        let halves = (-70_000..70_000_i32).map(|n| n as f32 / 2.0);
        let next = halves.clone().flat_map(|half| [half.next_down(), half, half.next_up()]);
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -0.0, 8_388_607.5];
        for value in next.chain(odd) {
            assert_eq!(to_stored(value), value.round() as i16, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_rounded_as_the_library_does(bits: u32, near in -40_000.0..40_000.0f32) {
            for value in [f32::from_bits(bits), near] {
                prop_assert_eq!(to_stored(value), value.round() as i16);
            }
        }
    }
}
