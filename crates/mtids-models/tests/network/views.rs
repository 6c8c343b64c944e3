//! Several views: which task reads and trains which of them, and what stays as it was with one.

use candle_core::Tensor;
use mtids_layers::optimizer::Gradients;
use mtids_layers::{AdamW, AdamWConfig, Parameters};
use mtids_models::gate::{BranchControl, GateViews, OtherView};
use mtids_models::step::{StepGradients, gradients};
use mtids_models::{
    BackboneKeys, DbrConfig, LossConfig, Mode, Model, ModelConfig, NormKind, Owner, Problem, Scope, StepInputs,
    StepOptions, TaskKind, TaskLosses, ViewInput, losses_of, train_step,
};

use crate::support::{Case, MEASURES, config, flat, input, largest, problem, targets, two_views, variable};
use TaskKind::{Joint, Measures, Metastasis, Region};

const MODE: Mode = Mode::Train { seed: 1, step: 2 };

fn private_only() -> DbrConfig {
    DbrConfig { branch_control: BranchControl::PrivateOnly, ..config().dbr }
}

/// Parameters that the logits of a task reach, with their gradient.
fn reached(model: &Model, parameters: &Parameters, inputs: &[Tensor], task: &str) -> Vec<(String, Tensor)> {
    let place = model.tasks().tasks().iter().position(|other| other.name == task).unwrap();
    let logits = &model.forward(inputs, MODE).unwrap().logits[place];
    let store = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let found = parameters.variables().into_iter();
    found.filter_map(|(name, variable)| Some((name, store.get(&variable)?.clone()))).collect()
}

fn reaches(found: &[(String, Tensor)], prefix: &str) -> bool {
    found.iter().any(|(name, gradient)| name.starts_with(prefix) && largest(gradient) > 0.0)
}

fn by(case: &Case, scope: Scope, coefficients: &[f64]) -> Gradients {
    let (model, parameters) = case.build();
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let mut answer = |_: &StepGradients<'_>| Ok(coefficients.to_vec());
    let (input, targets) = (case.inputs(4), targets());
    let inputs =
        StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input, targets: &targets };
    gradients(&inputs, scope, MODE, &mut answer).unwrap().0
}

/// Weights and running statistics after a few steps.
fn trained(case: &Case, scope: Scope, coefficients: &[f64]) -> Vec<(String, Vec<f64>)> {
    let (model, parameters) = case.build();
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let (input, targets) = (case.inputs(4), targets());
    let inputs =
        StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input, targets: &targets };
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    // Clipping is one number for all parameters and would let tasks feel each other.
    let options = StepOptions { scope, clip_norm: 1e9, learning_rate: 1e-2, seed: 1 };
    for _ in 0..3 {
        let mut answer = |_: &StepGradients<'_>| Ok(coefficients.to_vec());
        train_step(&inputs, &mut optimizer, &options, &mut answer).unwrap();
    }
    parameters.state().into_iter().map(|(name, value)| (name, flat(&value))).collect()
}

#[test]
fn private_experts_train_the_views_of_their_dimension_only() {
    let tasks = [Joint, Region, Metastasis, Measures];
    // Which trunks each task trains.
    let trains = |dbr: DbrConfig| -> Vec<[bool; 2]> {
        let case = Case::two_views(dbr, &tasks);
        let (model, parameters) = case.build();
        let names = ["joint", "region", "metastasis", "measures"];
        let of = |name: &&str| {
            let found = reached(&model, &parameters, &case.inputs(4), name);
            assert!(
                found.iter().all(|(_, gradient)| largest(gradient) > 0.0),
                "what is detached has no gradient at all"
            );
            ["trunk.near.", "trunk.wide."].map(|trunk| reaches(&found, trunk))
        };
        names.iter().map(of).collect()
    };
    let own = vec![[true, true], [false, true], [true, false], [true, false]];
    assert_eq!(trains(private_only()), own);
    assert_eq!(trains(DbrConfig { other_view: OtherView::Hidden, ..private_only() }), own);
    let all = vec![[true, true]; 4];
    assert_eq!(trains(DbrConfig { other_view: OtherView::Trained, ..private_only() }), all);
    assert_eq!(trains(DbrConfig { gate_gradient: Some(true), ..private_only() }), all, "by their gates");
    assert_eq!(trains(config().dbr), all, "by the shared experts");
}

