//! Several batches whose gradients make one update.
//!
//! Purpose: a batch that memory does not hold is taken in parts. The balancer is asked once for each part; the balanced gradients of the parts
//! are averaged, clipped and given to the optimiser. Invariants: with one part the update is that of [`super::train_step_with`], bit for bit; the parts
//! are added in order, then those of the ranks; batch norm sees each part by itself, and the running statistics follow every part.

use mtids_layers::optimizer::{Gradients, UpdateRule, clip, clip_where_they_are, squared_norms};
use mtids_layers::parameters::Parameters;

use super::among_ranks::sum_gradients;
use super::pass;
use super::reading::{Late, Pass, Reads, Side};
use super::scope::On;
use super::types::{Balancing, GateMeans, StepInputs, StepOptions, StepReport};
use crate::error::{ModelError, Result};
use crate::types::Mode;

/// An update that is being collected.
#[derive(Debug, Default)]
pub struct Accumulation {
    pub(super) gradients: Gradients,
    parts: Vec<(StepReport, Late)>,
    reads: usize,
}

impl Accumulation {
    /// Adds the balanced gradient of a part. `draw` keys its gate noise and dropout together with the seed: another number for each part of a
    /// training.
    ///
    /// Backward passes recurse along the graph: call this on a thread with a large stack (64 MiB).
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] when a loss or a task's gradient is NaN or infinite; [`ModelError::Balance`] when the balancer fails. The
    /// update is lost then.
    pub fn add(
        &mut self,
        inputs: &StepInputs<'_>,
        options: &StepOptions,
        draw: u64,
        balancing: Balancing<'_, '_>,
    ) -> Result<()> {
        let mode = Mode::Train { seed: options.seed, step: draw };
        let added =
            self.add_on(&On { inputs: *inputs, mode, side: Side::of(inputs.parameters.device()) }, options, balancing);
        if added.is_err() {
            inputs.parameters.discard_statistics();
        }
        added
    }

    pub(super) fn add_on(&mut self, on: &On<'_>, options: &StepOptions, balancing: Balancing<'_, '_>) -> Result<()> {
        if !self.parts.is_empty() {
            // A forward pass records over the statistics of the one before.
            on.inputs.parameters.commit_statistics()?;
        }
        let Pass { gradients, report, late, reads: Reads(reads) } = pass(on, options.scope, balancing)?;
        for (name, gradient) in gradients {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        self.parts.push((report, late));
        self.reads += reads;
        Ok(())
    }

    /// How many parts were added.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Averages the parts, clips and updates. The report holds means over the parts; a loss is the mean over those that had a labelled sample.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] when the gradient is NaN or infinite; nothing is updated then, except on a GPU: weights and moments are useless
    /// afterwards, and must not be saved.
    pub fn update<O: UpdateRule>(
        self,
        parameters: &Parameters,
        optimizer: &mut O,
        options: &StepOptions,
    ) -> Result<StepReport> {
        let updated = self.update_on(Side::of(parameters.device()), parameters, optimizer, options);
        // Statistics of a batch whose step failed belong to no step.
        match updated {
            Ok(report) => {
                parameters.commit_statistics()?;
                Ok(report)
            }
            Err(error) => {
                parameters.discard_statistics();
                Err(error)
            }
        }
    }

    pub(super) fn update_on<O: UpdateRule>(
        self,
        side: Side,
        parameters: &Parameters,
        optimizer: &mut O,
        options: &StepOptions,
    ) -> Result<StepReport> {
        let Self { mut gradients, mut parts, reads } = self;
        let mut reads = Reads(reads);
        sum_gradients(&mut gradients, parameters.ranks())?;
        if parts.len() > 1 {
            for gradient in gradients.values_mut() {
                *gradient = (&*gradient * (1.0 / parts.len() as f64))?;
            }
        }
        let squares = squared_norms(&gradients)?;
        // The norm is read with the last part.
        if let Some((_, late)) = parts.last_mut() {
            late.squares(&squares)?;
        }
        let report = match side {
            Side::Host => {
                let report = read(parts, &mut reads)?;
                clip(&mut gradients, report.gradient_norm, options.clip_norm)?;
                optimizer.step(parameters, &gradients, options.learning_rate)?;
                report
            }
            Side::Device => {
                clip_where_they_are(&mut gradients, &squares, options.clip_norm)?;
                optimizer.step(parameters, &gradients, options.learning_rate)?;
                read(parts, &mut reads)?
            }
        };
        Ok(StepReport { reads: reads.0, ..report })
    }
}

