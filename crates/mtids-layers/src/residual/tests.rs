//! Stem and stages: both paths against each other.

use candle_core::{DType, Device, Var};

use super::*;
use crate::{AdamW, AdamWConfig, Precision, WeightAverage};

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product::<usize>() as u64;
    let value = |n: u64| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
    Tensor::from_vec((0..count).map(value).collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn close(found: &[f64], expected: &[f64], precision: f64, what: &str) {
    let scale = expected.iter().fold(1e-3, |scale: f64, value| scale.max(value.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= precision * scale, "{what}, entry {index}: {a}, {b}");
    }
}

const GROUP: NormConfig = NormConfig::Group { groups: 8 };

fn tiny(stem_stride: usize, widths: &[usize], norm: NormConfig) -> ResidualConfig {
    ResidualConfig { widths: widths.to_vec(), blocks: vec![1; widths.len()], stem_stride, norm, depth_halved_from: 0 }
}

/// Moves norms and running statistics away from their first values.
fn shake(parameters: &Parameters) {
    for (seed, (name, variable)) in (20..).zip(parameters.state()) {
        if name.contains("norm") {
            let by = tensor(variable.dims(), seed).to_dtype(variable.dtype()).unwrap();
            let by = if name.ends_with("variance") { (by * 0.5).unwrap() } else { by };
            variable.set(&(variable.as_detached_tensor() + by).unwrap()).unwrap();
        }
    }
}

/// Names of the entries of `state` and their values.
fn values(state: Vec<(String, Var)>) -> Vec<(String, Vec<f64>)> {
    state.into_iter().map(|(name, variable)| (name, flat(&variable))).collect()
}

/// Output and all gradients of both paths and the running statistics behind them, in a precision.
fn compare<const N: usize>(config: &ResidualConfig, phase: Phase, shape: &[usize], dtype: DType, precision: f64) {
    let parameters = Parameters::new(5, dtype, &Device::Cpu);
    let size: [usize; N] = shape[2..].try_into().unwrap();
    let body = Residual::<N>::new("body", config, shape[1], size, &parameters).unwrap();
    shake(&parameters);
    let before = parameters.to_bytes().unwrap();
    let x = Var::from_tensor(&tensor(shape, 1).to_dtype(dtype).unwrap()).unwrap();
    let run = |interleaved: bool| {
        parameters.load_bytes(&before).unwrap();
        let y = if interleaved {
            body.interleaved(true, &body.stages, &x, phase).unwrap()
        } else {
            body.composed(true, &body.stages, &x, phase).unwrap()
        };
        assert_eq!(&y.dims()[2..], body.size());
        let mask = tensor(y.dims(), 3).to_dtype(dtype).unwrap();
        let store = (&y * mask).unwrap().sum_all().unwrap().backward().unwrap();
        parameters.commit_statistics().unwrap();
        let mut results = vec![("output".to_owned(), flat(&y)), ("x".to_owned(), flat(store.get(&x).unwrap()))];
        let gradient = |(name, variable): (String, Var)| (name, flat(store.get(&variable).unwrap()));
        results.extend(parameters.variables().into_iter().map(gradient));
        results.extend(values(parameters.statistics()));
        results
    };
    for ((name, found), (_, expected)) in run(true).iter().zip(&run(false)) {
        close(found, expected, precision, &format!("{:?} {phase:?} {shape:?} {name}", config.norm));
    }
    let changed = values(parameters.statistics());
    parameters.load_bytes(&before).unwrap();
    let trained = config.norm == NormConfig::Batch && phase == Phase::Train;
    assert_eq!(changed != values(parameters.statistics()), trained, "only a training pass of batch norm records");
}

#[test]
fn interleaved_runs_are_the_composed_function() {
    let cases = [(GROUP, Phase::Train), (NormConfig::Batch, Phase::Train), (NormConfig::Batch, Phase::Evaluate)];
    for (norm, phase) in cases {
        for (dtype, precision) in [(DType::F64, 1e-9), (DType::F32, 2e-3)] {
            compare::<2>(&tiny(2, &[8, 16, 24], norm), phase, &[2, 3, 23, 18], dtype, precision);
            compare::<2>(&tiny(1, &[16, 8], norm), phase, &[17, 2, 7, 12], dtype, precision);
            compare::<2>(&tiny(2, &[24], norm), phase, &[33, 5, 9, 5], dtype, precision);
            compare::<3>(&tiny(2, &[8, 16], norm), phase, &[3, 2, 9, 12, 14], dtype, precision);
            compare::<3>(&tiny(1, &[8, 8], norm), phase, &[18, 1, 3, 8, 5], dtype, precision);
            let deep = ResidualConfig { blocks: vec![2, 1, 2], depth_halved_from: 2, ..tiny(2, &[8, 8, 16], norm) };
            compare::<3>(&deep, phase, &[5, 2, 8, 16, 12], dtype, precision);
        }
    }
}

#[test]
fn depth_is_halved_from_the_stage_asked_for() {
    let size = |depth_halved_from, stem_stride| {
        let config = ResidualConfig { depth_halved_from, ..tiny(stem_stride, &[8, 8, 8, 8], NormConfig::Batch) };
        let parameters = Parameters::new(1, DType::F32, &Device::Cpu);
        Residual::<3>::new("body", &config, 1, [16, 64, 64], &parameters).unwrap().size().to_vec()
    };
    assert_eq!(size(0, 2), [2, 4, 4]);
    assert_eq!(size(1, 2), [2, 4, 4], "the last depth of 2 is not halved");
    assert_eq!(size(2, 2), [4, 4, 4]);
    assert_eq!(size(3, 1), [8, 8, 8]);
    assert_eq!(size(9, 2), [16, 4, 4]);
}

#[test]
fn interleaved_runs_do_not_depend_on_the_number_of_threads() {
    for norm in [GROUP, NormConfig::Batch] {
        let config = tiny(2, &[8, 16], norm);
        let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
        let body = Residual::<3>::new("body", &config, 2, [6, 20, 18], &parameters).unwrap();
        let before = parameters.to_bytes().unwrap();
        let x = Var::from_tensor(&tensor(&[35, 2, 6, 20, 18], 1).to_dtype(DType::F32).unwrap()).unwrap();
        let on = |threads: usize| {
            parameters.load_bytes(&before).unwrap();
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let y = body.interleaved(true, &body.stages, &x, Phase::Train).unwrap();
                let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                parameters.commit_statistics().unwrap();
                let mut results = vec![flat(&y), flat(store.get(&x).unwrap())];
                results.extend(parameters.variables().iter().map(|(_, variable)| flat(store.get(variable).unwrap())));
                results.extend(parameters.statistics().iter().map(|(_, variable)| flat(variable)));
                results
            })
        };
        let one = on(1);
        for threads in [2, 5, 8] {
            assert_eq!(one, on(threads), "{norm:?}, {threads} threads");
        }
    }
}

