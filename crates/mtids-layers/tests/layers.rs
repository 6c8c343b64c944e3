//! Every layer's gradient against central differences, in double precision.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use candle_core::{DType, Device, Tensor, Var};
use mtids_nn::activation::{Activation, log_softmax, log_sum_exp, sigmoid, softmax, softplus};
use mtids_nn::conv::{ConvOptions, conv2d, conv3d};
use mtids_nn::dropout::Dropout;
use mtids_nn::linear::Linear;
use mtids_nn::norm::{LayerNorm, group_norm};
use mtids_nn::pool::{GridPool, GridPooling, Windows, average_pool, global_average_pool, global_max_pool, max_pool};
use mtids_nn::{BackboneConfig, BackboneKind, BackboneSize, Parameters};

/// Numbers in (−1, 1), a pure function of `seed`.
fn tensor(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product::<usize>() as u64;
    let value = |n: u64| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
    Tensor::from_vec((0..count).map(value).collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

type Layer<'a> = &'a dyn Fn(&[Tensor]) -> mtids_nn::error::Result<Tensor>;

/// Compares the gradient of a weighted sum of squares of the output with differences, at some entries of every argument.
#[track_caller]
fn check(what: &str, shapes: &[&[usize]], layer: Layer<'_>) {
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

#[test]
fn convolutions() {
    let planar = |stride, padding, dilation, groups| ConvOptions {
        stride: [stride, 1],
        padding: [padding; 2],
        dilation: [1, dilation],
        groups,
    };
    for (inputs, members, outputs, options) in [
        (3, 3, 4, planar(1, 1, 1, 1)),
        (4, 2, 6, planar(2, 0, 2, 2)),
        (3, 1, 6, planar(2, 1, 1, 3)),
        (9, 9, 10, planar(1, 1, 1, 1)),
    ] {
        check(&format!("{options:?}"), &[&[2, inputs, 8, 9], &[outputs, members, 3, 3]], &|t| {
            conv2d(&t[0], &t[1], &options)
        });
    }
    for (inputs, members, outputs, options) in [
        (2, 2, 3, ConvOptions { stride: [2, 1, 2], padding: [1, 0, 1], dilation: [1, 2, 1], groups: 1 }),
        (2, 1, 4, ConvOptions::new(1, 1).with_groups(2)),
        (8, 8, 9, ConvOptions::new(1, 1)),
    ] {
        check(&format!("{options:?}"), &[&[2, inputs, 4, 7, 6], &[outputs, members, 3, 3, 3]], &|t| {
            conv3d(&t[0], &t[1], &options)
        });
    }
}

#[test]
fn pooling() {
    let windows = Windows { kernel: [3, 2], stride: [2, 2], padding: [1, 0] };
    check("maximum", &[&[2, 3, 7, 6]], &|t| max_pool(&t[0], &windows));
    check("average", &[&[2, 3, 7, 6]], &|t| average_pool(&t[0], &windows));
    let windows = Windows::<3>::new(3, 2, 1);
    check("maximum in 3-D", &[&[1, 2, 5, 4, 6]], &|t| max_pool(&t[0], &windows));
    check("average in 3-D", &[&[1, 2, 5, 4, 6]], &|t| average_pool(&t[0], &windows));
    check("global maximum", &[&[2, 3, 2, 3, 4]], &|t| global_max_pool(&t[0]));
    check("global average", &[&[2, 3, 2, 3, 4]], &|t| global_average_pool(&t[0]));
    for pooling in [GridPooling::Average, GridPooling::Maximum, GridPooling::AverageAndMaximum] {
        let grid = GridPool::new(&[3, 5, 4], 2, pooling, DType::F64, &Device::Cpu).unwrap();
        check(&format!("{pooling:?} of a grid"), &[&[2, 3, 3, 5, 4]], &|t| grid.forward(&t[0]));
    }
}

#[test]
fn norms() {
    for rectify in [false, true] {
        check("group norm", &[&[2, 6, 3, 4], &[6], &[6]], &|t| group_norm(&t[0], &t[1], &t[2], 3, rectify));
        check("in 3-D", &[&[2, 4, 2, 3, 4], &[4], &[4]], &|t| group_norm(&t[0], &t[1], &t[2], 2, rectify));
    }
    let layer = LayerNorm::new("n", 9, &Parameters::new(1, DType::F64, &Device::Cpu)).unwrap();
    check("layer norm", &[&[4, 9]], &|t| layer.forward(&t[0]));
}

#[test]
fn activations_and_the_rest() {
    for activation in [Activation::Relu, Activation::Gelu, Activation::Silu] {
        check(&format!("{activation:?}"), &[&[5, 7]], &|t| activation.forward(&(&t[0] * 3.0)?));
    }
    check("soft-max", &[&[4, 6]], &|t| softmax(&t[0]));
    check("log soft-max", &[&[4, 6]], &|t| log_softmax(&t[0]));
    check("log-sum-exp", &[&[4, 6]], &|t| log_sum_exp(&t[0]));
    check("soft-plus", &[&[4, 6]], &|t| softplus(&t[0]));
    check("sigmoid", &[&[4, 6]], &|t| sigmoid(&t[0]));
    let dropout = Dropout::new("d", 0.3).unwrap();
    check("dropout", &[&[6, 8]], &|t| dropout.forward(&t[0], Some((1, 2))));
    let linear = Linear::new("l", 5, 3, 1.0, &Parameters::new(1, DType::F64, &Device::Cpu)).unwrap();
    check("linear", &[&[4, 5]], &|t| linear.forward(&t[0]));
}

#[test]
fn the_slope_of_the_rectifier_at_0_is_0() {
    let x = Var::zeros(3, DType::F64, &Device::Cpu).unwrap();
    let store = Activation::Relu.forward(&x).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(store.get(&x).unwrap()), [0.0; 3]);
}

#[test]
fn activations_on_the_cpu_are_those_of_other_devices() {
    let x = (tensor(&[300], 5) * 4.0).unwrap();
    for (ours, candle) in [
        (Activation::Relu, x.relu().unwrap()),
        (Activation::Gelu, x.gelu_erf().unwrap()),
        (Activation::Silu, x.silu().unwrap()),
    ] {
        let found = flat(&ours.forward(&x).unwrap());
        assert!(found.iter().zip(flat(&candle)).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?}");
    }
}

#[test]
fn a_whole_backbone_in_three_dimensions() {
    let config = BackboneConfig { stem_stride: 1, ..BackboneConfig::sized(BackboneKind::Volume, BackboneSize::Tiny) };
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    let backbone = mtids_nn::backbone::Backbone::new("trunk", &config, [2, 4, 6, 6], &parameters).unwrap();
    check("backbone", &[&[2, 2, 4, 6, 6]], &|t| backbone.forward(&t[0]));
    // A batch large enough to be interleaved, in two bundles.
    check("interleaved backbone", &[&[17, 2, 4, 6, 6]], &|t| backbone.forward(&t[0]));
}

#[test]
fn whole_interleaved_backbones_by_parameter() {
    for (kind, input) in [(BackboneKind::Slices, [1, 3, 12, 12]), (BackboneKind::Volume, [1, 4, 8, 8])] {
        let config = BackboneConfig { features: 4, pool_grid: 1, ..BackboneConfig::sized(kind, BackboneSize::Tiny) };
        let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
        let backbone = mtids_nn::backbone::Backbone::new("trunk", &config, input, &parameters).unwrap();
        let x = tensor(&[&[11][..], &input].concat(), 7);
        let loss = || {
            let z = backbone.forward(&x).unwrap();
            let mask = tensor(z.dims(), 99);
            ((z.sqr().unwrap() + &z).unwrap() * mask).unwrap().sum_all().unwrap()
        };
        let store = loss().backward().unwrap();
        for (name, variable) in parameters.variables() {
            let (gradient, before) = (flat(store.get(&variable).unwrap()), variable.as_tensor().copy().unwrap());
            let values = flat(&before);
            for at in (0..values.len()).step_by((values.len() / 5).max(1)) {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[at] += by;
                    variable.set(&Tensor::from_vec(values, variable.dims(), &Device::Cpu).unwrap()).unwrap();
                    loss().to_scalar::<f64>().unwrap()
                };
                let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                variable.set(&before).unwrap();
                let (exact, scale) = (gradient[at], numeric.abs().max(gradient[at].abs()).max(1e-2));
                assert!((numeric - exact).abs() <= 1e-5 * scale, "{kind:?} {name}, entry {at}: {exact}, {numeric}");
            }
        }
    }
}