#[test]
fn a_shared_branch_without_weight_leaves_the_trunk_of_the_other_dimension_alone() {
    let case = Case::two_views(config().dbr, &[Joint, Region, Metastasis]);
    let (model, parameters) = case.build();
    let bias = variable(&parameters, "gate.region.branch.bias");
    bias.set(&Tensor::new(&[-2e3, 2e3], bias.device()).unwrap()).unwrap();
    let found = reached(&model, &parameters, &case.inputs(4), "region");
    assert!(reaches(&found, "trunk.wide."));
    for (name, gradient) in found.iter().filter(|(name, _)| name.starts_with("trunk.near.")) {
        assert_eq!(largest(gradient), 0.0, "{name}");
    }
}

/// Two tasks of different dimensions, and either alone with its trunk: what is named after a task or its trunk.
fn together_and_alone(dbr: &DbrConfig, norm: NormKind, check: impl Fn(&Case, &Case, &dyn Fn(&str) -> bool)) {
    let case = |tasks: &[TaskKind]| {
        let mut case = Case::two_views(dbr.clone(), tasks);
        case.config.backbone_mut().norm = Some(norm);
        case
    };
    let both = case(&[Region, Metastasis]);
    assert!(!both.build().0.network().balances(), "nothing is shared");
    for (alone, trunk, name) in [(Region, "trunk.wide.", "region"), (Metastasis, "trunk.near.", "metastasis")] {
        let own = |parameter: &str| parameter.starts_with(trunk) || parameter.split('.').any(|part| part == name);
        check(&both, &case(&[alone]), &own);
    }
}

#[test]
fn without_a_shared_branch_the_trunks_of_two_dimensions_train_as_single_tasks() {
    for (norm, scope) in [
        (NormKind::Group, Scope::Boundary),
        (NormKind::Group, Scope::Exact),
        (NormKind::Batch, Scope::Boundary),
        (NormKind::Batch, Scope::Exact),
    ] {
        // A task reads the other view, so only its gradients are those of a single task: the values change with the other trunk.
        together_and_alone(&private_only(), norm, |both, alone, own| {
            // Coefficients of tasks that share nothing are not asked for.
            let (together, single) = (by(both, scope, &[7.0, 0.3]), by(alone, scope, &[1.0]));
            let compared: Vec<_> = single.iter().filter(|(name, _)| own(name)).collect();
            assert!(compared.len() > 20);
            for (name, gradient) in compared {
                assert_eq!(flat(gradient), flat(&together[name]), "{norm:?} {scope:?}: {name}");
            }
        });
        // Where it does not read the other view, whole trainings are.
        let hidden = DbrConfig { other_view: OtherView::Hidden, gate_views: GateViews::Own, ..private_only() };
        together_and_alone(&hidden, norm, |both, alone, own| {
            let (together, single) = (trained(both, scope, &[7.0, 0.3]), trained(alone, scope, &[1.0]));
            let of =
                |all: Vec<(String, Vec<f64>)>| -> Vec<_> { all.into_iter().filter(|(name, _)| own(name)).collect() };
            let (together, single) = (of(together), of(single));
            assert!(single.len() > 20);
            assert_eq!(together, single, "{norm:?} {scope:?}");
        });
    }
}

