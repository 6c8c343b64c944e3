//! What defines each rule on whole gradients, by hand-worked steps.

mod common;

use common::{Rows, combine, norm};
use mtids_balance::{
    AnyBalancer, BalanceError, BalancerConfig, DbMtlConfig, ExcessMtlConfig, GradDropConfig, GradientBalance,
    GradientInput, MoCoConfig, Rows as Gradients, grad_drop,
};

fn rows() -> Rows {
    vec![vec![3.0, 4.0, 0.0], vec![-1.0, 0.0, 1.0]]
}

fn step(rule: &mut AnyBalancer, rows: &[Vec<f64>], losses: Option<&[f64]>) -> GradientBalance {
    let AnyBalancer::Gradients(rule) = rule else { panic!("the rule works on whole gradients") };
    let views: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let active = vec![true; rows.len()];
    rule.combine(&GradientInput { rows: Gradients::F64(&views), losses, active: &active }).expect("the input is valid")
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-7 * b.abs().max(1.0), "{found:?}, expected {expected:?}");
    }
}

#[test]
fn grad_drop_keeps_one_sign_at_each_coordinate() {
    let own = rows();
    let views: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
    // Purities ¾, 1, 1.
    assert_eq!(grad_drop(&views, &[0.7, 0.99, 0.0], 0.0).unwrap(), [3.0, 4.0, 1.0]);
    assert_eq!(grad_drop(&views, &[0.8, 0.99, 0.0], 0.0).unwrap(), [-1.0, 4.0, 1.0]);
    assert_eq!(grad_drop(&views, &[0.8, 0.99, 0.0], 0.5).unwrap(), [0.5, 4.0, 1.0]);
    assert!(matches!(grad_drop(&views, &[0.5], 0.0), Err(BalanceError::Width { .. })));
    // Its mean over many steps: ¾·3 − ¼·1 at the first coordinate.
    let mut rule = BalancerConfig::GradDrop(GradDropConfig::default()).build_any(2).unwrap();
    let mut sum = 0.0;
    for _ in 0..4000 {
        let answer = step(&mut rule, &own, None);
        assert!(answer.weights.is_none() && answer.telemetry.log_norm_spread_after.is_none());
        assert!(answer.update[0] == 3.0 || answer.update[0] == -1.0);
        sum += answer.update[0];
    }
    assert!((sum / 4000.0 - 2.0).abs() < 0.1, "{}", sum / 4000.0);
}

#[test]
fn excess_mtl_moves_weights_by_relative_excess() {
    let mut rule = BalancerConfig::ExcessMtl(ExcessMtlConfig { step_size: 0.1 }).build_any(2).unwrap();
    // First step: Ê = Σ|g| up to the constant in the root: 7 and 2.
    let first = step(&mut rule, &rows(), None);
    let share = 1.0 / (1.0 + (-0.5_f64).exp());
    close(first.weights.as_ref().unwrap(), &[share, 1.0 - share]);
    close(&first.update, &combine(&rows(), first.weights.as_ref().unwrap()));
    // Second step, same gradients: Ê falls by √2 for both, so relative to the first it is equal and weights stay.
    let second = step(&mut rule, &rows(), None);
    close(second.weights.as_ref().unwrap(), &[share, 1.0 - share]);
}

#[test]
fn db_mtl_gives_all_averages_the_length_of_the_longest() {
    let mut rule = BalancerConfig::DbMtl(DbMtlConfig { beta: 0.5, sigma: 0.0 }).build_any(2).unwrap();
    let losses = [2.0, 0.5];
    let first = step(&mut rule, &rows(), Some(&losses));
    // Half of g/L: lengths 5/4 and √2.
    let averages = [vec![0.75, 1.0, 0.0], vec![-1.0, 0.0, 1.0]];
    let longest = 2.0_f64.sqrt();
    let expected: Vec<f64> = (0..3).map(|p| longest / 1.25 * averages[0][p] + averages[1][p]).collect();
    close(&first.update, &expected);
    // Averages tend to g/L, at the pace of β.
    let mut last = first;
    for _ in 0..60 {
        last = step(&mut rule, &rows(), Some(&losses));
    }
    let second = norm(&rows()[1]) / 0.5;
    let expected: Vec<f64> = (0..3).map(|p| second * rows()[0][p] / 5.0 + rows()[1][p] / 0.5).collect();
    close(&last.update, &expected);
}

