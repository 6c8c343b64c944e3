//! A model with a batch and an optimiser, as both benchmarks of whole steps need it.
//!
//! Purpose: MT-IDS with its defaults but for the sizes that a benchmark varies, on a synthetic batch in which every class of
//! every task occurs, so that no task is idle. Invariant: everything follows from the sizes; nothing is drawn by the clock.

use anyhow::{Context, Result};
use mtids_balance::{AnyBalancer, BalanceInput};
use mtids_layers::{AdamW, AdamWConfig, DType, Device, Init, Parameters, Tensor};
use mtids_models::step::StepReport;
use mtids_models::{
    BackboneConfig, BackboneKind, BackboneSize, LossConfig, Model, ModelConfig, MtIdsConfig, Problem, Scope,
    StepInputs, StepOptions, TargetBatch, TaskKind, TaskLosses, train_step,
};

/// With four regions the tasks that can be asked for number 3 or 8.
pub(crate) const REGIONS: usize = 4;
/// So small that parameters stay near their start, where tasks conflict, however many steps a benchmark takes.
pub(crate) const RATE: f64 = 1e-6;
/// Default of the trainer.
pub(crate) const CLIP: f64 = 5.0;

/// What a benchmark varies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// 2.5-D or 3-D trunk.
    pub(crate) kind: BackboneKind,
    /// Samples.
    pub(crate) batch: usize,
    /// Slices, rows and columns.
    pub(crate) patch: [usize; 3],
    /// 1 (joint), 3 (and region, metastasis) or 8 (and where, metastasis in each region).
    pub(crate) tasks: usize,
    /// Shared experts, and private experts of each task.
    pub(crate) experts: [usize; 2],
}

/// Everything that a training step needs.
pub(crate) struct Training {
    pub(crate) model: Model,
    pub(crate) parameters: Parameters,
    pub(crate) optimizer: AdamW,
    pub(crate) losses: TaskLosses,
    pub(crate) input: [Tensor; 1],
    pub(crate) targets: TargetBatch,
}

impl Training {
    pub(crate) fn new(sizes: &Sizes) -> Result<Self> {
        let [depth, height, width] = sizes.patch;
        let parameters = Parameters::new(1, DType::F32, &Device::Cpu);
        let problem = Problem::of_one_view(REGIONS, [1, depth, height, width]);
        let model = Model::new(&model_config(sizes)?, &problem, &parameters)?;
        let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None)?;
        let noise = Parameters::new(2, DType::F32, &Device::Cpu);
        let input = noise.get_or_init("input", &[sizes.batch, 1, depth, height, width], Init::Normal(1.0))?.detach();
        let digits = 0..sizes.batch as u32;
        let targets = TargetBatch {
            region: digits.clone().map(|sample| Some(sample % REGIONS as u32)).collect(),
            metastasis: digits.map(|sample| Some(sample / REGIONS as u32 % 2)).collect(),
            ..TargetBatch::default()
        };
        let optimizer = AdamW::new(&AdamWConfig::default())?;
        Ok(Self { model, parameters, optimizer, losses, input: [input], targets })
    }

    /// A training step as the trainer takes it, with what the rule wants after it. Negative coefficients, which a step refuses,
    /// count as 0: the work is the same.
    pub(crate) fn step(&mut self, scope: Scope, rule: &mut AnyBalancer) -> Result<StepReport> {
        let options = StepOptions { scope, clip_norm: CLIP, learning_rate: RATE, seed: 1 };
        let mut token = None;
        let report = train_step(
            &StepInputs {
                model: &self.model,
                parameters: &self.parameters,
                losses: &self.losses,
                input: &self.input,
                targets: &self.targets,
            },
            &mut self.optimizer,
            &options,
            &mut |gradients| {
                let input =
                    BalanceInput { gram: gradients.gram, losses: Some(gradients.losses), active: gradients.active };
                let balance = match rule {
                    AnyBalancer::Step(rule) => rule.coefficients(&input)?,
                    AnyBalancer::Epoch(rule) => rule.coefficients(&input)?,
                    AnyBalancer::AfterStep(rule) => {
                        let (balance, open) = rule.coefficients(&input)?;
                        token = Some(open);
                        balance
                    }
                    AnyBalancer::Gradients(_) => return Err("a rule on whole gradients has no coefficients".into()),
                };
                Ok(balance.coefficients.iter().map(|coefficient| coefficient.max(0.0)).collect())
            },
        )?;
        if let (Some(token), AnyBalancer::AfterStep(rule)) = (token, rule) {
            let outputs = self.model.evaluate(&self.input)?;
            let after = self.losses.losses(&outputs, &self.targets)?;
            let after: Result<Vec<f64>> = after.iter().map(|loss| scalar(loss.as_ref())).collect();
            rule.after_step(token, &after?)?;
        }
        Ok(report)
    }
}

/// The model of these sizes.
pub(crate) fn model_config(sizes: &Sizes) -> Result<ModelConfig> {
    let tasks = match sizes.tasks {
        1 => vec![TaskKind::Joint],
        3 => vec![TaskKind::Joint, TaskKind::Region, TaskKind::Metastasis],
        8 => vec![
            TaskKind::Joint,
            TaskKind::Region,
            TaskKind::Metastasis,
            TaskKind::Where,
            TaskKind::MetastasisPerRegion,
        ],
        other => anyhow::bail!("1, 3 or 8 tasks, not {other}"),
    };
    let backbone = BackboneConfig::sized(sizes.kind, BackboneSize::Small);
    let mut config = MtIdsConfig { backbone: backbone.into(), tasks, ..MtIdsConfig::default() };
    [config.dbr.shared_experts, config.dbr.private_experts] = sizes.experts;
    Ok(ModelConfig::MtIds(config))
}

/// Value of a loss; 0 where there is none.
pub(crate) fn scalar(loss: Option<&Tensor>) -> Result<f64> {
    loss.map_or(Ok(0.0), |loss| Ok(loss.to_dtype(DType::F64)?.to_scalar::<f64>()?))
}

/// Milliseconds that all threads have spent on processors, as Linux counts them: unlike wall time it does not include
/// waiting for a processor that others use.
pub(crate) fn processor_time() -> Result<f64> {
    let mut nanoseconds = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let counts = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += counts.split_whitespace().next().context("no schedstat")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e6)
}

/// Runs a benchmark on a thread whose stack holds the recursion of a backward pass.
pub(crate) fn with_large_stack(run: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run)?;
    thread.join().map_err(|_| anyhow::anyhow!("the benchmark panicked"))?
}
