//! Several ranks against one at the same batch, over threads.
#![allow(clippy::print_stdout, reason = "figures for docs/results/ranks.md")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod task;

use candle_core::{DType, Device, Tensor};
use mtids_balance::{BalancerConfig, Needs};
use mtids_layers::Parameters;
use mtids_models::{
    Architecture, LossConfig, Mode, Model, Problem, Scope, StepInputs, TargetBatch, TaskLosses, losses_of,
};
use mtids_ranks::{Ranks, threads};
use task::{Settings, Trained, difference, train};

fn rule(method: &str) -> BalancerConfig {
    BalancerConfig::all(4).into_iter().find(|config| config.method() == method).unwrap()
}

fn settings(scope: Scope, method: &str, dtype: DType, steps: usize) -> Settings {
    Settings { architecture: Architecture::MtIds, scope, balancer: rule(method), dtype, steps, parts: 1, uneven: true }
}

/// What so many ranks train, which is the same on all.
fn by(ranks: usize, settings: &Settings) -> Trained {
    let mut trained = threads::run(ranks, |ranks| train(ranks, settings));
    let first = trained.remove(0);
    for other in &trained {
        assert!(other.bytes == first.bytes, "the ranks end with the same bits");
        assert_eq!(other.reports, first.reports);
    }
    first
}

fn agree(settings: &Settings, ranks: &[usize], tolerance: f64) {
    let alone = train(&Ranks::alone(), settings);
    for &ranks in ranks {
        let apart = difference(&alone, &by(ranks, settings));
        println!(
            "{} {} {:?} {:?} {ranks} ranks: {apart:.1e}",
            settings.architecture.key(),
            settings.balancer.method(),
            settings.scope,
            settings.dtype
        );
        assert!(apart <= tolerance, "{settings:?} with {ranks} ranks: {apart:e}");
    }
}

/// Ten steps, or as many as `MTIDS_RANK_STEPS` says: 200 take minutes, and `make mpi-check` runs them.
#[test]
fn steps_in_double_precision_are_those_of_one_rank() {
    let steps = std::env::var("MTIDS_RANK_STEPS").map_or(10, |steps| steps.parse().unwrap());
    let tolerance = if steps > 10 { 1e-9 } else { 1e-11 };
    for scope in [Scope::Boundary, Scope::Exact] {
        for method in ["dd-gb", "famo", "graddrop"] {
            agree(&settings(scope, method, DType::F64, steps), &[2, 4], tolerance);
        }
    }
}

#[test]
fn ten_steps_in_single_precision_are_those_of_one_rank() {
    for scope in [Scope::Boundary, Scope::Exact] {
        for method in ["dd-gb", "famo", "graddrop", "equal-sum"] {
            agree(&settings(scope, method, DType::F32, 10), &[2, 3, 4], 1e-5);
        }
    }
}

#[test]
fn every_architecture_and_every_rule_is_trained_by_ranks() {
    for scope in [Scope::Boundary, Scope::Exact] {
        for &architecture in Architecture::ALL {
            agree(&Settings { architecture, ..settings(scope, "dd-gb", DType::F64, 5) }, &[3], 1e-9);
        }
        for balancer in BalancerConfig::all(4) {
            let uneven = balancer.needs() != Needs::Gradients;
            agree(&Settings { balancer, uneven, ..settings(scope, "dd-gb", DType::F64, 5) }, &[3], 1e-9);
        }
    }
}

#[test]
fn an_update_of_several_batches_is_that_of_one_rank_and_the_same_ranks_give_the_same_bits() {
    let settings = Settings { parts: 3, ..settings(Scope::Boundary, "dd-gb", DType::F64, 10) };
    agree(&settings, &[2, 4], 1e-10);
    let single = Settings { dtype: DType::F32, ..settings };
    let [once, twice] = [0, 1].map(|_| by(4, &single));
    assert!(once.bytes == twice.bytes);
    assert_eq!(once.reports, twice.reports);
}

#[test]
fn rows_that_were_not_announced_are_refused() {
    let tiny = r#"{"backbone": {"size": "tiny", "pool_grid": 1}}"#;
    for refused in threads::run(2, |ranks| {
        let parameters = Parameters::new(1, DType::F32, &Device::Cpu).with_ranks(ranks);
        let problem = Problem::of_one_view(3, [1, 2, 8, 8]);
        let model = Model::new(&serde_json::from_str(tiny).unwrap(), &problem, &parameters).unwrap();
        let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap().over(ranks);
        let input = [Tensor::zeros((2, 1, 2, 8, 8), DType::F32, &Device::Cpu).unwrap()];
        let targets = TargetBatch::unknown(2, 0);
        let inputs =
            StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input, targets: &targets };
        ranks.take_rows(3).unwrap();
        losses_of(&inputs, Mode::Evaluate).unwrap_err().to_string()
    }) {
        assert!(refused.contains("2, and 3 were announced"), "{refused}");
    }
}
