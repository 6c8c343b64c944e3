//! The voxel reader beside SciPy's and scikit-learn's answers to the same patches and rows.
//!
//! `fixtures/voxel_reader.json` is written by `tests/parity/voxel_reader.py`, which makes its patches and rows by the same arithmetic on whole
//! numbers as this test. SciPy filters in single precision, so gradients and what a threshold decides differ in the last digits.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mtids_phantom::voxel_reader::{BoostedTrees, COUNT, TreeRules, field, statistics};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/voxel_reader.json")).unwrap()
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

fn scrambled(number: u64) -> u64 {
    let round = |x: u64| ((x ^ (x >> 16)) * 0x45D_9F3B) & 0xFFFF_FFFF;
    let mixed = round(round(number));
    mixed ^ (mixed >> 16)
}

/// Solids over fat, with noise: `painted` of the script.
fn painted(case: &Value) -> Vec<i16> {
    let seed = case["seed"].as_u64().unwrap();
    let [_, height, width] = field().size;
    (0..field().len())
        .map(|voxel| {
            let [d, h, w] = [voxel / (height * width), voxel / width % height, voxel % width].map(|n| n as i64);
            let place = [2 * w - 47, 2 * h - 47, 2 * (2 * d - 15)];
            let mut hu = -100;
            for solid in case["solids"].as_array().unwrap() {
                let (middle, factors) = (integers(&solid["middle"]), integers(&solid["factors"]));
                let sum: i64 = (0..3).map(|axis| factors[axis] * (place[axis] - middle[axis]).pow(2)).sum();
                if sum < solid["limit"].as_i64().unwrap() {
                    hu = solid["hu"].as_i64().unwrap();
                }
            }
            (hu + (scrambled(voxel as u64 + 100_000 * seed) % 41) as i64 - 20) as i16
        })
        .collect()
}

#[test]
fn statistics_are_those_of_scipy() {
    for case in fixture()["patches"].as_array().unwrap() {
        let found = statistics(&painted(case));
        let wanted: Vec<f64> =
            case["statistics"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
        assert_eq!((found.len(), wanted.len()), (COUNT, COUNT));
        for (n, (&found, wanted)) in found.iter().zip(wanted).enumerate() {
            let off = (f64::from(found) - wanted).abs();
            assert!(off <= 1e-3 + 1e-5 * wanted.abs(), "{}, number {n}: {found} for {wanted}", case["name"]);
        }
    }
}

#[test]
fn boosted_trees_are_those_of_scikit_learn() {
    let fixture = fixture();
    let boosted = &fixture["boosted"];
    let rows: Vec<[f32; 6]> = (0..900u64)
        .map(|row| {
            let cell = |n: usize| (scrambled(row * 6 + n as u64 + 5_000_000) % 20_001) as f64 - 10_000.0;
            let mut cells: [f32; 6] = std::array::from_fn(|n| (cell(n) / 1000.0) as f32);
            cells[5] = (cells[5] / 4.0).round_ties_even();
            cells
        })
        .collect();
    let truth: Vec<bool> = (0..900u64)
        .zip(&rows)
        .map(|(n, row)| (row[0] * row[1] + 3.0 * row[5] > 0.0) ^ (scrambled(n + 9_000_000) % 1000 < 150))
        .collect();
    let fitted = boosted["fitted"].as_u64().unwrap() as usize;
    let rules = TreeRules { rounds: boosted["rounds"].as_u64().unwrap() as usize, ..TreeRules::default() };
    let slices: Vec<&[f32]> = rows.iter().map(<[f32; 6]>::as_slice).collect();
    let trees = BoostedTrees::fit(&slices[..fitted], &truth[..fitted], &rules).unwrap();
    let wanted = boosted["probabilities"].as_array().unwrap();
    assert_eq!(wanted.len(), rows.len() - fitted);
    for (row, wanted) in slices[fitted..].iter().zip(wanted) {
        let (found, wanted) = (trees.probability(row), wanted.as_f64().unwrap());
        assert!((found - wanted).abs() < 1e-5, "{found} for {wanted}");
    }
}
