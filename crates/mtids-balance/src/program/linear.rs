//! Small dense symmetric matrices: a Cholesky solve on a subset of indices and the eigendecomposition.
//!
//! Matrices are `[n, n]` row-major with n at most a few dozen, so plain loops in double precision are fast enough and the
//! order of every sum is fixed.

/// Solves M_SS y = rhs_S for a positive definite M restricted to the indices S = `subset`; `rhs` is indexed like M.
///
/// Pivots below `floor` are raised to it, so that a matrix which rounding made indefinite still gives finite numbers.
pub(crate) fn solve_subset(matrix: &[f64], n: usize, subset: &[usize], rhs: &[f64], floor: f64) -> Vec<f64> {
    let m = subset.len();
    let mut lower = vec![0.0; m * m];
    for i in 0..m {
        for j in 0..=i {
            let mut sum = matrix[subset[i] * n + subset[j]];
            for k in 0..j {
                sum -= lower[i * m + k] * lower[j * m + k];
            }
            lower[i * m + j] = if i == j { sum.max(floor).sqrt() } else { sum / lower[j * m + j] };
        }
    }
    let mut solution: Vec<f64> = subset.iter().map(|&index| rhs[index]).collect();
    for i in 0..m {
        for k in 0..i {
            solution[i] -= lower[i * m + k] * solution[k];
        }
        solution[i] /= lower[i * m + i];
    }
    for i in (0..m).rev() {
        for k in i + 1..m {
            solution[i] -= lower[k * m + i] * solution[k];
        }
        solution[i] /= lower[i * m + i];
    }
    solution
}

/// Eigenvalues of a symmetric matrix and the eigenvectors as columns of a row-major matrix, by cyclic Jacobi rotations
/// (Golub and Van Loan, Matrix Computations, 8.5). The order of the eigenvalues is not sorted.
pub(crate) fn eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    let mut vectors = vec![0.0; n * n];
    for i in 0..n {
        vectors[i * n + i] = 1.0;
    }
    let total: f64 = a.iter().map(|value| value * value).sum();
    for _ in 0..60 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                off += a[p * n + q] * a[p * n + q];
            }
        }
        if off <= 1e-32 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (akp, akq) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * akp - s * akq;
                    a[k * n + q] = s * akp + c * akq;
                }
                for k in 0..n {
                    let (apk, aqk) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * apk - s * aqk;
                    a[q * n + k] = s * apk + c * aqk;
                }
                for k in 0..n {
                    let (vkp, vkq) = (vectors[k * n + p], vectors[k * n + q]);
                    vectors[k * n + p] = c * vkp - s * vkq;
                    vectors[k * n + q] = s * vkp + c * vkq;
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// M⁺ rhs for a positive semidefinite M; eigenvalues up to `cut` times the largest count as zero.
pub(crate) fn pseudo_solve(matrix: &[f64], n: usize, rhs: &[f64], cut: f64) -> Vec<f64> {
    let (values, vectors) = eigen(matrix, n);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let mut solution = vec![0.0; n];
    for (k, &value) in values.iter().enumerate() {
        if value > cut * largest {
            let share: f64 = (0..n).map(|i| vectors[i * n + k] * rhs[i]).sum::<f64>() / value;
            for i in 0..n {
                solution[i] += share * vectors[i * n + k];
            }
        }
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gram(rows: &[Vec<f64>]) -> Vec<f64> {
        rows.iter().flat_map(|a| rows.iter().map(|b| a.iter().zip(b).map(|(x, y)| x * y).sum())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn eigen_rebuilds_the_matrix(rows in prop::collection::vec(prop::collection::vec(-2.0..2.0, 4), 1..9)) {
            let n = rows.len();
            let matrix = gram(&rows);
            let (values, vectors) = eigen(&matrix, n);
            for i in 0..n {
                for j in 0..n {
                    let rebuilt: f64 = (0..n).map(|k| vectors[i * n + k] * values[k] * vectors[j * n + k]).sum();
                    prop_assert!((rebuilt - matrix[i * n + j]).abs() < 1e-11);
                    let unit: f64 = (0..n).map(|k| vectors[k * n + i] * vectors[k * n + j]).sum();
                    let expected = f64::from(u8::from(i == j));
                    prop_assert!((unit - expected).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn solve_inverts(rows in prop::collection::vec(prop::collection::vec(-2.0..2.0, 6), 5)) {
            let mut matrix = gram(&rows);
            for i in 0..5 {
                matrix[i * 5 + i] += 0.1;
            }
            let subset = [0, 2, 3];
            let rhs = [1.0, 9.0, -2.0, 0.5, 9.0];
            let solution = solve_subset(&matrix, 5, &subset, &rhs, 1e-12);
            for &i in &subset {
                let sum: f64 = subset.iter().zip(&solution).map(|(&j, y)| matrix[i * 5 + j] * y).sum();
                prop_assert!((sum - rhs[i]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn an_indefinite_matrix_gives_finite_numbers() {
        let solution = solve_subset(&[1.0, -1.1, -1.1, 1.0], 2, &[0, 1], &[1.0, 1.0], 1e-9);
        assert!(solution.iter().all(|value| value.is_finite()));
    }
}
