//! Whole backbones: gradients of input and parameters against central differences.

use candle_core::{DType, Device, Tensor};
use mtids_layers::Parameters;
use mtids_models::backbone::Backbone;
use mtids_models::{BackboneConfig, BackboneKind, BackboneSize, Mode};

use crate::support::{check_gradient, flat, tensor, value};

#[test]
fn a_whole_backbone_in_three_dimensions() {
    let config = BackboneConfig { stem_stride: 1, ..BackboneConfig::sized(BackboneKind::Volume, BackboneSize::Tiny) };
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    let backbone = Backbone::new("trunk", &config, [2, 4, 6, 6], &parameters).unwrap();
    // The second batch is interleaved in two bundles.
    for batch in [2, 17] {
        let x = candle_core::Var::from_tensor(&tensor(&[batch, 2, 4, 6, 6], 1)).unwrap();
        let loss = |x: &Tensor| {
            let z = backbone.forward(x, Mode::Evaluate).unwrap();
            let mask = tensor(z.dims(), 99);
            ((z.sqr().unwrap() + &z).unwrap() * mask).unwrap().sum_all().unwrap()
        };
        let store = loss(&x).backward().unwrap();
        check_gradient(&x, store.get(&x).unwrap(), |moved| value(&loss(moved)));
    }
}

#[test]
fn whole_interleaved_backbones_by_parameter() {
    for (kind, input) in [(BackboneKind::Slices, [1, 3, 12, 12]), (BackboneKind::Volume, [1, 4, 8, 8])] {
        let config = BackboneConfig { features: 4, pool_grid: 1, ..BackboneConfig::sized(kind, BackboneSize::Tiny) };
        let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
        let backbone = Backbone::new("trunk", &config, input, &parameters).unwrap();
        let x = tensor(&[&[11][..], &input].concat(), 7);
        let loss = || {
            let z = backbone.forward(&x, Mode::Evaluate).unwrap();
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