#[test]
fn a_trunk_of_one_task_gets_its_plain_gradient_beside_one_that_is_balanced() {
    // Two tasks train the near trunk, one the wide: coefficients must not touch that one.
    let case = Case::two_views(private_only(), &[Region, Metastasis, Measures]);
    let (model, _) = case.build();
    assert!(model.network().is_shared("trunk.near.stem.conv.weight"));
    assert!(!model.network().is_shared("trunk.wide.stem.conv.weight"));
    for scope in [Scope::Boundary, Scope::Exact] {
        let (plain, weighted) = (by(&case, scope, &[1.0, 1.0, 1.0]), by(&case, scope, &[5.0, 0.5, 0.1]));
        for (name, gradient) in &plain {
            let same = flat(gradient) == flat(&weighted[name]);
            assert_eq!(same, !name.starts_with("trunk.near."), "{scope:?}: {name}");
        }
    }
}

#[test]
fn with_own_views_alone_a_task_does_not_feel_the_other_view() {
    let dbr = DbrConfig { other_view: OtherView::Hidden, gate_views: GateViews::Own, ..private_only() };
    let case = Case::two_views(dbr, &[Region, Metastasis]);
    let (model, _) = case.build();
    let inputs = case.inputs(4);
    let moved = vec![(&inputs[0] * -1.5).unwrap(), inputs[1].clone()];
    for mode in [Mode::Evaluate, MODE] {
        let (before, after) = (model.forward(&inputs, mode).unwrap(), model.forward(&moved, mode).unwrap());
        assert_eq!(flat(&before.logits[0]), flat(&after.logits[0]), "not a bit of region");
        assert!(largest(&(&before.logits[1] - &after.logits[1]).unwrap()) > 1e-3, "but metastasis");
    }
}

/// `columns` of a weight that reads the views, with the widths of near and wide swapped.
fn swapped(weight: &Tensor, [near, wide]: [usize; 2]) -> Tensor {
    let rest = weight.dim(1).unwrap() - near - wide;
    let part = |from, count| weight.narrow(1, from, count).unwrap();
    Tensor::cat(&[part(near, wide), part(0, near), part(near + wide, rest)], 1).unwrap().contiguous().unwrap()
}

#[test]
fn the_order_of_the_views_means_nothing() {
    // Views of unequal widths, so that a mistake shows.
    let mut case = Case::two_views(config().dbr, &[Joint, Region, Metastasis]);
    let wide = BackboneKeys { features: Some(9), ..BackboneKeys::default() };
    case.config.trunks_mut().insert("wide".to_owned(), wide);
    case.config.dropout_mut().replace(0.0);
    let mut other = case.clone();
    other.problem.views.reverse();
    let ((a, from), (b, to)) = (case.build(), other.build());
    for (name, variable) in to.variables() {
        let original = crate::support::variable(&from, &name);
        let reads = name.ends_with("first.weight") && !name.starts_with("trunk.");
        let reads = reads || name.ends_with(".skip.weight") || (name.starts_with("gate.") && name.ends_with("weight"));
        let value = if reads { swapped(&original, [6, 9]) } else { original.as_tensor().copy().unwrap() };
        variable.set(&value).unwrap();
    }
    let x = case.inputs(4);
    let y = vec![x[1].clone(), x[0].clone()];
    for mode in [Mode::Evaluate, MODE] {
        for (a, b) in a.forward(&x, mode).unwrap().logits.iter().zip(b.forward(&y, mode).unwrap().logits) {
            // Only the order of sums differs.
            assert!(largest(&(a - b).unwrap()) < 1e-12);
        }
    }
    let (of_a, of_b) = (reached(&a, &from, &x, "metastasis"), reached(&b, &to, &y, "metastasis"));
    for (name, gradient) in of_a.iter().filter(|(name, _)| name.starts_with("trunk.")) {
        let other = &of_b.iter().find(|(other, _)| other == name).unwrap().1;
        assert!(largest(&(gradient - other).unwrap()) < 1e-10, "{name}");
    }
}