#[test]
fn moco_tracks_and_turns_weights_to_the_shorter_gradient() {
    let config = MoCoConfig { beta: 0.5, beta_sigma: 0.0, gamma: 0.1, gamma_sigma: 0.0, rho: 0.0, loss_length: false };
    let mut rule = BalancerConfig::MoCo(config).build_any(2).unwrap();
    let first = step(&mut rule, &rows(), None);
    // Y = ½G, K_Y = ¼[[25, −3], [−3, 2]], λ = ½ each: pulls 2.75 and −0.125.
    let (a, b) = ((0.5_f64 - 0.275).exp(), (0.5_f64 + 0.0125).exp());
    let lambda = [a / (a + b), b / (a + b)];
    close(first.weights.as_ref().unwrap(), &lambda);
    let expected: Vec<f64> = combine(&rows(), &lambda).iter().map(|x| x / 2.0).collect();
    close(&first.update, &expected);
    // With lengths by loss both rows of Y have the length of their loss.
    let mut rule = BalancerConfig::MoCo(MoCoConfig { gamma: 0.0, beta: 1.0, beta_sigma: 0.0, ..MoCoConfig::default() })
        .build_any(2)
        .unwrap();
    let answer = step(&mut rule, &rows(), Some(&[2.0, 3.0]));
    let root = 2.0_f64.sqrt();
    close(&answer.update, &[0.5 * (1.2 - 3.0 / root), 0.5 * 1.6, 0.5 * 3.0 / root]);
}

#[test]
fn single_precision_rows_give_the_same() {
    let single: Vec<Vec<f32>> = vec![vec![3.0, 4.0, 0.0], vec![-1.0, 0.0, 1.0]];
    let views: Vec<&[f32]> = single.iter().map(Vec::as_slice).collect();
    for config in BalancerConfig::all(2) {
        let Ok(mut one @ AnyBalancer::Gradients(_)) = config.build_any(2) else { continue };
        let expected = step(&mut one, &rows(), Some(&[1.0, 2.0]));
        let Ok(AnyBalancer::Gradients(mut two)) = config.build_any(2) else { continue };
        let input = GradientInput { rows: Gradients::F32(&views), losses: Some(&[1.0, 2.0]), active: &[true, true] };
        assert_eq!(two.combine(&input).unwrap(), expected, "{}", config.method());
    }
}

#[test]
fn wrong_rows_are_refused_by_name_and_leave_the_state() {
    for config in BalancerConfig::all(2) {
        let Ok(AnyBalancer::Gradients(mut rule)) = config.build_any(2) else { continue };
        let good: [&[f64]; 2] = [&[1.0, 2.0], &[0.5, -1.0]];
        let input = GradientInput { rows: Gradients::F64(&good), losses: Some(&[1.0, 2.0]), active: &[true, true] };
        rule.combine(&input).unwrap();
        let before = rule.state();
        let bad: [&[f64]; 2] = [&[1.0, 2.0], &[0.5, f64::NAN]];
        let error = rule.combine(&GradientInput { rows: Gradients::F64(&bad), ..input }).unwrap_err();
        assert!(matches!(error, BalanceError::NonFiniteGradient { task: 1, coordinate: 1, .. }), "{error}");
        let error = rule.combine(&GradientInput { rows: Gradients::F64(&good[..1]), ..input }).unwrap_err();
        assert!(matches!(error, BalanceError::Shape { .. }), "{error}");
        let wider: [&[f64]; 2] = [&[1.0, 2.0, 3.0], &[0.5, -1.0, 1.0]];
        let answer = rule.combine(&GradientInput { rows: Gradients::F64(&wider), ..input });
        if config.method() != "graddrop" {
            assert!(matches!(answer, Err(BalanceError::Width { expected: 2, got: 3, .. })), "{answer:?}");
            assert_eq!(rule.state(), before, "{}", config.method());
        }
        // A row of a task without a label is not read.
        let ragged: [&[f64]; 2] = [&[1.0, 2.0], &[f64::NAN]];
        let active = [true, false];
        let answer = rule.combine(&GradientInput { rows: Gradients::F64(&ragged), active: &active, ..input });
        if config.method() != "graddrop" {
            assert_eq!(answer.unwrap().telemetry.active, active);
        }
    }
}
