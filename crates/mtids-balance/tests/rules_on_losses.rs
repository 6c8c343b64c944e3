//! What defines each rule on losses, and how the rules that need more than a step are called.

mod common;

use common::{Rows, advance, combine, distance, gram, histories, matrices, norm, step_rules, works_on_losses};
use mtids_balance::{
    AnyBalancer, BalanceError, BalanceInput, BalancerConfig, DwaConfig, FamoConfig, GradNormConfig, ImtlLConfig, Needs,
    Parametrisation, RlwConfig, StchConfig, UwConfig,
};
use proptest::prelude::*;

fn pair() -> Rows {
    vec![vec![1.0, 0.0], vec![0.5, 2.0]]
}

/// Coefficients of a step rule.
fn ask(rule: &mut AnyBalancer, losses: &[f64]) -> Vec<f64> {
    advance(rule, &pair(), losses).1.expect("step rules answer with coefficients")
}

fn follow(rule: &mut AnyBalancer, before: &[f64], after: &[f64]) -> Vec<f64> {
    let gram = gram(&pair());
    let AnyBalancer::AfterStep(rule) = rule else { panic!("FAMO looks at the losses after the step") };
    let input = BalanceInput { gram: &gram, losses: Some(before), active: &[true, true] };
    let (balance, token) = rule.coefficients(&input).expect("the input is valid");
    rule.after_step(token, after).expect("the losses are valid");
    balance.coefficients
}

#[test]
fn rules_on_losses_say_that_they_need_them() {
    let gram = gram(&pair());
    for config in step_rules(2) {
        let mut balancer = config.build(2).unwrap();
        let input = BalanceInput { gram: &gram, losses: None, active: &[true, true] };
        let answer = balancer.coefficients(&input);
        let missing = matches!(answer, Err(BalanceError::LossesMissing { .. }));
        assert_eq!(missing, works_on_losses(&config), "{}", config.method());
        if missing {
            let before = balancer.state();
            let bad = BalanceInput { losses: Some(&[1.0, f64::NAN]), ..input };
            assert!(matches!(balancer.coefficients(&bad), Err(BalanceError::LossRange { task: 1, .. })));
            assert_eq!(balancer.state(), before, "{}", config.method());
        }
    }
}

#[test]
fn learned_scales_come_to_rest_where_their_formula_says() {
    // ∂/∂s = 0: UW e^{s} = L, so c = ½/L; IMTL-L e^{s} L = 1, so c = 1/L.
    for (config, factor) in [
        (BalancerConfig::Uw(UwConfig { learning_rate: 0.05, start: -0.5 }), 0.5),
        (BalancerConfig::ImtlL(ImtlLConfig { learning_rate: 0.05 }), 1.0),
    ] {
        let mut rule = config.build_any(2).unwrap();
        let mut c = Vec::new();
        for _ in 0..2000 {
            c = ask(&mut rule, &[0.2, 5.0]);
        }
        assert!((c[0] - factor / 0.2).abs() < 1e-6 && (c[1] - factor / 5.0).abs() < 1e-6, "{c:?}");
    }
}

#[test]
fn gls_has_the_slopes_of_the_geometric_mean() {
    let c = ask(&mut BalancerConfig::Gls {}.build_any(2).unwrap(), &[0.5, 8.0]);
    assert!((c[0] - 2.0).abs() < 1e-12 && (c[1] - 0.125).abs() < 1e-12, "{c:?}");
}

#[test]
fn stch_looks_at_the_worst_task() {
    let mut rule = BalancerConfig::Stch(StchConfig { mu: 0.01, ..StchConfig::default() }).build_any(2).unwrap();
    let c = ask(&mut rule, &[1.0, 3.0]);
    assert!(c[0] < 1e-40 && (c[1] - 0.5).abs() < 1e-12, "{c:?}");
    // The authors' form: log losses while the nadir is averaged, then relative to it.
    let config = StchConfig { mu: 0.5, warm_up_steps: 2, ..StchConfig::default() };
    let mut rule = BalancerConfig::Stch(config).build_any(2).unwrap();
    assert_eq!(ask(&mut rule, &[2.0, 4.0]), [0.5, 0.25]);
    assert_eq!(ask(&mut rule, &[1.0, 4.0]), [1.0, 0.25]);
    // Nadirs 1.5 and 4; terms (L/N)² = 1/4 and 1/16.
    let c = ask(&mut rule, &[0.75, 1.0]);
    assert!((c[0] - 2.0 * 0.8 / 0.75).abs() < 1e-12 && (c[1] - 2.0 * 0.2).abs() < 1e-12, "{c:?}");
}

