//! What every architecture promises.

use std::collections::BTreeSet;

use candle_core::Tensor;
use mtids_layers::optimizer::Gradients;
use mtids_layers::{AdamW, AdamWConfig, Parameters};
use mtids_models::gate::OtherView;
use mtids_models::step::{StepGradients, gradients};
use mtids_models::{
    Architecture, DbrConfig, LossConfig, Mode, Model, ModelConfig, MtIdsConfig, NormKind, Scope, StepInputs,
    StepOptions, TaskLosses, train_step,
};

use crate::support::{Case, build, cases, config, flat, input, largest, small, targets, value, variable};

const MODE: Mode = Mode::Train { seed: 1, step: 2 };

/// Gradients for coefficients 1, 1 + `by`, 1 + 2 `by`, …
fn weighted(model: &Model, parameters: &Parameters, input: &[Tensor], scope: Scope, by: f64) -> Gradients {
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let mut answer =
        |given: &StepGradients<'_>| Ok((0..given.losses.len()).map(|task| 1.0 + by * task as f64).collect());
    let inputs = StepInputs { model, parameters, losses: &losses, input, targets: &targets() };
    gradients(&inputs, scope, MODE, &mut answer).unwrap().0
}

#[test]
fn every_trainable_variable_gets_a_gradient() {
    for case in cases() {
        let (name, (model, parameters)) = (&case.name, case.build());
        let found = weighted(&model, &parameters, &case.inputs(4), Scope::Boundary, 0.0);
        for (parameter, _) in parameters.variables() {
            let gradient = found.get(&parameter).unwrap_or_else(|| panic!("{name}: {parameter} has no gradient"));
            assert!(largest(gradient) > 0.0, "{name}: the gradient of {parameter} is zero");
        }
    }
}

/// With top-k an expert that no sample of the batch chose gets no gradient: that is what top-k means. So does DSelect-k once its
/// selectors have settled (see `identities`); everything else is trained.
#[test]
fn with_top_k_only_experts_that_nobody_chose_get_no_gradient() {
    let dbr = DbrConfig { shared_top_k: 1, private_top_k: 1, ..config().dbr };
    let (model, parameters) = build(&ModelConfig::MtIds(MtIdsConfig { dbr, ..config() }));
    let outputs = model.forward(&input(4), MODE).unwrap();
    let mut idle = BTreeSet::new();
    let mut note = |prefix: &str, weights: Vec<Tensor>| {
        let sum = weights.into_iter().map(|w| w.sum(0).unwrap()).reduce(|a, b| (a + b).unwrap()).unwrap();
        let unused = flat(&sum).into_iter().enumerate().filter(|(_, sum)| *sum == 0.0);
        idle.extend(unused.map(|(expert, _)| format!("{prefix}.{expert}.")));
    };
    note("shared", outputs.gates.iter().map(|gate| gate.shared_weights().unwrap().unwrap()).collect());
    for (task, gate) in model.tasks().tasks().iter().zip(&outputs.gates) {
        note(&format!("private.{}", task.name), vec![gate.private_weights().unwrap().unwrap()]);
    }
    let found = weighted(&model, &parameters, &input(4), Scope::Boundary, 0.0);
    for (parameter, _) in parameters.variables() {
        let trained = found.get(&parameter).is_some_and(|gradient| largest(gradient) > 0.0);
        let expected = !idle.iter().any(|prefix| parameter.starts_with(prefix.as_str()));
        // One weight of 1 leaves an expert control of k = 1 nothing to learn but the load balance and its noise.
        assert!(trained == expected || parameter.starts_with("gate."), "{parameter}: {trained}");
    }
}

