//! Programs over the probability simplex: projection on it, the hull's shortest point, CAGrad's ball.
//!
//! # Invariants
//! * Weights are finite and ≥ 0; those of [`min_norm`] and [`project`] sum to one.
//! * [`worst_improvement`] answers `None`, not large numbers, where the hull contains a vector that is short beside the gradients.

use super::cone;

/// The nearest point of the simplex {w ≥ 0, Σ w = 1} (Held, Wolfe and Crowder 1974).
pub(crate) fn project(point: &[f64]) -> Vec<f64> {
    let mut sorted = point.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let mut shift = f64::NEG_INFINITY;
    for (k, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (k + 1) as f64;
        if k == 0 || *value > candidate {
            shift = candidate;
        }
    }
    point.iter().map(|value| (value - shift).max(0.0)).collect()
}

/// The α of the simplex that makes Σ α_i n_i v_i shortest, for cosines C of the v_i and norms n > 0.
///
/// Over w ≥ 0 the minimiser of ½wᵀKw − 1ᵀw is a positive multiple of α; in y_i = n_i w_i its matrix is C. The ridge selects
/// one of several α when gradients are dependent; ‖u‖² is then off by about ε of the largest n².
pub(crate) fn min_norm(cosines: &[f64], norms: &[f64]) -> Vec<f64> {
    let count = norms.len();
    let shortest = norms.iter().copied().fold(f64::INFINITY, f64::min);
    let linear: Vec<f64> = norms.iter().map(|norm| -shortest / norm).collect();
    let unknowns: Vec<usize> = (0..count).collect();
    let y = cone::minimise_refined(&cone::with_ridge(cosines, count), count, &linear, &unknowns);
    let raw: Vec<f64> = y.iter().zip(norms).map(|(y, norm)| y * (shortest / norm)).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|value| value / sum).collect()
}

/// CAGrad's program: max over d in the ball ‖d − g_0‖ ≤ κ, κ = c‖g_0‖ and g_0 the mean gradient, of min_i g_i·d.
///
/// Returns z ≥ 0 with d = g_0 + κ Σ z_i g_i and ‖Σ z_i g_i‖ = 1, or `None` where the shortest vector of the hull along z is
/// below `cut` times √Σn²: gradients are Pareto-stationary and no d improves every task.
///
/// Dual of min over the simplex of g_w·g_0 + κ‖g_w‖, w = z/Σz. For a level ν let z(ν) minimise ½zᵀKz − Σ z_i (ν − b_i)/κ over z ≥ 0,
/// b_i = g_i·g_0. Its optimality conditions are CAGrad's with ν = min_i g_i·d once ‖Gᵀz(ν)‖ = 1; that length grows with ν, from 0
/// at min b to at least 1 at min (b_i + κn_i), and on a fixed set of positive z the level solves a quadratic equation.
pub(crate) fn worst_improvement(cosines: &[f64], norms: &[f64], c: f64, cut: f64) -> Option<Vec<f64>> {
    let n = norms.len();
    let top = norms.iter().copied().fold(0.0, f64::max);
    let r: Vec<f64> = norms.iter().map(|norm| norm / top).collect();
    let pull: Vec<f64> = (0..n).map(|i| (0..n).map(|j| cosines[i * n + j] * r[j]).sum::<f64>() / n as f64).collect();
    let square: f64 = (0..n).map(|i| r[i] * pull[i]).sum::<f64>() / n as f64;
    let kappa = c * square.max(0.0).sqrt();
    if kappa < 1e-12 {
        return None;
    }
    let matrix = cone::with_ridge(cosines, n);
    let unknowns: Vec<usize> = (0..n).collect();
    let mut low = (0..n).map(|i| r[i] * pull[i]).fold(f64::INFINITY, f64::min);
    let mut high = (0..n).map(|i| r[i] * (pull[i] + kappa)).fold(f64::INFINITY, f64::min);
    // y_i = r_i z_i, so that the matrix is C; the demand (ν − b_i)/(κ r_i) is scaled to about one.
    let at = |level: f64| {
        let demand: Vec<f64> = (0..n).map(|i| (level / r[i] - pull[i]) / kappa).collect();
        let size = demand.iter().fold(f64::MIN_POSITIVE, |most: f64, value| most.max(value.abs()));
        let linear: Vec<f64> = demand.iter().map(|value| -value / size).collect();
        let y = cone::minimise_refined(&matrix, n, &linear, &unknowns);
        let length = size * cone::quadratic_form(cosines, n, &y).max(0.0).sqrt();
        (y, size, length)
    };
    let mut level = high;
    let (mut y, mut size, mut length) = at(level);
    for _ in 0..100 {
        if length > 1.0 {
            high = high.min(level);
        } else {
            low = low.max(level);
        }
        let support: Vec<usize> = (0..n).filter(|&i| y[i] > 0.0).collect();
        let mut next = level_on(&matrix, n, &support, &r, &pull, kappa);
        if !(next > low && next < high) {
            // Rounding, or a support that is not the final one: bisect unless the root's end is reached.
            next = if (next - level).abs() <= 1e-15 * level.abs() { level } else { 0.5 * (low + high) };
        }
        if (next - level).abs() <= 1e-15 * (level.abs() + kappa) {
            break;
        }
        level = next;
        (y, size, length) = at(level);
    }
    let own = size * cone::quadratic_form(cosines, n, &y).max(0.0).sqrt();
    let z: Vec<f64> = y.iter().zip(&r).map(|(y, r)| size * y / r).collect();
    let sum: f64 = z.iter().sum();
    let frobenius = r.iter().map(|value| value * value).sum::<f64>().sqrt();
    if own.is_nan() || own <= cut * frobenius * sum {
        return None;
    }
    Some(z.iter().map(|value| value / own / top).collect())
}

