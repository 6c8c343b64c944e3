//! Stem and stages: both paths against each other.

use candle_core::{DType, Device, Var};

use super::*;

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

fn tiny(stem_stride: usize, widths: &[usize]) -> ResidualConfig {
    ResidualConfig { widths: widths.to_vec(), blocks: vec![1; widths.len()], stem_stride, norm: NormConfig::Group { groups: 8 }, depth_halved_from: 0 }
}

/// Output and all gradients of both paths, in a precision.
fn compare<const N: usize>(config: &ResidualConfig, shape: &[usize], dtype: DType, precision: f64) {
    let parameters = Parameters::new(5, dtype, &Device::Cpu);
    let size: [usize; N] = shape[2..].try_into().unwrap();
    let body = Residual::<N>::new("body", config, shape[1], size, &parameters).unwrap();
    for (seed, (name, variable)) in (20..).zip(parameters.variables()) {
        if name.contains("norm") {
            let moved =
                (variable.as_detached_tensor() + tensor(variable.dims(), seed).to_dtype(dtype).unwrap()).unwrap();
            variable.set(&moved).unwrap();
        }
    }
    let x = Var::from_tensor(&tensor(shape, 1).to_dtype(dtype).unwrap()).unwrap();
    let run = |interleaved: bool| {
        let y = if interleaved {
            body.interleaved(true, &body.stages, &x, Phase::Train).unwrap()
        } else {
            body.composed(true, &body.stages, &x, Phase::Train).unwrap()
        };
        let mask = tensor(y.dims(), 3).to_dtype(dtype).unwrap();
        let store = (&y * mask).unwrap().sum_all().unwrap().backward().unwrap();
        let gradients: Vec<(String, Vec<f64>)> = parameters
            .variables()
            .into_iter()
            .map(|(name, variable)| (name, flat(store.get(&variable).unwrap())))
            .chain([("x".to_owned(), flat(store.get(&x).unwrap()))])
            .collect();
        (flat(&y), gradients)
    };
    let ((y, gradients), (expected, others)) = (run(true), run(false));
    close(&y, &expected, precision, "output");
    for ((name, found), (_, expected)) in gradients.iter().zip(&others) {
        close(found, expected, precision, &format!("{shape:?} {name}"));
    }
}

#[test]
fn interleaved_runs_are_the_composed_function() {
    for (dtype, precision) in [(DType::F64, 1e-9), (DType::F32, 2e-3)] {
        compare::<2>(&tiny(2, &[8, 16, 24]), &[2, 3, 23, 18], dtype, precision);
        compare::<2>(&tiny(1, &[16, 8]), &[17, 2, 7, 12], dtype, precision);
        compare::<2>(&tiny(2, &[24]), &[33, 5, 9, 5], dtype, precision);
        compare::<3>(&tiny(2, &[8, 16]), &[3, 2, 9, 12, 14], dtype, precision);
        compare::<3>(&tiny(1, &[8, 8]), &[18, 1, 3, 8, 5], dtype, precision);
    }
}

#[test]
fn interleaved_runs_do_not_depend_on_the_number_of_threads() {
    let config = tiny(2, &[8, 16]);
    let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
    let body = Residual::<3>::new("body", &config, 2, [6, 20, 18], &parameters).unwrap();
    let x = Var::from_tensor(&tensor(&[35, 2, 6, 20, 18], 1).to_dtype(DType::F32).unwrap()).unwrap();
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let y = body.interleaved(true, &body.stages, &x, Phase::Train).unwrap();
            let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let mut results = vec![flat(&y), flat(store.get(&x).unwrap())];
            results.extend(parameters.variables().iter().map(|(_, variable)| flat(store.get(variable).unwrap())));
            results
        })
    };
    assert_eq!(on(1), on(5));
}

#[test]
fn a_sample_is_the_same_in_a_batch_of_any_size() {
    let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
    let body = Residual::<2>::new("body", &tiny(2, &[8, 16]), 3, [23, 18], &parameters).unwrap();
    let x = tensor(&[19, 3, 23, 18], 1).to_dtype(DType::F32).unwrap();
    let whole = body.forward(&x, Phase::Train).unwrap();
    for (first, count) in [(0, 1), (3, 7), (4, 8), (17, 2)] {
        let part = body.forward(&x.narrow(0, first, count).unwrap(), Phase::Train).unwrap();
        assert_eq!(flat(&part), flat(&whole.narrow(0, first, count).unwrap()), "{count} from {first}");
    }
}

#[test]
fn one_graph_can_be_walked_twice_and_other_shapes_are_refused() {
    let config = tiny(2, &[8, 16]);
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
    let config = tiny(2, &[8, 16]);
    let body = |parameters: &Parameters| Residual::<2>::new("body", &config, 2, [12, 12], parameters).unwrap();
    let (exact, rounded) = (body(&plain), body(&plain.with_precision(Precision::Bf16)));
    let x = tensor(&[8, 2, 12, 12], 1).to_dtype(DType::F32).unwrap();
    let rounded = [rounded.forward(&x, Phase::Train).unwrap(), rounded.composed(true, &rounded.stages, &x, Phase::Train).unwrap()];
    assert_eq!(flat(&rounded[0]), flat(&rounded[1]));
    assert_ne!(flat(&rounded[0]), flat(&exact.composed(true, &exact.stages, &x, Phase::Train).unwrap()));
}
