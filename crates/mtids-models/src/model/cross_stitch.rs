//! Cross-stitch networks (Misra et al., CVPR 2016, arXiv 1604.03539).
//!
//! One backbone per task; after each stage the maps are mixed, x̃_t = Σ_s a_ts x_s, with a learned matrix a per stage, which starts at
//! a_tt = `own` and a_ts = (1 − own) / (T − 1), a convex combination as in the paper. Adapted: units stand after the residual
//! stages of the backbone instead of AlexNet's pooling and dense layers, and one matrix serves all channels of a stage.
//!
//! Several views: the rule holds for each view by itself, and a task reads the features of its backbones one after the other.
//!
//! Cut: the maps before the last mixing, one per view and task. Row t of the last matrix and the end of backbone t (pooling, linear
//! layer, norm) serve task t alone and lie above it. Parameters: `trunk.<task>.*`, `stitch.stage<k>.<task>.own` (a_tt, `[1]`) and
//! `.others` (the rest of row t, `[T − 1]`), `head.<task>.*`; with several views `trunk.<task>.<view>.*`, `stitch.<view>.stage<k>.*`.

use std::collections::BTreeMap;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneKeys};
use crate::error::{Result, config_error};
use crate::model::network::{Head, MultiTaskModel, heads, of_task};
use crate::tasks::{TaskKind, default_tasks};
use crate::trunks::{Blueprint, Trunks, join};
use crate::types::{Boundary, Mode, TaskOutput};
use mtids_layers::parameters::{Init, Parameters};

/// Settings of cross-stitch networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossStitchConfig {
    /// The backbone of every task and view.
    pub backbone: BackboneKeys,
    /// What differs in the backbones of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Dropout before heads. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// Weight of a task's own map at the start; the rest is divided among the others. Default 0.9.
    pub own: f64,
}

impl Default for CrossStitchConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneKeys::default(),
            trunks: BTreeMap::new(),
            dropout: None,
            tasks: default_tasks(),
            own: 0.9,
        }
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

/// One view: its mixing matrices by stage and task, and the prefix of what the end of each task's backbone is named.
#[derive(Debug)]
struct View {
    stitches: Vec<Vec<Row>>,
    last: String,
    ends: Vec<String>,
}

impl View {
    fn new(name: &str, backbone: &Backbone, config: &CrossStitchConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let (prefix, tasks) = (blueprint.name("stitch", name), blueprint.tasks.len());
        let rows = |stage: usize| -> Result<Vec<Row>> {
            let row = |(task, name): (usize, &str)| {
                Row::new(&format!("{prefix}.stage{stage}.{name}"), task, tasks, config.own, blueprint.parameters)
            };
            blueprint.task_names().enumerate().map(row).collect()
        };
        let stitches: Result<Vec<Vec<Row>>> = (0..backbone.stages()).map(rows).collect();
        let end = |task: &str| format!("{}.features.", blueprint.name(&format!("trunk.{task}"), name));
        Ok(Self {
            stitches: stitches?,
            last: format!("{prefix}.stage{}.", backbone.stages().saturating_sub(1)),
            ends: blueprint.task_names().map(end).collect(),
        })
    }

    /// The maps of all tasks before the last mixing.
    fn maps(&self, backbones: &[&Backbone], x: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let maps: Result<Vec<Tensor>> = backbones.iter().map(|backbone| backbone.stem(x, mode)).collect();
        let mut maps = maps?;
        for stage in 0..self.stitches.len() {
            if let Some(rows) = stage.checked_sub(1).and_then(|below| self.stitches.get(below)) {
                let mixed: Result<Vec<Tensor>> = rows.iter().map(|row| row.mix(&maps)).collect();
                maps = mixed?;
            }
            let next: Result<Vec<Tensor>> =
                backbones.iter().zip(&maps).map(|(backbone, map)| backbone.stage(stage, map, mode)).collect();
            maps = next?;
        }
        Ok(maps)
    }

    fn last_stage(&self) -> Result<&[Row]> {
        self.stitches.last().map(Vec::as_slice).ok_or_else(|| config_error("backbone.widths", "gives no stage to mix"))
    }
}

/// One backbone per task and view, mixed after each stage.
#[derive(Debug)]
pub struct CrossStitch {
    /// By task.
    trunks: Vec<Trunks>,
    views: Vec<View>,
    heads: Vec<Head>,
}

impl CrossStitch {
    pub(crate) fn new(config: &CrossStitchConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let trunks = |name: &str| Trunks::new(&format!("trunk.{name}"), blueprint);
        let trunks: Result<Vec<Trunks>> = blueprint.task_names().map(trunks).collect();
        let trunks = trunks?;
        let backbones = of_task(&trunks, 0)?.backbones();
        let views: Result<Vec<View>> = blueprint
            .views
            .iter()
            .zip(backbones)
            .map(|(view, backbone)| View::new(&view.name, backbone, config, blueprint))
            .collect();
        Ok(Self { views: views?, trunks, heads: heads(blueprint.features(), blueprint)? })
    }
}

impl MultiTaskModel for CrossStitch {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        let mut tensors = Vec::new();
        for (place, (_, x)) in of_task(&self.trunks, 0)?.with(inputs)?.enumerate() {
            let backbones: Vec<&Backbone> =
                self.trunks.iter().filter_map(|trunks| trunks.backbones().get(place)).collect();
            tensors.extend(of_task(&self.views, place)?.maps(&backbones, x, mode)?);
        }
        Ok(Boundary { tensors, gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let backbones = of_task(&self.trunks, task)?.backbones();
        let maps = boundary.chunks(self.heads.len());
        let features: Result<Vec<Tensor>> = self
            .views
            .iter()
            .zip(backbones)
            .zip(maps)
            .map(|((view, backbone), maps)| backbone.finish(&of_task(view.last_stage()?, task)?.mix(maps)?))
            .collect();
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&join(&features?)?, mode)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        let above = |view: &View| name.starts_with(&view.last) || view.ends.iter().any(|end| name.starts_with(end));
        (name.starts_with("trunk.") || name.starts_with("stitch.")) && !self.views.iter().any(above)
    }
}
