//! Mean, deviation and percentiles of values; principal deviations of places.
//!
//! Conventions are NumPy's defaults: deviations of values divide by n, covariances of places by n − 1. Units follow the input.

use mtids_metrics::quantile;

/// Mean and standard deviation; 0 without values.
pub(super) fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    [mean, variance.sqrt()]
}

/// The percentile of values in rising order; 0 without values.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    quantile(sorted, percent / 100.0).unwrap_or(0.0)
}

/// Standard deviations along the principal axes of at least two places, in rising order and at least 0.001.
pub(super) fn principal_deviations<const N: usize>(places: &[[f64; N]]) -> [f64; N] {
    let count = places.len() as f64;
    let mut mean = [0.0; N];
    for place in places {
        (0..N).for_each(|axis| mean[axis] += place[axis] / count);
    }
    let mut covariance = [[0.0; N]; N];
    for place in places {
        let off: [f64; N] = std::array::from_fn(|axis| place[axis] - mean[axis]);
        for (a, row) in covariance.iter_mut().enumerate() {
            for (b, sum) in row.iter_mut().enumerate() {
                *sum += off[a] * off[b] / (count - 1.0);
            }
        }
    }
    let mut deviations = eigenvalues(covariance).map(|variance| variance.max(1e-6).sqrt());
    deviations.sort_by(f64::total_cmp);
    deviations
}

/// Eigenvalues of a symmetric matrix by Jacobi's rotations (Golub and Van Loan, Matrix Computations, section 8.5), in no order.
fn eigenvalues<const N: usize>(mut matrix: [[f64; N]; N]) -> [f64; N] {
    // Converges quadratically: a 3 × 3 matrix needs about five sweeps.
    for _ in 0..20 {
        for a in 0..N {
            for b in a + 1..N {
                if matrix[a][b] == 0.0 {
                    continue;
                }
                let half = (matrix[b][b] - matrix[a][a]) / (2.0 * matrix[a][b]);
                let tangent = half.signum() / (half.abs() + half.hypot(1.0));
                let cos = 1.0 / tangent.hypot(1.0);
                let sin = tangent * cos;
                for row in &mut matrix {
                    (row[a], row[b]) = (cos * row[a] - sin * row[b], sin * row[a] + cos * row[b]);
                }
                let (upper, lower) = (matrix[a], matrix[b]);
                matrix[a] = std::array::from_fn(|n| cos * upper[n] - sin * lower[n]);
                matrix[b] = std::array::from_fn(|n| sin * upper[n] + cos * lower[n]);
            }
        }
    }
    std::array::from_fn(|n| matrix[n][n])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_a_turned_diagonal_are_its_entries() {
        let mut found = eigenvalues([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]]);
        found.sort_by(f64::total_cmp);
        let root = 2f64.sqrt();
        for (found, wanted) in found.iter().zip([2.0 - root, 2.0, 2.0 + root]) {
            assert!((found - wanted).abs() < 1e-12, "{found} for {wanted}");
        }
    }

    #[test]
    fn places_on_a_slanted_line_vary_along_it_alone() {
        let line: Vec<[f64; 2]> = (0..5).map(|n| [f64::from(n), f64::from(n)]).collect();
        let [across, along] = principal_deviations(&line);
        assert!((across - 1e-3).abs() < 1e-9 && (along - 5f64.sqrt()).abs() < 1e-12, "{across} {along}");
    }

    #[test]
    fn deviations_of_values_divide_by_their_number() {
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), [2.0, 1.0]);
        assert_eq!(mean_and_deviation(&[]), [0.0, 0.0]);
    }
}
