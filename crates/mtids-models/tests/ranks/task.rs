//! A small training that any number of ranks does alike: of every architecture, rule and scope.
//!
//! It has what depends on the batch: batch norm, dropout, noise of sparse gates, all regularisers, a task of measures. Labels are unknown unevenly: some
//! batches have none of a dimension, some ranks none of a task. Every fifth batch has three rows, so that a rank of four has none.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use mtids_balance::{AnyBalancer, BalanceInput, BalancerConfig, GradientInput, Rows};
use mtids_layers::{AdamW, AdamWConfig, Parameters};
use mtids_models::{
    Accumulation, Architecture, BackboneConfig, Balancing, Combined, LossConfig, Mode, Model, ModelConfig, ModelError,
    NormKind, Problem, Scope, StepGradients, StepInputs, StepOptions, StepReport, TargetBatch, TaskKind, TaskLosses,
    WholeGradients, losses_of,
};
use mtids_ranks::Ranks;

const SHAPE: [usize; 4] = [1, 2, 8, 8];
const SAMPLES: usize = 24;
const MEASURES: usize = 2;
const SEED: u64 = 3;

/// What is trained, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) architecture: Architecture,
    pub(crate) scope: Scope,
    pub(crate) balancer: BalancerConfig,
    pub(crate) dtype: DType,
    pub(crate) steps: usize,
    /// Batches that make an update.
    pub(crate) parts: usize,
    /// Whether some batches are smaller, which rules with a memory of whole gradients do not take at the boundary.
    pub(crate) uneven: bool,
}

/// What came of it.
pub(crate) struct Trained {
    pub(crate) reports: Vec<StepReport>,
    /// All weights and running statistics.
    pub(crate) state: Vec<f64>,
    /// The same as a file.
    pub(crate) bytes: Vec<u8>,
}

fn numbers(range: Range<usize>) -> Vec<f64> {
    range.map(|n| ((n * 7919 + 13) as f64 * 0.618_033_988_75).fract() - 0.5).collect()
}

fn model(settings: &Settings, parameters: &Parameters) -> Model {
    let mut config = ModelConfig::of(settings.architecture);
    *config.backbone_mut() = BackboneConfig {
        widths: vec![4, 8],
        blocks: 1,
        stem_stride: 1,
        norm: NormKind::Batch,
        pool_grid: 2,
        features: 6,
        ..BackboneConfig::default()
    }
    .into();
    *config.dropout_mut() = Some(0.2);
    *config.tasks_mut() = vec![TaskKind::Joint, TaskKind::Region, TaskKind::Metastasis, TaskKind::Measures];
    if let ModelConfig::MtIds(config) = &mut config {
        config.dbr.shared_top_k = 2;
    }
    let problem = Problem { measures: MEASURES, ..Problem::of_one_view(3, SHAPE) };
    Model::new(&config, &problem, parameters).unwrap()
}

/// The samples of a batch by their number.
fn samples(batch: usize, uneven: bool) -> Vec<usize> {
    let rows = if uneven && batch % 5 == 4 { 3 } else { 6 };
    (0..rows).map(|row| (batch * 6 + row) % SAMPLES).collect()
}

/// The rows of a batch that are here; a row that counts for nothing where there is none.
fn batch(number: usize, ranks: &Ranks, settings: &Settings) -> (Tensor, TargetBatch) {
    let all = samples(number, settings.uneven);
    let bound = |rank: usize| all.len() * rank / ranks.size();
    let own = &all[bound(ranks.rank())..bound(ranks.rank() + 1)];
    ranks.take_rows(own.len()).unwrap();
    let [channels, depth, height, width] = SHAPE;
    let length = channels * depth * height * width;
    let values = |rows: usize, values: Vec<f64>| {
        Tensor::from_vec(values, (rows, channels, depth, height, width), &Device::Cpu)
            .unwrap()
            .to_dtype(settings.dtype)
            .unwrap()
    };
    if own.is_empty() {
        return (values(1, vec![0.0; length]), TargetBatch::unknown(1, MEASURES));
    }
    let input = own.iter().flat_map(|sample| numbers(sample * length..(sample + 1) * length)).collect();
    let known = |kept: bool, value: usize| kept.then_some(value as u32);
    let targets = TargetBatch {
        region: own.iter().map(|n| known(n % 3 > 0, n % 7 % 3)).collect(),
        metastasis: own.iter().map(|n| known(n % 6 < 3 && number % 7 != 3, n / 2 % 2)).collect(),
        weights: own.iter().map(|n| 0.5 + (n % 4) as f32).collect(),
        measures: own.iter().map(|n| vec![(n % 2 == 0).then_some(*n as f32 / 20.0), Some(-0.4)]).collect(),
        ..TargetBatch::default()
    };
    (values(own.len(), input), targets)
}

