//! Batch norm, and residual stages built on it, beside PyTorch in training and evaluation mode, in double precision.
//!
//! `fixtures/batch_norm.json` is written by `tests/parity/make_batch_norm_fixtures.py`: of each tensor its sum, its sum of squares and some entries.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use mtids_layers::error::Result;
use mtids_layers::norm::BatchNorm;
use mtids_layers::residual::{Residual, ResidualConfig};
use mtids_layers::{NormConfig, Parameters, Phase};

use crate::support::{flat, tensor};

type Digests = BTreeMap<String, Vec<f64>>;
type Network = Box<dyn Fn(&Tensor, Phase) -> Result<Tensor>>;

/// Entries of a tensor in the file.
const ENTRIES: usize = 5;

fn digest(values: &Tensor) -> Vec<f64> {
    let values = flat(values);
    let step = (values.len() / ENTRIES).max(1);
    let sums = [values.iter().sum(), values.iter().map(|value| value * value).sum()];
    sums.into_iter().chain(values.into_iter().step_by(step).take(ENTRIES)).collect()
}

/// The passes of the script.
fn answers(parameters: &Parameters, network: &Network, shape: &[usize]) -> Digests {
    for (seed, (name, variable)) in (20..).zip(parameters.variables()) {
        let values = tensor(variable.dims(), seed);
        let (factor, offset) = match name.rsplit_once('.') {
            Some((_, "weight")) => (0.4, 0.0),
            Some((_, "scale")) => (0.5, 1.0),
            _ => (0.5, 0.0),
        };
        variable.set(&values.affine(factor, offset).unwrap()).unwrap();
    }
    let mut found = Digests::new();
    network(&tensor(shape, 1), Phase::Train).unwrap();
    parameters.commit_statistics().unwrap();
    for (name, phase, seed) in [("train", Phase::Train, 2), ("evaluate", Phase::Evaluate, 1)] {
        let x = Var::from_tensor(&tensor(shape, seed)).unwrap();
        let y = network(&x, phase).unwrap();
        let store = (&y * tensor(y.dims(), 3)).unwrap().sum_all().unwrap().backward().unwrap();
        parameters.commit_statistics().unwrap();
        found.insert(format!("{name}.output"), digest(&y));
        found.insert(format!("{name}.gradient.x"), digest(store.get(&x).unwrap()));
        for (parameter, variable) in parameters.variables() {
            found.insert(format!("{name}.gradient.{parameter}"), digest(store.get(&variable).unwrap()));
        }
        for (statistic, values) in parameters.statistics() {
            found.insert(format!("{name}.{statistic}"), digest(&values));
        }
    }
    found
}

#[test]
fn batch_norm_and_residual_stages_answer_as_pytorch_s() {
    let fixture: BTreeMap<String, Digests> = serde_json::from_str(include_str!("fixtures/batch_norm.json")).unwrap();
    let fresh = || Parameters::new(1, DType::F64, &Device::Cpu);
    let config = |widths: &[usize], blocks: &[usize], stem_stride, depth_halved_from| ResidualConfig {
        widths: widths.to_vec(),
        blocks: blocks.to_vec(),
        stem_stride,
        norm: NormConfig::Batch,
        depth_halved_from,
    };
    let mut cases: Vec<(&str, Parameters, Network, &[usize])> = Vec::new();
    let parameters = fresh();
    let norm = BatchNorm::new("body", 3, false, &parameters).unwrap();
    cases.push(("norm", parameters, Box::new(move |x, phase| norm.forward(x, phase)), &[4, 3, 5, 2]));
    let parameters = fresh();
    let body = Residual::<2>::new("body", &config(&[8, 16], &[2, 1], 1, 0), 3, [9, 8], &parameters).unwrap();
    cases.push(("planar", parameters, Box::new(move |x, phase| body.forward(x, phase)), &[5, 3, 9, 8]));
    let parameters = fresh();
    let body = Residual::<3>::new("body", &config(&[8, 8, 16], &[1, 2, 1], 2, 2), 2, [8, 18, 16], &parameters).unwrap();
    cases.push(("deep", parameters, Box::new(move |x, phase| body.forward(x, phase)), &[3, 2, 8, 18, 16]));
    for (case, parameters, network, shape) in cases {
        let (found, expected) = (answers(&parameters, &network, shape), &fixture[case]);
        assert!(found.keys().eq(expected.keys()), "{case}: {:?}, {:?}", found.keys(), expected.keys());
        for (name, expected) in expected {
            let scale = expected.iter().fold(1e-3, |scale: f64, value| scale.max(value.abs()));
            for (a, b) in found[name].iter().zip(expected) {
                assert!((a - b).abs() <= 1e-9 * scale, "{case}, {name}: {a}, PyTorch {b}");
            }
        }
    }
}
