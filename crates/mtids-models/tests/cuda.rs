//! The same numbers on a GPU as on the CPU: logits, gradients and running statistics of every architecture, in 2.5 and three dimensions, with batch and with
//! group norm, in single precision and in bfloat16; whole steps in two reads; optimisers, averages, experts and soft-max of few launches; tensors that
//! another thread copied. Each operation by itself is compared in `mtids-cuda/tests/card`.
//!
//! Compiled with the features `cuda` and `cuda-basic` only, and started by `make cuda-test` where there is a GPU. Tolerances are those of single precision under
//! another order of summation: on the CPU single and double precision are 25 times nearer to each other.
#![cfg(feature = "cuda-basic")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use candle_core::{DType, Device, Tensor};
use mtids_layers::optimizer::Gradients;
use mtids_layers::{AdamW, AdamWConfig, Init, Parameters, Precision, Sgd, SgdConfig, WeightAverage};
use mtids_models::backbone::{BackboneKind, BackboneSize, NormKind};
use mtids_models::experts::ExpertForm;
use mtids_models::step::gradients;
use mtids_models::{
    Architecture, BackboneConfig, LossConfig, Mode, Model, ModelConfig, MtIdsConfig, Problem, Scope, StepGradients,
    StepInputs, StepOptions, TargetBatch, TaskLosses, train_step,
};

const INPUT: [usize; 4] = [2, 6, 24, 24];
const BATCH: usize = 4;

/// Numbers in (0, 1), a pure function of their place.
fn input(device: &Device) -> Tensor {
    let [c, d, h, w] = INPUT;
    let numbers: Vec<f32> =
        (0..BATCH * c * d * h * w).map(|n| ((n * 7919 + 13) as f64 * 0.618_033_988_75).fract() as f32).collect();
    Tensor::from_vec(numbers, (BATCH, c, d, h, w), device).unwrap()
}

fn targets() -> TargetBatch {
    TargetBatch {
        region: vec![Some(0), Some(1), Some(2), None],
        metastasis: vec![Some(0), Some(1), None, Some(1)],
        ..TargetBatch::default()
    }
}

/// By name: logits of all tasks in evaluation, the combined gradients of a training step, the running statistics that it leaves, and the logits with these.
fn run(config: &ModelConfig, scope: Scope, device: &Device, precision: Precision) -> Vec<(String, Vec<f32>)> {
    let parameters = Parameters::new(7, DType::F32, device).with_precision(precision);
    let model = Model::new(config, &Problem::of_one_view(3, INPUT), &parameters).unwrap();
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let batch = [input(device)];
    let logits = |when: &str| {
        let outputs = model.evaluate(&batch).unwrap();
        let named = outputs.logits.iter().enumerate().map(|(n, logits)| (format!("logits {n} {when}"), flat(logits)));
        named.collect::<Vec<_>>()
    };
    let mut found = logits("before");
    let mut weigh = |given: &StepGradients<'_>| Ok((1..=given.losses.len()).map(|n| n as f64 / 2.0).collect());
    let mode = Mode::Train { seed: 1, step: 0 };
    let (gradients, _) = gradients(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &batch, targets: &targets() },
        scope,
        mode,
        &mut weigh,
    )
    .unwrap();
    found.extend(gradients.iter().map(|(name, gradient)| (name.clone(), flat(gradient))));
    parameters.commit_statistics().unwrap();
    found.extend(parameters.statistics().iter().map(|(name, value)| (name.clone(), flat(value))));
    found.extend(logits("behind"));
    found
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn every_architecture_gives_the_numbers_of_the_cpu() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    for &architecture in Architecture::ALL {
        for (kind, norm) in kinds_and_norms() {
            let config = tiny(architecture, kind, norm);
            for scope in [Scope::Boundary, Scope::Exact] {
                let single = |device: &Device| run(&config, scope, device, Precision::F32);
                let (expected, found) = (single(&Device::Cpu), single(&gpu));
                assert_eq!(expected.len(), found.len());
                assert_eq!(norm == NormKind::Batch, expected.iter().any(|(name, _)| name.ends_with("running_mean")));
                for ((name, a), (other, b)) in expected.iter().zip(&found) {
                    assert_eq!(name, other);
                    let size = a.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                    let difference = a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                    assert!(
                        difference <= 2e-4 * size + 1e-6,
                        "{} {kind:?} {norm:?} {scope:?} {name}: {difference} of {size}",
                        architecture.key()
                    );
                }
            }
        }
    }
}