fn given<'g>(gradients: &StepGradients<'g>) -> BalanceInput<'g> {
    BalanceInput { gram: gradients.gram, losses: Some(gradients.losses), active: gradients.active }
}

/// Trains as one of the ranks.
pub(crate) fn train(ranks: &Ranks, settings: &Settings) -> Trained {
    let parameters = Parameters::new(SEED, settings.dtype, &Device::Cpu).with_ranks(ranks);
    let model = model(settings, &parameters);
    let config = LossConfig { consistency_weight: 0.3, focal_gamma: 0.5, ..LossConfig::default() };
    let losses = TaskLosses::new(&config, model.tasks(), None).unwrap().over(ranks);
    let mut balancer = settings.balancer.build_any(model.tasks().len()).unwrap();
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let options = StepOptions { scope: settings.scope, clip_norm: 1.0, learning_rate: 3e-3, seed: SEED };
    let mut reports = Vec::new();
    for step in 0..settings.steps {
        let mut accumulation = Accumulation::default();
        for part in 0..settings.parts {
            let draw = step * settings.parts + part;
            let (input, targets) = batch(draw, ranks, settings);
            let input = [input];
            let inputs = StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input,
                targets: &targets,
            };
            let mut add = |balancing: Balancing<'_, '_>| accumulation.add(&inputs, &options, draw as u64, balancing);
            let last = part + 1 == settings.parts;
            match &mut balancer {
                AnyBalancer::Step(rule) => {
                    add(Balancing::Weigh(&mut |gradients| Ok(rule.coefficients(&given(gradients))?.coefficients)))
                        .unwrap();
                }
                AnyBalancer::Epoch(rule) => {
                    add(Balancing::Weigh(&mut |gradients| Ok(rule.coefficients(&given(gradients))?.coefficients)))
                        .unwrap();
                }
                AnyBalancer::AfterStep(rule) => {
                    let mut token = None;
                    add(Balancing::Weigh(&mut |gradients| {
                        let (balance, owed) = rule.coefficients(&given(gradients))?;
                        token = Some(owed);
                        Ok(balance.coefficients)
                    }))
                    .unwrap();
                    assert!(last, "this training looks at losses after updates of one batch");
                    let update = std::mem::take(&mut accumulation);
                    reports.push(update.update(&parameters, &mut optimizer, &options).unwrap());
                    let after = losses_of(&inputs, Mode::Train { seed: SEED, step: draw as u64 }).unwrap();
                    let after: Vec<f64> = after.into_iter().map(|loss| loss.unwrap_or(0.0)).collect();
                    rule.after_step(token.unwrap(), &after).unwrap();
                }
                AnyBalancer::Gradients(rule) => add(Balancing::Combine(&mut |gradients, rows| {
                    let (losses, active) = (Some(gradients.losses), gradients.active);
                    let balance = match rows {
                        WholeGradients::F32(rows) => {
                            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                            rule.combine(&GradientInput { rows: Rows::F32(&rows), losses, active })?
                        }
                        WholeGradients::F64(rows) => {
                            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
                            rule.combine(&GradientInput { rows: Rows::F64(&rows), losses, active })?
                        }
                    };
                    Ok(Combined { update: balance.update, weights: balance.weights })
                }))
                .unwrap(),
            }
        }
        if accumulation.parts() > 0 {
            reports.push(accumulation.update(&parameters, &mut optimizer, &options).unwrap());
        }
    }
    let bytes = parameters.to_bytes().unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    let state: Result<Vec<Vec<f64>>, ModelError> =
        parameters.state().iter().map(|(_, variable)| Ok(values(variable.as_tensor())?)).collect();
    Trained { reports, state: state.unwrap().concat(), bytes }
}

/// The largest difference of two trainings: of their losses, what is reported with them, and their weights, each beside 1 or its own size.
pub(crate) fn difference(one: &Trained, other: &Trained) -> f64 {
    let apart = |a: f64, b: f64| (a - b).abs() / a.abs().max(1.0);
    let mut largest: f64 = one.state.iter().zip(&other.state).map(|(a, b)| apart(*a, *b)).fold(0.0, f64::max);
    for (one, other) in one.reports.iter().zip(&other.reports) {
        let reported = |report: &StepReport| -> Vec<f64> {
            let losses = report.losses.iter().map(|loss| loss.unwrap_or(-1.0));
            let rest = [report.pooled_loss.unwrap_or(-1.0), report.regulariser, report.gradient_norm];
            let gates =
                report.gates.iter().flat_map(|gate| [vec![gate.shared_branch], gate.shared_experts.clone()].concat());
            losses.chain(rest).chain(gates).chain(report.coefficients.iter().copied()).collect()
        };
        let (one, other) = (reported(one), reported(other));
        assert_eq!(one.len(), other.len());
        largest = one.iter().zip(&other).map(|(a, b)| apart(*a, *b)).fold(largest, f64::max);
    }
    largest
}
