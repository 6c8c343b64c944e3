//! What passes between gates, models, losses and steps.
//!
//! Invariant of a [`GateOutput`]: within a branch weights sum to 1 per sample, unless the branch has no weight at all.

use candle_core::Tensor;

use crate::error::Result;
use mtids_layers::norm::Phase;

/// Whether the network is trained: gate noise (of sparse gates) and dropout are drawn, and batch norm uses and records the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No noise; batch norm by its running statistics.
    Evaluate,
    /// Noise that is a function of seed and step.
    Train {
        /// Seed of the run.
        seed: u64,
        /// Optimiser step.
        step: u64,
    },
}

impl Mode {
    /// What batch norm does.
    pub(crate) fn phase(self) -> Phase {
        match self {
            Self::Evaluate => Phase::Evaluate,
            Self::Train { .. } => Phase::Train,
        }
    }

    /// Seed and step for what is drawn; absent in evaluation.
    pub(crate) fn draw(self) -> Option<(u64, u64)> {
        match self {
            Self::Evaluate => None,
            Self::Train { seed, step } => Some((seed, step)),
        }
    }
}

/// What a gate decided.
#[derive(Clone, Debug)]
pub struct GateOutput {
    /// α, `[B, 2]`: shared, private; `[B, 3]` where a task also reads the experts of the other tasks.
    pub branch: Tensor,
    /// π^s, `[B, E_s]`; absent without a shared branch.
    pub shared: Option<Tensor>,
    /// π^p, `[B, E_p]`; absent without a private branch.
    pub private: Option<Tensor>,
    /// Division among the experts of the other tasks, in task order; absent where the task does not read them.
    pub others: Option<Tensor>,
}

impl GateOutput {
    /// Of weights `[B, E]` over shared experts alone.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub(crate) fn of_shared(weights: &Tensor) -> Result<Self> {
        let shared = weights.sum_keepdim(1)?;
        let branch = Tensor::cat(&[&shared, &shared.zeros_like()?], 1)?;
        Ok(Self { branch, shared: Some(within(weights, &shared)?), private: None, others: None })
    }

    /// Of flat weights over shared, own and, where given, the other tasks' experts. For statistics.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub(crate) fn of_flat(shared: &Tensor, private: &Tensor, others: Option<&Tensor>) -> Result<Self> {
        let parts: Vec<&Tensor> = [Some(shared), Some(private), others].into_iter().flatten().collect();
        let sums: Result<Vec<Tensor>> = parts.iter().map(|part| Ok(part.sum_keepdim(1)?)).collect();
        let sums = sums?;
        let divided: Result<Vec<Tensor>> = parts.iter().zip(&sums).map(|(part, sum)| within(part, sum)).collect();
        let mut divided = divided?.into_iter();
        Ok(Self {
            branch: Tensor::cat(&sums, 1)?,
            shared: divided.next(),
            private: divided.next(),
            others: divided.next(),
        })
    }

    /// Weights α^s π^s of the shared experts, `[B, E_s]`.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn shared_weights(&self) -> Result<Option<Tensor>> {
        self.weights(0, self.shared.as_ref())
    }

    /// Weights α^p π^p of the private experts, `[B, E_p]`.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn private_weights(&self) -> Result<Option<Tensor>> {
        self.weights(1, self.private.as_ref())
    }

    /// Weights of the other tasks' experts, `[B, (T − 1) E_p]`.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn other_weights(&self) -> Result<Option<Tensor>> {
        self.weights(2, self.others.as_ref())
    }

    fn weights(&self, branch: usize, within: Option<&Tensor>) -> Result<Option<Tensor>> {
        within.map(|pi| Ok(pi.broadcast_mul(&self.branch.narrow(1, branch, 1)?)?)).transpose()
    }
}

/// Weights as parts of their branch, which may have no weight at all in single precision.
fn within(weights: &Tensor, sum: &Tensor) -> Result<Tensor> {
    Ok(weights.broadcast_div(&(sum + f64::from(f32::MIN_POSITIVE))?)?)
}

/// The gates of all tasks in one, where tasks are computed together: the rows of the first task, then those of the next.
#[derive(Clone, Debug)]
pub struct GatesTogether {
    /// Number of tasks T.
    pub tasks: usize,
    /// What they decided, `[T B, ..]`.
    pub gate: GateOutput,
    /// Weights of the shared experts, `[T B, E_s]`; absent without a shared branch.
    pub shared_weights: Option<Tensor>,
    /// Weights of the private experts, `[T B, E_p]`; absent without a private branch.
    pub private_weights: Option<Tensor>,
}

impl GatesTogether {
    /// Means over the batch of a tensor `[T B, n]`: `[T, n]`.
    pub(crate) fn means(&self, values: &Tensor) -> Result<Tensor> {
        Ok(values.reshape((self.tasks, (), values.dim(1)?))?.mean(1)?)
    }
}

/// What the model says about a batch.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Logits of each task, `[B, C_t]`.
    pub logits: Vec<Tensor>,
    /// Decision of each task's last gate; empty for a model without gates.
    pub gates: Vec<GateOutput>,
    /// The decisions of the last gates in one, where a step computes all tasks together; `gates` is empty then.
    pub gates_together: Option<GatesTogether>,
    /// Decisions of the layers below, lowest first, each with one gate per task.
    pub lower_gates: Vec<Vec<GateOutput>>,
    /// Terms that the architecture itself adds to the loss, weighted; scalars.
    pub penalties: Vec<Tensor>,
}

/// What all tasks read: the outputs of the shared parameters.
#[derive(Clone, Debug, Default)]
pub struct Boundary {
    /// The tensors at the cut, batch first.
    pub tensors: Vec<Tensor>,
    /// Decisions of layers that lie wholly below the cut, lowest first, one per task.
    pub gates: Vec<Vec<GateOutput>>,
}

/// What one task makes of its view of the boundary.
#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// `[B, C_t]`.
    pub logits: Tensor,
    /// Decisions of the task's gates above the cut, lowest layer first; empty without gates.
    pub gates: Vec<GateOutput>,
    /// A weighted term for the loss, a scalar, where the architecture has one.
    pub penalty: Option<Tensor>,
}

impl TaskOutput {
    pub(crate) fn plain(logits: Tensor) -> Self {
        Self { logits, gates: Vec::new(), penalty: None }
    }

    pub(crate) fn gated(logits: Tensor, gate: GateOutput) -> Self {
        Self { logits, gates: vec![gate], penalty: None }
    }
}

/// Which regularisers of [`crate::LossConfig`] apply to the gates of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateTerms {
    /// The gates learn a distribution over two branches: the branch prior R_b.
    pub branch_prior: bool,
    /// The load balance R_e.
    pub load_balance: bool,
}

/// The outputs of all tasks in one.
pub(crate) fn gather(below: Vec<Vec<GateOutput>>, tasks: Vec<TaskOutput>) -> Outputs {
    let mut outputs = Outputs { lower_gates: below, ..Outputs::default() };
    let first = outputs.lower_gates.len();
    for task in tasks {
        outputs.logits.push(task.logits);
        outputs.penalties.extend(task.penalty);
        let mut gates = task.gates;
        outputs.gates.extend(gates.pop());
        for (layer, gate) in gates.into_iter().enumerate() {
            if outputs.lower_gates.len() <= first + layer {
                outputs.lower_gates.push(Vec::new());
            }
            outputs.lower_gates[first + layer].push(gate);
        }
    }
    outputs
}
