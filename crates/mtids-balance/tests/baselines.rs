//! What defines each baseline, over random gradients.

mod common;

use common::{Rows, combine, distance, dot, first, matrices, norm, unit};
use mtids_balance::{BalancerConfig, FairGradConfig, GradVacConfig, NashMtlConfig, PcGradConfig};
use proptest::prelude::*;

/// Independent rows: at most as many tasks as dimensions, well away from dependence.
fn independent() -> impl Strategy<Value = Rows> {
    (1_usize..9).prop_flat_map(|tasks| {
        prop::collection::vec(prop::collection::vec(-1.0..1.0_f64, tasks), tasks).prop_map(move |mut rows| {
            for (i, row) in rows.iter_mut().enumerate() {
                row[i] += 2.0;
                row.extend([0.5, -0.5]);
            }
            rows
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn upgrad_and_dual_proj_do_not_conflict(rows in matrices()) {
        for config in [BalancerConfig::UpGrad {}, BalancerConfig::DualProj {}] {
            let balance = first(&config, &rows, None);
            let u = combine(&rows, &balance.coefficients);
            let longest = balance.telemetry.norms.iter().copied().fold(0.0, f64::max);
            for (row, active) in rows.iter().zip(&balance.telemetry.active) {
                prop_assert!(!active || dot(&unit(row), &u) >= -5e-5 * longest, "{}", config.method());
            }
        }
    }

    #[test]
    fn dual_proj_is_the_nearest_point_of_the_cone(rows in independent()) {
        // Moreau: u − ḡ is orthogonal to u.
        let u = combine(&rows, &first(&BalancerConfig::DualProj {}, &rows, None).coefficients);
        let mean = combine(&rows, &vec![1.0 / rows.len() as f64; rows.len()]);
        let moved: Vec<f64> = u.iter().zip(&mean).map(|(a, b)| a - b).collect();
        prop_assert!(dot(&moved, &u).abs() < 1e-6 * dot(&mean, &mean).max(1.0));
    }

    #[test]
    fn mgda_is_the_shortest_convex_combination(rows in matrices()) {
        let balance = first(&BalancerConfig::Mgda {}, &rows, None);
        let alpha = &balance.coefficients;
        let members: Vec<usize> = (0..rows.len()).filter(|&i| balance.telemetry.active[i]).collect();
        if members.is_empty() {
            return Ok(());
        }
        prop_assert!(alpha.iter().all(|a| *a >= 0.0));
        prop_assert!((alpha.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // Optimality: g_i·u ≥ ‖u‖² for all i; scaled by the gradients in the mixture.
        let u = combine(&rows, alpha);
        let square = dot(&u, &u);
        for &i in &members {
            let slack = dot(&rows[i], &u) - square;
            let size = norm(&rows[i]) * members.iter().map(|&j| alpha[j] * norm(&rows[j])).sum::<f64>();
            prop_assert!(slack >= -1e-4 * size, "{} of {}", slack, size);
        }
    }

    #[test]
    fn imtl_g_projects_equally(rows in independent()) {
        let c = first(&BalancerConfig::ImtlG {}, &rows, None).coefficients;
        let u = combine(&rows, &c);
        let size: f64 = c.iter().zip(&rows).map(|(c, row)| c.abs() * norm(row)).sum();
        let expected = dot(&unit(&rows[0]), &u);
        for row in &rows {
            prop_assert!((dot(&unit(row), &u) - expected).abs() < 1e-9 * size);
        }
    }

    #[test]
    fn fairgrad_meets_its_equation(rows in independent(), exponent in 0.5..4.0_f64, scale in -6..6_i32) {
        let scale = 10.0_f64.powi(scale);
        let rows: Rows = rows.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
        let config = BalancerConfig::FairGrad(FairGradConfig { exponent });
        let alpha = first(&config, &rows, None).coefficients;
        let u = combine(&rows, &alpha);
        for (row, alpha) in rows.iter().zip(&alpha) {
            prop_assert!(*alpha > 0.0);
            let ratio = dot(row, &u) * alpha.powf(1.0 / exponent);
            prop_assert!((ratio - 1.0).abs() < 1e-5, "{}", ratio);
        }
    }

    #[test]
    fn nash_mtl_has_norm_sqrt_t_before_clipping(rows in independent()) {
        let config = BalancerConfig::NashMtl(NashMtlConfig { max_norm: 1e9 });
        let u = combine(&rows, &first(&config, &rows, None).coefficients);
        prop_assert!((norm(&u) - (rows.len() as f64).sqrt()).abs() < 1e-5);
        let clipped = combine(&rows, &first(&BalancerConfig::NashMtl(Default::default()), &rows, None).coefficients);
        prop_assert!((norm(&clipped) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn aligned_mtl_makes_singular_values_equal(rows in independent()) {
        // With w the i-th unit vector the update is row i of the aligned matrix: all have length √λ_min and are orthogonal.
        let aligned: Rows = (0..rows.len()).map(|i| {
            let mut preference = vec![0.0; rows.len()];
            preference[i] = 1.0;
            let config = BalancerConfig::AlignedMtl(mtids_balance::AlignedMtlConfig { preference: Some(preference) });
            combine(&rows, &first(&config, &rows, None).coefficients)
        }).collect();
        let length = norm(&aligned[0]);
        for (i, a) in aligned.iter().enumerate() {
            prop_assert!((norm(a) - length).abs() < 1e-9 * length);
            for b in &aligned[..i] {
                prop_assert!(dot(a, b).abs() < 1e-9 * length * length);
            }
        }
    }

    #[test]
    fn gradvac_with_targets_at_zero_is_pcgrad(rows in matrices(), seed in any::<u64>()) {
        let pcgrad = first(&BalancerConfig::PcGrad(PcGradConfig { seed, in_order: false }), &rows, None).coefficients;
        let gradvac = first(&BalancerConfig::GradVac(GradVacConfig { rate: 0.0, seed, in_order: false }), &rows, None).coefficients;
        let size: f64 = rows.iter().map(|row| norm(row)).sum();
        let apart = distance(&combine(&rows, &pcgrad), &combine(&rows, &gradvac));
        // GradVac needs the length of g̃, a difference of squares that loses half the digits when g̃ nearly vanishes.
        prop_assert!(apart <= 1e-6 * size, "{}", apart);
    }

    #[test]
    fn without_conflict_pcgrad_is_the_sum(rows in prop::collection::vec(prop::collection::vec(0.0..1.0_f64, 4), 1..9)) {
        let c = first(&BalancerConfig::PcGrad(Default::default()), &rows, None);
        for (c, active) in c.coefficients.iter().zip(&c.telemetry.active) {
            prop_assert!(!active || (c - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn gradvac_reaches_its_target_cosine() {
    // After one step with rate 1 the target is the first pair's cosine; the next, wider pair is turned up to it.
    let mut balancer =
        BalancerConfig::GradVac(GradVacConfig { rate: 1.0, ..GradVacConfig::default() }).build(2).unwrap();
    let near = vec![vec![1.0, 0.0], vec![1.0, 1.0]];
    let wide = vec![vec![2.0, 0.0], vec![-1.0, 3.0]];
    common::step(balancer.as_mut(), &near, None);
    let c = common::step(balancer.as_mut(), &wide, None).coefficients;
    // u = g̃_0 + g̃_1 with g̃_0 = g_0 + (c_1 − 1) g_1 and g̃_1 = g_1 + (c_0 − 1) g_0.
    let first: Vec<f64> = (0..2).map(|p| wide[0][p] + (c[1] - 1.0) * wide[1][p]).collect();
    let second: Vec<f64> = (0..2).map(|p| wide[1][p] + (c[0] - 1.0) * wide[0][p]).collect();
    let target = 0.5_f64.sqrt();
    assert!((dot(&unit(&first), &unit(&wide[1])) - target).abs() < 1e-9);
    assert!((dot(&unit(&second), &unit(&wide[0])) - target).abs() < 1e-9);
}

#[test]
fn pcgrad_depends_on_its_seed_and_step_alone() {
    let rows = vec![vec![1.0, 0.2, 0.0], vec![-1.0, 0.5, 0.1], vec![0.1, -1.0, 0.3], vec![0.0, 0.4, -1.0]];
    let run = |seed: u64| {
        let mut balancer = BalancerConfig::PcGrad(PcGradConfig { seed, in_order: false }).build(4).unwrap();
        (0..8).map(|_| common::step(balancer.as_mut(), &rows, None).coefficients).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
    assert!(run(3).windows(2).any(|pair| pair[0] != pair[1]), "orders differ between steps");
}
