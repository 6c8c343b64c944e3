//! Batch norm: both paths, gradients, and what is recorded.

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use mtids_ranks::{Ranks, threads};

use crate::error::Result;

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product::<usize>() as u64;
    let value = |n: u64| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
    Tensor::from_vec((0..count).map(value).collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn close(found: &[f64], expected: &[f64], precision: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= precision * b.abs().max(1.0), "{what}: {a}, {b}");
    }
}

/// A layer with weights, biases and running statistics that are not the first ones.
fn layer(relu: bool, dtype: DType) -> (Parameters, BatchNorm) {
    let parameters = Parameters::new(1, dtype, &Device::Cpu);
    let layer = BatchNorm::new("n", 4, relu, &parameters).unwrap();
    for (seed, (name, variable)) in (3..).zip(parameters.state()) {
        let moved = tensor(&[4], seed);
        let moved = if name.ends_with("variance") { (moved.abs().unwrap() + 0.2).unwrap() } else { moved };
        variable.set(&moved.to_dtype(dtype).unwrap()).unwrap();
    }
    (parameters, layer)
}

/// Output, gradients of input, weight and bias, and running statistics after a commit.
fn run(dtype: DType, relu: bool, phase: Phase, composed: bool) -> Vec<Vec<f64>> {
    let (parameters, layer) = layer(relu, dtype);
    let x = Var::from_tensor(&(tensor(&[3, 4, 5, 7], 1) + 2.0).unwrap().to_dtype(dtype).unwrap()).unwrap();
    let run = |x: &Tensor| -> Result<Tensor> {
        if composed { layer.composed(x, x.elem_count() / 4, phase) } else { layer.forward(x, phase) }
    };
    let y = run(&x).unwrap();
    let store = (&y * tensor(y.dims(), 9).to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
    parameters.commit_statistics().unwrap();
    let mut results = vec![flat(&y), flat(store.get(&x).unwrap())];
    results.extend(parameters.variables().iter().map(|(_, variable)| flat(store.get(variable).unwrap())));
    results.extend(parameters.statistics().iter().map(|(_, variable)| flat(variable)));
    results
}

#[test]
fn the_operation_is_the_composed_function() {
    for (dtype, precision) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
        for phase in [Phase::Train, Phase::Evaluate] {
            for relu in [false, true] {
                let (found, expected) = (run(dtype, relu, phase, false), run(dtype, relu, phase, true));
                assert_eq!(found.len(), 6);
                for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    close(found, expected, precision, &format!("{dtype:?}, {phase:?}, relu {relu}, result {which}"));
                }
            }
        }
    }
}

/// What a layer computes: output, gradients of map, addition and parameters, running statistics.
fn added_to(dtype: DType, shape: &[usize], phase: Phase, relu: bool, base: bool, kernels: bool) -> Vec<Vec<f64>> {
    let (parameters, layer) = layer(relu && !base, dtype);
    let variable = |seed| Var::from_tensor(&(tensor(shape, seed) + 0.5).unwrap().to_dtype(dtype).unwrap()).unwrap();
    let (x, other) = (variable(1), variable(2));
    let count = x.elem_count() / 4;
    let y = match (kernels, base) {
        (true, true) => layer.by_kernels(&x, count, phase, Some((&other, relu))),
        (true, false) => layer.by_kernels(&x, count, phase, None),
        (false, true) => added(&other, &layer.composed(&x, count, phase).unwrap(), relu),
        (false, false) => layer.composed(&x, count, phase),
    };
    let y = y.unwrap();
    let store = (&y * tensor(shape, 9).to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
    parameters.commit_statistics().unwrap();
    let mut results = vec![flat(&y), flat(store.get(&x).unwrap())];
    if base {
        results.push(flat(store.get(&other).unwrap()));
    }
    results.extend(parameters.variables().iter().map(|(_, variable)| flat(store.get(variable).unwrap())));
    results.extend(parameters.statistics().iter().map(|(_, variable)| flat(variable)));
    results
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(120))]

    #[test]
    fn the_kernels_for_gpus_are_the_composed_function(
        (batch, axes) in (1..9_usize, proptest::collection::vec(1..24_usize, 1..4)),
        (train, relu, base) in proptest::prelude::any::<(bool, bool, bool)>(),
    ) {
        let mut shape = vec![batch, 4];
        shape.extend(axes);
        // Two equal values of a channel have no variance, and rounding is all that is left of it.
        proptest::prop_assume!(shape.iter().product::<usize>() >= 4 * 4);
        let phase = if train { Phase::Train } else { Phase::Evaluate };
        let expected = added_to(DType::F64, &shape, phase, relu, base, false);
        for (dtype, precision) in [(DType::F64, 1e-9), (DType::F32, 2e-3)] {
            let found = added_to(dtype, &shape, phase, relu, base, true);
            for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
                let scaled = |values: &[f64]| values.iter().map(|value| value / scale).collect::<Vec<_>>();
                close(&scaled(found), &scaled(expected), precision, &format!("{shape:?} {dtype:?}, result {which}"));
            }
        }
    }
}