fn kinds_and_norms() -> impl Iterator<Item = (BackboneKind, NormKind)> {
    let norms = [NormKind::Group, NormKind::Batch];
    [BackboneKind::Slices, BackboneKind::Volume].into_iter().flat_map(move |kind| norms.map(|norm| (kind, norm)))
}

fn tiny(architecture: Architecture, kind: BackboneKind, norm: NormKind) -> ModelConfig {
    let mut config = ModelConfig::of(architecture);
    let backbone = BackboneConfig { norm, ..BackboneConfig::sized(kind, BackboneSize::Tiny) };
    *config.backbone_mut() = backbone.into();
    config
}

/// Euclidean norm of the difference over that of the first.
fn distance(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]) -> f64 {
    let pairs = || a.iter().zip(b).flat_map(|((_, a), (_, b))| a.iter().zip(b));
    let square = |value: f32| f64::from(value) * f64::from(value);
    let (apart, size): (f64, f64) = (pairs().map(|(a, b)| square(a - b)).sum(), pairs().map(|(a, _)| square(*a)).sum());
    (apart / size).sqrt()
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn bfloat16_is_as_far_from_single_precision_as_its_rounding_on_the_cpu() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    for kind in [BackboneKind::Slices, BackboneKind::Volume] {
        let config = tiny(Architecture::MtIds, kind, NormKind::Group);
        let run = |device: &Device, precision| run(&config, Scope::Boundary, device, precision);
        let exact = run(&Device::Cpu, Precision::F32);
        let (rounded, found) = (run(&Device::Cpu, Precision::Bf16), run(&gpu, Precision::Bf16));
        let (cpu, gpu) = (distance(&exact, &rounded), distance(&exact, &found));
        assert!(gpu > 0.2 * cpu && gpu < 3.0 * cpu, "{kind:?}: {cpu} on the CPU, {gpu} on the GPU");
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn two_runs_give_the_same_bits() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    for (kind, norm) in kinds_and_norms() {
        let config = tiny(Architecture::MtIds, kind, norm);
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            let once = || run(&config, Scope::Boundary, &gpu, precision);
            assert_eq!(once(), once(), "{kind:?} {norm:?} {precision:?}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_step_reads_twice_and_ends_in_the_weights_of_the_cpu() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    for scope in [Scope::Boundary, Scope::Exact] {
        // Clipped and not clipped.
        for clip_norm in [0.1, 1e6] {
            let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| {
                let parameters = Parameters::new(7, DType::F32, device);
                let config = tiny(Architecture::MtIds, BackboneKind::Slices, NormKind::Batch);
                let model = Model::new(&config, &Problem::of_one_view(3, INPUT), &parameters).unwrap();
                let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
                let mut optimizer = Sgd::new(&SgdConfig::default()).unwrap();
                let options = StepOptions { scope, clip_norm, learning_rate: 0.1, seed: 1 };
                let mut weigh =
                    |given: &StepGradients<'_>| Ok((1..=given.losses.len()).map(|n| n as f64 / 2.0).collect());
                let batch = [input(device)];
                let report = train_step(
                    &StepInputs {
                        model: &model,
                        parameters: &parameters,
                        losses: &losses,
                        input: &batch,
                        targets: &targets(),
                    },
                    &mut optimizer,
                    &options,
                    &mut weigh,
                )
                .unwrap();
                let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let weights: Vec<(String, Vec<f32>)> =
                    parameters.state().iter().map(|(name, value)| (name.clone(), flat(value))).collect();
                (report, weights)
            });
            assert_eq!(gpu.0.reads, 2, "{scope:?}");
            let largest = cpu.0.gram.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            for (a, b) in cpu.0.gram.iter().zip(&gpu.0.gram) {
                assert!((a - b).abs() <= 1e-3 * largest, "{scope:?}: {a} {b}");
            }
            let apart = distance(&cpu.1, &gpu.1);
            assert!(apart < 1e-4, "{scope:?}, limit {clip_norm}: weights {apart} apart");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn adamw_and_averages_take_the_steps_of_the_cpu() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    let numbers = |length: usize, seed: f64, device: &Device| {
        let numbers: Vec<f32> = (0..length).map(|n| (n as f64 * 0.37 + seed).sin() as f32).collect();
        Tensor::from_vec(numbers, length, device).unwrap()
    };
    // Lengths below, at and above what a block works on.
    let lengths = [("a.weight", 7), ("b.weight", 4096), ("c.bias", 10_000)];
    let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| {
        let parameters = Parameters::new(3, DType::F32, device);
        for (name, length) in lengths {
            parameters.get_or_init(name, &[length], Init::Normal(1.0)).unwrap();
        }
        let mut optimizer = AdamW::new(&AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() }).unwrap();
        let mut average = WeightAverage::new(0.99, &parameters).unwrap();
        for step in 0..3 {
            let gradient = |(name, length): (&str, usize)| {
                (name.to_owned(), numbers(length, f64::from(step) + length as f64, device))
            };
            let gradients: Gradients = lengths.into_iter().map(gradient).collect();
            optimizer.step(&parameters, &gradients, 0.05).unwrap();
            average.update(&parameters).unwrap();
        }
        let flat = |value: &Tensor| value.to_vec1::<f32>().unwrap();
        let values = || parameters.variables().into_iter().map(|(name, value)| (name, flat(&value)));
        let mut found: Vec<_> = values().collect();
        average.swap(&parameters).unwrap();
        found.extend(values());
        found
    });
    let apart = distance(&cpu, &gpu);
    assert!(apart < 1e-6, "weights {apart} apart");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn experts_by_one_product_and_soft_max_by_one_launch_are_those_of_the_cpu() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    // Experts of three forms, and gates.
    for form in [ExpertForm::Residual, ExpertForm::Normalised] {
        for width in [16, 24] {
            let mut config = MtIdsConfig {
                backbone: BackboneConfig::sized(BackboneKind::Slices, BackboneSize::Tiny).into(),
                dropout: Some(0.3),
                ..MtIdsConfig::default()
            };
            (config.dbr.expert_form, config.dbr.expert_width) = (form, width);
            let config = ModelConfig::MtIds(config);
            let single = |device: &Device| run(&config, Scope::Boundary, device, Precision::F32);
            let apart = distance(&single(&Device::Cpu), &single(&gpu));
            assert!(apart < 1e-3, "{form:?}, {width} wide: {apart}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_tensor_that_another_thread_copied_and_waited_for_is_whole() {
    let gpu = mtids_layers::device("cuda:0").unwrap();
    let size = 1 << 20;
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Tensor>(1);
        let device = gpu.clone();
        scope.spawn(move || {
            for round in 0..50_u32 {
                let copied = Tensor::from_vec(vec![round as f32; size], size, &device).unwrap();
                device.synchronize().unwrap();
                sender.send(copied).unwrap();
            }
        });
        let square = Tensor::ones((1024, 1024), DType::F32, &gpu).unwrap();
        for (round, copied) in receiver.into_iter().enumerate() {
            // Work of this thread's stream, in which the other must not get lost.
            let busy = square.matmul(&square).unwrap();
            let sum = (copied.sum_all().unwrap() / size as f64).unwrap().to_scalar::<f32>().unwrap();
            assert_eq!(sum, round as f32);
            assert_eq!(busy.max_all().unwrap().to_scalar::<f32>().unwrap(), 1024.0);
        }
    });
}
