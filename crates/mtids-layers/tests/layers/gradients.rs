//! Every layer's gradient against central differences, in double precision.

use candle_core::{DType, Device, Var};
use mtids_layers::activation::{Activation, log_softmax, log_sum_exp, sigmoid, softmax, softplus};
use mtids_layers::conv::{ConvOptions, conv2d, conv3d};
use mtids_layers::dropout::Dropout;
use mtids_layers::linear::Linear;
use mtids_layers::norm::{BatchNorm, LayerNorm, group_norm};
use mtids_layers::pool::{
    GridPool, GridPooling, Windows, average_pool, global_average_pool, global_max_pool, max_pool,
};
use mtids_layers::residual::{Residual, ResidualConfig};
use mtids_layers::{NormConfig, Parameters, Phase};

use crate::support::{check, check_parameters, flat, tensor};

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
    for relu in [false, true] {
        check("group norm", &[&[2, 6, 3, 4], &[6], &[6]], &|t| group_norm(&t[0], &t[1], &t[2], 3, relu));
        check("in 3-D", &[&[2, 4, 2, 3, 4], &[4], &[4]], &|t| group_norm(&t[0], &t[1], &t[2], 2, relu));
    }
    for (relu, phase) in [(false, Phase::Train), (true, Phase::Train), (true, Phase::Evaluate)] {
        for shape in [&[3, 6, 3, 4][..], &[2, 6, 2, 3, 4]] {
            let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
            let norm = BatchNorm::new("n", 6, relu, &parameters).unwrap();
            check_parameters(&format!("batch norm, {phase:?}"), &parameters, shape, &|x| norm.forward(x, phase));
        }
    }
    let layer = LayerNorm::new("n", 9, &Parameters::new(1, DType::F64, &Device::Cpu)).unwrap();
    check("layer norm", &[&[4, 9]], &|t| layer.forward(&t[0]));
}

#[test]
fn residual_stages_with_batch_norm() {
    let config = |widths: &[usize], depth_halved_from| ResidualConfig {
        widths: widths.to_vec(),
        blocks: vec![2, 1],
        stem_stride: 1,
        norm: NormConfig::Batch,
        depth_halved_from,
    };
    for phase in [Phase::Train, Phase::Evaluate] {
        let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
        let body = Residual::<2>::new("body", &config(&[8, 8], 0), 2, [6, 5], &parameters).unwrap();
        check_parameters(&format!("2-D, {phase:?}"), &parameters, &[19, 2, 6, 5], &|x| body.forward(x, phase));
        let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
        let body = Residual::<3>::new("body", &config(&[4, 6], 2), 1, [3, 6, 4], &parameters).unwrap();
        check_parameters(&format!("3-D, {phase:?}"), &parameters, &[3, 1, 3, 6, 4], &|x| body.forward(x, phase));
    }
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
    let dropout = Dropout::new("d", 0.3, &mtids_ranks::Ranks::alone()).unwrap();
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
