//! Numbers that are a pure function of a seed, and gradients beside central differences, in double precision.

use candle_core::{Device, Tensor, Var};
use mtids_layers::Parameters;

/// Numbers in (−1, 1), a pure function of `seed`.
pub(crate) fn tensor(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product::<usize>() as u64;
    let value = |n: u64| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
    Tensor::from_vec((0..count).map(value).collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn value(tensor: &Tensor) -> f64 {
    tensor.to_scalar().unwrap()
}

pub(crate) type Layer<'a> = &'a dyn Fn(&[Tensor]) -> mtids_layers::error::Result<Tensor>;

/// Compares the gradient of a weighted sum of squares of the output with differences, at some entries of every argument.
#[track_caller]
pub(crate) fn check(what: &str, shapes: &[&[usize]], layer: Layer<'_>) {
    let variables: Vec<Var> =
        (1..).zip(shapes).map(|(seed, shape)| Var::from_tensor(&tensor(shape, seed)).unwrap()).collect();
    let arguments: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let loss = |arguments: &[Tensor]| {
        let y = layer(arguments).unwrap();
        let mask = tensor(y.dims(), 99);
        ((y.sqr().unwrap() + &y).unwrap() * mask).unwrap().sum_all().unwrap()
    };
    let store = loss(&arguments).backward().unwrap();
    let mut largest = 0.0_f64;
    for (index, variable) in variables.iter().enumerate() {
        let gradient = flat(store.get(variable).unwrap_or_else(|| panic!("{what}: argument {index} has no gradient")));
        let values = flat(variable);
        for at in (0..values.len()).step_by((values.len() / 30).max(1)) {
            let moved = |by: f64| {
                let mut arguments: Vec<Tensor> = arguments.iter().map(Tensor::detach).collect();
                let mut values = values.clone();
                values[at] += by;
                arguments[index] = Tensor::from_vec(values, variable.dims(), &Device::Cpu).unwrap();
                loss(&arguments).to_scalar::<f64>().unwrap()
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let scale = numeric.abs().max(gradient[at].abs()).max(1e-2);
            let exact = gradient[at];
            assert!(
                (numeric - exact).abs() <= 1e-6 * scale,
                "{what}, argument {index}, entry {at}: {exact}, {numeric}"
            );
            largest = largest.max(exact.abs());
        }
    }
    assert!(largest > 1e-3, "{what}: all slopes are 0");
}

/// Compares the gradients of a layer's input, of shape `shape`, and of all its parameters with differences. The parameters are moved away from their
/// first values, and so are running statistics.
#[track_caller]
pub(crate) fn check_parameters(
    what: &str,
    parameters: &Parameters,
    shape: &[usize],
    layer: &dyn Fn(&Tensor) -> mtids_layers::error::Result<Tensor>,
) {
    for (seed, (name, variable)) in (20..).zip(parameters.state()) {
        if !name.ends_with(".weight") {
            let by = (tensor(variable.dims(), seed) * 0.4).unwrap();
            variable.set(&(variable.as_detached_tensor() + by).unwrap()).unwrap();
        }
    }
    let x = Var::from_tensor(&tensor(shape, 1)).unwrap();
    let loss = || {
        let y = layer(&x).unwrap();
        ((y.sqr().unwrap() + &y).unwrap() * tensor(y.dims(), 99)).unwrap().sum_all().unwrap()
    };
    let store = loss().backward().unwrap();
    let mut largest = 0.0_f64;
    for (name, variable) in parameters.variables().into_iter().chain([("x".to_owned(), x.clone())]) {
        let gradient = flat(store.get(&variable).unwrap_or_else(|| panic!("{what}: {name} has no gradient")));
        let values = flat(&variable);
        for at in (0..values.len()).step_by((values.len() / 12).max(1)) {
            let set = |by: f64| {
                let mut moved = values.clone();
                moved[at] += by;
                variable.set(&Tensor::from_vec(moved, variable.dims(), &Device::Cpu).unwrap()).unwrap();
            };
            let moved = |by: f64| {
                set(by);
                value(&loss())
            };
            // Small steps: few rectifiers turn within them.
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            set(0.0);
            let exact = gradient[at];
            let scale = numeric.abs().max(exact.abs()).max(1e-1);
            assert!((numeric - exact).abs() <= 1e-5 * scale, "{what}, {name}, entry {at}: {exact}, {numeric}");
            largest = largest.max(exact.abs());
        }
    }
    assert!(largest > 1e-3, "{what}: all slopes are 0");
}

/// Central differences of `f` at a few entries of `x`, against `gradient`.
#[track_caller]
pub(crate) fn check_gradient(x: &Tensor, gradient: &Tensor, f: impl Fn(&Tensor) -> f64) {
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
