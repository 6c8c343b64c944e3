//! One training step under a balancing rule: what each kind of balancer is given, and what it needs afterwards.
//!
//! Purpose: the network knows no rule and the rules no network; here they meet. Invariant: a rule that looks at the losses after its step is
//! given them before the next one, or the step is an error.

use std::collections::BTreeMap;

use mtids_balance::{AfterStep, AnyBalancer, BalanceInput, GradientInput, Rows, Telemetry};
use mtids_models::{Balancing, Combined, ModelError, StepGradients, WholeGradients};

use crate::error::TrainError;

fn balance_input<'g>(gradients: &StepGradients<'g>) -> BalanceInput<'g> {
    BalanceInput { gram: gradients.gram, losses: Some(gradients.losses), active: gradients.active }
}

/// Figures of the tasks' gradients, the mean over the batches of a step in which they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GradientFigures {
    /// Share of the pairs of tasks whose gradients conflicted.
    pub(crate) conflicting_share: f64,
    /// Norm by task.
    pub(crate) norms: BTreeMap<String, f64>,
    /// Cosine by two tasks, `one/other` in the order of the tasks.
    pub(crate) cosines: BTreeMap<String, f64>,
}

impl GradientFigures {
    fn of(batches: &[Telemetry], names: &[String]) -> Self {
        let mean = |value: &dyn Fn(&Telemetry) -> Option<f64>| {
            let known: Vec<f64> = batches.iter().filter_map(value).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let takes_part = |batch: &Telemetry, task: usize| batch.active.get(task).copied().unwrap_or(false);
        let norm = |(task, name): (usize, &String)| {
            let value = mean(&|batch| takes_part(batch, task).then(|| batch.norms.get(task).copied()).flatten())?;
            Some((name.clone(), value))
        };
        let cosine = |(one, other): (usize, usize)| {
            let value = mean(&|batch| {
                let is_pair = takes_part(batch, one) && takes_part(batch, other);
                is_pair.then(|| batch.cosines.get(one * names.len() + other).copied()).flatten()
            })?;
            Some((format!("{}/{}", names[one], names[other]), value))
        };
        let pairs = (0..names.len()).flat_map(|one| (one + 1..names.len()).map(move |other| (one, other)));
        Self {
            conflicting_share: mean(&|batch| Some(batch.conflicting_share)).unwrap_or(0.0),
            norms: names.iter().enumerate().filter_map(norm).collect(),
            cosines: pairs.filter_map(cosine).collect(),
        }
    }
}

/// A step that is under way.
pub(crate) struct BalancedStep<'r> {
    rule: &'r mut AnyBalancer,
    /// Figures of the gradients, for each batch.
    telemetry: Vec<Telemetry>,
    token: Option<AfterStep>,
}

impl<'r> BalancedStep<'r> {
    pub(crate) fn new(rule: &'r mut AnyBalancer) -> Self {
        Self { rule, telemetry: Vec::new(), token: None }
    }

    /// What is logged of the gradients of the tasks with these names.
    pub(crate) fn figures(&self, names: &[String]) -> GradientFigures {
        GradientFigures::of(&self.telemetry, names)
    }

    /// Takes the step, or a part of it, with the kind of balancer that the rule is.
    pub(crate) fn take<T>(
        &mut self,
        step: impl FnOnce(Balancing<'_, '_>) -> Result<T, ModelError>,
    ) -> Result<T, TrainError> {
        let seen = &mut self.telemetry;
        let token = &mut self.token;
        let done = match &mut *self.rule {
            AnyBalancer::Step(rule) => step(Balancing::Weigh(&mut |gradients| {
                let balance = rule.coefficients(&balance_input(gradients))?;
                seen.push(balance.telemetry);
                Ok(balance.coefficients)
            })),
            AnyBalancer::Epoch(rule) => step(Balancing::Weigh(&mut |gradients| {
                let balance = rule.coefficients(&balance_input(gradients))?;
                seen.push(balance.telemetry);
                Ok(balance.coefficients)
            })),
            AnyBalancer::AfterStep(rule) => step(Balancing::Weigh(&mut |gradients| {
                let (balance, owed) = rule.coefficients(&balance_input(gradients))?;
                seen.push(balance.telemetry);
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
                seen.push(balance.telemetry);
                Ok(Combined { update: balance.update, weights: balance.weights })
            })),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_balance::BalancerConfig;

    /// Telemetry of a plain sum over gradients with this Gram matrix; the third task has no labels where `active` says so.
    fn telemetry(gram: &[f64; 9], active: [bool; 3]) -> Telemetry {
        let mut rule = BalancerConfig::EqualSum {}.build(3).unwrap();
        rule.coefficients(&BalanceInput { gram, losses: Some(&[1.0; 3]), active: &active }).unwrap().telemetry
    }

    #[test]
    fn norms_and_cosines_are_means_over_the_batches_that_know_them() {
        let names: Vec<String> = ["joint", "region", "status"].map(str::to_owned).to_vec();
        // Norms 2, 1, 3; cosines ½ and −1, 0.
        let all = telemetry(&[4.0, 1.0, -6.0, 1.0, 1.0, 0.0, -6.0, 0.0, 9.0], [true; 3]);
        let part = telemetry(&[16.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [true, true, false]);
        let found = GradientFigures::of(&[all, part], &names);
        let values =
            |map: &BTreeMap<String, f64>| map.iter().map(|(name, value)| (name.clone(), *value)).collect::<Vec<_>>();
        assert_eq!(
            values(&found.norms),
            [("joint".to_owned(), 3.0), ("region".to_owned(), 1.0), ("status".to_owned(), 3.0)]
        );
        let cosines = values(&found.cosines);
        let expected = [("joint/region", 0.25), ("joint/status", -1.0), ("region/status", 0.0)];
        assert_eq!(cosines.len(), 3);
        for ((name, value), (expected_name, expected)) in cosines.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert!((value - expected).abs() < 1e-12, "{name}: {value}");
        }
        assert!((found.conflicting_share - 1.0 / 6.0).abs() < 1e-12);
        assert_eq!(GradientFigures::of(&[], &names), GradientFigures::default());
    }
}
