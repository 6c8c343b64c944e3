//! The kernels, compiled for the host, beside the composed form on tensors of many lengths.

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::log::launches_of;

/// Lengths around a warp, a block's threads and a block's chunk.
const LENGTHS: [usize; 9] = [1, 2, 31, 32, 257, 4095, 4096, 4097, 9000];

/// Numbers in (−1, 1), a pure function of `seed`.
fn tensor(length: usize, seed: usize, dtype: DType) -> Tensor {
    let numbers: Vec<f64> =
        (0..length).map(|n| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0).collect();
    Tensor::from_vec(numbers, length, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn tensors(seed: usize, dtype: DType) -> Vec<Tensor> {
    LENGTHS.iter().enumerate().map(|(at, &length)| tensor(length, seed + at, dtype)).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[track_caller]
fn close(a: &Tensor, b: &Tensor, dtype: DType) {
    let tolerance = if dtype == DType::F64 { 1e-13 } else { 2e-6 };
    assert_eq!(a.dims(), b.dims());
    for (a, b) in flat(a).into_iter().zip(flat(b)) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} {b}");
    }
}

#[test]
fn the_norm_is_that_of_all_tensors_and_clips_what_exceeds_it() {
    for dtype in [DType::F32, DType::F64] {
        // Of other shapes than lists, and not contiguous.
        let mut all = tensors(1, dtype);
        all.push(tensor(60, 3, dtype).reshape((4, 15)).unwrap().t().unwrap());
        let (squared, launches) = launches_of(|| squared_norm(&all).unwrap());
        assert_eq!(launches.len(), 2, "{launches:?}");
        let sum: f64 = all.iter().flat_map(flat).map(|value| value * value).sum();
        let found = squared.to_vec1::<f64>().unwrap()[0];
        assert!((found - sum).abs() < 1e-9 * sum, "{found} {sum}");
        for limit in [0.5, 1e6] {
            let (clipped, launches) = launches_of(|| clip(&all, &squared, limit).unwrap());
            assert_eq!(launches.len(), 1, "{launches:?}");
            let factor = (limit / sum.sqrt()).min(1.0);
            for (before, after) in all.iter().zip(&clipped) {
                assert_eq!(after.dtype(), dtype);
                close(after, &(before * factor).unwrap(), dtype);
                // Within the limit nothing changes.
                assert!(limit < 1.0 || flat(before) == flat(after));
            }
        }
    }
}

#[test]
fn a_list_holds_all_entries_in_order() {
    let mut all = tensors(5, DType::F32);
    all.push(tensor(6, 3, DType::F32).reshape((2, 3)).unwrap().t().unwrap());
    let (list, launches) = launches_of(|| gather(&all).unwrap());
    assert_eq!(launches.len(), 1, "{launches:?}");
    assert_eq!(flat(&list), all.iter().flat_map(flat).collect::<Vec<_>>());
}

#[test]
fn updates_are_those_of_the_composed_form() {
    let adamw = Rule::AdamW { betas: [0.9, 0.99], rate: 0.01, correction: 0.3, epsilon: 1e-8 };
    let sgd = |momentum, nesterov| Rule::Sgd { momentum, nesterov, rate: 0.1 };
    let average = Rule::Average { decay: 0.9 };
    for dtype in [DType::F32, DType::F64] {
        for rule in [adamw, sgd(0.9, false), sgd(0.9, true), sgd(0.0, false), Rule::Fold, average] {
            let held: Vec<Held> = (tensors(1, dtype).into_iter().zip(tensors(20, dtype)).enumerate())
                .map(|(at, (source, values))| {
                    let state = |n: usize| tensor(values.elem_count(), 40 + 10 * n + at, dtype).sqr().unwrap();
                    let states = (0..rule.states()).map(state).collect();
                    Held { source, values, states, factor: if at % 2 == 0 { 0.97 } else { 1.0 } }
                })
                .collect();
            let expected: Vec<Vec<Tensor>> = held.iter().map(|held| composed(rule, held)).collect();
            let ((), launches) = launches_of(|| update(rule, &held).unwrap());
            assert_eq!(launches.len(), 1, "{launches:?}");
            for (held, expected) in held.iter().zip(&expected) {
                for (found, expected) in std::iter::once(&held.values).chain(&held.states).zip(expected) {
                    close(found, expected, dtype);
                }
            }
        }
    }
}

/// Values and states after an update, of candle's operations.
fn composed(rule: Rule, Held { source: g, values: p, states, factor }: &Held) -> Vec<Tensor> {
    let sum = |a: candle_core::Result<Tensor>, b: candle_core::Result<Tensor>| (a.unwrap() + b.unwrap()).unwrap();
    match rule {
        Rule::AdamW { betas, rate, correction, epsilon } => {
            let m = sum(&states[0] * betas[0], g * (1.0 - betas[0]));
            let v = sum(&states[1] * betas[1], g.sqr().unwrap() * (1.0 - betas[1]));
            let root = ((&v / correction).unwrap().sqrt().unwrap() + epsilon).unwrap();
            let p = ((p * *factor).unwrap() - ((&m * rate).unwrap() / root).unwrap()).unwrap();
            vec![p, m, v]
        }
        Rule::Sgd { momentum, nesterov, rate } => {
            let g = sum(Ok(g.clone()), p * *factor);
            let Some(state) = states.first() else {
                return vec![(p - (g * rate).unwrap()).unwrap()];
            };
            let m = sum(state * momentum, Ok(g.clone()));
            let direction = if nesterov { sum(Ok(g), &m * momentum) } else { m.clone() };
            vec![(p - (direction * rate).unwrap()).unwrap(), m]
        }
        Rule::Fold => vec![sum(p * *factor, Ok(g.clone()))],
        Rule::Average { decay } => vec![sum(p * decay, g * (1.0 - decay))],
    }
}

#[test]
fn an_average_of_what_stands_still_stands_still() {
    let source = tensor(5000, 3, DType::F32);
    let held = Held { values: source.copy().unwrap(), source, states: Vec::new(), factor: 1.0 };
    update(Rule::Average { decay: 0.999 }, std::slice::from_ref(&held)).unwrap();
    assert_eq!(flat(&held.values), flat(&held.source));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_waits_for_itself() {
    let of = |length, seed| tensor(length, seed, DType::F32);
    let held = |source: Tensor, values: Tensor| Held { source, values, states: Vec::new(), factor: 1.0 };
    let (a, b) = (of(5, 1), of(5, 2));
    let refused = |held: &[Held]| update(Rule::Fold, held).unwrap_err().to_string();
    assert!(refused(&[held(a.clone(), a.clone())]).contains("share"));
    assert!(refused(&[held(a.clone(), b.clone()), held(a.clone(), b.clone())]).contains("share"));
    assert!(refused(&[held(a.clone(), of(4, 1))]).contains("[4]"));
    assert!(refused(&[held(of(5, 1).to_dtype(DType::F64).unwrap(), b.clone())]).contains("types"));
    let rule = Rule::Sgd { momentum: 0.9, nesterov: false, rate: 0.1 };
    assert!(update(rule, &[held(a.clone(), b.clone())]).unwrap_err().to_string().contains("states"));
    assert!(squared_norm(&[]).is_err() && update(Rule::Fold, &[]).is_ok());
    // One source of several is no conflict: it is only read.
    update(Rule::Fold, &[held(a.clone(), b), held(a, of(5, 3))]).unwrap();
}
