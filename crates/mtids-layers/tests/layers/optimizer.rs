//! The optimiser against its equations.

use candle_core::{DType, Device, Tensor};
use mtids_layers::optimizer::{Gradients, clip, global_norm};
use mtids_layers::{AdamW, AdamWConfig, Parameters};

use crate::support::{flat, tensor};

#[test]
fn adamw_follows_its_equations() {
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    parameters.get_or_init("trunk.x.weight", &[2, 1], mtids_layers::Init::Constant(0.5)).unwrap();
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(&config).unwrap();
    let (mut x, mut m, mut v) = (0.5_f64, 0.0, 0.0);
    for step in 1..=3 {
        let g = 0.3 * f64::from(step);
        let gradient = Tensor::full(g, (2, 1), &Device::Cpu).unwrap();
        optimizer.step(&parameters, &Gradients::from([("trunk.x.weight".to_owned(), gradient)]), 0.01).unwrap();
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(step)), v / (1.0 - 0.999_f64.powi(step)));
        x -= 0.01 * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * x);
    }
    for found in flat(parameters.variables()[0].1.as_tensor()) {
        assert!((found - x).abs() < 1e-12, "{found} {x}");
    }
}

#[test]
fn a_clipped_gradient_keeps_its_direction() {
    let mut gradients = Gradients::from([("a".to_owned(), tensor(&[5], 1)), ("b".to_owned(), tensor(&[3], 2))]);
    let before: Vec<f64> = gradients.values().flat_map(flat).collect();
    let norm = global_norm(&gradients).unwrap();
    clip(&mut gradients, norm, norm / 4.0).unwrap();
    assert!(gradients.values().flat_map(flat).zip(&before).all(|(a, b)| (4.0 * a - b).abs() < 1e-9));
    clip(&mut gradients, norm / 4.0, 1e9).unwrap();
    assert!((global_norm(&gradients).unwrap() - norm / 4.0).abs() < 1e-9, "nothing to clip");
}
