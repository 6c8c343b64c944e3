//! One training step of MT-IDS: the Gram matrix, masks, failures, the same result each time.

use mtids_layers::{AdamW, AdamWConfig, DType, Device, Parameters};
use mtids_models::gate::{BranchControl, GateViews, OtherView};
use mtids_models::model::network::Together;
use mtids_models::step::{GateMeans, StepGradients, gradients, gradients_with};
use mtids_models::{
    Balancing, Combined, LossConfig, Mode, Model, ModelConfig, ModelError, MtIdsConfig, Problem, Scope, StepInputs,
    StepOptions, TargetBatch, TaskLosses, WholeGradients, train_step,
};

use crate::support::{Case, cases, config, flat, input, model, problem, targets, two_views, value};

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

/// Everything that a pass gives, by name, with layers of one shape by one product or one by one.
fn pass(
    case: &Case,
    losses: &LossConfig,
    targets: &TargetBatch,
    scope: Scope,
    whole: bool,
    at_once: bool,
) -> Vec<(String, Vec<f64>)> {
    let parameters = Parameters::new(7, DType::F64, &Device::Cpu).with_layers_at_once(at_once);
    let model = Model::new(&case.config, &case.problem, &parameters).unwrap();
    let losses = TaskLosses::new(losses, model.tasks(), None).unwrap();
    let weights = |count: usize| (1..=count).map(|n| n as f64 / 2.0).collect::<Vec<f64>>();
    let mut weigh = |given: &StepGradients<'_>| Ok(weights(given.losses.len()));
    let mut combine = |given: &StepGradients<'_>, rows: &WholeGradients| {
        let (rows, weights) = (rows.widened(), weights(given.losses.len()));
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let at =
            |place: usize| rows.iter().zip(&weights).map(move |(row, weight)| weight * row.get(place).unwrap_or(&0.0));
        Ok(Combined { update: (0..width).map(|place| at(place).sum()).collect(), weights: Some(weights.clone()) })
    };
    let balancing = if whole { Balancing::Combine(&mut combine) } else { Balancing::Weigh(&mut weigh) };
    let input = case.inputs(4);
    let inputs = StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input, targets };
    let (found, report) = gradients_with(&inputs, scope, Mode::Train { seed: 1, step: 2 }, balancing).unwrap();
    let mut all: Vec<(String, Vec<f64>)> =
        found.iter().map(|(name, gradient)| (name.clone(), flat(gradient))).collect();
    all.push(("gram".into(), report.gram));
    all.push(("losses".into(), report.losses.iter().map(|loss| loss.unwrap_or(-1.0)).collect()));
    all.push(("regulariser".into(), vec![report.regulariser]));
    for gate in report.gates {
        let GateMeans { shared_branch, private_branch, other_branch, shared_experts, private_experts, .. } = gate;
        let branches = [shared_branch, private_branch, other_branch.unwrap_or(0.0)];
        all.push(("gate".into(), [&branches[..], &shared_experts, &private_experts].concat()));
    }
    // What is asked without a gradient reads the weights as they are.
    let evaluated = model.evaluate(&input).unwrap().logits;
    all.extend(evaluated.iter().map(|logits| ("logits".to_owned(), flat(logits))));
    all
}

#[track_caller]
fn assert_same(title: &str, one: &[(String, Vec<f64>)], other: &[(String, Vec<f64>)]) {
    let names = |all: &[(String, Vec<f64>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{title}");
    for ((name, one), (_, other)) in one.iter().zip(other) {
        assert_eq!(one.len(), other.len(), "{title} {name}");
        let size = one.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
        for (a, b) in one.iter().zip(other) {
            assert!((a - b).abs() <= 1e-9 * size, "{title} {name}: {a} {b}");
        }
    }
}

#[test]
fn layers_by_one_product_for_all_take_the_same_step() {
    let without_regularisers =
        LossConfig { branch_prior_weight: 0.0, load_balance_weight: 0.0, ..LossConfig::default() };
    let consistent = LossConfig { consistency_weight: 0.7, ..LossConfig::default() };
    let partly = TargetBatch { metastasis: vec![None; 4], ..targets() };
    for case in cases() {
        for scope in [Scope::Boundary, Scope::Exact] {
            for whole in [false, true] {
                for (losses, targets, what) in [
                    (LossConfig::default(), targets(), "all tasks"),
                    (LossConfig::default(), partly.clone(), "a task without labels"),
                    (without_regularisers.clone(), partly.clone(), "no regularisers"),
                    (consistent.clone(), targets(), "consistent heads"),
                    (consistent.clone(), partly.clone(), "consistent heads, a task without labels"),
                ] {
                    let run = |at_once: bool| pass(&case, &losses, &targets, scope, whole, at_once);
                    let title = format!("{} {scope:?}, whole gradients {whole}, {what}", case.name);
                    assert_same(&title, &run(false), &run(true));
                }
            }
        }
    }
}

#[test]
fn tasks_are_computed_together_where_they_differ_in_their_weights_alone() {
    type Change<'a> = &'a dyn Fn(&mut MtIdsConfig);
    let together = |problem: &Problem, change: Change<'_>, at_once: bool| {
        let parameters = Parameters::new(7, DType::F64, &Device::Cpu).with_layers_at_once(at_once);
        let mut config = config();
        change(&mut config);
        Model::new(&ModelConfig::MtIds(config), problem, &parameters).unwrap().network().together()
    };
    let trains = |together: Option<Together>| together.map(|together| (together.trains, together.by_gates));
    let all = vec![vec![true, true]; 3];
    assert_eq!(trains(together(&problem(), &|_| (), true)), Some((all, true)));
    assert_eq!(together(&problem(), &|_| (), false), None);
    // Joint, region and metastasis; the places are near, wide and the outputs of the shared experts.
    let of_two = vec![vec![true, true, true], vec![false, true, true], vec![true, false, true]];
    assert_eq!(trains(together(&two_views(), &|_| (), true)), Some((of_two, false)));
    let refused: [(&str, Change<'_>); 6] = [
        ("a view that is hidden", &|config| config.dbr.other_view = OtherView::Hidden),
        ("gates on own views", &|config| config.dbr.gate_views = GateViews::Own),
        ("gates that train views", &|config| config.dbr.gate_gradient = Some(true)),
        ("sparse gates", &|config| config.dbr.shared_top_k = 1),
        ("no private branch", &|config| config.dbr.branch_control = BranchControl::SharedOnly),
        ("two layers", &|config| config.dbr.layers = 2),
    ];
    for (what, change) in refused {
        assert_eq!(together(&two_views(), change, true), None, "{what}");
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
