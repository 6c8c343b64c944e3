//! Models in bfloat16 beside the same in single precision: the rounding of the CPU, which is that of a GPU up to the order of sums.

use candle_core::{DType, Device, Tensor};
use mtids_layers::{AdamW, AdamWConfig, Parameters, Precision};
use mtids_models::gate::Gate;
use mtids_models::step::{StepGradients, gradients};
use mtids_models::{DbrConfig, LossConfig, Mode, Model, Scope, StepInputs, StepOptions, TaskLosses, train_step};

use crate::support::{all, config, input, problem, targets, tensor};

fn single(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::F32).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Euclidean norm of the difference over that of `a`.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    assert_eq!(a.len(), b.len());
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied()).max(1e-12)
}

#[test]
fn every_architecture_gives_its_numbers_within_the_rounding() {
    for (name, config) in all() {
        let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
            let parameters = Parameters::new(7, DType::F32, &Device::Cpu).with_precision(precision);
            let model = Model::new(&config, &problem(), &parameters).unwrap();
            let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
            let mode = Mode::Train { seed: 1, step: 0 };
            let mut equal = |given: &StepGradients<'_>| Ok(vec![1.0; given.losses.len()]);
            let x = input(4).map(|x| single(&x));
            let (gradients, report) = gradients(
                &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &x, targets: &targets() },
                Scope::Boundary,
                mode,
                &mut equal,
            )
            .unwrap();
            let logits = model.evaluate(&x).unwrap().logits;
            assert!(gradients.values().chain(&logits).all(|tensor| tensor.dtype() == DType::F32));
            assert!(parameters.variables().iter().all(|(_, variable)| variable.dtype() == DType::F32));
            let all: Vec<f32> = gradients.values().flat_map(flat).collect();
            (logits.iter().flat_map(flat).collect::<Vec<_>>(), all, report)
        });
        let logits = distance(&exact.0, &rounded.0);
        // Half a unit in the last place is 2⁻⁹; a dozen layers add some, and rectifiers switch.
        assert!(logits > 0.0 && logits < 3e-2, "{name}: logits {logits}");
        let gradients = distance(&exact.1, &rounded.1);
        assert!(gradients > 0.0 && gradients < 1e-1, "{name}: gradients {gradients}");
        for (a, b) in exact.2.losses.iter().flatten().zip(rounded.2.losses.iter().flatten()) {
            assert!((a - b).abs() < 1e-2 * a, "{name}: losses {a} {b}");
        }
    }
}

#[test]
fn gates_and_heads_are_not_rounded() {
    let parameters = Parameters::new(7, DType::F32, &Device::Cpu);
    let dbr = DbrConfig { shared_top_k: 2, ..DbrConfig::default() };
    let z = single(&tensor(&[5, 16], 3));
    let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
        let gate = Gate::new("gate", 16, &dbr, &parameters.with_precision(precision)).unwrap();
        let decided = gate.forward(&z, Mode::Train { seed: 1, step: 0 }).unwrap();
        [flat(&decided.branch), flat(&decided.shared.unwrap()), flat(&decided.private.unwrap())]
    });
    assert_eq!(exact, rounded);
}

#[test]
fn a_training_in_bfloat16_learns_and_evaluates_in_it() {
    let parameters = Parameters::new(7, DType::F32, &Device::Cpu).with_precision(Precision::Bf16);
    let config = mtids_models::ModelConfig::MtIds(config());
    let model = Model::new(&config, &problem(), &parameters).unwrap();
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let options = StepOptions { scope: Scope::Boundary, clip_norm: 5.0, learning_rate: 1e-2, seed: 1 };
    let x = input(4).map(|x| single(&x));
    let totals: Vec<f64> = (0..30)
        .map(|_| {
            let mut equal = |given: &StepGradients<'_>| Ok(vec![1.0; given.losses.len()]);
            let report = train_step(
                &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &x, targets: &targets() },
                &mut optimizer,
                &options,
                &mut equal,
            )
            .unwrap();
            report.losses.iter().flatten().sum()
        })
        .collect();
    assert!(totals[29] < 0.5 * totals[0], "{totals:?}");
    let tracked = model.forward(&x, Mode::Evaluate).unwrap();
    let evaluated = model.evaluate(&x).unwrap();
    for (a, b) in tracked.logits.iter().zip(&evaluated.logits) {
        assert_eq!(flat(a), flat(b));
    }
}