#[test]
fn one_view_of_any_name_and_owner_settings_is_the_network_without_views() {
    let plain = Case { name: String::new(), config: ModelConfig::MtIds(config()), problem: problem() };
    let expected = by(&plain, Scope::Boundary, &[1.0, 2.0, 0.5]);
    for (name, owners) in [("near", vec![]), ("wide", vec![]), ("patch", vec![("patch", Owner::All)])] {
        let mut case = plain.clone();
        case.problem.views[0].name = name.to_owned();
        if let ModelConfig::MtIds(config) = &mut case.config {
            config.owners = owners.into_iter().map(|(view, owner)| (view.to_owned(), owner)).collect();
        }
        let found = by(&case, Scope::Boundary, &[1.0, 2.0, 0.5]);
        assert_eq!(found.len(), expected.len());
        for (parameter, gradient) in &expected {
            assert_eq!(flat(gradient), flat(&found[parameter]), "{name}: {parameter}");
        }
    }
}

#[test]
fn running_statistics_move_with_a_step_and_with_nothing_else() {
    let case = Case::two_views(config().dbr, &[Joint, Region, Metastasis]);
    let (model, parameters) = case.build();
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let (input, targets) = (case.inputs(4), targets());
    let inputs =
        StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input, targets: &targets };
    let options = StepOptions { scope: Scope::Boundary, clip_norm: 5.0, learning_rate: 1e-2, seed: 1 };
    let mut equal = |given: &StepGradients<'_>| Ok(vec![1.0; given.losses.len()]);
    let before = parameters.to_bytes().unwrap();
    assert!(losses_of(&inputs, MODE).unwrap().iter().all(Option::is_some));
    gradients(&inputs, Scope::Exact, MODE, &mut equal).unwrap();
    let poison: Vec<Tensor> = input.iter().map(|x| (x * f64::NAN).unwrap()).collect();
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let mut wrong = |_: &StepGradients<'_>| Ok(vec![]);
    train_step(&StepInputs { input: &poison, ..inputs }, &mut optimizer, &options, &mut equal).unwrap_err();
    train_step(&inputs, &mut optimizer, &options, &mut wrong).unwrap_err();
    parameters.commit_statistics().unwrap();
    assert_eq!(parameters.to_bytes().unwrap(), before, "nothing that was recorded is left");
    train_step(&inputs, &mut optimizer, &options, &mut equal).unwrap();
    let (twin, fresh) = case.build();
    let again = StepInputs { model: &twin, parameters: &fresh, ..inputs };
    train_step(&again, &mut AdamW::new(&AdamWConfig::default()).unwrap(), &options, &mut equal).unwrap();
    assert_eq!(parameters.to_bytes().unwrap(), fresh.to_bytes().unwrap(), "failed steps left no trace");
    assert!(parameters.statistics().iter().any(|(name, value)| name.ends_with("mean") && largest(value) > 0.0));
    // The network that evaluates sees what was committed.
    let tracked = model.forward(&input, Mode::Evaluate).unwrap();
    for (a, b) in tracked.logits.iter().zip(model.evaluate(&input).unwrap().logits) {
        assert_eq!(flat(a), flat(&b));
    }
}

#[test]
fn dropout_is_drawn_by_step_where_there_are_several_views() {
    let logits = |case: &Case, mode| flat(&case.build().0.forward(&case.inputs(4), mode).unwrap().logits[0]);
    let train = |step| Mode::Train { seed: 1, step };
    let mut case = Case::two_views(config().dbr, &[Joint, Region, Metastasis]);
    case.config.backbone_mut().norm = Some(NormKind::Group);
    assert_eq!(logits(&case, train(3)), logits(&case, train(3)));
    assert_ne!(logits(&case, train(3)), logits(&case, train(4)));
    assert_ne!(logits(&case, train(3)), logits(&case, Mode::Evaluate));
    case.config.dropout_mut().replace(0.0);
    assert_eq!(logits(&case, train(3)), logits(&case, Mode::Evaluate));
    let one = Case { problem: problem(), ..case.clone() };
    let default = Case { config: ModelConfig::MtIds(config()), ..one.clone() };
    assert_eq!(logits(&default, train(3)), logits(&one, Mode::Evaluate), "none with one view");
    case.config.dropout_mut().replace(1.0);
    assert!(case.config.validate().unwrap_err().to_string().contains("dropout"));
}