#[test]
fn rlw_weights_are_positive_sum_to_one_and_come_from_the_seed() {
    let run = |seed: u64| {
        let mut rule = BalancerConfig::Rlw(RlwConfig { seed }).build_any(2).unwrap();
        (0..500).map(|_| ask(&mut rule, &[1.0, 1.0])).collect::<Vec<_>>()
    };
    let weights = run(1);
    assert!(weights.iter().all(|c| c[0] > 0.0 && (c[0] + c[1] - 1.0).abs() < 1e-12));
    let mean = weights.iter().map(|c| c[0]).sum::<f64>() / 500.0;
    assert!((mean - 0.5).abs() < 0.05, "{mean}");
    assert_eq!(weights, run(1));
    assert_ne!(weights, run(2));
}

#[test]
fn dwa_weighs_by_the_ratio_of_the_last_two_epochs() {
    let gram = gram(&pair());
    let mut rule = BalancerConfig::Dwa(DwaConfig::default()).build_any(2).unwrap();
    let AnyBalancer::Epoch(dwa) = &mut rule else { panic!("DWA works from epoch to epoch") };
    let step = |dwa: &mut Box<dyn mtids_balance::EpochBalancer + Send>, losses: [f64; 2]| {
        dwa.coefficients(&BalanceInput { gram: &gram, losses: Some(&losses), active: &[true, true] })
            .unwrap()
            .coefficients
    };
    assert_eq!(step(dwa, [3.0, 2.0]), [1.0, 1.0]);
    assert_eq!(step(dwa, [5.0, 2.0]), [1.0, 1.0]);
    dwa.end_epoch();
    assert_eq!(step(dwa, [1.0, 2.0]), [1.0, 1.0]);
    dwa.end_epoch();
    // Rates 1/4 and 1.
    let c = step(dwa, [1.0, 1.0]);
    let (a, b) = (0.125_f64.exp(), 0.5_f64.exp());
    assert!((c[0] - 2.0 * a / (a + b)).abs() < 1e-12 && (c[1] - 2.0 * b / (a + b)).abs() < 1e-12, "{c:?}");
}

#[test]
fn famo_favours_the_task_that_fell_less() {
    let mut rule = BalancerConfig::Famo(FamoConfig::default()).build_any(2).unwrap();
    let first = follow(&mut rule, &[1.0, 4.0], &[0.5, 4.0]);
    // z equal: c ∝ 1/L with sum 1.
    assert!((first[0] - 0.8).abs() < 1e-8 && (first[1] - 0.2).abs() < 1e-8, "{first:?}");
    let second = follow(&mut rule, &[1.0, 4.0], &[1.0, 4.0]);
    assert!(second[0] < first[0] && (second[0] + second[1] - 1.0).abs() < 1e-12, "{second:?}");
}

#[test]
fn famo_insists_on_the_losses_after_the_step() {
    let gram = gram(&pair());
    let input = BalanceInput { gram: &gram, losses: Some(&[1.0, 2.0]), active: &[true, true] };
    let mut rule = BalancerConfig::Famo(FamoConfig::default()).build_any(2).unwrap();
    let AnyBalancer::AfterStep(famo) = &mut rule else { panic!("FAMO looks at the losses after the step") };
    assert!(famo.pending().is_none());
    let (_, token) = famo.coefficients(&input).unwrap();
    assert!(matches!(famo.coefficients(&input), Err(BalanceError::AfterStep { .. })));
    let error = famo.after_step(token, &[1.0, -2.0]).unwrap_err();
    assert!(matches!(error, BalanceError::LossRange { task: 1, .. }), "{error}");
    // A restart between the step and its follow-up loses nothing.
    let state = famo.state();
    famo.restore(&state).unwrap();
    let token = famo.pending().unwrap();
    famo.after_step(token, &[1.0, 1.0]).unwrap();
    assert!(famo.pending().is_none());
    assert!(famo.coefficients(&input).is_ok());
}