/// The definition of "shared": reached by two or more tasks. It also says that no task moves what is another's.
#[test]
fn shared_is_what_two_tasks_reach() {
    for case in cases() {
        let (name, (model, parameters)) = (&case.name, case.build());
        let outputs = model.forward(&case.inputs(4), MODE).unwrap();
        let stores: Vec<_> =
            outputs.logits.iter().map(|logits| logits.sqr().unwrap().sum_all().unwrap().backward().unwrap()).collect();
        for (parameter, variable) in parameters.variables() {
            if parameter.starts_with("read_out.") {
                continue;
            }
            let reached =
                |store: &candle_core::backprop::GradStore| store.get(&variable).is_some_and(|g| largest(g) > 0.0);
            let tasks: Vec<&str> = model
                .tasks()
                .tasks()
                .iter()
                .zip(&stores)
                .filter(|(_, store)| reached(store))
                .map(|(task, _)| task.name.as_str())
                .collect();
            assert_eq!(model.network().is_shared(&parameter), tasks.len() > 1, "{name}: {parameter} by {tasks:?}");
            if let [only] = tasks[..] {
                assert!(parameter.split('.').any(|part| part == only), "{name}: {only} moves {parameter}");
            }
        }
        assert_eq!(model.network().balances(), case.config.architecture() != Architecture::SingleTask);
    }
}

#[test]
fn both_scopes_agree_for_linear_weightings() {
    for case in cases() {
        let (name, (model, parameters)) = (&case.name, case.build());
        let by = |scope| weighted(&model, &parameters, &case.inputs(4), scope, 0.7);
        let (boundary, exact) = (by(Scope::Boundary), by(Scope::Exact));
        assert_eq!(boundary.keys().collect::<Vec<_>>(), exact.keys().collect::<Vec<_>>(), "{name}");
        for (parameter, gradient) in &boundary {
            let difference = largest(&(gradient - &exact[parameter]).unwrap());
            assert!(difference <= 1e-9 * largest(gradient).max(1.0), "{name}: {parameter} differs by {difference}");
        }
    }
}

/// One step of each: the balancer is asked where something is shared, running statistics move with the weights.
#[test]
fn every_architecture_takes_a_step_on_its_views() {
    for case in cases() {
        for scope in [Scope::Boundary, Scope::Exact] {
            let (name, (model, parameters)) = (&case.name, case.build());
            let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
            let (input, targets) = (case.inputs(4), targets());
            let inputs = StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input,
                targets: &targets,
            };
            let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
            let options = StepOptions { scope, clip_norm: 5.0, learning_rate: 1e-2, seed: 1 };
            let mut asked = false;
            let mut equal = |given: &StepGradients<'_>| {
                asked = given.gram.iter().any(|product| *product != 0.0);
                Ok(vec![1.0; given.losses.len()])
            };
            let before: Vec<Vec<f64>> = parameters.state().iter().map(|(_, value)| flat(value)).collect();
            let report = train_step(&inputs, &mut optimizer, &options, &mut equal).unwrap();
            assert!(report.losses.iter().all(Option::is_some), "{name}");
            assert_eq!(asked, model.network().balances(), "{name}");
            for ((parameter, after), before) in parameters.state().iter().zip(before) {
                assert!(flat(after) != before, "{name} {scope:?}: {parameter} stays where it is");
            }
        }
    }
}

#[test]
fn nothing_shared_means_nothing_to_balance() {
    let (model, parameters) = build(&small(Architecture::SingleTask));
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    for scope in [Scope::Boundary, Scope::Exact] {
        let mut never = |_: &StepGradients<'_>| Err::<Vec<f64>, _>("the balancer was asked about nothing".into());
        let (_, report) = gradients(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            scope,
            MODE,
            &mut never,
        )
        .unwrap();
        assert_eq!(report.coefficients, [1.0; 3]);
    }
}

#[test]
fn samples_of_a_batch_do_not_influence_each_other() {
    for case in cases() {
        let (name, (model, _)) = (&case.name, case.build());
        let x = case.inputs(4);
        let together = model.evaluate(&x).unwrap();
        for n in 0..4 {
            let one: Vec<Tensor> = x.iter().map(|x| x.narrow(0, n, 1).unwrap()).collect();
            let alone = model.evaluate(&one).unwrap();
            for (a, b) in together.logits.iter().zip(&alone.logits) {
                assert!(largest(&(a.narrow(0, n, 1).unwrap() - b).unwrap()) < 1e-12, "{name}");
            }
        }
    }
}

