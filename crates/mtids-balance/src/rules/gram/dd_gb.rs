//! DD-GB: dual-dimensional gradient balancing, reconstructed from the abstract of MT-IDS.
//!
//! Two dimensions \[A\]: *directions* are aligned, here by the smallest turn that removes every conflict \[P: UPGrad's
//! projection; O: on unit vectors\]; *magnitudes* are scaled dynamically, here by a power of their running average and
//! by the rate at which the task learns \[P: GradNorm's rate; O: the map\]. "The distribution of inter-task gradient
//! characteristics is maintained" \[A\] is read as \[O\]: the log-affine norm map keeps the order and the shape of the norms,
//! the budget Σ s_i N_i = Σ N_i keeps their sum, tasks without conflict keep their directions.
//! **None of these equations is the paper's**, which was not available; see the crate's front page.
//!
//! # One step
//! ```text
//! 0 units      U_i = running mean of the task's first t_0 losses, then frozen; K_ij/(U_i U_j), λ_i = L_i/U_i
//! 1 averages   N_i = exp EMA(log n_i),  L̂_i = EMA(λ_i),  Φ = EMA(C)
//! 2 direction  x_i = argmin ‖x − v_i‖² s.t. x·v_j ≥ τ_ij = κ clip(Φ_ij, 0, 0.9);  x_i = Σ_j A_ij v_j,  ξ_i = ‖x_i‖
//! 3 magnitude  s_i = Z max(N_i, δ max N)^{−(1−γ)} e^{ζ ρ_i},  ρ_i = clip(log L̂_i − mean, ±log 4), re-centred;
//!              Z such that Σ s_i N_i = Σ N_i;  m_i = s_i n_i
//! 4 combine    c_j = Σ_i p_i m_i/max(ξ_i, ξ_min) A_ij / n_j,  then Ū c_j / U_j for raw gradients
//! ```
//!
//! # Invariants
//! c ≥ 0; v_j·Gᵀc ≥ −5e-5 max m with κ = 0; T = 1 gives c = 1 exactly; multiplying a task's loss (and so its gradient) by a
//! constant does not change the direction of the update. The tests list all fourteen.
//!
//! # Inactive tasks
//! A task without a label, or with a negligible gradient, is as if absent, and its state stays as it was. The burn-in
//! is therefore counted per task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::balancer::{Balance, Balancer};
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::preference::{check_weights, preference};
use crate::program::cone;
use crate::saved::{envelope, restored};
use crate::telemetry::{DirectionTelemetry, MagnitudeTelemetry, spread};

/// Rates beyond this factor against the mean say more about noise than about learning.
const RATE_LIMIT: f64 = 4.0;
/// Losses below this share of the initial loss count as this share, so that their logarithm stays finite.
const SMALLEST_RELATIVE_LOSS: f64 = 1e-12;
/// Largest cosine that κ asks for.
const LARGEST_TARGET: f64 = 0.9;

/// Settings of DD-GB; every default is our choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DdGbConfig {
    /// γ in [0, 1]: how much of the spread of log norms is kept; 1 leaves the norms alone, 0 makes them equal.
    pub gamma: f64,
    /// ζ ≥ 0: how strongly slower tasks are favoured; 0 switches the rate term off.
    pub zeta: f64,
    /// β in [0, 1): memory of the averages of log norm and cosine; 0 keeps only the newest.
    pub beta: f64,
    /// β_L in [0, 1): memory of the average of the loss.
    pub beta_loss: f64,
    /// t_0: steps of each task whose mean loss becomes its unit; 0 switches the units off.
    pub burn_in_steps: u64,
    /// δ in (0, 1]: average norms below this share of the largest one are lifted to it before scaling.
    pub norm_floor: f64,
    /// ξ_min in (0, 1]: shortened directions are brought back to unit length, but lengthened at most by 1/ξ_min.
    pub minimum_length: f64,
    /// κ in [0, 1]: pull towards the running cosines. With κ > 0 the update no longer vanishes at Pareto points.
    pub kappa: f64,
    /// p: one weight ≥ 0 per task instead of equal ones; normalised over the active tasks.
    pub preference: Option<Vec<f64>>,
}

impl Default for DdGbConfig {
    fn default() -> Self {
        DdGbConfig {
            gamma: 0.5,
            zeta: 0.5,
            beta: 0.9,
            beta_loss: 0.9,
            burn_in_steps: 20,
            norm_floor: 0.01,
            minimum_length: 0.5,
            kappa: 0.0,
            preference: None,
        }
    }
}

