//! Values computed elsewhere: by a NumPy prototype for DD-GB, by TorchJD for its baselines.

mod common;

use common::{combine, first, gram, plain, step};
use mtids_balance::{
    BalanceInput, BalancerConfig, CaGradConfig, DdGbConfig, FairGradConfig, FixedConfig, NashMtlConfig, Rescale,
};

fn conflict() -> Vec<Vec<f64>> {
    vec![vec![-4.0, 1.0, 1.0], vec![6.0, 1.0, 1.0]]
}

fn three() -> Vec<Vec<f64>> {
    vec![vec![1.0, 0.0, 0.0], vec![-0.5, 2.0, 0.0], vec![0.0, -1.0, 4.0]]
}

fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{what}: {found:?}, expected {expected:?}");
    }
}

#[test]
fn dd_gb_first_step() {
    let defaults = BalancerConfig::default();
    let half = plain(0.5, 0.0);
    type Case<'a> = (&'a str, &'a BalancerConfig, Vec<Vec<f64>>, Option<&'a [f64]>, &'a [f64], &'a [f64]);
    let cases: [Case; 8] = [
        ("γ 1", &plain(1.0, 0.0), conflict(), None, &[1.111111, 0.789474], &[0.292398, 1.900585, 1.900585]),
        ("γ 0", &plain(0.0, 0.0), conflict(), None, &[1.129095, 0.777096], &[0.146199, 1.906191, 1.906191]),
        ("γ ½", &half, conflict(), None, &[1.120025, 0.783339], &[0.219932, 1.903364, 1.903364]),
        ("defaults", &defaults, conflict(), None, &[2.071289, 1.448647], &[0.406726, 3.519937, 3.519937]),
        ("3, γ 1", &plain(1.0, 0.0), three(), None, &[0.583333, 0.541514, 0.377433], &[0.312576, 0.705595, 1.509732]),
        ("3, γ 0", &plain(0.0, 0.0), three(), None, &[1.040314, 0.583459, 0.250868], &[0.748585, 0.916050, 1.003473]),
        ("3, defaults", &defaults, three(), None, &[0.820169, 0.601853, 0.326992], &[0.519243, 0.876714, 1.307968]),
        (
            "3, losses",
            &defaults,
            three(),
            Some(&[0.9, 1.1, 2.0]),
            &[0.889938, 0.593238, 0.266165],
            &[0.593319, 0.920312, 1.064658],
        ),
    ];
    for (what, config, rows, losses, coefficients, update) in cases {
        let balance = first(config, &rows, losses);
        close(&balance.coefficients, coefficients, 6e-7, what);
        close(&combine(&rows, &balance.coefficients), update, 6e-7, what);
    }
}

#[test]
fn dd_gb_second_step_follows_the_rates() {
    let config = DdGbConfig { beta: 0.0, beta_loss: 0.0, burn_in_steps: 1, ..DdGbConfig::default() };
    let mut balancer = BalancerConfig::DdGb(config).build(3).unwrap();
    step(balancer.as_mut(), &three(), Some(&[1.0, 1.0, 1.0]));
    let balance = step(balancer.as_mut(), &three(), Some(&[0.5, 1.0, 1.0]));
    close(&balance.coefficients, &[0.704165, 0.622475, 0.347397], 6e-7, "second call");
}

#[test]
fn dd_gb_reports_the_aligned_directions() {
    let balance = first(&BalancerConfig::default(), &three(), None);
    let direction = balance.telemetry.direction.unwrap();
    close(&direction.length, &[0.968364, 0.941176, 0.970143], 6e-7, "ξ");
    // For a projection on a cone ‖x − v‖² = 1 − ‖x‖².
    for (change, length) in direction.change.iter().zip(&direction.length) {
        assert!((change * change + length * length - 1.0).abs() < 1e-6);
    }
}

