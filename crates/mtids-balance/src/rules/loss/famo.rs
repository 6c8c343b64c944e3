//! FAMO: all log losses fall at the same rate, learned from what each step did.
//!
//! z = softmax(w), D_i = L_i − b_i + ε with ε = 1e-8; the step minimises k Σ z_i log D_i, so c_i = k z_i / D_i with k = 1/Σ(z_i/D_i), which
//! makes Σ c = 1. After it, δ_i = log D_i(before) − log D_i(after) on the same batch, and one Adam step on w along Jᵀδ,
//! J = ∂z/∂w (Liu et al., FAMO, NeurIPS 2023, arXiv 2306.03792). b is a lower bound of the losses.
//!
//! Learning rate 0.025. Weight decay of w: 1e-3 (LibMTL's and `TorchJD`'s default); the authors use 1e-2 on their command line and
//! 0 in their toy, where only 0 reaches the front from every start. Cost: one backward pass and one more forward pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adam::Learned;
use crate::any::{AfterStep, AfterStepBalancer};
use crate::balancer::Balance;
use crate::error::BalanceError;
use crate::input::BalanceInput;
use crate::stateful::{Stateful, StatefulRule, Step};
use crate::stateless::{Weights, softmax};

const EPSILON: f64 = 1e-8;

/// Settings of FAMO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FamoConfig {
    /// Learning rate of w.
    pub learning_rate: f64,
    /// Weight decay of w.
    pub weight_decay: f64,
    /// b: one lower bound per task. Absent: 0.
    pub minimum_losses: Option<Vec<f64>>,
}

impl Default for FamoConfig {
    fn default() -> Self {
        FamoConfig { learning_rate: 0.025, weight_decay: 1e-3, minimum_losses: None }
    }
}

impl FamoConfig {
    pub(crate) fn check(&self, tasks: usize) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=1.0).contains(&self.learning_rate), "learning_rate", "lies in [0, 1]")?;
        BalanceError::need((0.0..=1.0).contains(&self.weight_decay), "weight_decay", "lies in [0, 1]")?;
        let fits = |list: &Vec<f64>| list.len() == tasks && list.iter().all(|value| value.is_finite());
        let holds = self.minimum_losses.as_ref().is_none_or(fits);
        BalanceError::need(holds, "minimum_losses", "has one finite value per task")
    }
}

/// What FAMO remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    logits: Learned,
    /// Steps whose losses after the step were handed over.
    step: u64,
    /// log D of the step whose losses after it are awaited; absent for tasks that took no part.
    waiting: Vec<Option<f64>>,
}

/// The rule.
pub(crate) struct Famo(pub(crate) FamoConfig);

impl Famo {
    fn log_distance(&self, task: usize, loss: f64) -> Result<f64, BalanceError> {
        let bound = self.0.minimum_losses.as_ref().map_or(0.0, |bounds| bounds[task]);
        let distance = loss - bound + EPSILON;
        if distance.is_finite() && distance > 0.0 {
            return Ok(distance.ln());
        }
        Err(BalanceError::LossRange {
            method: self.method(),
            task,
            value: loss,
            needs: "finite losses not below their `minimum_losses`",
        })
    }
}

impl StatefulRule for Famo {
    type State = State;

    fn method(&self) -> &'static str {
        "famo"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { logits: Learned::new(tasks, 0.0), step: 0, waiting: vec![None; tasks] }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.logits.fits(tasks) && state.waiting.len() == tasks
    }

    fn weights(&self, state: &mut State, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let members = step.active.members();
        let losses = step.losses()?;
        let mut logs = Vec::with_capacity(losses.len());
        for (&task, &loss) in members.iter().zip(&losses) {
            let log = self.log_distance(task, loss)?;
            state.waiting[task] = Some(log);
            logs.push(log);
        }
        let z = softmax(&members.iter().map(|&task| state.logits.get(task)).collect::<Vec<f64>>());
        // z_i/D_i over their sum, in logs so that a loss near its bound does not overflow.
        let terms: Vec<f64> = z.iter().zip(&logs).map(|(z, log)| z.ln() - log).collect();
        Ok(softmax(&terms).into())
    }
}

impl AfterStepBalancer for Stateful<Famo> {
    fn name(&self) -> &'static str {
        self.rule.method()
    }

    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<(Balance, AfterStep), BalanceError> {
        if AfterStepBalancer::pending(self).is_some() {
            return Err(BalanceError::AfterStep {
                method: self.rule.method(),
                reason: "the losses after the last step were not passed",
            });
        }
        let (balance, _) = self.step(input)?;
        Ok((balance, AfterStep { step: self.state.step }))
    }

    fn after_step(&mut self, token: AfterStep, losses: &[f64]) -> Result<(), BalanceError> {
        let method = self.rule.method();
        if token.step != self.state.step {
            return Err(BalanceError::AfterStep { method, reason: "the losses belong to another step" });
        }
        if losses.len() != self.tasks {
            return Err(BalanceError::Shape {
                what: "the list of losses after the step",
                tasks: self.tasks,
                expected: self.tasks,
                got: losses.len(),
            });
        }
        let mut members = Vec::new();
        let mut delta = Vec::new();
        for (task, before) in self.state.waiting.iter().enumerate() {
            if let Some(before) = before {
                members.push(task);
                delta.push(before - self.rule.log_distance(task, losses[task])?);
            }
        }
        let logits = &mut self.state.logits;
        let z = softmax(&members.iter().map(|&task| logits.get(task)).collect::<Vec<f64>>());
        let mean: f64 = z.iter().zip(&delta).map(|(z, delta)| z * delta).sum();
        for (i, &task) in members.iter().enumerate() {
            // (Jᵀδ)_i = z_i (δ_i − Σ z_j δ_j).
            logits.descend(task, z[i] * (delta[i] - mean), self.rule.0.learning_rate, self.rule.0.weight_decay);
        }
        self.state.waiting.iter_mut().for_each(|waiting| *waiting = None);
        self.state.step += 1;
        Ok(())
    }

    fn pending(&self) -> Option<AfterStep> {
        self.state.waiting.iter().any(Option::is_some).then_some(AfterStep { step: self.state.step })
    }

    fn state(&self) -> Value {
        self.save()
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        self.load(state)
    }
}
