//! Cross-stitch networks (Misra et al., CVPR 2016, arXiv 1604.03539).
//!
//! One backbone per task; after each stage the maps are mixed, x̃_t = Σ_s a_ts x_s, with a learned matrix a per stage, which starts at
//! a_tt = `own` and a_ts = (1 − own) / (T − 1), a convex combination as in the paper. Adapted: units stand after the residual
//! stages of the backbone instead of AlexNet's pooling and dense layers, and one matrix serves all channels of a stage.
//!
//! Cut: the maps before the last mixing, one per task. Row t of the last matrix and the end of backbone t (pooling, linear layer,
//! norm) serve task t alone and lie above it. Parameters: `trunk.<task>.*`, `stitch.stage<k>.<task>.own` (a_tt, `[1]`) and
//! `.others` (the rest of row t, `[T − 1]`), `head.<task>.*`.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::{Result, config_error};
use crate::model::network::{MultiTaskModel, heads, of_task};
use crate::tasks::{TaskKind, TaskSet, default_tasks};
use crate::types::{Boundary, Mode, TaskOutput};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::{Init, Parameters};

/// Settings of cross-stitch networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossStitchConfig {
    /// The backbone of each task.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// Weight of a task's own map at the start; the rest is divided among the others. Default 0.9.
    pub own: f64,
}

impl Default for CrossStitchConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks(), own: 0.9 }
    }
}

impl CrossStitchConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.own) { Ok(()) } else { Err(config_error("own", "must lie in [0, 1]")) }
    }
}

/// Row t of a mixing matrix.
#[derive(Debug)]
struct Row {
    task: usize,
    own: Tensor,
    others: Option<Tensor>,
}

impl Row {
    fn new(name: &str, task: usize, tasks: usize, own: f64, parameters: &Parameters) -> Result<Self> {
        let others = tasks - 1;
        let own_start = if others == 0 { 1.0 } else { own };
        let other_start = Init::Constant((1.0 - own) / others.max(1) as f64);
        Ok(Self {
            task,
            own: parameters.get_or_init(&format!("{name}.own"), &[1], Init::Constant(own_start))?,
            others: (others > 0)
                .then(|| parameters.get_or_init(&format!("{name}.others"), &[others], other_start))
                .transpose()?,
        })
    }

    /// `Σ_s a_s x_s` over the maps of all tasks.
    fn mix(&self, maps: &[Tensor]) -> Result<Tensor> {
        let own = of_task(maps, self.task)?;
        let shape = vec![1; own.rank()];
        let mut total = own.broadcast_mul(&self.own.reshape(shape.as_slice())?)?;
        let others = maps.iter().enumerate().filter(|(task, _)| *task != self.task);
        for (place, (_, map)) in others.enumerate() {
            if let Some(weights) = &self.others {
                let weight = weights.narrow(0, place, 1)?.reshape(shape.as_slice())?;
                total = (total + map.broadcast_mul(&weight)?)?;
            }
        }
        Ok(total)
    }
}

/// One backbone per task, mixed after each stage.
#[derive(Debug)]
pub struct CrossStitch {
    backbones: Vec<Backbone>,
    /// By stage and task.
    stitches: Vec<Vec<Row>>,
    heads: Vec<Linear>,
}

impl CrossStitch {
    pub(crate) fn new(
        config: &CrossStitchConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        let backbone = |name: &str| Backbone::new(&format!("trunk.{name}"), &config.backbone, input, parameters);
        let backbones: Result<Vec<Backbone>> = tasks.tasks().iter().map(|task| backbone(&task.name)).collect();
        let backbones = backbones?;
        let rows = |stage: usize| -> Result<Vec<Row>> {
            let row = |(task, name): (usize, &str)| {
                Row::new(&format!("stitch.stage{stage}.{name}"), task, tasks.len(), config.own, parameters)
            };
            tasks.tasks().iter().map(|task| task.name.as_str()).enumerate().map(row).collect()
        };
        let stitches: Result<Vec<Vec<Row>>> = (0..backbones.first().map_or(0, Backbone::stages)).map(rows).collect();
        Ok(Self { backbones, stitches: stitches?, heads: heads(tasks, config.backbone.features, parameters)? })
    }

    fn last_stage(&self) -> Result<&[Row]> {
        self.stitches.last().map(Vec::as_slice).ok_or_else(|| config_error("backbone.widths", "gives no stage to mix"))
    }
}

impl MultiTaskModel for CrossStitch {
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        let maps: Result<Vec<Tensor>> = self.backbones.iter().map(|backbone| backbone.stem(x)).collect();
        let mut maps = maps?;
        for stage in 0..self.stitches.len() {
            if let Some(rows) = stage.checked_sub(1).and_then(|below| self.stitches.get(below)) {
                let mixed: Result<Vec<Tensor>> = rows.iter().map(|row| row.mix(&maps)).collect();
                maps = mixed?;
            }
            let next: Result<Vec<Tensor>> =
                self.backbones.iter().zip(&maps).map(|(backbone, map)| backbone.stage(stage, map)).collect();
            maps = next?;
        }
        Ok(Boundary { tensors: maps, gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        let map = of_task(self.last_stage()?, task)?.mix(boundary)?;
        let features = of_task(&self.backbones, task)?.finish(&map)?;
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&features)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        if let Some(rest) = name.strip_prefix("trunk.") {
            return !rest.split_once('.').is_some_and(|(_, part)| part.starts_with("features."));
        }
        let last = format!("stitch.stage{}.", self.stitches.len().saturating_sub(1));
        name.starts_with("stitch.") && !name.starts_with(&last)
    }
}
