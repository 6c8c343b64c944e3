//! Descent on a problem under a rule of any kind.

use mtids_balance::{
    AnyBalancer, BalanceError, BalanceInput, BalancerConfig, CaGradConfig, DdGbConfig, FamoConfig, GradientInput, Rows,
};

use crate::problem::{Pair, Point, STARTS, Tasks, Toy};

/// Steps that count as an epoch for DWA.
const EPOCH: usize = 1000;

/// A rule with the settings that are run, and how the table names it.
#[derive(Clone)]
pub(crate) struct Method {
    pub(crate) label: String,
    pub(crate) config: BalancerConfig,
    /// Whether the rule is given losses, shifted by the problem's lower bounds.
    pub(crate) with_losses: bool,
}

/// Every rule with its defaults, DD-GB with three γ, CAGrad at the papers' 0.4, FAMO also without weight decay.
pub(crate) fn methods() -> Vec<Method> {
    let plain = |label: &str, config: BalancerConfig| Method { label: label.into(), config, with_losses: true };
    let mut all = Vec::new();
    for config in BalancerConfig::all(2) {
        match config {
            // Losses of the toy are negative, and their bounds not known to a trainer: DD-GB is given none.
            BalancerConfig::DdGb(_) => {
                for gamma in [0.0, 0.5, 1.0] {
                    let config = BalancerConfig::DdGb(DdGbConfig { gamma, ..DdGbConfig::default() });
                    all.push(Method { label: format!("dd-gb γ={gamma}"), config, with_losses: false });
                }
            }
            // Under Adam the mean and weights of 1 are the sum.
            BalancerConfig::EqualMean {} | BalancerConfig::Fixed(_) => {}
            BalancerConfig::CaGrad(_) => {
                let config = CaGradConfig { c: 0.4, ..CaGradConfig::default() };
                all.push(plain("cagrad c=0.4", BalancerConfig::CaGrad(config)));
            }
            BalancerConfig::Famo(_) => {
                all.push(plain("famo", config));
                let config = FamoConfig { weight_decay: 0.0, ..FamoConfig::default() };
                all.push(plain("famo, decay 0", BalancerConfig::Famo(config)));
            }
            other => all.push(plain(other.method(), other)),
        }
    }
    all
}

/// The update of one step at x; `follow` then moves x and says the losses there.
fn step(
    rule: &mut AnyBalancer,
    number: usize,
    tasks: &Tasks,
    losses: Option<&[f64]>,
    mut follow: impl FnMut(Point) -> [f64; 2],
) -> Result<(), BalanceError> {
    let [a, b] = tasks.gradients;
    let dot = |p: Point, q: Point| p[0] * q[0] + p[1] * q[1];
    let gram = [dot(a, a), dot(a, b), dot(a, b), dot(b, b)];
    let input = BalanceInput { gram: &gram, losses, active: &[true, true] };
    let mix = |c: &[f64]| [c[0] * a[0] + c[1] * b[0], c[0] * a[1] + c[1] * b[1]];
    match rule {
        AnyBalancer::Step(rule) => {
            follow(mix(&rule.coefficients(&input)?.coefficients));
        }
        AnyBalancer::Epoch(rule) => {
            follow(mix(&rule.coefficients(&input)?.coefficients));
            if (number + 1).is_multiple_of(EPOCH) {
                rule.end_epoch();
            }
        }
        AnyBalancer::AfterStep(rule) => {
            let (balance, token) = rule.coefficients(&input)?;
            let after = follow(mix(&balance.coefficients));
            rule.after_step(token, &after)?;
        }
        AnyBalancer::Gradients(rule) => {
            let rows: [&[f64]; 2] = [&a, &b];
            let answer = rule.combine(&GradientInput { rows: Rows::F64(&rows), losses, active: &[true, true] })?;
            follow([answer.update[0], answer.update[1]]);
        }
    }
    Ok(())
}

/// One descent on the toy.
pub(crate) struct Path {
    /// First step at which the point was in the band of the front.
    pub(crate) reached: Option<usize>,
    /// Where it ended.
    pub(crate) end: Point,
    /// Every 350th point.
    pub(crate) points: Vec<Point>,
}

/// Adam at 1e-3 from one start of the toy.
pub(crate) fn toy(method: &Method, toy: &Toy, start: usize, steps: usize) -> Result<Path, BalanceError> {
    let mut rule = method.config.build_any(2)?;
    let mut x = STARTS[start];
    let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
    let mut path = Path { reached: None, end: x, points: vec![x] };
    let bounds = toy.lower_bounds();
    let shifted = |point: Point| {
        let losses = toy.at(point).losses;
        [losses[0] - bounds[0], losses[1] - bounds[1]]
    };
    for number in 0..steps {
        let losses = shifted(x);
        let losses = method.with_losses.then_some(&losses[..]);
        step(&mut rule, number, &toy.at(x), losses, |update| {
            let count = (number + 1) as f64;
            for axis in 0..2 {
                first[axis] = 0.9 * first[axis] + 0.1 * update[axis];
                second[axis] = 0.999 * second[axis] + 0.001 * update[axis] * update[axis];
                let mean = first[axis] / (1.0 - 0.9_f64.powf(count));
                let root = (second[axis] / (1.0 - 0.999_f64.powf(count))).sqrt();
                x[axis] -= 1e-3 * mean / (root + 1e-8);
            }
            shifted(x)
        })?;
        if path.reached.is_none() && toy.in_band(x) {
            path.reached = Some(number + 1);
        }
        if (number + 1) % 350 == 0 {
            path.points.push(x);
        }
    }
    path.end = x;
    Ok(path)
}

/// Plain gradient descent on a pair from each start; returns the largest distance to the Pareto set at the end.
pub(crate) fn pair(method: &Method, pair: &Pair) -> Result<f64, BalanceError> {
    let mut worst = 0.0_f64;
    for start in pair.starts {
        let mut rule = method.config.build_any(2)?;
        let mut x = start;
        for number in 0..pair.steps {
            // Losses are ≥ 0 here; a little more than that, because some rules divide by them or take logarithms.
            let losses = pair.at(x).losses.map(|loss| loss + 1e-9);
            let losses = method.with_losses.then_some(&losses[..]);
            step(&mut rule, number, &pair.at(x), losses, |update| {
                (0..2).for_each(|axis| x[axis] -= pair.rate * update[axis]);
                pair.at(x).losses.map(|loss| loss + 1e-9)
            })?;
        }
        let distance = pair.distance(x);
        worst = if distance.is_nan() { f64::INFINITY } else { worst.max(distance) };
    }
    Ok(worst)
}
