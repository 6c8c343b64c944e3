//! Balances two losses in a plain candle loop: `cargo run -p mtids-balance --example balance_two_losses`.
//!
//! Two regression tasks share the weights `[8, 4]` of one hidden layer, and each has its own head `[4, 1]`. The second loss is a
//! thousand times the first, so that their sum would train the second task alone.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use candle_core::{Device, Result, Tensor, Var};
use mtids_balance::{BalanceInput, BalancerConfig};

const SAMPLES: usize = 64;
const FEATURES: usize = 8;
const STEPS: usize = 300;
const LEARNING_RATE: f64 = 0.05;
/// Factor of each task's loss.
const LOSS_FACTORS: [f64; 2] = [1.0, 1000.0];

/// The same numbers in every run, in -1..1.
fn wave(rows: usize, columns: usize, pace: f64) -> Result<Tensor> {
    let values: Vec<f64> = (0..rows * columns).map(|n| (pace * (n + 1) as f64).sin()).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

/// Inner product of two gradients.
fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    (a * b)?.sum_all()?.to_scalar()
}

/// Moves a parameter against its gradient.
fn descend(parameter: &Var, gradient: &Tensor, rate: f64) -> Result<()> {
    parameter.set(&(parameter.as_tensor() - (gradient * rate)?)?)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let inputs = wave(SAMPLES, FEATURES, 1.7)?;
    let targets = [inputs.matmul(&wave(FEATURES, 1, 0.9)?)?, inputs.matmul(&wave(FEATURES, 1, 2.3)?)?];
    let shared = Var::from_tensor(&wave(FEATURES, 4, 0.4)?)?;
    let heads = [Var::from_tensor(&wave(4, 1, 1.1)?)?, Var::from_tensor(&wave(4, 1, 3.1)?)?];
    let mut balancer = BalancerConfig::default().build(2)?;

    let mut first = None;
    let mut last = [0.0; 2];
    for _ in 0..STEPS {
        let hidden = inputs.matmul(shared.as_tensor())?;
        let mut losses = [0.0; 2];
        let mut gradients = Vec::new();
        for task in 0..2 {
            let error = (hidden.matmul(heads[task].as_tensor())? - &targets[task])?;
            let loss = (error.sqr()?.mean_all()? * LOSS_FACTORS[task])?;
            losses[task] = loss.to_scalar()?;
            let mut store = loss.backward()?;
            gradients.push(store.remove(shared.as_tensor()).ok_or("the loss does not reach the shared weights")?);
            // A head belongs to one task: nothing to balance.
            let own = store.remove(heads[task].as_tensor()).ok_or("the loss does not reach its head")?;
            descend(&heads[task], &own, LEARNING_RATE / LOSS_FACTORS[task])?;
        }

        // The balancer needs the inner products of the shared gradients, and answers with one coefficient per task.
        let mut gram = Vec::new();
        for a in &gradients {
            for b in &gradients {
                gram.push(dot(a, b)?);
            }
        }
        let input = BalanceInput { gram: &gram, losses: Some(&losses), active: &[true, true] };
        let coefficients = balancer.coefficients(&input)?.coefficients;
        let combined = ((&gradients[0] * coefficients[0])? + (&gradients[1] * coefficients[1])?)?;
        let length = dot(&combined, &combined)?.sqrt();
        descend(&shared, &combined, LEARNING_RATE / length.max(1.0))?;
        first.get_or_insert(losses);
        last = losses;
    }

    let first = first.ok_or("no step was made")?;
    println!("task  first loss  last loss");
    for task in 0..2 {
        println!("{task:4}  {:10.4}  {:9.4}", first[task], last[task]);
    }
    Ok(())
}
