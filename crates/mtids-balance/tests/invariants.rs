//! The fourteen invariants of DD-GB over random, parallel, opposite, zero, tiny, huge and rank-deficient gradients.

mod common;

use common::{
    Rows, advance, combine, distance, dot, first, gram, histories, largest_scaled_norm, matrices, norm, plain, step,
    step_rules, unit,
};
use mtids_balance::{BalanceInput, BalancerConfig, DdGbConfig};
use proptest::prelude::*;

const CASES: u32 = 400;

fn config(gamma: f64, zeta: f64, minimum_length: f64) -> BalancerConfig {
    BalancerConfig::DdGb(DdGbConfig { gamma, zeta, minimum_length, burn_in_steps: 2, ..DdGbConfig::default() })
}

fn options() -> impl Strategy<Value = BalancerConfig> {
    (0.0..=1.0_f64, 0.0..2.0_f64, 0.1..=1.0_f64).prop_map(|(gamma, zeta, length)| config(gamma, zeta, length))
}

/// Units of all steps of a history with a burn-in of two.
fn units(losses: &[Vec<f64>], step: usize) -> Vec<f64> {
    let seen = &losses[..=step.min(1)];
    (0..losses[0].len()).map(|i| seen.iter().map(|l| l[i]).sum::<f64>() / seen.len() as f64).collect()
}

