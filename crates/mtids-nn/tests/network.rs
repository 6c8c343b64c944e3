//! What the network promises, in f64: exact gradients, gates that are distributions, tasks that stay apart, two scopes that agree.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use candle_core::{DType, Device, Tensor, Var};
use mtids_nn::conv::{ConvOptions, conv2d};
use mtids_nn::gate::{BranchControl, ExpertControl};
use mtids_nn::norm::{LayerNorm, group_norm};
use mtids_nn::optimizer::{Gradients, clip, global_norm};
use mtids_nn::read_out::{metastasis_probability, probabilities, region_probabilities};
use mtids_nn::step::gradients;
use mtids_nn::{
    AdamW, AdamWConfig, BackboneConfig, DbrConfig, LossConfig, Mode, MtIds, MtIdsConfig, NnError, Outputs, Parameters,
    ReadOut, Scope, StepOptions, TargetBatch, TaskLosses, TaskSet, train_step,
};
use proptest::prelude::*;

const INPUT: [usize; 4] = [1, 2, 12, 12];

fn config() -> MtIdsConfig {
    MtIdsConfig {
        backbone: BackboneConfig {
            widths: vec![4, 8],
            blocks: 1,
            stem_stride: 1,
            groups: 2,
            pool_grid: 2,
            features: 6,
            ..BackboneConfig::default()
        },
        dbr: DbrConfig { expert_hidden: 5, expert_width: 4, embedding: 3, ..DbrConfig::default() },
        ..MtIdsConfig::default()
    }
}

fn model(config: &MtIdsConfig) -> (MtIds, Parameters) {
    let parameters = Parameters::new(7, DType::F64, &Device::Cpu);
    (MtIds::new(config, 3, INPUT, &parameters).unwrap(), parameters)
}

/// Numbers in (−1, 1), a pure function of `seed`.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    (0..count as u64)
        .map(|n| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0)
        .collect()
}

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

fn input(batch: usize) -> Tensor {
    tensor(&[batch, 1, 2, 12, 12], 5)
}