#[test]
fn a_training_goes_on_bit_for_bit_from_a_saved_state() {
    let config = tiny(1, &[8, 16], NormConfig::Batch);
    let start = || {
        let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
        let body = Residual::<2>::new("body", &config, 2, [9, 8], &parameters).unwrap();
        let average = WeightAverage::new(0.9, &parameters).unwrap();
        (parameters, body, AdamW::new(&AdamWConfig::default()).unwrap(), average)
    };
    type Training = (Parameters, Residual<2>, AdamW, WeightAverage);
    let step = |(parameters, body, optimizer, average): &mut Training, number: u64| {
        let x = tensor(&[5, 2, 9, 8], number).to_dtype(DType::F32).unwrap();
        let y = body.forward(&x, Phase::Train).unwrap();
        let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = |(name, variable): (String, Var)| (name, store.get(&variable).unwrap().clone());
        let gradients = parameters.variables().into_iter().map(gradient).collect();
        optimizer.step(parameters, &gradients, 0.01).unwrap();
        parameters.commit_statistics().unwrap();
        average.update(parameters).unwrap();
    };
    let mut whole = start();
    (1..5).for_each(|number| step(&mut whole, number));
    let mut first = start();
    (1..3).for_each(|number| step(&mut first, number));
    let mut second = start();
    second.0.load_bytes(&first.0.to_bytes().unwrap()).unwrap();
    second.2.load_bytes(&first.2.to_bytes().unwrap(), &second.0).unwrap();
    second.3.load_bytes(&first.3.to_bytes().unwrap(), &second.0).unwrap();
    (3..5).for_each(|number| step(&mut second, number));
    assert_eq!(second.0.to_bytes().unwrap(), whole.0.to_bytes().unwrap());
    assert_eq!(second.3.to_bytes().unwrap(), whole.3.to_bytes().unwrap());

    // The averages hold running statistics too, and come back.
    let (parameters, _, _, average) = &mut whole;
    let (before, statistics) = (parameters.to_bytes().unwrap(), values(parameters.statistics()));
    average.swap(parameters).unwrap();
    assert_ne!(values(parameters.statistics()), statistics);
    average.swap(parameters).unwrap();
    assert_eq!(parameters.to_bytes().unwrap(), before);
}