impl DdGbConfig {
    fn check(&self, tasks: usize) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=1.0).contains(&self.gamma), "gamma", "lies between 0 and 1")?;
        BalanceError::need((0.0..=8.0).contains(&self.zeta), "zeta", "lies between 0 and 8")?;
        BalanceError::need((0.0..1.0).contains(&self.beta), "beta", "is at least 0 and below 1")?;
        BalanceError::need((0.0..1.0).contains(&self.beta_loss), "beta_loss", "is at least 0 and below 1")?;
        BalanceError::need(self.norm_floor > 0.0 && self.norm_floor <= 1.0, "norm_floor", "is above 0 and at most 1")?;
        BalanceError::need(
            self.minimum_length > 0.0 && self.minimum_length <= 1.0,
            "minimum_length",
            "is above 0 and at most 1",
        )?;
        BalanceError::need((0.0..=1.0).contains(&self.kappa), "kappa", "lies between 0 and 1")?;
        self.preference.as_ref().map_or(Ok(()), |weights| check_weights("preference", weights, tasks))
    }
}

/// What DD-GB remembers. An average is absent until its task, or pair of tasks, has been active once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Steps done.
    step: u64,
    /// Whether losses are passed; absent before the first step.
    with_losses: Option<bool>,
    /// Losses that each task's unit is the mean of so far.
    burn_in_counts: Vec<u64>,
    /// U.
    units: Vec<Option<f64>>,
    /// ℓ.
    log_norms: Vec<Option<f64>>,
    /// L̂.
    losses: Vec<Option<f64>>,
    /// Φ, `[T, T]`.
    cosines: Vec<Option<f64>>,
}

/// The balancer.
pub(crate) struct DdGb {
    config: DdGbConfig,
    tasks: usize,
    state: State,
}

