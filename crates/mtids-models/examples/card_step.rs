//! Whole training steps of MT-IDS on two views, on a card: forward, backward, balancing, clipping, AdamW. Times, results, memory, and where they are logged,
//! launches.
//!
//! Arguments are `key=value`: `kind` (`slices`, `volume`), `size` (`default`, `resnet18`), `batch`, `tasks` (`3`, `4` or `8`), `shared` and `private` (experts),
//! `precision` (`f32`, `tf32`, `bf16`), `algorithms` (`reproducible`, `quickest-not-reproducible`), `rule` (`dd-gb`, `equal-sum`), `average` (`none`, or
//! the share of the past), `steps`, `device`. Prints one line of JSON: the arguments; milliseconds of each step behind the warm-up; the losses of
//! the tasks at the first and at the last step, and the digest of the weights behind it, which two runs must share; bytes of the card's memory at the
//! highest; how cuDNN computes each convolution; and launches of the last step by name, and events, where `MTIDS_DRY_LOG` names the log of a
//! dry card (tests/cuda/dry). Input and weights are a pure function of the arguments.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::{DType, Device, Tensor};
use mtids_balance::{BalanceInput, BalancerConfig};
use mtids_layers::conv::Algorithms;
use mtids_layers::device::{peak, plans_of};
use mtids_layers::{AdamW, AdamWConfig, Parameters, Precision, WeightAverage};
use mtids_models::{
    BackboneKeys, BackboneKind, BackboneSize, LossConfig, Model, ModelConfig, MtIdsConfig, Problem, Scope,
    StepGradients, StepInputs, StepOptions, TargetBatch, TaskKind, TaskLosses, ViewInput, train_step,
};
use mtids_runtime::digest::Digest;
use mtids_runtime::random::rng_for;
use rand_distr::{Distribution, StandardNormal};

const REGIONS: usize = 5;
/// Steps that choose algorithms and load kernels.
const WARM_UP: usize = 3;

/// The arguments, each with its default.
struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn read() -> Result<Self> {
        let defaults = [
            ("kind", "slices"),
            ("size", "default"),
            ("batch", "64"),
            ("tasks", "3"),
            ("shared", "3"),
            ("private", "2"),
            ("precision", "f32"),
            ("algorithms", "reproducible"),
            ("rule", "dd-gb"),
            ("average", "none"),
            ("steps", "20"),
            ("device", "cuda:0"),
        ];
        let mut values: BTreeMap<String, String> =
            defaults.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        for argument in std::env::args().skip(1) {
            let (key, value) = argument.split_once('=').with_context(|| format!("{argument} is not key=value"))?;
            let place = values.get_mut(key).with_context(|| format!("there is no argument {key}"))?;
            value.clone_into(place);
        }
        Ok(Self(values))
    }

    fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> Result<usize> {
        self.text(key).parse().with_context(|| format!("{key} is not a number"))
    }

    fn model(&self) -> Result<ModelConfig> {
        let mut config = MtIdsConfig::default();
        config.dbr.shared_experts = self.number("shared")?;
        config.dbr.private_experts = self.number("private")?;
        match self.text("tasks") {
            "3" => {}
            "4" => config.tasks.push(TaskKind::Where),
            "8" => config.tasks.push(TaskKind::MetastasisPerRegion),
            other => bail!("tasks={other}: there are 3, 4 and 8"),
        }
        let size = match self.text("size") {
            "default" => None,
            "resnet18" => Some(BackboneSize::Resnet18),
            other => bail!("size={other}: there are default and resnet18"),
        };
        let kind = match self.text("kind") {
            "slices" => BackboneKind::Slices,
            "volume" => BackboneKind::Volume,
            other => bail!("kind={other}: there are slices and volume"),
        };
        config.backbone = BackboneKeys { kind: Some(kind), size, ..BackboneKeys::default() };
        Ok(ModelConfig::MtIds(config))
    }

    fn precision(&self) -> Result<Precision> {
        Ok(match self.text("precision") {
            "f32" => Precision::F32,
            "tf32" => Precision::Tf32,
            "bf16" => Precision::Bf16,
            other => bail!("precision={other}: there are f32, tf32 and bf16"),
        })
    }
}

/// Normal numbers for a view, a pure function of its name and shape.
fn input(view: &ViewInput, batch: usize, device: &Device) -> Result<Tensor> {
    let shape = [&[batch][..], &view.shape].concat();
    let mut random = rng_for(1, &format!("input {}", view.name), &[]);
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut random)).collect();
    Ok(Tensor::from_vec(numbers, shape, device)?)
}

