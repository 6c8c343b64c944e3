//! Short trainings on a small synthetic problem.

use candle_core::{Device, Tensor};
use mtids_layers::{AdamW, AdamWConfig, Parameters};
use mtids_models::step::StepGradients;
use mtids_models::{
    LossConfig, Model, Scope, StepInputs, StepOptions, StepReport, TargetBatch, TaskLosses, train_step,
};

use crate::support::{all, build, config, model, numbers, variable};

/// Patches in which a bright column tells the region and the sign of the other slice the status.
fn problem() -> ([Tensor; 1], TargetBatch) {
    let mut targets = TargetBatch::default();
    let mut values = Vec::new();
    for sample in 0..12_u64 {
        let (region, metastasis) = (sample % 3, sample / 3 % 2);
        let mut patch: Vec<f64> = numbers(2 * 144, sample).into_iter().map(|v| 0.3 * v).collect();
        for row in 0..12 {
            patch[row * 12 + 2 + 4 * region as usize] += 1.5;
        }
        for value in &mut patch[144..] {
            *value += if metastasis == 1 { 0.7 } else { -0.7 };
        }
        values.extend(patch);
        targets.region.push(Some(region as u32));
        targets.metastasis.push(Some(metastasis as u32));
    }
    ([Tensor::from_vec(values, (12, 1, 2, 12, 12), &Device::Cpu).unwrap()], targets)
}

fn train(model: &Model, parameters: &Parameters, loss: &LossConfig, scope: Scope, steps: usize) -> Vec<StepReport> {
    let losses = TaskLosses::new(loss, model.tasks(), None).unwrap();
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let options = StepOptions { scope, clip_norm: 5.0, learning_rate: 2e-2, seed: 1 };
    let (x, targets) = problem();
    (0..steps)
        .map(|_| {
            let mut equal = |step: &StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
            train_step(
                &StepInputs { model, parameters, losses: &losses, input: &x, targets: &targets },
                &mut optimizer,
                &options,
                &mut equal,
            )
            .unwrap()
        })
        .collect()
}

#[test]
fn every_architecture_learns_by_train_step() {
    for (name, config) in all() {
        let (model, parameters) = build(&config);
        let reports = train(&model, &parameters, &LossConfig::default(), Scope::Boundary, 25);
        let total = |report: &StepReport| report.losses.iter().flatten().sum::<f64>();
        let (first, last) = (total(&reports[0]), total(&reports[24]));
        assert!(last < 0.75 * first, "{name}: {first} to {last}");
        let has_gates = !model.evaluate(&problem().0).unwrap().gates.is_empty();
        assert_eq!(reports[0].gates.len(), if has_gates { model.tasks().len() } else { 0 }, "{name}");
    }
}

/// Least mean weight of any branch after a training that starts with all but dead shared branches.
fn least_branch(prior: f64) -> f64 {
    let (model, parameters) = model(&config());
    for task in ["joint", "region", "metastasis"] {
        let bias = variable(&parameters, &format!("gate.{task}.branch.bias"));
        bias.set(&Tensor::new(&[-2.0, 2.0], &Device::Cpu).unwrap()).unwrap();
    }
    let loss = LossConfig { branch_prior_weight: prior, ..LossConfig::default() };
    let reports = train(&model, &parameters, &loss, Scope::Boundary, 120);
    let last = reports.last().unwrap();
    last.gates.iter().flat_map(|gate| [gate.shared_branch, gate.private_branch]).fold(1.0, f64::min)
}

#[test]
fn the_branch_prior_keeps_every_branch_alive() {
    let (with, without) = (least_branch(0.1), least_branch(0.0));
    assert!(with > 0.1, "{with} with the prior");
    assert!(without < 0.1, "{without} without: the problem would not need it");
}