fn targets() -> TargetBatch {
    TargetBatch {
        region: vec![Some(0), Some(1), Some(2), None],
        metastasis: vec![Some(0), Some(1), None, Some(1)],
        weights: Vec::new(),
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn value(tensor: &Tensor) -> f64 {
    tensor.to_scalar().unwrap()
}

/// Central differences of `f` at a few entries of `x`, against `gradient`.
#[track_caller]
fn check_gradient(x: &Tensor, gradient: &Tensor, f: impl Fn(&Tensor) -> f64) {
    let (values, gradient) = (flat(x), flat(gradient));
    let step = 1e-5;
    for at in (0..values.len()).step_by((values.len() / 25).max(1)) {
        let moved = |by: f64| {
            let mut values = values.clone();
            values[at] += by;
            f(&Tensor::from_vec(values, x.dims(), &Device::Cpu).unwrap())
        };
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        let scale = numeric.abs().max(gradient[at].abs()).max(1e-3);
        assert!(
            (numeric - gradient[at]).abs() <= 1e-5 * scale,
            "entry {at}: {} but {numeric} by differences",
            gradient[at]
        );
    }
}

#[test]
fn convolutions_equal_candle_s_and_their_gradients_are_exact() {
    for (channels, outputs, side, kernel, stride) in
        [(3, 4, 9, 3, 1), (2, 5, 8, 3, 2), (4, 3, 7, 1, 2), (1, 1, 3, 3, 1)]
    {
        let x = Var::from_tensor(&tensor(&[3, channels, side, side], 1)).unwrap();
        let weight = Var::from_tensor(&tensor(&[outputs, channels, kernel, kernel], 2)).unwrap();
        let y = conv2d(&x, &weight, &ConvOptions::new(stride, kernel / 2)).unwrap();
        let expected = x.conv2d(&weight, kernel / 2, stride, 1, 1).unwrap();
        let difference = (&y - expected).unwrap().abs().unwrap().max_all().unwrap();
        assert!(value(&difference) < 1e-12);
        let mask = tensor(y.dims(), 3);
        let loss = |x: &Tensor, weight: &Tensor| {
            (conv2d(x, weight, &ConvOptions::new(stride, kernel / 2)).unwrap().sqr().unwrap() * &mask)
                .unwrap()
                .sum_all()
                .unwrap()
        };
        let store = loss(&x, &weight).backward().unwrap();
        check_gradient(&x, store.get(&x).unwrap(), |moved| value(&loss(moved, &weight)));
        check_gradient(&weight, store.get(&weight).unwrap(), |moved| value(&loss(&x, moved)));
    }
}

#[test]
fn norms_have_unit_scale_and_exact_gradients() {
    let x = Var::from_tensor(&tensor(&[2, 6, 3, 3], 1)).unwrap();
    let (scale, shift) = (Var::from_tensor(&tensor(&[6], 2)).unwrap(), Var::from_tensor(&tensor(&[6], 3)).unwrap());
    for rectify in [false, true] {
        let mask = tensor(&[2, 6, 3, 3], 4);
        let loss = |x: &Tensor, scale: &Tensor, shift: &Tensor| {
            (group_norm(x, scale, shift, 3, rectify).unwrap() * &mask).unwrap().sum_all().unwrap()
        };
        let store = loss(&x, &scale, &shift).backward().unwrap();
        check_gradient(&x, store.get(&x).unwrap(), |moved| value(&loss(moved, &scale, &shift)));
        check_gradient(&scale, store.get(&scale).unwrap(), |moved| value(&loss(&x, moved, &shift)));
        check_gradient(&shift, store.get(&shift).unwrap(), |moved| value(&loss(&x, &scale, moved)));
    }
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    let layer = LayerNorm::new("n", 50, &parameters).unwrap();
    let y = layer.forward(&tensor(&[4, 50], 6)).unwrap();
    for row in y.to_vec2::<f64>().unwrap() {
        let mean = row.iter().sum::<f64>() / 50.0;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 50.0;
        assert!(mean.abs() < 1e-10 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
}

#[test]
fn the_gradient_of_the_whole_network_is_exact() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let (x, targets) = (input(4), targets());
    let total = || -> f64 {
        let outputs = model.forward(&x, Mode::Evaluate).unwrap();
        let tasks: f64 = losses.losses(&outputs, &targets).unwrap().iter().flatten().map(value).sum();
        tasks + losses.regulariser(&outputs, model.has_learned_branches()).unwrap().map_or(0.0, |r| value(&r))
    };
    let mut equal = |step: &mtids_nn::StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
    let (found, _) =
        gradients(&model, &parameters, &losses, &x, &targets, Scope::Boundary, Mode::Evaluate, &mut equal).unwrap();
    let mut checked = 0;
    for (name, variable) in parameters.variables() {
        // The read-out learns from a loss of its own, which reaches nothing else.
        if name.starts_with("read_out.") {
            continue;
        }
        let gradient = found.get(&name).unwrap_or_else(|| panic!("{name} has no gradient"));
        let before = variable.as_tensor().copy().unwrap();
        let at = before.elem_count() / 2;
        let moved = |by: f64| {
            let mut values = flat(&before);
            values[at] += by;
            variable.set(&Tensor::from_vec(values, before.dims(), &Device::Cpu).unwrap()).unwrap();
            total()
        };
        let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        variable.set(&before).unwrap();
        let exact = flat(gradient)[at];
        // A ReLU at its corner spoils a difference, not the gradient: tolerance for the few that lie there.
        assert!(
            (numeric - exact).abs() <= 1e-4 * numeric.abs().max(exact.abs()).max(1e-2),
            "{name}: {exact}, {numeric}"
        );
        checked += 1;
    }
    assert!(checked > 40, "{checked} parameters");
}

fn difference(a: &Gradients, b: &Gradients) -> f64 {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let worst = |(a, b): (&Tensor, &Tensor)| value(&(a - b).unwrap().abs().unwrap().max_all().unwrap());
    a.values().zip(b.values()).map(worst).fold(0.0, f64::max)
}

#[test]
fn both_scopes_agree_for_equal_coefficients() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let by = |scope| {
        let mut half = |step: &mtids_nn::StepGradients<'_>| Ok(vec![0.5; step.losses.len()]);
        gradients(&model, &parameters, &losses, &input(4), &targets(), scope, Mode::Evaluate, &mut half).unwrap().0
    };
    assert!(difference(&by(Scope::Boundary), &by(Scope::Exact)) < 1e-12);
}

#[test]
fn the_exact_scope_hands_over_the_gram_matrix_of_the_shared_gradients() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let one = |task: usize| {
        let mut only = |step: &mtids_nn::StepGradients<'_>| {
            Ok((0..step.losses.len()).map(|other| f64::from(u8::from(other == task))).collect())
        };
        let run =
            gradients(&model, &parameters, &losses, &input(4), &targets(), Scope::Exact, Mode::Evaluate, &mut only);
        run.unwrap()
    };
    // The regularisers bypass the balancer: what remains with all coefficients at 0 is theirs.
    let mut none = |step: &mtids_nn::StepGradients<'_>| Ok(vec![0.0; step.losses.len()]);
    let rest = gradients(&model, &parameters, &losses, &input(4), &targets(), Scope::Exact, Mode::Evaluate, &mut none)
        .unwrap()
        .0;
    let shared: Vec<Vec<f64>> = (0..3)
        .map(|task| {
            let (found, _) = one(task);
            let shared = found.iter().filter(|(name, _)| MtIds::is_shared(name));
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
fn a_task_never_reaches_what_belongs_to_another() {
    let (model, parameters) = model(&config());
    for (task, name) in ["joint", "region", "metastasis"].iter().enumerate() {
        let outputs = model.forward(&input(4), Mode::Evaluate).unwrap();
        let store = outputs.logits[task].sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for (parameter, variable) in parameters.variables() {
            let reached = store.get(&variable).is_some_and(|g| flat(g).iter().any(|v| *v != 0.0));
            let own = parameter.split('.').any(|part| part == *name);
            let foreign = ["joint", "region", "metastasis"]
                .iter()
                .any(|other| other != name && parameter.split('.').any(|p| p == *other));
            assert!(!(foreign && reached), "{name} moves {parameter}");
            assert!(!own || reached || parameter.starts_with("gate."), "{name} does not move its own {parameter}");
        }
    }
}

#[test]
fn unknown_labels_teach_nothing() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let unknown = TargetBatch { region: vec![Some(0), Some(1)], metastasis: vec![None, None], weights: Vec::new() };
    let mut seen = Vec::new();
    let mut equal = |step: &mtids_nn::StepGradients<'_>| {
        seen = step.active.to_vec();
        Ok(vec![1.0; step.losses.len()])
    };
    let (found, report) =
        gradients(&model, &parameters, &losses, &input(2), &unknown, Scope::Boundary, Mode::Evaluate, &mut equal)
            .unwrap();
    let metastasis = model.tasks().tasks().iter().position(|task| task.name == "metastasis").unwrap();
    assert!(!seen[metastasis] && report.losses[metastasis].is_none());
    assert!(!found.keys().any(|name| name.starts_with("head.metastasis") || name.starts_with("private.metastasis")));
    let nothing = TargetBatch { region: vec![None; 2], metastasis: vec![None; 2], weights: Vec::new() };
    let mut never = |_: &mtids_nn::StepGradients<'_>| Err::<Vec<f64>, _>("the balancer was asked about nothing".into());
    let (_, report) =
        gradients(&model, &parameters, &losses, &input(2), &nothing, Scope::Boundary, Mode::Evaluate, &mut never)
            .unwrap();
    assert!(report.losses.iter().all(Option::is_none));
}

#[test]
fn samples_of_a_batch_do_not_influence_each_other() {
    let (model, _) = model(&config());
    let x = input(4);
    let together = model.evaluate(&x).unwrap();
    for n in 0..4 {
        let alone = model.evaluate(&x.narrow(0, n, 1).unwrap()).unwrap();
        for (a, b) in together.logits.iter().zip(&alone.logits) {
            let difference = (a.narrow(0, n, 1).unwrap() - b).unwrap().abs().unwrap().max_all().unwrap();
            assert!(value(&difference) < 1e-12);
        }
    }
}

fn gates() -> impl Strategy<Value = DbrConfig> {
    (1..5_usize, 1..4_usize, 0..3_usize, 0..3_usize, 0.2..3.0_f64, 0..5_u8, any::<bool>()).prop_map(
        |(shared_experts, private_experts, shared_top_k, private_top_k, temperature, control, uniform)| DbrConfig {
            shared_experts,
            private_experts,
            shared_top_k: shared_top_k.min(shared_experts),
            private_top_k: private_top_k.min(private_experts),
            temperature,
            branch_control: [
                BranchControl::Softmax,
                BranchControl::Fixed,
                BranchControl::Flat,
                BranchControl::SharedOnly,
                BranchControl::PrivateOnly,
            ][control as usize],
            expert_control: if uniform { ExpertControl::Uniform } else { ExpertControl::Softmax },
            ..config().dbr
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gate_weights_are_a_distribution_over_all_experts(dbr in gates()) {
        let config = MtIdsConfig { dbr: dbr.clone(), ..config() };
        // Combinations that make no sense (top-k in a flat gate, for one) are refused by name.
        prop_assume!(config.validate().is_ok());
        let (model, _) = model(&config);
        let outputs = model.evaluate(&input(3)).unwrap();
        for gate in &outputs.gates {
            for sample in 0..3 {
                let mut weights = Vec::new();
                for part in [gate.shared_weights().unwrap(), gate.private_weights().unwrap()].into_iter().flatten() {
                    weights.extend(flat(&part.narrow(0, sample, 1).unwrap()));
                }
                prop_assert!(weights.iter().all(|w| *w >= 0.0));
                prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}", weights);
                if dbr.shared_top_k > 0 && dbr.private_top_k > 0 {
                    let used = weights.iter().filter(|w| **w > 0.0).count();
                    prop_assert!(used <= dbr.shared_top_k + dbr.private_top_k);
                }
            }
        }
    }
}

#[test]
fn the_read_outs_meet_at_their_limits() {
    let tasks = TaskSet::new(&MtIdsConfig::default().tasks, 3).unwrap();
    let zeros = |classes: usize| Tensor::zeros((2, classes), DType::F64, &Device::Cpu).unwrap();
    let (joint, region, metastasis) = (tensor(&[2, 6], 1), tensor(&[2, 3], 2), tensor(&[2, 2], 3));
    let outputs = |joint: &Tensor, region: &Tensor, metastasis: &Tensor| Outputs {
        logits: vec![joint.clone(), region.clone(), metastasis.clone()],
        gates: Vec::new(),
    };
    let eta = |omega: f64| {
        // softplus(η) = ω
        let eta = if omega == 0.0 { -745.0 } else { omega.exp_m1().ln() };
        Tensor::full(eta, 3, &Device::Cpu).unwrap()
    };
    let pooled =
        |outputs: &Outputs, omega: f64| flat(&probabilities(&tasks, outputs, &eta(omega), ReadOut::Pooled).unwrap());
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);

    // A joint head that says nothing, ω = 1: the outer product of region and metastasis.
    let product = pooled(&outputs(&zeros(6), &region, &metastasis), 1.0);
    let softmax = |logits: &Tensor| -> Vec<Vec<f64>> {
        let rows: Vec<Vec<f64>> = logits.to_vec2().unwrap();
        rows.into_iter()
            .map(|row| {
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                row.iter().map(|v| v.exp() / sum).collect()
            })
            .collect()
    };
    let (p, q) = (softmax(&region), softmax(&metastasis));
    let outer: Vec<f64> =
        (0..2).flat_map(|n| (0..6).map(move |y| (n, y))).map(|(n, y)| p[n][y / 2] * q[n][y % 2]).collect();
    assert!(close(&product, &outer));
    // Auxiliary heads that say nothing, or ω = 0: the joint head.
    let alone: Vec<f64> = softmax(&joint).concat();
    assert!(close(&pooled(&outputs(&joint, &zeros(3), &zeros(2)), 1.7), &alone));
    assert!(close(&pooled(&outputs(&joint, &region, &metastasis), 0.0), &alone));
    // Marginals add up to 1.
    let all = probabilities(&tasks, &outputs(&joint, &region, &metastasis), &eta(0.8), ReadOut::Pooled).unwrap();
    let regions = flat(&region_probabilities(&all).unwrap().sum(1).unwrap());
    assert!(close(&regions, &[1.0, 1.0]));
    assert!(flat(&metastasis_probability(&all).unwrap()).iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn adamw_follows_its_equations() {
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    parameters.get_or_init("trunk.x.weight", &[2, 1], mtids_nn::Init::Constant(0.5)).unwrap();
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(&config).unwrap();
    let (mut x, mut m, mut v) = (0.5_f64, 0.0, 0.0);
    for step in 1..=3 {
        let g = 0.3 * f64::from(step);
        let gradient = Tensor::full(g, (2, 1), &Device::Cpu).unwrap();
        optimizer.step(&parameters, &Gradients::from([("trunk.x.weight".to_owned(), gradient)]), 0.01).unwrap();
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(step)), v / (1.0 - 0.999_f64.powi(step)));
        x -= 0.01 * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * x);
    }
    for found in flat(parameters.variables()[0].1.as_tensor()) {
        assert!((found - x).abs() < 1e-12, "{found} {x}");
    }
}

