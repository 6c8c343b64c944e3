//! The bargaining equilibrium: (C + εI) y = r y^{−p} elementwise, y > 0.
//!
//! The equation says that y minimises the strictly convex ½yᵀ(C + εI)y + Σ r_i φ(y_i), φ' = −y^{−p}, so damped Newton steps
//! find it, where public code uses general solvers. Invariants: y is finite and positive for every cosine matrix; the ridge
//! keeps it below about 1/√ε at Pareto-stationary points, where the equation without ridge has no solution.

use super::cone::{quadratic_form, with_ridge};
use super::linear::solve_subset;

/// The y > 0 with (C + εI) y = r y^{−p}, by Newton's method on the convex function it is the stationary point of.
pub(crate) fn solve(cosines: &[f64], n: usize, demand: &[f64], power: f64) -> Vec<f64> {
    let matrix = with_ridge(cosines, n);
    let potential = |y: f64| if power == 1.0 { -y.ln() } else { -y.powf(1.0 - power) / (1.0 - power) };
    let objective = |y: &[f64]| {
        0.5 * quadratic_form(&matrix, n, y) + y.iter().zip(demand).map(|(y, r)| r * potential(*y)).sum::<f64>()
    };
    let all: Vec<usize> = (0..n).collect();
    let mut y: Vec<f64> = demand.iter().map(|r| r.powf(1.0 / (1.0 + power))).collect();
    let mut value = objective(&y);
    for _ in 0..200 {
        let gradient: Vec<f64> = (0..n)
            .map(|i| (0..n).map(|j| matrix[i * n + j] * y[j]).sum::<f64>() - demand[i] * y[i].powf(-power))
            .collect();
        let mut hessian = matrix.clone();
        for i in 0..n {
            hessian[i * n + i] += power * demand[i] * y[i].powf(-power - 1.0);
        }
        let negated: Vec<f64> = gradient.iter().map(|value| -value).collect();
        let step = solve_subset(&hessian, n, &all, &negated, f64::MIN_POSITIVE);
        let decrease: f64 = gradient.iter().zip(&step).map(|(g, s)| -g * s).sum();
        let relative = step.iter().zip(&y).map(|(s, y)| (s / y).abs()).fold(0.0, f64::max);
        if relative < 1e-13 || decrease <= 0.0 {
            break;
        }
        // Stay inside the positive orthant, then halve until the function has really decreased.
        let mut length = y.iter().zip(&step).filter(|(_, s)| **s < 0.0).map(|(y, s)| -0.9 * y / s).fold(1.0, f64::min);
        let mut moved = false;
        for _ in 0..60 {
            let candidate: Vec<f64> = y.iter().zip(&step).map(|(y, s)| y + length * s).collect();
            let candidate_value = objective(&candidate);
            if candidate_value <= value - 1e-4 * length * decrease || (relative < 1e-6 && candidate_value.is_finite()) {
                y = candidate;
                value = candidate_value;
                moved = true;
                break;
            }
            length *= 0.5;
        }
        if !moved {
            break;
        }
    }
    y
}
