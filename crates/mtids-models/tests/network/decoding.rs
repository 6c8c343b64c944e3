//! Decoding of several heads: identities of the pool.

use candle_core::{DType, Device, Tensor};
use mtids_models::decoding::{metastasis_probability, probabilities, region_probabilities};
use mtids_models::{MtIdsConfig, Outputs, PredictionHead, TaskSet};

use crate::support::{flat, tensor};

#[test]
fn the_prediction_heads_meet_at_their_limits() {
    let tasks = TaskSet::new(&MtIdsConfig::default().tasks, 3, 0).unwrap();
    let zeros = |classes: usize| Tensor::zeros((2, classes), DType::F64, &Device::Cpu).unwrap();
    let (joint, region, metastasis) = (tensor(&[2, 6], 1), tensor(&[2, 3], 2), tensor(&[2, 2], 3));
    let outputs = |joint: &Tensor, region: &Tensor, metastasis: &Tensor| Outputs {
        logits: vec![joint.clone(), region.clone(), metastasis.clone()],
        ..Outputs::default()
    };
    let eta = |omega: f64| {
        // softplus(η) = ω
        let eta = if omega == 0.0 { -745.0 } else { omega.exp_m1().ln() };
        Tensor::full(eta, 3, &Device::Cpu).unwrap()
    };
    let pooled = |outputs: &Outputs, omega: f64| {
        flat(&probabilities(&tasks, outputs, &eta(omega), PredictionHead::Pooled).unwrap())
    };
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);

    // A joint head that says nothing, ω = 1: the outer product of region and metastasis.
    let product = pooled(&outputs(&zeros(6), &region, &metastasis), 1.0);
    let softmax = |logits: &Tensor| -> Vec<Vec<f64>> {
        let rows: Vec<Vec<f64>> = logits.to_vec2().unwrap();
        rows.into_iter()
            .map(|row| {
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                row.iter().map(|v| v.exp() / sum).collect()
            })
            .collect()
    };
    let (p, q) = (softmax(&region), softmax(&metastasis));
    let outer: Vec<f64> =
        (0..2).flat_map(|n| (0..6).map(move |y| (n, y))).map(|(n, y)| p[n][y / 2] * q[n][y % 2]).collect();
    assert!(close(&product, &outer));
    // Auxiliary heads that say nothing, or ω = 0: the joint head.
    let alone: Vec<f64> = softmax(&joint).concat();
    assert!(close(&pooled(&outputs(&joint, &zeros(3), &zeros(2)), 1.7), &alone));
    assert!(close(&pooled(&outputs(&joint, &region, &metastasis), 0.0), &alone));
    // Marginals add up to 1.
    let all = probabilities(&tasks, &outputs(&joint, &region, &metastasis), &eta(0.8), PredictionHead::Pooled).unwrap();
    for row in all.to_vec2::<f64>().unwrap() {
        assert!((region_probabilities(&row).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((0.0..=1.0).contains(&metastasis_probability(&row)));
    }
}