#[test]
fn gradients_of_the_kernels_are_differences() {
    let (shape, step) = ([3, 4, 5], 1e-6);
    let (_, layer) = layer(false, DType::F64);
    let (x, other, slope) = (tensor(&shape, 1), tensor(&shape, 2), tensor(&shape, 9));
    let loss = |x: &Tensor, other: &Tensor| {
        let y = layer.by_kernels(x, 15, Phase::Train, Some((other, true))).unwrap();
        (y * &slope).unwrap().sum_all().unwrap()
    };
    let [vx, vo] = [&x, &other].map(|tensor| Var::from_tensor(tensor).unwrap());
    let store = loss(&vx, &vo).backward().unwrap();
    for (which, variable) in [&vx, &vo].into_iter().enumerate() {
        let gradient = flat(store.get(variable).unwrap());
        for (entry, gradient) in gradient.iter().enumerate() {
            let at = |by: f64| {
                let mut values = [flat(&x), flat(&other)];
                values[which][entry] += by;
                let [x, other] = values.map(|values| Tensor::from_vec(values, &shape, &Device::Cpu).unwrap());
                loss(&x, &other).to_scalar::<f64>().unwrap()
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            assert!((difference - gradient).abs() < 1e-6, "{which} {entry}: {gradient}, by differences {difference}");
        }
    }
}

#[test]
fn a_norm_is_three_launches_in_each_direction() {
    let (_, layer) = layer(false, DType::F32);
    let x = Var::from_tensor(&tensor(&[3, 4, 5], 1).to_dtype(DType::F32).unwrap()).unwrap();
    let launches = |phase, base: Option<(&Tensor, bool)>| {
        let (y, forward) = mtids_cuda::log::launches_of(|| layer.by_kernels(&x, 15, phase, base).unwrap());
        let (_, backward) = mtids_cuda::log::launches_of(|| y.sum_all().unwrap().backward().unwrap());
        (forward, backward)
    };
    let plain = launches(Phase::Train, None);
    assert_eq!(plain.0, ["moments_parts_f32", "moments_join_f32", "normalise_f32"]);
    assert_eq!(plain.1, ["gradient_parts_f32", "gradient_join_f32", "input_gradient_f32"]);
    assert_eq!(launches(Phase::Evaluate, None).0, ["normalise_f32"]);
    let (forward, backward) = launches(Phase::Train, Some((&x, true)));
    assert_eq!((forward.len(), backward.len()), (3, 4), "the addition and its rectifier cost one launch, backward");
}

#[test]
fn training_gives_every_channel_mean_0_and_variance_1() {
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    let layer = BatchNorm::new("n", 3, false, &parameters).unwrap();
    // A large common part: the statistics must not lose the rest.
    let x = (tensor(&[5, 3, 2, 4, 3], 1) + 1e6).unwrap();
    let y = layer.forward(&x, Phase::Train).unwrap();
    for channel in 0..3 {
        let values = flat(&y.narrow(1, channel, 1).unwrap().contiguous().unwrap());
        let mean = values.iter().sum::<f64>() / 120.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 120.0;
        assert!(mean.abs() < 1e-8 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
}

#[test]
fn passes_record_and_steps_commit_or_discard() {
    let (parameters, layer) = layer(false, DType::F64);
    let values = || -> Vec<Vec<f64>> { parameters.statistics().iter().map(|(_, variable)| flat(variable)).collect() };
    let batches = [tensor(&[3, 4, 6], 1), tensor(&[2, 4, 5], 2)];
    let before = values();
    let y = layer.forward(&batches[0], Phase::Evaluate).unwrap();
    parameters.commit_statistics().unwrap();
    assert_eq!(values(), before, "evaluation records nothing");
    layer.forward(&batches[0], Phase::Train).unwrap();
    assert_eq!(values(), before, "a pass alone changes nothing");
    assert_eq!(flat(&layer.forward(&batches[0], Phase::Evaluate).unwrap()), flat(&y));
    parameters.discard_statistics();
    parameters.commit_statistics().unwrap();
    assert_eq!(values(), before, "discarded");
    let frozen = BatchNorm::new("n", 4, false, &parameters.frozen()).unwrap();
    frozen.forward(&batches[0], Phase::Train).unwrap();
    parameters.commit_statistics().unwrap();
    assert_eq!(values(), before, "frozen layers record nothing");

    // PyTorch's convention: 0.9 of the running value and 0.1 of the batch's, the variance unbiased; one pass after the other.
    for batch in &batches {
        layer.forward(batch, Phase::Train).unwrap();
    }
    parameters.commit_statistics().unwrap();
    let after = values();
    let running = before[0].iter().zip(&before[1]).zip(after[0].iter().zip(&after[1]));
    for (channel, ((&mean, &variance), (&found_mean, &found_variance))) in running.enumerate() {
        let (mut mean, mut variance) = (mean, variance);
        for batch in &batches {
            let entries = flat(&batch.narrow(1, channel, 1).unwrap().contiguous().unwrap());
            let count = entries.len() as f64;
            let of_batch = entries.iter().sum::<f64>() / count;
            let squares: f64 = entries.iter().map(|value| (value - of_batch).powi(2)).sum();
            mean = 0.9 * mean + 0.1 * of_batch;
            variance = 0.9 * variance + 0.1 * squares / (count - 1.0);
        }
        close(&[found_mean, found_variance], &[mean, variance], 1e-12, "running");
    }
    let seen = [&layer, &frozen].map(|layer| flat(&layer.forward(&batches[1], Phase::Evaluate).unwrap()));
    assert_eq!(seen[0], seen[1], "a frozen layer sees what was committed");
    assert_ne!(seen[0], flat(&y));
}

#[test]
fn one_value_and_other_shapes_are_refused() {
    let (_, layer) = layer(true, DType::F32);
    let one = Tensor::ones((1, 4, 1), DType::F32, &Device::Cpu).unwrap();
    let refusal = layer.forward(&one, Phase::Train).unwrap_err().to_string();
    assert!(refusal.contains("at least 2 values") && refusal.contains("has 1"), "{refusal}");
    assert!(layer.forward(&one, Phase::Evaluate).is_ok());
    for shape in [&[2, 5, 3][..], &[2, 4], &[0, 4, 3]] {
        assert!(layer.forward(&Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap(), Phase::Train).is_err());
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(DType::F32, true, Phase::Train, false))
    };
    assert_eq!(on(1), on(2));
    assert_eq!(on(1), on(8));
}

#[test]
fn samples_on_several_ranks_are_one_batch() {
    let x = (tensor(&[5, 4, 3, 7], 1) + 2.0).unwrap();
    let weights = tensor(&[5, 4, 3, 7], 9);
    // Output and gradient of its rows, gradients of the parameters, and running statistics after a commit.
    let of_rows = |from: usize, rows: usize, relu: bool, ranks: &Ranks| -> [Vec<f64>; 4] {
        ranks.take_rows(rows).unwrap();
        let parameters = Parameters::new(1, DType::F64, &Device::Cpu).with_ranks(ranks);
        let layer = BatchNorm::new("n", 4, relu, &parameters).unwrap();
        // A rank without rows has one that counts for nothing.
        let own = |all: &Tensor| match rows {
            0 => Tensor::zeros((1, 4, 3, 7), DType::F64, &Device::Cpu).unwrap(),
            _ => all.narrow(0, from, rows).unwrap(),
        };
        let x = Var::from_tensor(&own(&x)).unwrap();
        let y = layer.forward(&x, Phase::Train).unwrap();
        let store = (&y * own(&weights)).unwrap().sum_all().unwrap().backward().unwrap();
        parameters.commit_statistics().unwrap();
        let gradients =
            parameters.variables().iter().flat_map(|(_, variable)| flat(store.get(variable).unwrap())).collect();
        let statistics = parameters.statistics().iter().flat_map(|(_, variable)| flat(variable)).collect();
        let count = if rows == 0 { 0 } else { y.elem_count() };
        [flat(&y)[..count].to_vec(), flat(store.get(&x).unwrap())[..count].to_vec(), gradients, statistics]
    };
    for relu in [false, true] {
        let whole = of_rows(0, 5, relu, &Ranks::alone());
        let parts = threads::run(3, |ranks| {
            let (from, rows) = [(0, 1), (1, 0), (1, 4)][ranks.rank()];
            of_rows(from, rows, relu, ranks)
        });
        for which in [0, 1] {
            let rows: Vec<f64> = parts.iter().flat_map(|part| part[which].clone()).collect();
            close(&rows, &whole[which], 1e-12, "rows");
        }
        let sums = (0..8).map(|n| parts.iter().map(|part| part[2][n]).sum()).collect::<Vec<f64>>();
        close(&sums, &whole[2], 1e-12, "parameters");
        for part in &parts {
            close(&part[3], &whole[3], 1e-12, "statistics");
        }
    }
    for refused in threads::run(2, |ranks| {
        ranks.take_rows(usize::from(ranks.is_first())).unwrap();
        let parameters = Parameters::new(1, DType::F64, &Device::Cpu).with_ranks(ranks);
        let layer = BatchNorm::new("n", 4, false, &parameters).unwrap();
        layer.forward(&tensor(&[1, 4, 1], 1), Phase::Train)
    }) {
        assert!(matches!(refused, Err(LayerError::TooFewValues { found: 1 })));
    }
}
