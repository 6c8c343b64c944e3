//! Losses and regularisers: values by hand, gradients by differences.

use candle_core::{Device, Tensor, Var};
use mtids_domain::label::Evidence;
use mtids_models::loss::{effective_number_weights, log_priors};
use mtids_models::regulariser::{branch_prior, consistency, squared_variation};
use mtids_models::{EvidenceWeights, LossConfig, Outputs, TargetBatch, TaskKind, TaskLosses, TaskSet};
use mtids_ranks::Ranks;

use crate::support::{check_gradient, largest, targets, tensor, value};

const KINDS: [TaskKind; 5] =
    [TaskKind::Joint, TaskKind::Region, TaskKind::Metastasis, TaskKind::Where, TaskKind::MetastasisPerRegion];

fn tasks() -> TaskSet {
    TaskSet::new(&KINDS, 3, 0).unwrap()
}

fn logits(tasks: &TaskSet) -> Vec<Tensor> {
    tasks.tasks().iter().enumerate().map(|(n, task)| (tensor(&[4, task.classes], n as u64) * 3.0).unwrap()).collect()
}

fn outputs(logits: Vec<Tensor>) -> Outputs {
    Outputs { logits, ..Outputs::default() }
}

fn counts(tasks: &TaskSet) -> Vec<Vec<u64>> {
    tasks.tasks().iter().map(|task| (0..task.classes as u64).map(|class| 40 * class * class + 3).collect()).collect()
}

fn forms() -> Vec<(&'static str, LossConfig)> {
    let base = LossConfig::default();
    let evidence_weights = EvidenceWeights { A: 1.0, B: 0.8, C: 0.5, D: 0.0, U: 0.25 };
    vec![
        ("default", base.clone()),
        ("masked", LossConfig { marginalise: false, ..base.clone() }),
        ("smoothed", LossConfig { label_smoothing: 0.1, ..base.clone() }),
        ("focal", LossConfig { focal_gamma: 2.0, ..base.clone() }),
        ("focal below 1", LossConfig { focal_gamma: 0.5, ..base.clone() }),
        ("adjusted", LossConfig { logit_adjustment: 1.0, effective_number_beta: 0.0, ..base.clone() }),
        ("evidence", LossConfig { evidence_weights: evidence_weights.clone(), ..base.clone() }),
        (
            "all",
            LossConfig { label_smoothing: 0.05, focal_gamma: 1.5, logit_adjustment: 0.7, evidence_weights, ..base },
        ),
    ]
}

fn graded() -> TargetBatch {
    TargetBatch {
        weights: vec![1.0, 0.5, 2.0, 1.0],
        evidence: vec![Evidence::A, Evidence::C, Evidence::U, Evidence::B],
        ..targets()
    }
}

#[test]
fn gradients_of_every_loss_are_exact() {
    let tasks = tasks();
    for (name, config) in forms() {
        let losses = TaskLosses::new(&config, &tasks, Some(&counts(&tasks))).unwrap();
        let start: Vec<Var> = logits(&tasks).iter().map(|logits| Var::from_tensor(logits).unwrap()).collect();
        let all: Vec<Tensor> = start.iter().map(|variable| variable.as_tensor().clone()).collect();
        let found = losses.losses(&outputs(all.clone()), &graded()).unwrap();
        let mut active = 0;
        for (task, loss) in found.iter().enumerate() {
            let Some(loss) = loss else { continue };
            active += 1;
            let store = loss.backward().unwrap();
            check_gradient(&all[task], store.get(&start[task]).unwrap(), |moved| {
                let mut all = all.clone();
                all[task] = moved.clone();
                value(losses.losses(&outputs(all), &graded()).unwrap()[task].as_ref().unwrap())
            });
            for other in (0..tasks.len()).filter(|other| *other != task) {
                assert!(store.get(&start[other]).is_none(), "{name}: a loss reaches the logits of another task");
            }
        }
        assert!(active >= 6, "{name}: {active} tasks");
    }
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|v| v.exp()).sum();
    row.iter().map(|v| v.exp() / sum).collect()
}

/// Loss of the joint task for one sample of class 5 and one whose region 1 alone is known.
fn joint_loss(config: &LossConfig, counts: Option<&[Vec<u64>]>, evidence: Vec<Evidence>) -> f64 {
    let tasks = TaskSet::new(&[TaskKind::Joint], 3, 0).unwrap();
    let losses = TaskLosses::new(config, &tasks, counts).unwrap();
    let targets = TargetBatch {
        region: vec![Some(2), Some(1)],
        metastasis: vec![Some(1), None],
        evidence,
        ..TargetBatch::default()
    };
    value(losses.losses(&outputs(vec![tensor(&[2, 6], 9)]), &targets).unwrap()[0].as_ref().unwrap())
}