fn normalised(rows: &[Vec<f64>]) -> Rows {
    rows.iter().map(|row| unit(row)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn invariants_2_3_9_hold_in_any_state((steps, losses) in histories(), config in options(), with in any::<bool>()) {
        let tasks = steps[0].len();
        let mut balancer = config.build(tasks).unwrap();
        for (t, rows) in steps.iter().enumerate() {
            let balance = step(balancer.as_mut(), rows, with.then_some(&losses[t][..]));
            let telemetry = &balance.telemetry;
            prop_assert!(balance.coefficients.iter().all(|c| c.is_finite() && *c >= 0.0), "3: {:?}", balance.coefficients);
            let u = combine(rows, &balance.coefficients);
            let units = if with { units(&losses, t) } else { vec![1.0; tasks] };
            let largest = largest_scaled_norm(&balance, &units, &telemetry.active);
            for (j, row) in rows.iter().enumerate() {
                if telemetry.active[j] {
                    let product = dot(&unit(row), &u);
                    prop_assert!(product >= -5e-5 * largest, "2: {} of {}", product, largest);
                }
            }
            if let Some(magnitude) = &telemetry.magnitude {
                let budget: f64 = magnitude.average_norms.iter().sum();
                let spent: f64 = magnitude.average_norms.iter().zip(&magnitude.scales).map(|(n, s)| n * s).sum();
                prop_assert!((spent - budget).abs() <= 1e-12 * budget, "9: {} {}", spent, budget);
            }
            prop_assert!((telemetry.combined_norm - norm(&u)).abs() <= 1e-5 * largest, "norm {}", telemetry.combined_norm);
        }
    }

    #[test]
    fn invariant_1_a_single_task_keeps_its_gradient((steps, losses) in histories(), config in options()) {
        let mut balancer = config.build(1).unwrap();
        for (rows, losses) in steps.iter().zip(&losses) {
            let balance = step(balancer.as_mut(), &rows[..1], Some(&losses[..1]));
            let expected = if norm(&rows[0]) > 0.0 { 1.0 } else { 0.0 };
            prop_assert_eq!(balance.coefficients, vec![expected]);
        }
    }

    #[test]
    fn invariant_4_renaming_tasks_renames_coefficients((steps, losses) in histories(), config in options(), turn in 0_usize..16) {
        let tasks = steps[0].len();
        let order: Vec<usize> = (0..tasks).map(|i| (tasks - 1 - i + turn) % tasks).collect();
        let (mut one, mut two) = (config.build(tasks).unwrap(), config.build(tasks).unwrap());
        for (t, (rows, losses_now)) in steps.iter().zip(&losses).enumerate() {
            let permuted: Rows = order.iter().map(|&i| rows[i].clone()).collect();
            let permuted_losses: Vec<f64> = order.iter().map(|&i| losses_now[i]).collect();
            let a = step(one.as_mut(), rows, Some(losses_now));
            let b = step(two.as_mut(), &permuted, Some(&permuted_losses));
            let largest = largest_scaled_norm(&a, &units(&losses, t), &a.telemetry.active);
            let apart = distance(&combine(rows, &a.coefficients), &combine(&permuted, &b.coefficients));
            prop_assert!(apart <= 1e-9 * largest, "{} of {}", apart, largest);
        }
    }

    #[test]
    fn invariant_5_without_conflict_and_with_equal_norms_it_is_the_mean(
        rows in (1_usize..9).prop_flat_map(|tasks| prop::collection::vec(prop::collection::vec(0.01..1.0_f64, 5), tasks)),
        loss in prop::option::of(0.1..9.0_f64), config in options(),
    ) {
        let rows = normalised(&rows);
        let losses = loss.map(|loss| vec![loss; rows.len()]);
        let u = combine(&rows, &first(&config, &rows, losses.as_deref()).coefficients);
        let mean = combine(&rows, &vec![1.0 / rows.len() as f64; rows.len()]);
        prop_assert!(distance(&u, &mean) <= 1e-12, "{:?} {:?}", u, mean);
    }

    #[test]
    fn invariant_6_global_scale(rows in matrices(), config in options(), exponent in -100_i32..100) {
        let k = 10.0_f64.powi(exponent);
        let scaled: Rows = rows.iter().map(|row| row.iter().map(|x| x * k).collect()).collect();
        let losses = vec![0.7; rows.len()];
        let a = first(&config, &rows, Some(&losses));
        let b = first(&config, &scaled, Some(&losses));
        let largest = largest_scaled_norm(&a, &losses, &a.telemetry.active);
        let u = combine(&rows, &a.coefficients);
        let back: Vec<f64> = combine(&scaled, &b.coefficients).iter().map(|x| x / k).collect();
        prop_assert!(distance(&u, &back) <= 1e-6 * largest, "{:?} {:?}", u, back);
    }

    #[test]
    fn invariant_7_loss_units_do_not_matter((steps, losses) in histories(), config in options(), exponents in prop::collection::vec(-3.0..3.0_f64, 16)) {
        let tasks = steps[0].len();
        let (mut one, mut two) = (config.build(tasks).unwrap(), config.build(tasks).unwrap());
        for (t, (rows, losses_now)) in steps.iter().zip(&losses).enumerate() {
            let factor = |i: usize| 10.0_f64.powf(exponents[i]);
            let scaled: Rows = rows.iter().enumerate().map(|(i, row)| row.iter().map(|x| x * factor(i)).collect()).collect();
            let scaled_losses: Vec<f64> = losses_now.iter().enumerate().map(|(i, l)| l * factor(i)).collect();
            let a = step(one.as_mut(), rows, Some(losses_now));
            let b = step(two.as_mut(), &scaled, Some(&scaled_losses));
            let (u, w) = (combine(rows, &a.coefficients), combine(&scaled, &b.coefficients));
            let largest = largest_scaled_norm(&a, &units(&losses, t), &a.telemetry.active);
            // The direction of a vanishing update is noise.
            if norm(&u) > 1e-3 * largest {
                prop_assert!(distance(&unit(&u), &unit(&w)) <= 1e-6, "{:?} {:?}", u, w);
            }
        }
    }

    #[test]
    fn invariant_8_norms_do_not_matter_with_gamma_0(rows in matrices(), exponents in prop::collection::vec(-0.9..0.9_f64, 16)) {
        let rows = normalised(&rows);
        let scaled: Rows =
            rows.iter().zip(&exponents).map(|(row, e)| row.iter().map(|x| x * 10.0_f64.powf(*e)).collect()).collect();
        let u = combine(&rows, &first(&plain(0.0, 0.5), &rows, None).coefficients);
        let w = combine(&scaled, &first(&plain(0.0, 0.5), &scaled, None).coefficients);
        if norm(&u) > 1e-3 {
            prop_assert!(distance(&unit(&u), &unit(&w)) <= 1e-6, "{:?} {:?}", u, w);
        }
    }

    #[test]
    fn invariant_9_log_norms_are_mapped_with_slope_gamma(rows in matrices(), gamma in 0.0..=1.0_f64, scale in 0.2..1.0_f64) {
        // Norms within a factor of 50 stay above the floor δ = 0.01.
        let rows: Rows = normalised(&rows).iter().enumerate()
            .map(|(i, row)| row.iter().map(|x| x * scale.powi(i as i32 % 3)).collect()).collect();
        let balance = first(&plain(gamma, 0.5), &rows, None);
        let active: Vec<usize> = (0..rows.len()).filter(|&i| balance.telemetry.active[i]).collect();
        if let Some(magnitude) = &balance.telemetry.magnitude {
            let before = |i: usize| magnitude.average_norms[i].ln();
            let after = |i: usize| before(i) + magnitude.scales[i].ln();
            for &i in &active {
                for &j in &active {
                    let expected = gamma * (before(i) - before(j));
                    prop_assert!((after(i) - after(j) - expected).abs() <= 1e-12);
                }
            }
        }
    }

    #[test]
    fn invariants_10_11_upgrad_is_a_special_case(rows in matrices()) {
        // Tasks far below the floor δ are not scaled to equal norms, so all are given lengths within it.
        let lengths = |i: usize| 1.0 + (i % 5) as f64;
        let units = normalised(&rows);
        let rows: Rows = units.iter().enumerate().map(|(i, row)| row.iter().map(|x| x * lengths(i)).collect()).collect();
        let upgrad = combine(&rows, &first(&BalancerConfig::UpGrad {}, &rows, None).coefficients);
        let own = combine(&rows, &first(&plain(1.0, 0.0), &rows, None).coefficients);
        prop_assert!(distance(&upgrad, &own) <= 1e-6 * norm(&own).max(1.0), "10: {:?} {:?}", upgrad, own);
        if rows.len() == 2 && rows.iter().all(|row| norm(row) > 0.0) {
            let pcgrad = combine(&rows, &first(&BalancerConfig::PcGrad(Default::default()), &rows, None).coefficients);
            let half: Vec<f64> = pcgrad.iter().map(|x| x / 2.0).collect();
            prop_assert!(distance(&half, &own) <= 1e-6 * norm(&own).max(1.0), "10: {:?} {:?}", half, own);
        }
        let norms: Vec<f64> = rows.iter().map(|row| norm(row)).filter(|n| *n > 0.0).collect();
        let mean = norms.iter().sum::<f64>() / norms.len().max(1) as f64;
        let upgrad = combine(&units, &first(&BalancerConfig::UpGrad {}, &units, None).coefficients);
        let own = combine(&rows, &first(&plain(0.0, 0.0), &rows, None).coefficients);
        let expected: Vec<f64> = upgrad.iter().map(|x| x * mean).collect();
        prop_assert!(distance(&expected, &own) <= 1e-6 * mean.max(1.0), "11: {:?} {:?}", expected, own);
    }

    #[test]
    fn invariant_12_the_update_vanishes_only_at_pareto_points(rows in matrices(), config in options()) {
        let balance = first(&config, &rows, None);
        let units_active: Rows = rows.iter().zip(&balance.telemetry.active).filter(|(_, a)| **a).map(|(r, _)| unit(r)).collect();
        let u = combine(&rows, &balance.coefficients);
        let largest = largest_scaled_norm(&balance, &vec![1.0; rows.len()], &balance.telemetry.active);
        if units_active.len() > 1 && norm(&u) <= 1e-7 * largest {
            // The proof's weights, the column sums of A, are at least 1 and add the unit gradients up to 0.
            let norms = &balance.telemetry.norms;
            let weights: Vec<f64> = balance.coefficients.iter().zip(norms).map(|(c, n)| c * n).collect();
            prop_assert!(weights.iter().zip(&balance.telemetry.active).all(|(w, active)| !active || *w > 0.0));
            let sum = combine(&rows.iter().map(|row| unit(row)).collect::<Rows>(), &weights);
            let size: f64 = weights.iter().sum();
            prop_assert!(norm(&sum) <= 1e-6 * size, "{:?}", sum);
        }
    }

    #[test]
    fn invariant_13_zero_gradients_are_as_if_absent((steps, losses) in histories(), config in options(), at in 0_usize..16) {
        let tasks = steps[0].len();
        let at = at % (tasks + 1);
        let (mut without, mut with) = (config.build(tasks).unwrap(), config.build(tasks + 1).unwrap());
        for (rows, losses) in steps.iter().zip(&losses) {
            let mut more = rows.clone();
            more.insert(at, vec![0.0; rows[0].len()]);
            let mut more_losses = losses.clone();
            more_losses.insert(at, 2.0);
            let a = step(without.as_mut(), rows, Some(losses));
            let mut b = step(with.as_mut(), &more, Some(&more_losses));
            prop_assert_eq!(b.coefficients.remove(at), 0.0);
            prop_assert_eq!(a.coefficients, b.coefficients);
        }
    }

    #[test]
    fn invariant_13_antiparallel_pairs_cancel(row in prop::collection::vec(-1.0..1.0_f64, 5), factor in 0.1..10.0_f64, config in options()) {
        prop_assume!(norm(&row) > 1e-3);
        let rows = vec![row.clone(), row.iter().map(|x| -x * factor).collect()];
        let u = combine(&rows, &first(&config, &rows, None).coefficients);
        prop_assert!(norm(&u) <= 1e-7 * norm(&row).max(norm(&rows[1])), "{:?}", u);
    }

    #[test]
    fn invariant_14_slower_tasks_get_larger_scales(rows in matrices(), zeta in 0.1..2.0_f64, loss in 0.2..0.9_f64) {
        let rows = normalised(&rows);
        for (zeta, favoured) in [(zeta, true), (0.0, false)] {
            let config = DdGbConfig { zeta, burn_in_steps: 1, ..DdGbConfig::default() };
            let mut balancer = BalancerConfig::DdGb(config).build(rows.len()).unwrap();
            let mut losses = vec![1.0; rows.len()];
            step(balancer.as_mut(), &rows, Some(&losses));
            losses.iter_mut().skip(1).for_each(|value| *value = loss);
            let balance = step(balancer.as_mut(), &rows, Some(&losses));
            let Some(magnitude) = &balance.telemetry.magnitude else { continue };
            for i in 1..rows.len() {
                if balance.telemetry.active[0] && balance.telemetry.active[i] {
                    prop_assert_eq!(magnitude.scales[0] > magnitude.scales[i] * (1.0 + 1e-9), favoured);
                }
            }
        }
    }

    #[test]
    fn a_restored_state_goes_on_bit_for_bit((steps, losses) in histories()) {
        for config in BalancerConfig::all(steps[0].len()) {
            let mut one = config.build_any(steps[0].len()).unwrap();
            for (rows, losses) in steps.iter().zip(&losses).take(2) {
                advance(&mut one, rows, losses);
            }
            let text = serde_json::to_string_pretty(&one.state()).unwrap();
            let mut two = config.build_any(steps[0].len()).unwrap();
            two.restore(&serde_json::from_str(&text).unwrap()).unwrap();
            prop_assert_eq!(one.state(), two.state());
            let a = advance(&mut one, &steps[2], &losses[2]);
            let b = advance(&mut two, &steps[2], &losses[2]);
            let bits = |c: &[f64]| c.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
            prop_assert_eq!(bits(&a.0), bits(&b.0), "{}", config.method());
            prop_assert_eq!(a, b);
            prop_assert_eq!(one.state(), two.state());
        }
    }

    #[test]
    fn every_rule_stays_finite_with_extreme_gradients(rows in matrices(), exponent in prop::sample::select(vec![-140_i32, 0, 140]), small in any::<bool>()) {
        let k = 10.0_f64.powi(exponent);
        let rows: Rows = rows.iter().map(|row| row.iter().map(|x| x * k).collect()).collect();
        let losses: Vec<f64> = (0..rows.len()).map(|i| if small { 1e-12 } else { 0.5 + i as f64 }).collect();
        let kappa = BalancerConfig::DdGb(DdGbConfig { kappa: 1.0, ..DdGbConfig::default() });
        for config in BalancerConfig::all(rows.len()).into_iter().chain([kappa]) {
            let mut rule = config.build_any(rows.len()).unwrap();
            for _ in 0..3 {
                let (update, weights, telemetry) = advance(&mut rule, &rows, &losses);
                let weights = weights.unwrap_or_default();
                prop_assert!(weights.iter().chain(&update).all(|c| c.is_finite()), "{}: {:?} {:?}", config.method(), weights, telemetry);
                // JSON writes what is not finite as null, which a number cannot be read back from.
                let text = serde_json::to_string(&telemetry).unwrap();
                prop_assert!(serde_json::from_str::<mtids_balance::Telemetry>(&text).is_ok(), "{}: {}", config.method(), text);
                prop_assert!(telemetry.combined_norm.is_finite() && telemetry.direction_change.is_finite());
                let state = rule.state();
                rule.restore(&state).unwrap();
            }
        }
    }

    #[test]
    fn telemetry_says_what_happened_for_every_rule((steps, losses) in histories()) {
        for config in BalancerConfig::all(steps[0].len()) {
            let mut rule = config.build_any(steps[0].len()).unwrap();
            for (rows, losses) in steps.iter().zip(&losses) {
                let (update, weights, telemetry) = advance(&mut rule, rows, losses);
                let weights = weights.unwrap_or_else(|| vec![1.0; rows.len()]);
                let size: f64 = telemetry.norms.iter().zip(&weights).map(|(n, w)| n * w.abs().max(1.0)).sum();
                let sum = combine(rows, &vec![1.0; rows.len()]);
                // Below, rounding of the Gram matrix decides the direction.
                if norm(&update) > 1e-3 * size && norm(&sum) > 1e-3 * size {
                    let expected = distance(&unit(&update), &unit(&sum));
                    prop_assert!((telemetry.direction_change - expected).abs() < 1e-4, "{} {} {}", config.method(), telemetry.direction_change, expected);
                    prop_assert!((telemetry.combined_norm - norm(&update)).abs() < 1e-5 * norm(&update), "{}", config.method());
                    for ((row, cosine), active) in rows.iter().zip(&telemetry.alignment).zip(&telemetry.active) {
                        prop_assert!(!active || (dot(&unit(row), &unit(&update)) - cosine).abs() < 1e-4, "{}", config.method());
                    }
                }
            }
        }
    }
}

#[test]
fn inactive_tasks_keep_their_state() {
    let rows = vec![vec![1.0, 0.0], vec![-0.5, 2.0], vec![0.3, -1.0]];
    let two = vec![rows[0].clone(), rows[2].clone()];
    for config in [config(0.5, 0.5, 0.5), BalancerConfig::GradVac(Default::default())] {
        let mut three_tasks = config.build(3).unwrap();
        step(three_tasks.as_mut(), &rows, Some(&[1.0, 2.0, 3.0]));
        let before = three_tasks.state();
        let mut two_tasks = config.build(2).unwrap();
        step(two_tasks.as_mut(), &two, Some(&[1.0, 3.0]));
        for (t, loss) in [0.9, 0.5, 0.4].into_iter().enumerate() {
            let losses = [loss, f64::NAN, 2.0];
            let gram = gram(&rows);
            let input = BalanceInput { gram: &gram, losses: Some(&losses), active: &[true, false, true] };
            let balance = three_tasks.coefficients(&input).unwrap();
            assert_eq!(balance.coefficients[1], 0.0);
            assert_eq!(balance.telemetry.norms[1], 0.0);
            if config.method() == "dd-gb" {
                let expected = step(two_tasks.as_mut(), &two, Some(&[loss, 2.0])).coefficients;
                if t == 0 {
                    // Later the averages of the two histories agree as well; at the first step they already do.
                    assert_eq!([balance.coefficients[0], balance.coefficients[2]], expected[..]);
                }
            }
        }
        let after = three_tasks.state();
        let names: &[&str] =
            if config.method() == "dd-gb" { &["units", "log_norms", "losses", "burn_in_counts"] } else { &[] };
        for name in names {
            assert_eq!(before["inner"][name][1], after["inner"][name][1], "{name} of the inactive task");
            assert_ne!(before["inner"][name][0], after["inner"][name][0], "{name} of an active task");
        }
        let pairs = if config.method() == "dd-gb" { "cosines" } else { "targets" };
        for at in [1, 3, 4, 5, 7] {
            assert_eq!(before["inner"][pairs][at], after["inner"][pairs][at], "{pairs} {at}");
        }
    }
}

#[test]
fn no_active_task_means_no_step() {
    for config in step_rules(2) {
        let mut balancer = config.build(2).unwrap();
        let before = balancer.state();
        let input = BalanceInput { gram: &[0.0; 4], losses: Some(&[f64::NAN; 2]), active: &[false; 2] };
        assert_eq!(balancer.coefficients(&input).unwrap().coefficients, [0.0, 0.0]);
        assert_eq!(before, balancer.state(), "{}", config.method());
        let input = BalanceInput { gram: &[0.0; 4], losses: Some(&[1.0; 2]), active: &[true; 2] };
        assert_eq!(balancer.coefficients(&input).unwrap().coefficients, [0.0, 0.0], "{}", config.method());
    }
}

#[test]
fn wrong_input_is_refused_and_leaves_the_state() {
    let mut balancer = BalancerConfig::default().build(2).unwrap();
    let active = &[true, true];
    let good = [1.0, 0.2, 0.2, 1.0];
    let try_with = |balancer: &mut dyn mtids_balance::Balancer, gram: &[f64], losses: Option<&[f64]>| {
        balancer.coefficients(&BalanceInput { gram, losses, active }).unwrap_err().to_string()
    };
    balancer.coefficients(&BalanceInput { gram: &good, losses: Some(&[1.0, 2.0]), active }).unwrap();
    let before = balancer.state();
    assert!(try_with(balancer.as_mut(), &good[..3], Some(&[1.0, 2.0])).contains("3 values"));
    assert!(try_with(balancer.as_mut(), &good, Some(&[1.0])).contains("losses"));
    assert!(try_with(balancer.as_mut(), &good, Some(&[1.0, -1.0])).contains("task 1"));
    assert!(try_with(balancer.as_mut(), &good, Some(&[f64::INFINITY, 1.0])).contains("task 0"));
    assert!(try_with(balancer.as_mut(), &good, None).contains("always or never"));
    assert!(try_with(balancer.as_mut(), &[f64::INFINITY, 0.0, 0.0, 1.0], Some(&[1.0, 1.0])).contains("overflowed"));
    assert_eq!(before, balancer.state());
}

#[test]
fn foreign_states_are_refused() {
    let state = BalancerConfig::default().build(2).unwrap().state();
    let refuse = |config: BalancerConfig, tasks: usize, state: &serde_json::Value| {
        let mut balancer = config.build(tasks).unwrap();
        let before = balancer.state();
        let error = balancer.restore(state).unwrap_err().to_string();
        assert_eq!(before, balancer.state());
        error
    };
    assert!(refuse(BalancerConfig::UpGrad {}, 2, &state).contains("`dd-gb`"));
    assert!(refuse(BalancerConfig::default(), 3, &state).contains("2 tasks"));
    let mut short = state.clone();
    short["inner"]["units"] = serde_json::json!([null]);
    assert!(refuse(BalancerConfig::default(), 2, &short).contains("length"));
    assert!(refuse(BalancerConfig::default(), 2, &serde_json::json!(3)).contains("unknown balancer"));
}

#[test]
fn a_preference_favours_its_task() {
    let rows = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
    let with = DdGbConfig { preference: Some(vec![3.0, 1.0]), ..DdGbConfig::default() };
    let c = first(&BalancerConfig::DdGb(with), &rows, None).coefficients;
    assert!((c[0] - 0.75).abs() < 1e-12 && (c[1] - 0.25).abs() < 1e-12, "{c:?}");
}

#[test]
fn kappa_pulls_towards_the_running_cosine() {
    let near = vec![vec![1.0, 0.0], vec![1.0, 0.2]];
    let far = vec![vec![1.0, 0.0], vec![0.05, 1.0]];
    for (kappa, turned) in [(0.0, false), (1.0, true)] {
        let mut balancer = BalancerConfig::DdGb(DdGbConfig { kappa, ..DdGbConfig::default() }).build(2).unwrap();
        step(balancer.as_mut(), &near, None);
        let change = step(balancer.as_mut(), &far, None).telemetry.direction.unwrap().change[0];
        assert_eq!(change > 0.1, turned, "κ = {kappa}: {change}");
    }
}
