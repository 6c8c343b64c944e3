//! The same numbers on a GPU as on the CPU: logits and gradients of every architecture, in 2.5 and three dimensions.
//!
//! Compiled with the feature `cuda` only, and started by `make cuda-test` where there is a GPU. Tolerances are those of single precision under
//! another order of summation.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use candle_core::{DType, Device, Tensor};
use mtids_nn::backbone::{BackboneKind, BackboneSize};
use mtids_nn::step::gradients;
use mtids_nn::{
    Architecture, BackboneConfig, LossConfig, Mode, Model, ModelConfig, Parameters, Scope, StepGradients, TargetBatch,
    TaskLosses,
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

/// Logits of all tasks and the combined gradients, by name.
fn run(config: &ModelConfig, scope: Scope, device: &Device) -> Vec<(String, Vec<f32>)> {
    let parameters = Parameters::new(7, DType::F32, device);
    let model = Model::new(config, 3, INPUT, &parameters).unwrap();
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let outputs = model.evaluate(&input(device)).unwrap();
    let mut found: Vec<_> =
        outputs.logits.iter().enumerate().map(|(n, logits)| (format!("logits {n}"), flat(logits))).collect();
    let mut weigh = |told: &StepGradients<'_>| Ok((1..=told.losses.len()).map(|n| n as f64 / 2.0).collect());
    let mode = Mode::Train { seed: 1, step: 0 };
    let batch = input(device);
    let (gradients, _) = gradients(&model, &parameters, &losses, &batch, &targets(), scope, mode, &mut weigh).unwrap();
    found.extend(gradients.iter().map(|(name, gradient)| (name.clone(), flat(gradient))));
    found
}

#[test]
fn every_architecture_gives_the_numbers_of_the_cpu() {
    let gpu = mtids_nn::device("cuda:0").unwrap();
    for &architecture in Architecture::ALL {
        for kind in [BackboneKind::Slices, BackboneKind::Volume] {
            let mut config = ModelConfig::of(architecture);
            *config.backbone_mut() = BackboneConfig::sized(kind, BackboneSize::Tiny);
            for scope in [Scope::Boundary, Scope::Exact] {
                let (expected, found) = (run(&config, scope, &Device::Cpu), run(&config, scope, &gpu));
                assert_eq!(expected.len(), found.len());
                for ((name, a), (other, b)) in expected.iter().zip(&found) {
                    assert_eq!(name, other);
                    let size = a.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                    let difference = a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                    assert!(
                        difference <= 2e-3 * size + 1e-5,
                        "{} {kind:?} {scope:?} {name}: {difference} of {size}",
                        architecture.key()
                    );
                }
            }
        }
    }
}