#[test]
fn gradnorm_brings_scaled_norms_to_their_targets() {
    // Norms 1 and ~2.06, equal rates: w_i n_i become equal.
    for parametrisation in [Parametrisation::Direct, Parametrisation::Softmax] {
        let config = GradNormConfig { learning_rate: 0.002, parametrisation, ..GradNormConfig::default() };
        let mut rule = BalancerConfig::GradNorm(config).build_any(2).unwrap();
        let mut c = Vec::new();
        for _ in 0..3000 {
            c = ask(&mut rule, &[1.0, 1.0]);
        }
        let ratio = c[0] / (c[1] * norm(&pair()[1]));
        assert!((ratio - 1.0).abs() < 0.02, "{parametrisation:?} {ratio}");
        assert!((c[0] + c[1] - 2.0).abs() < 1e-9);
    }
    // A task that lags gets more.
    let mut rule = BalancerConfig::GradNorm(GradNormConfig::default()).build_any(2).unwrap();
    ask(&mut rule, &[1.0, 1.0]);
    let mut c = Vec::new();
    for _ in 0..200 {
        c = ask(&mut rule, &[0.1, 1.0]);
    }
    assert!(c[1] > 3.0 * c[0], "{c:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn inactive_tasks_are_as_if_absent_at_first_and_keep_their_state((steps, losses) in histories(), at in 0_usize..16) {
        // A task without a label beside the others: they get what they would get alone. Not so for rules that go by task number, and
        // SDMGrad's twenty large steps enlarge the last bit of its first weights, 1/T of a different T.
        let tasks = steps[0].len();
        let at = at % (tasks + 1);
        for config in step_rules(tasks).into_iter().filter(|c| !["fixed", "rlw", "metabalance", "sdmgrad"].contains(&c.method())) {
            let (mut without, mut with) = (config.build(tasks).unwrap(), config.build(tasks + 1).unwrap());
            for (rows, losses) in steps.iter().zip(&losses) {
                let mut more = rows.clone();
                more.insert(at, vec![1.0; rows[0].len()]);
                let mut more_losses = losses.clone();
                more_losses.insert(at, f64::NAN);
                let mut active = vec![true; tasks + 1];
                active[at] = false;
                let a = common::step(without.as_mut(), rows, Some(losses)).coefficients;
                let gram = gram(&more);
                let input = BalanceInput { gram: &gram, losses: Some(&more_losses), active: &active };
                let mut b = with.coefficients(&input).unwrap().coefficients;
                prop_assert_eq!(b.remove(at), 0.0);
                let random = ["pcgrad", "gradvac"].contains(&config.method()) && tasks > 2;
                if !random {
                    let size: f64 = rows.iter().map(|row| norm(row)).sum::<f64>() * a.iter().fold(1.0, |m, c| c.abs().max(m));
                    prop_assert!(distance(&combine(rows, &a), &combine(rows, &b)) <= 1e-9 * size, "{}", config.method());
                }
            }
        }
    }

    #[test]
    fn a_foreign_or_short_state_is_refused_by_every_rule(rows in matrices()) {
        let tasks = rows.len();
        let losses = vec![1.0; tasks];
        for config in BalancerConfig::all(tasks) {
            let mut rule = config.build_any(tasks).unwrap();
            advance(&mut rule, &rows, &losses);
            let before = rule.state();
            let other = config.method() == "mgda";
            let foreign = if other { BalancerConfig::Gls {} } else { BalancerConfig::Mgda {} };
            prop_assert!(rule.restore(&foreign.build_any(tasks).unwrap().state()).is_err());
            if tasks < 64 {
                let more = BalancerConfig::all(tasks + 1).into_iter().find(|c| c.method() == config.method()).unwrap();
                prop_assert!(rule.restore(&more.build_any(tasks + 1).unwrap().state()).is_err());
            }
            prop_assert_eq!(rule.state(), before);
        }
    }
}

#[test]
fn sixty_four_tasks_work() {
    let rows: Rows = (0..64).map(|i| (0..80).map(|p| ((i * 37 + p * 101) % 97) as f64 - 48.0).collect()).collect();
    let losses: Vec<f64> = (0..64).map(|i| 0.1 + i as f64).collect();
    for config in BalancerConfig::all(64) {
        let mut rule = config.build_any(64).unwrap();
        let (update, ..) = advance(&mut rule, &rows, &losses);
        assert!(update.iter().all(|value| value.is_finite()), "{}", config.method());
    }
    assert_eq!(BalancerConfig::all(1).iter().filter(|c| c.needs() != Needs::Step).count(), 6);
}