#[test]
fn losses_are_what_their_formulas_say() {
    let rows: Vec<Vec<f64>> = tensor(&[2, 6], 9).to_vec2().unwrap();
    let (p, q) = (softmax(&rows[0])[5], softmax(&rows[1]));
    let q = q[2] + q[3];
    let base = LossConfig::default();
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    close(joint_loss(&base, None, vec![]), -(p.ln() + q.ln()) / 2.0);
    close(joint_loss(&LossConfig { marginalise: false, ..base.clone() }, None, vec![]), -p.ln());
    let focal = LossConfig { focal_gamma: 2.0, ..base.clone() };
    close(joint_loss(&focal, None, vec![]), -((1.0 - p).powi(2) * p.ln() + (1.0 - q).powi(2) * q.ln()) / 2.0);
    // Evidence counts where there is a status.
    let graded =
        LossConfig { evidence_weights: EvidenceWeights { C: 0.25, ..EvidenceWeights::default() }, ..base.clone() };
    close(joint_loss(&graded, None, vec![Evidence::C; 2]), -(0.25 * p.ln() + q.ln()) / 1.25);
    // Logit adjustment is a cross-entropy on shifted logits.
    let counts = vec![vec![10, 20, 30, 40, 0, 100]];
    let prior: Vec<f64> = [10.0, 20.0, 30.0, 40.0, 0.5, 100.0].iter().map(|n: &f64| (n / 200.5).ln()).collect();
    close(log_priors(&counts[0])[4], prior[4]);
    let shifted = |row: &[f64]| softmax(&row.iter().zip(&prior).map(|(a, b)| a + 0.5 * b).collect::<Vec<_>>());
    let (p, q) = (shifted(&rows[0])[5], shifted(&rows[1]));
    let adjusted = LossConfig { logit_adjustment: 0.5, effective_number_beta: 0.0, ..base };
    close(joint_loss(&adjusted, Some(&counts), vec![]), -(p.ln() + (q[2] + q[3]).ln()) / 2.0);
}

#[test]
fn class_weights_have_mean_one_over_the_classes_seen() {
    let weights = effective_number_weights(&[1000, 10, 0, 1], 0.999);
    assert!((weights[0] + weights[1] + weights[3] - 3.0).abs() < 1e-12 && weights[2] == 1.0);
    let raw = |n: i32| 0.001 / (1.0 - 0.999f64.powi(n));
    assert!((weights[1] / weights[3] - raw(10) / raw(1)).abs() < 1e-9);
}

#[test]
fn evidence_does_not_touch_tasks_that_ignore_the_status() {
    let tasks = tasks();
    let reads: Vec<bool> = tasks.tasks().iter().map(mtids_models::tasks::LabelMap::reads_metastasis).collect();
    assert_eq!(reads, [true, false, true, true, true, true, true]);
    let config = LossConfig {
        evidence_weights: EvidenceWeights { A: 0.0, B: 0.0, C: 0.0, D: 0.0, U: 0.0 },
        ..LossConfig::default()
    };
    let losses = TaskLosses::new(&config, &tasks, None).unwrap();
    let found = losses.losses(&outputs(logits(&tasks)), &graded()).unwrap();
    // Of the joint task only the sample with an unknown status is left; of metastasis none.
    let active: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(active, [true, true, false, true, false, false, false]);
}

#[test]
fn consistency_vanishes_for_heads_that_agree_and_spares_the_joint_head() {
    let tasks =
        TaskSet::new(&[TaskKind::Joint, TaskKind::Region, TaskKind::Metastasis, TaskKind::Where], 3, 0).unwrap();
    let joint = (tensor(&[4, 6], 1) * 2.0).unwrap();
    let rows: Vec<Vec<f64>> = joint.to_vec2().unwrap();
    let marginal = |task: usize| {
        let map = &tasks.tasks()[task];
        let of = |row: &Vec<f64>| {
            let mut sums = vec![0.0; map.classes];
            for (code, p) in softmax(row).into_iter().enumerate() {
                sums[map.table[code].unwrap()] += p;
            }
            sums.into_iter().map(f64::ln).collect::<Vec<f64>>()
        };
        Tensor::new(rows.iter().map(of).collect::<Vec<_>>(), &Device::Cpu).unwrap()
    };
    let agreeing = outputs(vec![joint.clone(), marginal(1), marginal(2), marginal(3)]);
    assert!(value(&consistency(&tasks, &agreeing, &Ranks::alone()).unwrap().unwrap()).abs() < 1e-12);
    let start: Vec<Var> = [joint, tensor(&[4, 3], 2), tensor(&[4, 2], 3), tensor(&[4, 4], 4)]
        .iter()
        .map(|logits| Var::from_tensor(logits).unwrap())
        .collect();
    let all: Vec<Tensor> = start.iter().map(|variable| variable.as_tensor().clone()).collect();
    let term = consistency(&tasks, &outputs(all.clone()), &Ranks::alone()).unwrap().unwrap();
    assert!(value(&term) > 0.01);
    let store = term.backward().unwrap();
    assert!(store.get(&start[0]).is_none_or(|gradient| largest(gradient) == 0.0));
    for task in 1..4 {
        check_gradient(&all[task], store.get(&start[task]).unwrap(), |moved| {
            let mut all = all.clone();
            all[task] = moved.clone();
            value(&consistency(&tasks, &outputs(all), &Ranks::alone()).unwrap().unwrap())
        });
    }
}

