//! MTAN: multi-task attention network (Liu et al., CVPR 2019, arXiv 1803.10704).
//!
//! One trunk; after stage j with map p_j, task t has a mask a_j = sigmoid(norm(conv₁(relu(norm(conv₁ [p_j ; b_j]))))) in (0, 1)
//! and a masked map â_j = a_j ⊙ p_j, where b_j = relu(norm(conv₃ â_{j−1})) brings the masked map of the stage before to the size
//! of this one (absent at the first stage). The last masked map is what the task reads. Adapted: the paper's two maps of a block
//! (first and last convolution) are one here, the stage's end; group norm stands for batch norm, so that samples stay apart;
//! conv₃ has stride 2 where the paper pools; the trunk's end (pooling, linear layer, norm) reads each task's last masked map.
//!
//! Cut: the maps of all stages. The trunk's end is shared too but lies above the cut, so its gradients are taken task by task.
//! Parameters: `trunk.*` (shared), `attention.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::activation::sigmoid;
use crate::backbone::{Backbone, BackboneConfig};
use crate::conv2d::Conv2d;
use crate::error::{NnError, Result, config_error};
use crate::linear::Linear;
use crate::model::config::default_tasks;
use crate::model::{Boundary, Mode, MultiTaskModel, TaskOutput, at, heads, of_task};
use crate::norm::GroupNorm;
use crate::parameters::Parameters;
use crate::tasks::{TaskKind, TaskSet};

/// Settings of MTAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MtanConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for MtanConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks() }
    }
}

impl MtanConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// A convolution and its norm.
#[derive(Debug)]
struct Unit(Conv2d, GroupNorm);

impl Unit {
    fn new(
        name: &str,
        [from, to]: [usize; 2],
        [kernel, stride]: [usize; 2],
        (groups, rectify): (usize, bool),
        parameters: &Parameters,
    ) -> Result<Self> {
        Ok(Self(
            Conv2d::new(&format!("{name}.conv"), from, to, kernel, stride, parameters)?,
            GroupNorm::new(&format!("{name}.norm"), to, groups, rectify, parameters)?,
        ))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.1.forward(&self.0.forward(x)?)
    }
}

/// One task's mask of one stage.
#[derive(Debug)]
struct Mask {
    bridge: Option<Unit>,
    first: Unit,
    second: Unit,
}

/// One task's attention over all stages.
#[derive(Debug)]
struct Attention(Vec<Mask>);

impl Attention {
    /// `maps` are the `[C, H, W]` of the stages.
    fn new(task: &str, maps: &[[usize; 3]], config: &BackboneConfig, parameters: &Parameters) -> Result<Self> {
        let mut masks = Vec::new();
        let mut below: Option<[usize; 3]> = None;
        for (stage, &map) in maps.iter().enumerate() {
            let name = format!("attention.{task}.stage{stage}");
            let unit = |part: &str, from, kernel: [usize; 2], rectify| {
                Unit::new(&format!("{name}.{part}"), [from, map[0]], kernel, (config.groups, rectify), parameters)
            };
            let stride = |from: [usize; 3]| if from[1] > map[1] || from[2] > map[2] { 2 } else { 1 };
            masks.push(Mask {
                bridge: below.map(|from| unit("bridge", from[0], [3, stride(from)], true)).transpose()?,
                first: unit("first", if below.is_some() { 2 * map[0] } else { map[0] }, [1, 1], true)?,
                second: unit("second", map[0], [1, 1], false)?,
            });
            below = Some(map);
        }
        Ok(Self(masks))
    }

    /// The last masked map.
    fn forward(&self, maps: &[Tensor]) -> Result<Tensor> {
        let mut masked: Option<Tensor> = None;
        for (stage, mask) in self.0.iter().enumerate() {
            let map = at(maps, stage)?;
            let seen = match (&mask.bridge, &masked) {
                (Some(bridge), Some(masked)) => Tensor::cat(&[map, &bridge.forward(masked)?], 1)?,
                _ => map.clone(),
            };
            let mask = sigmoid(&mask.second.forward(&mask.first.forward(&seen)?)?)?;
            masked = Some((mask * map)?);
        }
        masked.ok_or_else(|| config_error("backbone.widths", "gives no stage to attend to"))
    }
}

/// One trunk, masks per task.
#[derive(Debug)]
pub struct Mtan {
    trunk: Backbone,
    attention: Vec<Attention>,
    heads: Vec<Linear>,
}

impl Mtan {
    pub(crate) fn new(
        config: &MtanConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        let trunk = Backbone::new("trunk", &config.backbone, input, parameters)?;
        // The sizes of the maps are the trunk's affair: one pass over nothing tells them.
        let still = Backbone::new("trunk", &config.backbone, input, &parameters.frozen())?;
        let [windows, depth, height, width] = input;
        let nothing = Tensor::zeros((1, windows, depth, height, width), parameters.dtype(), parameters.device())?;
        let sizes: Result<Vec<[usize; 3]>> = stages(&still, &nothing)?
            .iter()
            .map(|map| match map.dims() {
                &[_, channels, height, width] => Ok([channels, height, width]),
                other => Err(NnError::Shape {
                    what: "map of a stage, on which MTAN's masks lie,",
                    found: other.to_vec(),
                    expected: "[B, C, H, W]".into(),
                }),
            })
            .collect();
        let sizes = sizes?;
        let attention: Result<Vec<Attention>> =
            tasks.tasks().iter().map(|task| Attention::new(&task.name, &sizes, &config.backbone, parameters)).collect();
        Ok(Self { trunk, attention: attention?, heads: heads(tasks, config.backbone.features, parameters)? })
    }
}

/// The maps after each stage.
fn stages(trunk: &Backbone, x: &Tensor) -> Result<Vec<Tensor>> {
    let mut map = trunk.stem(x)?;
    let mut maps = Vec::new();
    for stage in 0..trunk.stages() {
        map = trunk.stage(stage, &map)?;
        maps.push(map.clone());
    }
    Ok(maps)
}

impl MultiTaskModel for Mtan {
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: stages(&self.trunk, x)?, gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        let features = self.trunk.finish(&of_task(&self.attention, task)?.forward(boundary)?)?;
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&features)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.")
    }
}
