//! Quantiles of a sample.

/// The value below which `share` of the values lies: linear interpolation between order statistics (type 7 of Hyndman and
/// Fan, Am Stat 1996;50:361, the default of NumPy).
///
/// `sorted` is in rising order; `share` is clamped to 0..=1. `None` without values or with a share that is NaN.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    if share.is_nan() {
        return None;
    }
    let position = share.clamp(0.0, 1.0) * last as f64;
    let low = position.floor() as usize;
    let high = (low + 1).min(last);
    Some(sorted[low] + (sorted[high] - sorted[low]) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics_are_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[2.0, 4.0, 10.0], 0.75), Some(7.0));
        assert_eq!(quantile(&[2.0, 4.0, 10.0], 2.0), Some(10.0));
        assert_eq!(quantile(&[1.0], 0.975), Some(1.0));
    }

    #[test]
    fn undefined_without_values_or_share() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0], f64::NAN), None);
    }
}
