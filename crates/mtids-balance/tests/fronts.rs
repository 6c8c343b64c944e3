//! DD-GB with plain gradient descent ends on closed-form Pareto sets: TorchJD's three pairs of quadratics.
//!
//! f_i = (x − c_i)ᵀA_i(x − c_i); the Pareto set is x(w) = (Σ w_i A_i)⁻¹ Σ w_i A_i c_i.

mod common;

use common::{combine, distance, gram};
use mtids_balance::{BalanceInput, BalancerConfig, DdGbConfig};

type Matrix = [[f64; 2]; 2];

struct Problem {
    name: &'static str,
    forms: [(Matrix, [f64; 2]); 2],
    rate: f64,
    steps: usize,
    starts: [[f64; 2]; 4],
}

fn apply(a: &Matrix, x: [f64; 2]) -> [f64; 2] {
    [a[0][0] * x[0] + a[0][1] * x[1], a[1][0] * x[0] + a[1][1] * x[1]]
}

/// Distance to the Pareto set, sampled finely.
fn distance_to_front(problem: &Problem, x: &[f64]) -> f64 {
    let [(a, p), (b, q)] = problem.forms;
    (0..=20_000)
        .filter_map(|k| {
            let w = f64::from(k) / 20_000.0;
            let mix = |i: usize, j: usize| (1.0 - w) * a[i][j] + w * b[i][j];
            let (ap, bq) = (apply(&a, p), apply(&b, q));
            let right = [(1.0 - w) * ap[0] + w * bq[0], (1.0 - w) * ap[1] + w * bq[1]];
            let determinant = mix(0, 0) * mix(1, 1) - mix(0, 1) * mix(1, 0);
            // The separable pair is singular at both ends; the ends are limits of what lies between.
            (determinant.abs() > 1e-12).then(|| {
                let on_front = [
                    (mix(1, 1) * right[0] - mix(0, 1) * right[1]) / determinant,
                    (mix(0, 0) * right[1] - mix(1, 0) * right[0]) / determinant,
                ];
                distance(x, &on_front)
            })
        })
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn dd_gb_ends_on_the_front_from_every_start() {
    let problems = [
        Problem {
            name: "separable",
            forms: [([[1.0, 0.0], [0.0, 0.0]], [0.0, 0.0]), ([[0.0, 0.0], [0.0, 1.0]], [0.0, 0.0])],
            rate: 0.075,
            steps: 200,
            starts: [[3.0, -2.0], [-3.5, -0.75], [0.2, 4.0], [-1.0, 1.0]],
        },
        Problem {
            name: "different",
            forms: [([[1.0, 0.2], [0.2, 0.05]], [1.0, 0.0]), ([[3.0, -0.6], [-0.6, 0.2]], [-1.0, 0.0])],
            rate: 0.125,
            steps: 800,
            starts: [[3.0, -2.0], [0.0, 0.0], [-2.0, 3.0], [1.0, 5.0]],
        },
        Problem {
            name: "scaled",
            forms: [([[2.0, -1.0], [-1.0, 2.0]], [1.0, 0.0]), ([[20.0, -10.0], [-10.0, 20.0]], [-10.0, 0.0])],
            rate: 0.005,
            steps: 400,
            starts: [[8.0, -2.0], [0.0, 3.0], [-12.0, -4.0], [2.0, 9.0]],
        },
    ];
    for problem in &problems {
        for start in problem.starts {
            assert!(distance_to_front(problem, &start) > 0.1, "{} {start:?}", problem.name);
            for gamma in [0.0, 0.5, 1.0] {
                let mut balancer =
                    BalancerConfig::DdGb(DdGbConfig { gamma, ..DdGbConfig::default() }).build(2).unwrap();
                let mut x = start.to_vec();
                for _ in 0..problem.steps {
                    let rows: Vec<Vec<f64>> = problem
                        .forms
                        .iter()
                        .map(|(a, c)| apply(a, [x[0] - c[0], x[1] - c[1]]).iter().map(|value| 2.0 * value).collect())
                        .collect();
                    let gram = gram(&rows);
                    let input = BalanceInput { gram: &gram, losses: None, active: &[true, true] };
                    let update = combine(&rows, &balancer.coefficients(&input).unwrap().coefficients);
                    x.iter_mut().zip(&update).for_each(|(x, u)| *x -= problem.rate * u);
                }
                let left = distance_to_front(problem, &x);
                assert!(left < 0.01, "{} from {start:?} with γ = {gamma}: {x:?}, {left} from the front", problem.name);
            }
        }
    }
}