#[test]
fn regularisers_have_their_ranges_and_exact_gradients() {
    let branch = |share: f64| Tensor::new(&[[share, 1.0 - share]], &Device::Cpu).unwrap();
    assert!(value(&branch_prior(&branch(0.5), &Ranks::alone()).unwrap()).abs() < 1e-12);
    let kl = |share: f64| 0.5 * (0.5 / share).ln() + 0.5 * (0.5 / (1.0 - share)).ln();
    assert!((value(&branch_prior(&branch(0.1), &Ranks::alone()).unwrap()) - kl(0.1)).abs() < 1e-12);
    let load = |values: [f64; 4]| value(&squared_variation(&Tensor::new(&values, &Device::Cpu).unwrap()).unwrap());
    assert!(load([0.3; 4]).abs() < 1e-9);
    assert!((load([2.0, 0.0, 0.0, 0.0]) - 3.0).abs() < 1e-9, "E − 1 when one takes all");
    let positive = |seed| tensor(&[5], seed).exp().unwrap();
    let x = Var::from_tensor(&positive(3)).unwrap();
    let store = squared_variation(&x).unwrap().backward().unwrap();
    check_gradient(&x, store.get(&x).unwrap(), |moved| value(&squared_variation(moved).unwrap()));
    let alpha = Var::from_tensor(&tensor(&[4, 2], 6).exp().unwrap()).unwrap();
    let store = branch_prior(&alpha, &Ranks::alone()).unwrap().backward().unwrap();
    check_gradient(&alpha, store.get(&alpha).unwrap(), |moved| value(&branch_prior(moved, &Ranks::alone()).unwrap()));
}

#[test]
fn bad_settings_are_named() {
    let base = LossConfig::default();
    for (key, config) in [
        ("loss.focal_gamma", LossConfig { focal_gamma: -1.0, ..base.clone() }),
        ("loss.logit_adjustment", LossConfig { logit_adjustment: f64::NAN, ..base.clone() }),
        ("loss.consistency_weight", LossConfig { consistency_weight: f64::INFINITY, ..base.clone() }),
        (
            "loss.evidence_weights.D",
            LossConfig { evidence_weights: EvidenceWeights { D: -0.1, ..EvidenceWeights::default() }, ..base },
        ),
    ] {
        assert!(config.validate().unwrap_err().to_string().contains(key));
    }
}

#[test]
fn a_unit_multiplies_one_loss_and_its_gradient() {
    let tasks = tasks();
    let plain = TaskLosses::new(&LossConfig::default(), &tasks, Some(&counts(&tasks))).unwrap();
    let mut factors = vec![1.0; tasks.len()];
    factors[1] = 100.0;
    let scaled = plain.clone().in_units(&factors).unwrap();
    let region = Var::from_tensor(&logits(&tasks)[1]).unwrap();
    let measured = |losses: &TaskLosses| {
        let mut all = logits(&tasks);
        all[1] = region.as_tensor().clone();
        let found = losses.losses(&outputs(all), &targets()).unwrap();
        let gradient = found[1].as_ref().unwrap().backward().unwrap().get(&region).unwrap().clone();
        (found.iter().flatten().map(value).collect::<Vec<f64>>(), gradient)
    };
    let ((before, gradient), (after, steeper)) = (measured(&plain), measured(&scaled));
    for (task, (before, after)) in before.iter().zip(&after).enumerate() {
        let factor = if task == 1 { 100.0 } else { 1.0 };
        assert!((after - factor * before).abs() < 1e-9 * after.abs(), "task {task}: {before} {after}");
    }
    assert!(largest(&((gradient * 100.0).unwrap() - steeper).unwrap()) < 1e-9);
    for bad in [vec![1.0], vec![0.0; tasks.len()], vec![f64::NAN; tasks.len()]] {
        assert!(plain.clone().in_units(&bad).is_err());
    }
}
