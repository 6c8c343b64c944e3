//! Norm, clipping, lists and updates of many tensors.

use candle_core::Tensor;
use mtids_cuda::update::{Held, Rule, clip, gather, squared_norm, update};

use super::{Comparison, Device, Named, Place};

/// Lengths around a warp, a block's threads and a block's chunk.
const LENGTHS: [usize; 8] = [1, 31, 257, 4095, 4096, 4097, 9000, 100_003];
const RULES: [Rule; 6] = [
    Rule::AdamW { betas: [0.9, 0.99], rate: 0.01, correction: 0.3, epsilon: 1e-8 },
    Rule::Sgd { momentum: 0.9, nesterov: false, rate: 0.1 },
    Rule::Sgd { momentum: 0.9, nesterov: true, rate: 0.1 },
    Rule::Sgd { momentum: 0.0, nesterov: false, rate: 0.1 },
    Rule::Fold,
    Rule::Average { decay: 0.9 },
];

/// Tensors of all lengths, every other one in memory that begins with another number.
fn tensors(place: &Place, seed: usize) -> Vec<Tensor> {
    let one = |(n, &length): (usize, &usize)| {
        let part = place.part_of(&[length], seed + n, n % 2 == 1).1;
        part.detach()
    };
    LENGTHS.iter().enumerate().map(one).collect()
}

fn reading(place: &Place) -> Vec<Named> {
    let all = tensors(place, 1);
    let squared = squared_norm(&all).unwrap();
    let list = |tensors: &[Tensor]| Tensor::cat(tensors, 0).unwrap();
    let clipped = |limit| list(&clip(&all, &squared, limit).unwrap());
    vec![
        ("clipped", clipped(0.5)),
        ("not clipped", clipped(1e9)),
        ("list", gather(&all).unwrap()),
        ("squared norm", squared),
    ]
}

fn updated(place: &Place, rule: Rule) -> Vec<Named> {
    let states = match rule {
        Rule::AdamW { .. } => 2,
        Rule::Sgd { momentum, .. } if momentum > 0.0 => 1,
        _ => 0,
    };
    let held: Vec<Held> = (tensors(place, 10).into_iter().zip(tensors(place, 20)).enumerate())
        .map(|(n, (source, values))| {
            let state = |which: usize| place.tensor(&[values.elem_count()], 40 + 10 * which + n).sqr().unwrap();
            let states = (0..states).map(state).collect();
            Held { source, values, states, factor: if n % 2 == 0 { 0.97 } else { 1.0 } }
        })
        .collect();
    update(rule, &held).unwrap();
    let all = |of: &dyn Fn(&Held) -> Tensor| Tensor::cat(&held.iter().map(of).collect::<Vec<_>>(), 0).unwrap();
    let mut results = vec![("values", all(&|held| held.values.clone()))];
    results.extend((0..states).map(|which| ("a state", all(&|held| held.states[which].clone()))));
    results
}

fn compare_all(device: Device) {
    let mut comparison = Comparison::on(device);
    comparison.of("reading", reading);
    for rule in RULES {
        comparison.of(&format!("{rule:?}"), |place| updated(place, rule));
    }
    comparison.end();
}

#[test]
fn comparisons_hold_on_the_host() {
    compare_all(Device::Cpu);
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn updates_give_the_numbers_of_the_cpu() {
    compare_all(super::card());
}
