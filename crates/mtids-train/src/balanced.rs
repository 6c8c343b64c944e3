//! One training step under a balancing rule: what each kind of balancer is given, and what it needs afterwards.
//!
//! Purpose: the network knows no rule and the rules no network; here they meet. Invariant: a rule that looks at the losses after its step is
//! given them before the next one, or the step is an error.

use mtids_balance::{AfterStep, AnyBalancer, BalanceInput, GradientInput, Rows};
use mtids_models::{Balancing, Combined, ModelError, StepGradients, WholeGradients};

use crate::error::TrainError;

fn balance_input<'g>(gradients: &StepGradients<'g>) -> BalanceInput<'g> {
    BalanceInput { gram: gradients.gram, losses: Some(gradients.losses), active: gradients.active }
}

/// A step that is under way.
pub(crate) struct BalancedStep<'r> {
    rule: &'r mut AnyBalancer,
    /// Share of conflicting pairs, for each batch.
    conflicting_shares: Vec<f64>,
    token: Option<AfterStep>,
}

impl<'r> BalancedStep<'r> {
    pub(crate) fn new(rule: &'r mut AnyBalancer) -> Self {
        Self { rule, conflicting_shares: Vec::new(), token: None }
    }

    /// Share of the pairs of tasks whose gradients conflicted; the mean over the batches of the step.
    pub(crate) fn conflicting_share(&self) -> f64 {
        let shares = &self.conflicting_shares;
        if shares.is_empty() { 0.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
    }

    /// Takes the step, or a part of it, with the kind of balancer that the rule is.
    pub(crate) fn take<T>(
        &mut self,
        step: impl FnOnce(Balancing<'_, '_>) -> Result<T, ModelError>,
    ) -> Result<T, TrainError> {
        let mut share = 0.0;
        let token = &mut self.token;
        let done = match &mut *self.rule {
            AnyBalancer::Step(rule) => step(Balancing::Weigh(&mut |gradients| {
                let balance = rule.coefficients(&balance_input(gradients))?;
                share = balance.telemetry.conflicting_share;
                Ok(balance.coefficients)
            })),
            AnyBalancer::Epoch(rule) => step(Balancing::Weigh(&mut |gradients| {
                let balance = rule.coefficients(&balance_input(gradients))?;
                share = balance.telemetry.conflicting_share;
                Ok(balance.coefficients)
            })),
            AnyBalancer::AfterStep(rule) => step(Balancing::Weigh(&mut |gradients| {
                let (balance, owed) = rule.coefficients(&balance_input(gradients))?;
                share = balance.telemetry.conflicting_share;
                *token = Some(owed);
                Ok(balance.coefficients)
            })),
            AnyBalancer::Gradients(rule) => step(Balancing::Combine(&mut |gradients, rows| {
                let (losses, active) = (Some(gradients.losses), gradients.active);
                let balance = match rows {
                    WholeGradients::F32(rows) => {
                        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                        rule.combine(&GradientInput { rows: Rows::F32(&rows), losses, active })?
                    }
                    WholeGradients::F64(rows) => {
                        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
                        rule.combine(&GradientInput { rows: Rows::F64(&rows), losses, active })?
                    }
                };
                share = balance.telemetry.conflicting_share;
                Ok(Combined { update: balance.update, weights: balance.weights })
            })),
        };
        self.conflicting_shares.push(share);
        Ok(done?)
    }

    /// Hands over the losses after the step, where the rule asks for them.
    pub(crate) fn after_step(
        self,
        losses: impl FnOnce() -> Result<Vec<Option<f64>>, ModelError>,
    ) -> Result<(), TrainError> {
        if let (AnyBalancer::AfterStep(rule), Some(token)) = (self.rule, self.token) {
            // Losses of tasks that took no part are not looked at.
            let losses: Vec<f64> = losses()?.into_iter().map(|loss| loss.unwrap_or(0.0)).collect();
            rule.after_step(token, &losses)?;
        }
        Ok(())
    }
}