/// Exponential moving average whose first value is the first observation.
fn average(memory: &mut Option<f64>, keep: f64, value: f64) -> f64 {
    let next = memory.map_or(value, |old| keep * old + (1.0 - keep) * value);
    *memory = Some(next);
    next
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Step 0 for one task: how many losses its unit is made of and their mean, with this step's loss during the burn-in.
fn next_unit(state: &State, burn_in_steps: u64, task: usize, loss: f64) -> (u64, f64) {
    let count = state.burn_in_counts[task];
    let mean = state.units[task].unwrap_or(0.0);
    if count >= burn_in_steps { (count, mean) } else { (count + 1, mean + (loss - mean) / (count + 1) as f64) }
}

impl DdGb {
    pub(crate) fn new(config: DdGbConfig, tasks: usize) -> Result<Self, BalanceError> {
        config.check(tasks)?;
        let state = State {
            step: 0,
            with_losses: None,
            burn_in_counts: vec![0; tasks],
            units: vec![None; tasks],
            log_norms: vec![None; tasks],
            losses: vec![None; tasks],
            cosines: vec![None; tasks * tasks],
        };
        Ok(DdGb { config, tasks, state })
    }

    /// Units of all tasks for this step; 1 without losses, without burn-in, and for a task whose losses were all zero.
    fn units(&self, input: &BalanceInput<'_>) -> Result<Vec<f64>, BalanceError> {
        let mut units = vec![1.0; self.tasks];
        let Some(losses) = input.losses else { return Ok(units) };
        for task in 0..self.tasks {
            if !(input.active.get(task).copied().unwrap_or(false) && task < losses.len()) {
                continue;
            }
            let loss = losses[task];
            if !loss.is_finite() || loss < 0.0 {
                return Err(BalanceError::Loss { task, value: loss });
            }
            let (_, unit) = next_unit(&self.state, self.config.burn_in_steps, task, loss);
            if self.config.burn_in_steps > 0 && unit >= f64::MIN_POSITIVE {
                units[task] = unit;
            }
        }
        Ok(units)
    }
}

impl Balancer for DdGb {
    fn name(&self) -> &'static str {
        "dd-gb"
    }

    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError> {
        let units = self.units(input)?;
        let active = ActiveTasks::new(input, self.tasks, Some(&units))?;
        if let Some(before) = self.state.with_losses
            && before != input.losses.is_some()
        {
            return Err(BalanceError::LossesChanged { before });
        }
        let count = active.len();
        if count == 0 {
            return Ok(Balance::new(&active, &[]));
        }
        self.state.step += 1;
        self.state.with_losses = Some(input.losses.is_some());

        // Steps 0 and 1: from here on everything is per unit of initial loss.
        let config = &self.config;
        let own_units: Vec<f64> = active.members().iter().map(|&task| units[task]).collect();
        let norms: Vec<f64> = active.norms().iter().zip(&own_units).map(|(norm, unit)| norm / unit).collect();
        let mut log_norms = Vec::with_capacity(count);
        let mut log_losses = Vec::with_capacity(count);
        for (i, &task) in active.members().iter().enumerate() {
            log_norms.push(average(&mut self.state.log_norms[task], config.beta, norms[i].ln()));
            if let Some(losses) = input.losses {
                let (seen, unit) = next_unit(&self.state, config.burn_in_steps, task, losses[task]);
                self.state.burn_in_counts[task] = seen;
                self.state.units[task] = Some(unit);
                let relative = average(&mut self.state.losses[task], config.beta_loss, losses[task] / own_units[i]);
                log_losses.push(relative.max(SMALLEST_RELATIVE_LOSS).ln());
            }
            for (j, &other) in active.members().iter().enumerate() {
                average(&mut self.state.cosines[task * self.tasks + other], config.beta, active.cosine(i, j));
            }
        }

        // Step 2.
        let targets = (config.kappa > 0.0).then(|| {
            let target = |at: usize| {
                let (i, j) = (active.members()[at / count], active.members()[at % count]);
                config.kappa * self.state.cosines[i * self.tasks + j].unwrap_or(0.0).clamp(0.0, LARGEST_TARGET)
            };
            (0..count * count).map(target).collect::<Vec<f64>>()
        });
        let directions = cone::align(active.cosines(), count, targets.as_deref());

        // Step 3, relative to the largest average norm so that no exponential overflows.
        let top = log_norms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let relative: Vec<f64> = log_norms.iter().map(|log| log - top).collect();
        let mut rates = vec![0.0; count];
        if !log_losses.is_empty() {
            let center = mean(&log_losses);
            rates = log_losses
                .iter()
                .map(|log| (log - center).clamp(-RATE_LIMIT.ln(), RATE_LIMIT.ln()))
                .collect::<Vec<_>>();
            let center = mean(&rates);
            rates.iter_mut().for_each(|rate| *rate -= center);
        }
        let mut scales: Vec<f64> = relative
            .iter()
            .zip(&rates)
            .map(|(log, rate)| (-(1.0 - config.gamma) * log.max(config.norm_floor.ln()) + config.zeta * rate).exp())
            .collect();
        let budget: f64 = relative.iter().map(|log| log.exp()).sum();
        let spent: f64 = relative.iter().zip(&scales).map(|(log, scale)| log.exp() * scale).sum();
        scales.iter_mut().for_each(|scale| *scale *= budget / spent);

        // Step 4. A single task keeps its gradient exactly, not up to rounding.
        let weights = if count == 1 {
            vec![1.0]
        } else {
            let mean_unit = mean(&own_units);
            let shares = preference(config.preference.as_deref(), &active);
            (0..count)
                .map(|j| {
                    let sum: f64 = (0..count)
                        .map(|i| {
                            let lengthened = scales[i] / directions.lengths[i].max(config.minimum_length);
                            shares[i] * lengthened * directions.weights[i * count + j] * (norms[i] / norms[j])
                        })
                        .sum();
                    mean_unit / own_units[j] * sum
                })
                .collect()
        };

        let mut balance = Balance::new(&active, &weights);
        balance.telemetry.direction = Some(DirectionTelemetry {
            change: active.spread(&directions.changes),
            length: active.spread(&directions.lengths),
        });
        let after: Vec<f64> = log_norms.iter().zip(&scales).map(|(log, scale)| log + scale.ln()).collect();
        balance.telemetry.magnitude = Some(MagnitudeTelemetry {
            average_norms: active.spread(&log_norms.iter().map(|log| log.exp()).collect::<Vec<f64>>()),
            scales: active.spread(&scales),
            rates: active.spread(&rates),
            log_norm_spread_before: spread(&log_norms),
            log_norm_spread_after: spread(&after),
        });
        Ok(balance)
    }

    fn state(&self) -> Value {
        envelope(self.name(), self.tasks, json!(self.state))
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        let own = &self.state;
        let found: State = restored(self.name(), self.tasks, state, |found: &State| {
            found.burn_in_counts.len() == own.burn_in_counts.len()
                && found.units.len() == own.units.len()
                && found.log_norms.len() == own.log_norms.len()
                && found.losses.len() == own.losses.len()
                && found.cosines.len() == own.cosines.len()
        })?;
        self.state = found;
        Ok(())
    }
}