#[test]
fn baselines_agree_with_torchjd_on_its_own_matrix() {
    let fairgrad = BalancerConfig::FairGrad(FairGradConfig::default());
    let unclipped = BalancerConfig::NashMtl(NashMtlConfig { max_norm: 1e9 });
    let rows = conflict();
    let cagrad = BalancerConfig::CaGrad(CaGradConfig { c: 0.5, rescale: Rescale::None });
    let cases: [(BalancerConfig, [f64; 2]); 12] = [
        (BalancerConfig::AlignedMtl(Default::default()), [0.2133, 0.9673]),
        (BalancerConfig::ImtlG {}, [0.0767, 1.0]),
        (BalancerConfig::Mgda {}, [0.0, 1.0]),
        (BalancerConfig::PcGrad(Default::default()), [0.5848, 3.8012]),
        (BalancerConfig::UpGrad {}, [0.2924, 1.9006]),
        // Exact; TorchJD prints 0.5563, 1.1109 and, for UPGrad, 0.2929, 1.9004 because of its ridge of 1e-4 of the trace.
        (BalancerConfig::DualProj {}, [5.0 / 9.0, 10.0 / 9.0]),
        (fairgrad, [0.0766, 0.9985]),
        (unclipped, [0.0766, 0.9985]),
        (BalancerConfig::NashMtl(NashMtlConfig::default()), [0.0542, 0.7061]),
        (BalancerConfig::EqualMean {}, [1.0, 1.0]),
        (cagrad, [0.1835, 1.2041]),
        (BalancerConfig::ConFig {}, [0.1588, 2.0706]),
    ];
    for (config, [x, y]) in cases {
        let update = combine(&rows, &first(&config, &rows, None).coefficients);
        close(&update, &[x, y, y], 6e-5, config.method());
    }
}

#[test]
fn weights_that_ignore_the_gradients() {
    let gram = gram(&three());
    let input = BalanceInput { gram: &gram, losses: None, active: &[true, false, true] };
    let weights = |config: BalancerConfig| config.build(3).unwrap().coefficients(&input).unwrap().coefficients;
    assert_eq!(weights(BalancerConfig::EqualSum {}), [1.0, 0.0, 1.0]);
    assert_eq!(weights(BalancerConfig::EqualMean {}), [0.5, 0.0, 0.5]);
    assert_eq!(weights(BalancerConfig::Fixed(FixedConfig { weights: vec![1.0, 2.0, 3.0] })), [1.0, 0.0, 3.0]);
}

#[test]
fn telemetry_describes_the_gradients() {
    let telemetry = first(&BalancerConfig::EqualSum {}, &conflict(), None).telemetry;
    close(&telemetry.norms, &[18.0_f64.sqrt(), 38.0_f64.sqrt()], 1e-12, "norms");
    let cosine = -22.0 / (18.0_f64 * 38.0).sqrt();
    close(&telemetry.cosines, &[1.0, cosine, cosine, 1.0], 1e-12, "cosines");
    close(&[telemetry.combined_norm], &[12.0_f64.sqrt()], 1e-12, "‖(2, 2, 2)‖");
    close(
        &telemetry.alignment,
        &[-4.0 / (18.0_f64 * 12.0).sqrt(), 16.0 / (38.0_f64 * 12.0).sqrt()],
        1e-12,
        "alignment",
    );
    close(&[telemetry.norm_similarity], &[2.0 * (18.0_f64 * 38.0).sqrt() / 56.0], 1e-12, "similarity");
    assert_eq!(telemetry.conflicting_share, 1.0);
    close(&[telemetry.direction_change], &[0.0], 1e-7, "the sum is not turned");
    let spread = 0.25 * (38.0_f64 / 18.0).ln();
    close(&[telemetry.log_norm_spread_before], &[spread], 1e-12, "half the distance of two log norms");
    close(&[telemetry.log_norm_spread_after.unwrap()], &[spread], 1e-12, "the sum leaves norms alone");
    let telemetry = first(&BalancerConfig::default(), &three(), None).telemetry;
    let magnitude = telemetry.magnitude.unwrap();
    let ratio = magnitude.log_norm_spread_after / magnitude.log_norm_spread_before;
    close(&[ratio], &[0.5], 1e-12, "the spread of log norms shrinks by γ");
}
