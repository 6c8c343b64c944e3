//! Layers in f64: equal to candle's, with exact gradients.

use candle_core::{DType, Device, Tensor, Var};
use mtids_layers::Parameters;
use mtids_layers::conv::{ConvOptions, conv2d};
use mtids_layers::norm::{LayerNorm, group_norm};

use crate::support::{check_gradient, tensor, value};

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
    let (weight, bias) = (Var::from_tensor(&tensor(&[6], 2)).unwrap(), Var::from_tensor(&tensor(&[6], 3)).unwrap());
    for relu in [false, true] {
        let mask = tensor(&[2, 6, 3, 3], 4);
        let loss = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
            (group_norm(x, weight, bias, 3, relu).unwrap() * &mask).unwrap().sum_all().unwrap()
        };
        let store = loss(&x, &weight, &bias).backward().unwrap();
        check_gradient(&x, store.get(&x).unwrap(), |moved| value(&loss(moved, &weight, &bias)));
        check_gradient(&weight, store.get(&weight).unwrap(), |moved| value(&loss(&x, moved, &bias)));
        check_gradient(&bias, store.get(&bias).unwrap(), |moved| value(&loss(&x, &weight, moved)));
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