#[test]
fn a_resolved_model_is_the_same_model_in_full() {
    for (views, mut config) in [(two_views(), ModelConfig::default()), (problem(), ModelConfig::default())] {
        config.backbone_mut().pool_grid = Some(1);
        let resolved = config.resolved(&views).unwrap();
        let text = mtids_runtime::config::to_toml(&resolved).unwrap();
        assert_eq!(mtids_runtime::config::parse::<ModelConfig>(&text).unwrap(), resolved, "{text}");
        assert_eq!(resolved.resolved(&views).unwrap(), resolved);
        let [a, b] = [config, resolved].map(|config| {
            let (model, parameters) = Case { name: String::new(), config, problem: views.clone() }.build();
            (model.architecture(), parameters.to_bytes().unwrap())
        });
        assert_eq!(a, b);
    }
    let (near, wide) = (ModelConfig::default().trunk("near"), ModelConfig::default().trunk("wide"));
    assert_eq!((near.features, wide.features), (256, 128));
}

#[test]
fn tables_of_views_that_do_not_exist_and_inputs_that_do_not_fit_are_named() {
    let refused = |case: &Case| {
        let parameters = Parameters::new(7, candle_core::DType::F64, &candle_core::Device::Cpu);
        Model::new(&case.config, &case.problem, &parameters).unwrap_err().to_string()
    };
    let case = Case::two_views(config().dbr, &[Joint, Region, Metastasis]);
    let mut wrong = case.clone();
    wrong.config.trunks_mut().insert("far".to_owned(), BackboneKeys::default());
    assert!(refused(&wrong).contains("trunks.far") && refused(&wrong).contains("near, wide"), "{}", refused(&wrong));
    let mut wrong = case.clone();
    if let ModelConfig::MtIds(config) = &mut wrong.config {
        config.owners.insert("far".to_owned(), Owner::Region);
    }
    assert!(refused(&wrong).contains("owners.far"), "{}", refused(&wrong));
    let mut wrong = case.clone();
    wrong.problem.views.push(ViewInput { name: "near".to_owned(), shape: [1; 4] });
    assert!(refused(&wrong).contains("`near`"));
    let mut wrong = case.clone();
    wrong.config.tasks_mut().push(Measures);
    wrong.problem = Problem { measures: 0, ..wrong.problem };
    assert!(refused(&wrong).contains("measures"));
    let (model, _) = case.build();
    let inputs = case.inputs(4);
    let short = [inputs[0].clone(), inputs[1].narrow(0, 0, 3).unwrap()];
    for bad in [&inputs[..1], &short[..], &input(4)] {
        assert!(model.evaluate(bad).unwrap_err().to_string().contains("views"));
    }
    assert!(model.evaluate(&[inputs[1].clone(), inputs[0].clone()]).is_err(), "the views in another order");
}

#[test]
fn measures_are_a_task_of_the_status_that_no_prediction_reads() {
    let with = Case::two_views(config().dbr, &[Joint, Region, Metastasis, Measures]);
    let (model, _) = with.build();
    let outputs = model.evaluate(&with.inputs(4)).unwrap();
    assert_eq!(outputs.logits[3].dims(), [4, MEASURES]);
    let mut changed = outputs.clone();
    changed.logits[3] = (&changed.logits[3] + 7.0).unwrap();
    for &head in <mtids_models::PredictionHead as strum::VariantArray>::VARIANTS {
        let of = |outputs| mtids_models::decoding::probabilities(model.tasks(), outputs, model.eta(), head).unwrap();
        assert_eq!(flat(&of(&outputs)), flat(&of(&changed)), "{head}");
    }
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let unknown = mtids_models::TargetBatch { measures: vec![], ..targets() };
    assert!(losses.losses(&outputs, &targets()).unwrap()[3].is_some());
    assert!(losses.losses(&outputs, &unknown).unwrap()[3].is_none());
    assert_eq!(model.tasks().counts(&targets()).unwrap()[3], [0; MEASURES]);
}
