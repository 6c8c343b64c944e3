//! Gradient matrices for tests: their Gram matrices, combinations and random families.
#![allow(dead_code, reason = "each test binary uses a part of these helpers")]

use mtids_balance::{
    AnyBalancer, Balance, BalanceInput, Balancer, BalancerConfig, DdGbConfig, GradientInput, Needs, Rows as Gradients,
    Telemetry,
};
use proptest::prelude::*;

/// Task gradients as rows.
pub(crate) type Rows = Vec<Vec<f64>>;

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    let top = a.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    if top == 0.0 { 0.0 } else { top * a.iter().map(|x| (x / top) * (x / top)).sum::<f64>().sqrt() }
}

pub(crate) fn unit(a: &[f64]) -> Vec<f64> {
    let length = norm(a);
    a.iter().map(|x| if length > 0.0 { x / length } else { 0.0 }).collect()
}

pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(x, y)| x - y).collect::<Vec<f64>>())
}

/// K = G Gᵀ.
pub(crate) fn gram(rows: &[Vec<f64>]) -> Vec<f64> {
    rows.iter().flat_map(|a| rows.iter().map(|b| dot(a, b))).collect()
}

/// u = Gᵀc.
pub(crate) fn combine(rows: &[Vec<f64>], coefficients: &[f64]) -> Vec<f64> {
    (0..rows[0].len()).map(|p| rows.iter().zip(coefficients).map(|(row, c)| c * row[p]).sum()).collect()
}

pub(crate) fn step(balancer: &mut (dyn Balancer + Send), rows: &[Vec<f64>], losses: Option<&[f64]>) -> Balance {
    let active = vec![true; rows.len()];
    balancer
        .coefficients(&BalanceInput { gram: &gram(rows), losses, active: &active })
        .expect("the input is a Gram matrix")
}

/// The first step of a fresh balancer.
pub(crate) fn first(config: &BalancerConfig, rows: &[Vec<f64>], losses: Option<&[f64]>) -> Balance {
    step(config.build(rows.len()).expect("the settings are valid").as_mut(), rows, losses)
}

/// Every rule that is content with the Gram matrix and, some of them, losses.
pub(crate) fn step_rules(tasks: usize) -> Vec<BalancerConfig> {
    BalancerConfig::all(tasks).into_iter().filter(|config| config.needs() == Needs::Step).collect()
}

/// Whether a step rule refuses to work without losses.
pub(crate) fn works_on_losses(config: &BalancerConfig) -> bool {
    ["uw", "imtl-l", "gls", "stch", "gradnorm"].contains(&config.method())
}

/// One step of a rule of any kind: what it needs besides is made up (every step ends an epoch, and lowers losses by a tenth).
/// Returns the update, coefficients or weights where there are such, and the telemetry.
pub(crate) fn advance(
    rule: &mut AnyBalancer,
    rows: &[Vec<f64>],
    losses: &[f64],
) -> (Vec<f64>, Option<Vec<f64>>, Telemetry) {
    let active = vec![true; rows.len()];
    let gram = gram(rows);
    let input = BalanceInput { gram: &gram, losses: Some(losses), active: &active };
    let balance = match rule {
        AnyBalancer::Step(rule) => rule.coefficients(&input).expect("the input is valid"),
        AnyBalancer::Epoch(rule) => {
            let balance = rule.coefficients(&input).expect("the input is valid");
            rule.end_epoch();
            balance
        }
        AnyBalancer::AfterStep(rule) => {
            let (balance, token) = rule.coefficients(&input).expect("the input is valid");
            let after: Vec<f64> = losses.iter().map(|loss| 0.9 * loss).collect();
            rule.after_step(token, &after).expect("the input is valid");
            balance
        }
        AnyBalancer::Gradients(rule) => {
            let views: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let input = GradientInput { rows: Gradients::F64(&views), losses: Some(losses), active: &active };
            let answer = rule.combine(&input).expect("the input is valid");
            return (answer.update, answer.weights, answer.telemetry);
        }
    };
    (combine(rows, &balance.coefficients), Some(balance.coefficients), balance.telemetry)
}

/// DD-GB with given γ and ζ, and ξ_min = 1.
pub(crate) fn plain(gamma: f64, zeta: f64) -> BalancerConfig {
    BalancerConfig::DdGb(DdGbConfig { gamma, zeta, minimum_length: 1.0, ..DdGbConfig::default() })
}

/// Random matrices of T ∈ {1, 2, 3, 4, 8, 16} rows: independent or rank-deficient, then with rows made parallel, opposite,
/// nearly opposite, zero, tiny or huge.
pub(crate) fn matrices() -> impl Strategy<Value = Rows> {
    let tasks = prop::sample::select(vec![1_usize, 2, 3, 4, 8, 16]);
    (tasks, prop::sample::select(vec![1_usize, 2, 3, 7, 20])).prop_flat_map(|(tasks, width)| {
        let row = prop::collection::vec(-1.0..1.0_f64, width);
        let kinds = prop::collection::vec((0_usize..14, 0_usize..16, 0.1..3.0_f64), tasks);
        (prop::collection::vec(row, tasks), kinds).prop_map(|(mut rows, kinds)| {
            for (i, &(kind, other, factor)) in kinds.iter().enumerate() {
                let model = rows[other % rows.len()].clone();
                let change: Box<dyn Fn(usize, f64) -> f64> = match kind {
                    0 => Box::new(move |p, _| model[p] * factor),
                    1 => Box::new(move |p, _| -model[p] * factor),
                    2 => Box::new(move |p, own| -model[p] * factor + 1e-6 * own),
                    3 => Box::new(|_, _| 0.0),
                    4 => Box::new(|_, own| own * 1e-6),
                    5 => Box::new(|_, own| own * 1e6),
                    _ => Box::new(|_, own| own),
                };
                rows[i] = rows[i].iter().enumerate().map(|(p, &own)| change(p, own)).collect();
            }
            rows
        })
    })
}

/// The same with positive losses for several steps of history.
pub(crate) fn histories() -> impl Strategy<Value = (Vec<Rows>, Vec<Vec<f64>>)> {
    matrices().prop_flat_map(|rows| {
        let (tasks, width) = (rows.len(), rows[0].len());
        let noise = prop::collection::vec(prop::collection::vec(-0.3..0.3_f64, tasks * width), 3);
        let losses = prop::collection::vec(prop::collection::vec(0.05..5.0_f64, tasks), 3);
        (Just(rows), noise, losses).prop_map(|(rows, noise, losses)| {
            let steps = noise
                .iter()
                .map(|noise| {
                    rows.iter()
                        .enumerate()
                        .map(|(i, row)| {
                            let length = norm(row);
                            let width = row.len();
                            row.iter().enumerate().map(|(p, x)| x + length * noise[i * width + p]).collect()
                        })
                        .collect()
                })
                .collect();
            (steps, losses)
        })
    })
}

/// max m over tasks: the scaled norms of DD-GB in raw units of the update.
pub(crate) fn largest_scaled_norm(balance: &Balance, units: &[f64], active: &[bool]) -> f64 {
    let Some(magnitude) = balance.telemetry.magnitude.as_ref() else { return 0.0 };
    let members: Vec<usize> = (0..units.len()).filter(|&i| active[i]).collect();
    let mean = members.iter().map(|&i| units[i]).sum::<f64>() / members.len().max(1) as f64;
    members.iter().map(|&i| mean * magnitude.scales[i] * balance.telemetry.norms[i] / units[i]).fold(0.0, f64::max)
}