/// The level ν at which ‖Gᵀz‖ = 1 if exactly the tasks of `support` have positive z: y = M⁻¹(ν/r − p)/κ on them.
fn level_on(matrix: &[f64], n: usize, support: &[usize], r: &[f64], pull: &[f64], kappa: f64) -> f64 {
    let inverse: Vec<f64> = r.iter().map(|value| 1.0 / value).collect();
    let of_level = cone::solve_refined(matrix, n, support, &inverse);
    let of_pull = cone::solve_refined(matrix, n, support, pull);
    let dot = |a: &[f64], b: &[f64]| -> f64 { support.iter().zip(b).map(|(&i, b)| a[i] * b).sum() };
    let (a, b, d) = (dot(&inverse, &of_level), dot(&inverse, &of_pull), dot(pull, &of_pull));
    (b + (b * b - a * (d - kappa * kappa)).max(0.0).sqrt()) / a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn system(rows: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let norms: Vec<f64> = rows.iter().map(|row| dot(row, row).sqrt()).collect();
        let n = rows.len();
        let cosines = (0..n * n)
            .map(|at| (dot(&rows[at / n], &rows[at % n]) / norms[at / n] / norms[at % n]).clamp(-1.0, 1.0))
            .collect();
        (cosines, norms)
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
        (1_usize..13, 1_usize..6).prop_flat_map(|(tasks, width)| {
            prop::collection::vec(prop::collection::vec((-100_i32..100).prop_map(|x| f64::from(x) + 0.5), width), tasks)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_projection_is_on_the_simplex_and_nearest(point in prop::collection::vec(-3.0..3.0_f64, 1..9), other in prop::collection::vec(0.01..1.0_f64, 9)) {
            let w = project(&point);
            prop_assert!(w.iter().all(|value| *value >= 0.0));
            prop_assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            // (point − w)·(any other point of the simplex − w) ≤ 0.
            let sum: f64 = other[..point.len()].iter().sum();
            let product: f64 = (0..point.len()).map(|i| (point[i] - w[i]) * (other[i] / sum - w[i])).sum();
            prop_assert!(product < 1e-12, "{}", product);
        }

        #[test]
        fn the_shortest_point_is_optimal_and_finite(rows in rows()) {
            let (cosines, norms) = system(&rows);
            let alpha = min_norm(&cosines, &norms);
            prop_assert!(alpha.iter().all(|value| value.is_finite() && *value >= 0.0));
            prop_assert!((alpha.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let n = norms.len();
            let y: Vec<f64> = alpha.iter().zip(&norms).map(|(a, n)| a * n).collect();
            let square = cone::quadratic_form(&cosines, n, &y);
            for i in 0..n {
                let pull: f64 = norms[i] * (0..n).map(|j| cosines[i * n + j] * y[j]).sum::<f64>();
                prop_assert!(pull - square > -1e-4 * norms[i] * y.iter().sum::<f64>());
            }
        }

        #[test]
        fn no_direction_of_the_ball_beats_the_worst_improvement(rows in rows(), c in 0.05..0.95_f64, other in prop::collection::vec(-1.0..1.0_f64, 6)) {
            let (cosines, norms) = system(&rows);
            let n = rows.len();
            let width = rows[0].len();
            let Some(z) = worst_improvement(&cosines, &norms, c, 1e-4) else { return Ok(()) };
            prop_assert!(z.iter().all(|value| value.is_finite() && *value >= 0.0));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let mean: Vec<f64> = (0..width).map(|p| rows.iter().map(|row| row[p]).sum::<f64>() / n as f64).collect();
            let turn: Vec<f64> = (0..width).map(|p| rows.iter().zip(&z).map(|(row, z)| z * row[p]).sum()).collect();
            prop_assert!((dot(&turn, &turn) - 1.0).abs() < 1e-9);
            let radius = c * dot(&mean, &mean).sqrt();
            let worst = |turn: &[f64]| {
                let d: Vec<f64> = mean.iter().zip(turn).map(|(m, t)| m + radius * t).collect();
                rows.iter().map(|row| dot(row, &d)).fold(f64::INFINITY, f64::min)
            };
            let own = worst(&turn);
            // The dual value bounds every direction from above, so a vanishing gap proves optimality.
            let total: f64 = z.iter().sum();
            let g_w: Vec<f64> = turn.iter().map(|value| value / total).collect();
            let bound = dot(&g_w, &mean) + radius * dot(&g_w, &g_w).sqrt();
            let size = norms.iter().copied().fold(0.0, f64::max).powi(2);
            // What the ridge may cost: ε‖y‖² of a program in which the other term is 1.
            let weights: f64 = z.iter().zip(&norms).map(|(z, norm)| (z * norm) * (z * norm)).sum();
            let slack = size * (1e-9 + 4.0 * cone::RIDGE * weights);
            prop_assert!((own - bound).abs() < slack, "{} {} {}", own, bound, slack);
            let length = dot(&other[..width], &other[..width]).sqrt().max(1e-9);
            let other: Vec<f64> = other[..width].iter().map(|value| value / length).collect();
            prop_assert!(worst(&other) <= own + slack);
        }
    }

    #[test]
    fn opposite_gradients() {
        // g = 1 and −3: the mean is −1, and of the ball [−1.5, −0.5] its end −0.5 harms the first task least.
        let z = worst_improvement(&[1.0, -1.0, -1.0, 1.0], &[1.0, 3.0], 0.5, 1e-4).unwrap();
        assert!((z[0] - 1.0).abs() < 1e-9 && z[1] == 0.0, "{z:?}");
        // A mean of zero leaves a ball of one point.
        assert!(worst_improvement(&[1.0, -1.0, -1.0, 1.0], &[1.0, 1.0], 0.5, 1e-4).is_none());
    }
}