#[test]
fn a_clipped_gradient_keeps_its_direction() {
    let mut gradients = Gradients::from([("a".to_owned(), tensor(&[5], 1)), ("b".to_owned(), tensor(&[3], 2))]);
    let before: Vec<f64> = gradients.values().flat_map(flat).collect();
    let norm = global_norm(&gradients).unwrap();
    clip(&mut gradients, norm, norm / 4.0).unwrap();
    assert!(gradients.values().flat_map(flat).zip(&before).all(|(a, b)| (4.0 * a - b).abs() < 1e-9));
    clip(&mut gradients, norm / 4.0, 1e9).unwrap();
    assert!((global_norm(&gradients).unwrap() - norm / 4.0).abs() < 1e-9, "nothing to clip");
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let (model, parameters) = model(&config());
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let options = StepOptions { scope: Scope::Boundary, clip_norm: 5.0, learning_rate: 1e-2, seed: 1 };
    let mut equal = |step: &mtids_nn::StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
    let before = parameters.to_bytes().unwrap();
    let poison = (input(4) * f64::NAN).unwrap();
    let error = train_step(&model, &parameters, &mut optimizer, &losses, &poison, &targets(), &options, &mut equal)
        .unwrap_err();
    assert!(matches!(error, NnError::NotFinite { .. }), "{error}");
    let mut negative = |step: &mtids_nn::StepGradients<'_>| Ok(vec![-1.0; step.losses.len()]);
    let error =
        train_step(&model, &parameters, &mut optimizer, &losses, &input(4), &targets(), &options, &mut negative)
            .unwrap_err();
    assert!(matches!(error, NnError::Balance(_)), "{error}");
    assert_eq!(parameters.to_bytes().unwrap(), before);
    let mut equal = |step: &mtids_nn::StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
    train_step(&model, &parameters, &mut optimizer, &losses, &input(4), &targets(), &options, &mut equal).unwrap();
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
            let mut equal = |step: &mtids_nn::StepGradients<'_>| Ok(vec![1.0; step.losses.len()]);
            let report =
                train_step(&model, &parameters, &mut optimizer, &losses, &input(4), &targets(), &options, &mut equal)
                    .unwrap();
            last = report.losses.iter().flatten().sum();
            first.get_or_insert(last);
        }
        assert!(last < 0.5 * first.unwrap(), "four samples are learned by heart: {first:?} to {last}");
        parameters.to_bytes().unwrap()
    };
    assert_eq!(trained(), trained());
}