/// The views as a training has them by default: windows, then voxels.
fn problem() -> Problem {
    let view = |name: &str, shape| ViewInput { name: name.to_owned(), shape };
    let views = vec![view("near", [3, 8, 32, 32]), view("wide", [3, 16, 40, 40])];
    Problem { regions: REGIONS, measures: 0, views }
}

/// Names in the log of a dry card, where there is one.
fn logged() -> Result<Vec<String>> {
    match std::env::var_os("MTIDS_DRY_LOG") {
        Some(path) => Ok(std::fs::read_to_string(path)?.lines().map(str::to_owned).collect()),
        None => Ok(Vec::new()),
    }
}

fn run() -> Result<()> {
    let arguments = Arguments::read()?;
    let (batch, steps) = (arguments.number("batch")?, arguments.number("steps")?);
    let device = mtids_layers::device(arguments.text("device"))?;
    let problem = problem();
    let algorithms: Algorithms = serde_json::from_value(arguments.text("algorithms").into())?;
    let parameters = Parameters::new(1, DType::F32, &device);
    let parameters = parameters.with_precision(arguments.precision()?).with_algorithms(algorithms);
    let model = Model::new(&arguments.model()?, &problem, &parameters)?;
    let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None)?;
    let rule: BalancerConfig = serde_json::from_value(serde_json::json!({ "method": arguments.text("rule") }))?;
    let mut rule = rule.build(model.tasks().len())?;
    let input: Vec<Tensor> = problem.views.iter().map(|view| input(view, batch, &device)).collect::<Result<_>>()?;
    let targets = TargetBatch {
        region: (0..batch).map(|sample| Some((sample % REGIONS) as u32)).collect(),
        metastasis: (0..batch).map(|sample| Some((sample / REGIONS % 2) as u32)).collect(),
        ..TargetBatch::default()
    };
    let mut optimizer = AdamW::new(&AdamWConfig::default())?;
    let mut average = match arguments.text("average") {
        "none" => None,
        decay => Some(WeightAverage::new(decay.parse().context("average is not a number")?, &parameters)?),
    };
    let options = StepOptions { scope: Scope::Boundary, clip_norm: 5.0, learning_rate: 1e-3, seed: 1 };
    let mut weigh = |given: &StepGradients<'_>| {
        let input = BalanceInput { gram: given.gram, losses: Some(given.losses), active: given.active };
        Ok(rule.coefficients(&input)?.coefficients)
    };
    let (mut times, mut losses_of, mut before) = (Vec::new(), Vec::new(), 0);
    let (done, plans) = plans_of(|| -> Result<()> {
        for round in 0..WARM_UP + steps {
            before = logged()?.len();
            let start = Instant::now();
            // A step ends with a read, so the device has done its work.
            let inputs = StepInputs {
                model: &model,
                parameters: &parameters,
                losses: &losses,
                input: &input,
                targets: &targets,
            };
            losses_of.push(train_step(&inputs, &mut optimizer, &options, &mut weigh)?.losses);
            if let Some(average) = &mut average {
                average.update(&parameters)?;
            }
            if round >= WARM_UP {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(())
    });
    done?;
    let mut launches = BTreeMap::<String, usize>::new();
    for name in logged()?.split_off(before) {
        *launches.entry(name).or_default() += 1;
    }
    // Events order streams, and are no work by themselves.
    let events: usize = launches.extract_if(.., |name, _| name.starts_with("event: ")).map(|(_, count)| count).sum();
    let total: usize = launches.values().sum();
    let peak = peak(&device)?.map(|peak| serde_json::json!({ "used": peak.used, "reserved": peak.reserved }));
    let result = serde_json::json!({
        "arguments": arguments.0, "milliseconds": times, "first_losses": losses_of.first(), "last_losses": losses_of.last(),
        "weights": Digest::of_bytes(&parameters.to_bytes()?).to_string(), "peak_bytes": peak, "plans": plans,
        "launches": total, "by_name": launches, "events": events,
    });
    println!("{result}");
    Ok(())
}

fn main() -> Result<()> {
    // Backward passes recurse along the graph.
    let worker = std::thread::Builder::new().stack_size(64 << 20).spawn(run)?;
    worker.join().map_err(|_| anyhow!("the training step ended in a panic"))?
}