/// Reads what is still missing and takes means over the parts.
fn read(parts: Vec<(StepReport, Late)>, reads: &mut Reads) -> Result<StepReport> {
    let mut reports = Vec::with_capacity(parts.len());
    for (mut report, late) in parts {
        late.read(&mut report, reads)?;
        reports.push(report);
    }
    let Some(report) = mean(reports) else {
        return Err(ModelError::Targets("an update needs at least one batch".to_owned()));
    };
    if report.gradient_norm.is_finite() {
        Ok(report)
    } else {
        Err(ModelError::NotFinite { what: "the gradient".into() })
    }
}

/// The mean of reports; the gradient norm is that of the last one. One report is returned as it is.
fn mean(mut reports: Vec<StepReport>) -> Option<StepReport> {
    let last = reports.pop()?;
    if reports.is_empty() {
        return Some(last);
    }
    reports.push(last);
    let every = |values: &dyn Fn(&StepReport) -> Vec<f64>| mean_rows(reports.iter().map(values));
    let known = |value: &dyn Fn(&StepReport) -> Option<f64>| {
        let values: Vec<f64> = reports.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let gates = |report: &StepReport| report.gates.len();
    let last = reports.last()?;
    Some(StepReport {
        losses: (0..last.losses.len()).map(|task| known(&|report| *report.losses.get(task)?)).collect(),
        pooled_loss: known(&|report| report.pooled_loss),
        regulariser: known(&|report| Some(report.regulariser)).unwrap_or(0.0),
        gram: every(&|report| report.gram.clone()),
        coefficients: every(&|report| report.coefficients.clone()),
        gradient_norm: last.gradient_norm,
        gates: (0..gates(last))
            .filter_map(|gate| mean_gate(reports.iter().filter_map(|report| report.gates.get(gate))))
            .collect(),
        reads: 0,
    })
}

fn mean_gate<'g>(gates: impl Iterator<Item = &'g GateMeans>) -> Option<GateMeans> {
    let gates: Vec<&GateMeans> = gates.collect();
    let last = gates.last()?;
    let one =
        |value: &dyn Fn(&GateMeans) -> f64| gates.iter().map(|gate| value(gate)).sum::<f64>() / gates.len() as f64;
    let list = |values: &dyn Fn(&GateMeans) -> Vec<f64>| mean_rows(gates.iter().map(|gate| values(gate)));
    Some(GateMeans {
        shared_branch: one(&|gate| gate.shared_branch),
        private_branch: one(&|gate| gate.private_branch),
        other_branch: last.other_branch.map(|_| one(&|gate| gate.other_branch.unwrap_or(0.0))),
        shared_experts: list(&|gate| gate.shared_experts.clone()),
        private_experts: list(&|gate| gate.private_experts.clone()),
        other_experts: list(&|gate| gate.other_experts.clone()),
    })
}

/// Mean of rows; a shorter row counts as zeros behind its end.
fn mean_rows(rows: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::<f64>::new(), 0.0);
    for row in rows {
        sum.resize(sum.len().max(row.len()), 0.0);
        for (sum, value) in sum.iter_mut().zip(&row) {
            *sum += value;
        }
        count += 1.0;
    }
    sum.iter().map(|value| value / count).collect()
}