#[test]
fn batch_norm_needs_two_values_of_a_channel() {
    let config = tiny(2, &[8, 8], NormConfig::Batch);
    let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
    let body = Residual::<2>::new("body", &config, 1, [4, 4], &parameters).unwrap();
    let one = Tensor::ones((1, 1, 4, 4), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(body.forward(&one, Phase::Train), Err(LayerError::TooFewValues { found: 1 })));
    assert!(body.forward(&one, Phase::Evaluate).is_ok());
    assert!(body.forward(&one.repeat((2, 1, 1, 1)).unwrap(), Phase::Train).is_ok());
}

#[test]
fn a_sample_is_the_same_in_a_batch_of_any_size() {
    for (norm, phase) in [(GROUP, Phase::Train), (NormConfig::Batch, Phase::Evaluate)] {
        let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
        let body = Residual::<2>::new("body", &tiny(2, &[8, 16], norm), 3, [23, 18], &parameters).unwrap();
        shake(&parameters);
        let x = tensor(&[19, 3, 23, 18], 1).to_dtype(DType::F32).unwrap();
        let whole = body.forward(&x, phase).unwrap();
        for (first, count) in [(0, 1), (3, 7), (4, 8), (17, 2)] {
            let part = body.forward(&x.narrow(0, first, count).unwrap(), phase).unwrap();
            assert_eq!(flat(&part), flat(&whole.narrow(0, first, count).unwrap()), "{count} from {first}");
        }
    }
}

#[test]
fn one_graph_can_be_walked_twice_and_other_shapes_are_refused() {
    let config = tiny(2, &[8, 16], GROUP);
    let parameters = Parameters::new(5, DType::F64, &Device::Cpu);
    let body = Residual::<2>::new("body", &config, 3, [9, 9], &parameters).unwrap();
    let x = Var::from_tensor(&tensor(&[9, 3, 9, 9], 1)).unwrap();
    let y = body.forward(&x, Phase::Train).unwrap();
    let walk = || flat(y.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap());
    assert_eq!(walk(), walk());
    assert!(body.forward(&tensor(&[9, 4, 9, 9], 1), Phase::Train).is_err());
    assert!(body.forward(&tensor(&[9, 3, 9], 1), Phase::Train).is_err());
    assert!(body.stage(0, &tensor(&[9, 3, 9, 9], 1), Phase::Train).is_err());
}

#[test]
fn roundings_of_another_precision_are_not_passed_over() {
    let plain = Parameters::new(5, DType::F32, &Device::Cpu);
    let config = tiny(2, &[8, 16], GROUP);
    let body = |parameters: &Parameters| Residual::<2>::new("body", &config, 2, [12, 12], parameters).unwrap();
    let (exact, rounded) = (body(&plain), body(&plain.with_precision(Precision::Bf16)));
    let x = tensor(&[8, 2, 12, 12], 1).to_dtype(DType::F32).unwrap();
    let rounded = [
        rounded.forward(&x, Phase::Train).unwrap(),
        rounded.composed(true, &rounded.stages, &x, Phase::Train).unwrap(),
    ];
    assert_eq!(flat(&rounded[0]), flat(&rounded[1]));
    assert_ne!(flat(&rounded[0]), flat(&exact.composed(true, &exact.stages, &x, Phase::Train).unwrap()));
}

#[test]
fn strides_and_sizes_are_those_of_the_maps() {
    let config =
        ResidualConfig { blocks: vec![2, 1, 1], depth_halved_from: 2, ..tiny(2, &[8, 8, 16], NormConfig::Batch) };
    let found = config.strides([5, 20, 12]);
    // The depth is kept by the stem and the second stage, and halved by the third; only first blocks of later stages halve.
    assert_eq!(found.stem, [1, 2, 2]);
    assert_eq!(found.blocks, [vec![[1, 1, 1], [1, 1, 1]], vec![[1, 2, 2]], vec![[2, 2, 1]]]);
    assert_eq!(found.sizes, [[5, 10, 6], [5, 10, 6], [5, 5, 3], [3, 3, 3]]);
    let parameters = Parameters::new(3, DType::F64, &Device::Cpu);
    let body = Residual::new("body", &config, 1, [5, 20, 12], &parameters).unwrap();
    let mut map = body.stem(&tensor(&[2, 1, 5, 20, 12], 1), Phase::Evaluate).unwrap();
    for (stage, size) in found.sizes.iter().enumerate().skip(1) {
        map = body.stage(stage - 1, &map, Phase::Evaluate).unwrap();
        assert_eq!(map.dims()[2..], size[..]);
    }
    assert_eq!(body.size(), [3, 3, 3]);
}
