//! One training step of MT-IDS: the Gram matrix, masks, failures, the same result each time.

use mtids_layers::{AdamW, AdamWConfig, DType, Device, Parameters};
use mtids_models::step::{StepGradients, gradients, gradients_with};
use mtids_models::{
    Balancing, Combined, LossConfig, Mode, Model, ModelError, Scope, StepInputs, StepOptions, TargetBatch, TaskLosses,
    WholeGradients, train_step,
};

use crate::support::{cases, config, flat, input, model, targets, value};

#[test]
fn the_exact_scope_hands_over_the_gram_matrix_of_the_shared_gradients() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let one = |task: usize| {
        let mut only = |step: &StepGradients<'_>| {
            Ok((0..step.losses.len()).map(|other| f64::from(u8::from(other == task))).collect())
        };
        let run = gradients(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            Scope::Exact,
            Mode::Evaluate,
            &mut only,
        );
        run.unwrap()
    };
    // The regularisers bypass the balancer: what remains with all coefficients at 0 is theirs.
    let mut none = |step: &StepGradients<'_>| Ok(vec![0.0; step.losses.len()]);
    let rest = gradients(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input(4), targets: &targets() },
        Scope::Exact,
        Mode::Evaluate,
        &mut none,
    )
    .unwrap()
    .0;
    let shared: Vec<Vec<f64>> = (0..3)
        .map(|task| {
            let (found, _) = one(task);
            let shared = found.iter().filter(|(name, _)| model.network().is_shared(name));
            shared.flat_map(|(name, g)| flat(&(g - &rest[name]).unwrap())).collect()
        })
        .collect();
    let gram = one(0).1.gram;
    for i in 0..3 {
        for j in 0..3 {
            let dot: f64 = shared[i].iter().zip(&shared[j]).map(|(a, b)| a * b).sum();
            assert!(
                (gram[3 * i + j] - dot).abs() < 1e-10 * dot.abs().max(1.0),
                "({i}, {j}): {} {dot}",
                gram[3 * i + j]
            );
        }
    }
}

#[test]
fn experts_by_one_product_for_all_take_the_same_step() {
    for case in cases() {
        for scope in [Scope::Boundary, Scope::Exact] {
            let run = |at_once: bool| {
                let parameters = Parameters::new(7, DType::F64, &Device::Cpu).with_layers_at_once(at_once);
                let model = Model::new(&case.config, &case.problem, &parameters).unwrap();
                let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
                let mut weigh =
                    |given: &StepGradients<'_>| Ok((1..=given.losses.len()).map(|n| n as f64 / 2.0).collect());
                let (input, targets) = (case.inputs(4), targets());
                let inputs = StepInputs {
                    model: &model,
                    parameters: &parameters,
                    losses: &losses,
                    input: &input,
                    targets: &targets,
                };
                let (found, report) = gradients(&inputs, scope, Mode::Train { seed: 1, step: 2 }, &mut weigh).unwrap();
                let mut all: Vec<(String, Vec<f64>)> =
                    found.iter().map(|(name, gradient)| (name.clone(), flat(gradient))).collect();
                all.push(("gram".into(), report.gram));
                // What is asked without a gradient reads the weights as they are.
                let evaluated = model.evaluate(&input).unwrap().logits;
                all.extend(evaluated.iter().map(|logits| ("logits".to_owned(), flat(logits))));
                all
            };
            let (one, all) = (run(false), run(true));
            assert_eq!(one.len(), all.len(), "{} {scope:?}", case.name);
            for ((name, one), (other, all)) in one.iter().zip(&all) {
                assert_eq!(name, other, "{} {scope:?}", case.name);
                let size = one.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
                for (a, b) in one.iter().zip(all) {
                    assert!((a - b).abs() <= 1e-9 * size, "{} {scope:?} {name}: {a} {b}", case.name);
                }
            }
        }
    }
}