/// One view with group norm, and two with batch norm: the other combinations have no operation that these lack.
#[test]
fn gradients_of_every_architecture_are_exact() {
    let chosen = |case: &Case| {
        let batch = case.config.backbone().norm == Some(NormKind::Batch);
        // A stop of the gradient is no derivative: STEM is checked against PyTorch instead (`make parity-models`).
        batch == (case.problem.views.len() > 1) && case.config.architecture() != Architecture::Stem
    };
    for mut case in cases().into_iter().filter(chosen) {
        if let ModelConfig::MtIds(config) = &mut case.config {
            (config.dbr.other_view, config.dbr.gate_gradient) = (OtherView::Trained, Some(true));
        }
        let (name, (model, parameters), input) = (&case.name, case.build(), case.inputs(4));
        let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
        let total = || -> f64 {
            let outputs = model.forward(&input, MODE).unwrap();
            let tasks: f64 = losses.losses(&outputs, &targets()).unwrap().iter().flatten().map(value).sum();
            let rest = losses.regulariser(model.network().gate_terms(), &outputs).unwrap();
            tasks + rest.map_or(0.0, |rest| value(&rest))
        };
        let found = weighted(&model, &parameters, &input, Scope::Boundary, 0.0);
        for (parameter, variable) in parameters.variables() {
            // The prediction head learns from a loss of its own, which reaches nothing else.
            if parameter.starts_with("read_out.") {
                continue;
            }
            let before = variable.as_tensor().copy().unwrap();
            let at = before.elem_count() / 2;
            let moved = |by: f64| {
                let mut values = flat(&before);
                values[at] += by;
                variable.set(&Tensor::from_vec(values, before.dims(), before.device()).unwrap()).unwrap();
                total()
            };
            // A small step meets few corners of rectifiers.
            let numeric = (moved(1e-7) - moved(-1e-7)) / 2e-7;
            variable.set(&before).unwrap();
            let exact = flat(&found[&parameter])[at];
            // A ReLU at its corner spoils a difference, not the gradient: tolerance for the few that lie there.
            let scale = numeric.abs().max(exact.abs()).max(1e-2);
            assert!((numeric - exact).abs() <= 1e-4 * scale, "{name}: {parameter}: {exact}, {numeric}");
        }
    }
}

#[test]
fn stem_reads_the_experts_of_other_tasks_and_leaves_them_alone() {
    let (model, parameters) = build(&small(Architecture::Stem));
    let joint = || model.forward(&input(4), Mode::Evaluate).unwrap().logits[0].clone();
    let before = joint();
    let foreign = variable(&parameters, "private.region.1.second.bias");
    let store = before.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!(store.get(&foreign).is_none_or(|gradient| largest(gradient) == 0.0), "not trained");
    foreign.set(&(foreign.as_tensor() + 1.0).unwrap()).unwrap();
    assert!(largest(&(joint() - before).unwrap()) > 1e-6, "but read");
}

#[test]
fn weights_of_every_gate_sum_to_one() {
    for case in cases() {
        let (name, config, (model, _)) = (&case.name, &case.config, case.build());
        let outputs = model.evaluate(&case.inputs(4)).unwrap();
        // With experts that are no power of 2 some codes of DSelect-k have no expert, and their weight is lost.
        let short = matches!(config, ModelConfig::DSelectK(config) if !config.experts.count.is_power_of_two());
        for gate in outputs.lower_gates.iter().flatten().chain(&outputs.gates) {
            let parts = [gate.shared_weights(), gate.private_weights(), gate.other_weights()];
            let weights: Vec<Tensor> = parts.into_iter().filter_map(Result::unwrap).collect();
            let weights = Tensor::cat(&weights, 1).unwrap();
            assert!(flat(&weights).iter().all(|weight| *weight >= 0.0), "{name}");
            let sums = flat(&weights.sum(1).unwrap());
            let right = |sum: f64| if short { sum <= 1.0 + 1e-12 } else { (sum - 1.0).abs() < 1e-12 };
            assert!(sums.iter().all(|sum| right(*sum)), "{name}: {sums:?}");
        }
    }
}