#[test]
fn unknown_labels_teach_nothing() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let unknown =
        TargetBatch { region: vec![Some(0), Some(1)], metastasis: vec![None, None], ..TargetBatch::default() };
    let mut seen = Vec::new();
    let mut equal = |step: &StepGradients<'_>| {
        seen = step.active.to_vec();
        Ok(vec![1.0; step.losses.len()])
    };
    let (found, report) = gradients(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input(2), targets: &unknown },
        Scope::Boundary,
        Mode::Evaluate,
        &mut equal,
    )
    .unwrap();
    let metastasis = model.tasks().tasks().iter().position(|task| task.name == "metastasis").unwrap();
    assert!(!seen[metastasis] && report.losses[metastasis].is_none());
    assert!(!found.keys().any(|name| name.starts_with("head.metastasis") || name.starts_with("private.metastasis")));
    let nothing = TargetBatch { region: vec![None; 2], metastasis: vec![None; 2], ..TargetBatch::default() };
    let mut never = |_: &StepGradients<'_>| Err::<Vec<f64>, _>("the balancer was asked about nothing".into());
    let (_, report) = gradients(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input(2), targets: &nothing },
        Scope::Boundary,
        Mode::Evaluate,
        &mut never,
    )
    .unwrap();
    assert!(report.losses.iter().all(Option::is_none));
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let options = StepOptions { scope: Scope::Boundary, clip_norm: 5.0, learning_rate: 1e-2, seed: 1 };
    let mut equal = |step: &StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
    let before = parameters.to_bytes().unwrap();
    let poison = input(4).map(|x| (x * f64::NAN).unwrap());
    let error = train_step(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &poison, targets: &targets() },
        &mut optimizer,
        &options,
        &mut equal,
    )
    .unwrap_err();
    assert!(matches!(error, ModelError::NotFinite { .. }), "{error}");
    for answer in [vec![f64::INFINITY; 3], vec![1.0; 2]] {
        let mut wrong = |_: &StepGradients<'_>| Ok(answer.clone());
        let error = train_step(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            &mut optimizer,
            &options,
            &mut wrong,
        )
        .unwrap_err();
        assert!(matches!(error, ModelError::Balance(_)), "{error}");
    }
    assert_eq!(parameters.to_bytes().unwrap(), before);
    let mut equal = |step: &StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
    train_step(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input(4), targets: &targets() },
        &mut optimizer,
        &options,
        &mut equal,
    )
    .unwrap();
    assert_ne!(parameters.to_bytes().unwrap(), before);
}

#[test]
fn the_same_seed_trains_the_same_weights() {
    let trained = || {
        let (model, parameters) = model(&config());
        let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
        let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
        let options = StepOptions { scope: Scope::Boundary, clip_norm: 5.0, learning_rate: 1e-2, seed: 1 };
        let mut first = None;
        let mut last = 0.0;
        for _ in 0..30 {
            let mut equal = |step: &StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
            let report = train_step(
                &StepInputs {
                    model: &model,
                    parameters: &parameters,
                    losses: &losses,
                    input: &input(4),
                    targets: &targets(),
                },
                &mut optimizer,
                &options,
                &mut equal,
            )
            .unwrap();
            last = report.losses.iter().flatten().sum();
            first.get_or_insert(last);
        }
        assert!(last < 0.5 * first.unwrap(), "four samples are learned by heart: {first:?} to {last}");
        parameters.to_bytes().unwrap()
    };
    assert_eq!(trained(), trained());
}

#[test]
fn the_pool_is_learned_only_where_it_is_asked_for() {
    for learned_pool in [true, false] {
        let (model, parameters) = model(&config());
        let losses =
            TaskLosses::new(&LossConfig { learned_pool, ..LossConfig::default() }, model.tasks(), None).unwrap();
        let mut equal = |step: &StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
        let (found, report) = gradients(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            Scope::Boundary,
            Mode::Evaluate,
            &mut equal,
        )
        .unwrap();
        assert_eq!(report.pooled_loss.is_some(), learned_pool);
        assert_eq!(found.contains_key("read_out.eta"), learned_pool);
    }
}

#[test]
fn a_combined_gradient_does_what_its_coefficients_do() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    // Also negative ones, which some rules have.
    let weights = [0.5, -0.25, 2.0];
    for scope in [Scope::Boundary, Scope::Exact] {
        let mut weigh = |_: &StepGradients<'_>| Ok(weights.to_vec());
        let mode = Mode::Train { seed: 1, step: 0 };
        let (expected, _) = gradients(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            scope,
            mode,
            &mut weigh,
        )
        .unwrap();
        let mut combine = |given: &StepGradients<'_>, rows: &WholeGradients| {
            let rows = rows.widened();
            for (i, a) in rows.iter().enumerate() {
                for (j, b) in rows.iter().enumerate() {
                    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    let found = given.gram[i * 3 + j];
                    assert!((dot - found).abs() <= 1e-5 * (1e-9 + found.abs().max(dot.abs())), "{dot} {found}");
                }
            }
            let update =
                (0..rows[0].len()).map(|p| rows.iter().zip(weights).map(|(row, weight)| weight * row[p]).sum());
            Ok(Combined { update: update.collect(), weights: None })
        };
        let balancing = Balancing::Combine(&mut combine);
        let (found, report) = gradients_with(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            scope,
            mode,
            balancing,
        )
        .unwrap();
        assert!(report.coefficients.is_empty());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, gradient) in &expected {
            let size = value(&gradient.abs().unwrap().max_all().unwrap());
            let difference = value(&(gradient - &found[name]).unwrap().abs().unwrap().max_all().unwrap());
            // The balanced rows pass through the host.
            assert!(difference <= 1e-5 * (size + 1e-6), "{name}: {difference} of {size}");
        }
        let mut short = |_: &StepGradients<'_>, _: &WholeGradients| Ok(Combined { update: vec![0.0], weights: None });
        let balancing = Balancing::Combine(&mut short);
        let error = gradients_with(
            &StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input(4),
                targets: &targets(),
            },
            scope,
            mode,
            balancing,
        );
        assert!(matches!(error, Err(ModelError::Balance(_))));
    }
}
