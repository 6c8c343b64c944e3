//! MTAN: multi-task attention network (Liu et al., CVPR 2019, arXiv 1803.10704).
//!
//! One backbone; after stage j with map p_j, task t has a mask a_j = sigmoid(norm(conv₁(relu(norm(conv₁ [p_j ; b_j]))))) in (0, 1)
//! and a masked map â_j = a_j ⊙ p_j, where b_j = relu(norm(conv₃ â_{j−1})) brings the masked map of the stage before to the size
//! of this one (absent at the first stage). The last masked map is what the task reads. Adapted: the paper's two maps of a block
//! (first and last convolution) are one here, the stage's end; the norm is the backbone's;
//! conv₃ has stride 2 where the paper pools; the backbone's end (pooling, linear layer, norm) reads each task's last masked map.
//!
//! Several views: the rule holds for each view by itself, and a task reads the features of all views one after the other.
//!
//! Cut: the maps of all stages. The backbone's end is shared too but lies above the cut, so its gradients are taken task by task.
//! Parameters: `trunk.*` (shared), `attention.<task>.*`, `head.<task>.*`; with several views `trunk.<view>.*`, `attention.<task>.<view>.*`.

use candle_core::Tensor;

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::{ModelError, Result, config_error};
use crate::model::network::{Head, MultiTaskModel, at, heads, of_task};
use crate::model::settings::PlainConfig;
use crate::trunks::{Blueprint, Trunks, ViewPlan, join};
use crate::types::{Boundary, Mode, TaskOutput};
use mtids_layers::activation::sigmoid;
use mtids_layers::conv::{Conv2d, Conv3d, ConvOptions};
use mtids_layers::norm::{Norm, NormConfig};
use mtids_layers::parameters::Parameters;

/// Settings of MTAN.
pub type MtanConfig = PlainConfig;

/// A convolution along as many axes as the backbone's maps have.
#[derive(Debug)]
enum Convolution {
    Planar(Conv2d),
    Deep(Conv3d),
}

/// A convolution and its norm.
#[derive(Debug)]
struct ConvBlock(Convolution, Norm);

impl ConvBlock {
    /// `stride` has one entry for each spatial axis of the maps.
    fn new(
        name: &str,
        [from, to]: [usize; 2],
        kernel: usize,
        stride: &[usize],
        (norm, relu): (NormConfig, bool),
        parameters: &Parameters,
    ) -> Result<Self> {
        let conv = format!("{name}.conv");
        let convolution = match *stride {
            [h, w] => {
                let options = ConvOptions { stride: [h, w], ..ConvOptions::new(1, kernel / 2) };
                Convolution::Planar(Conv2d::new(&conv, from, to, [kernel; 2], options, parameters)?)
            }
            [d, h, w] => {
                let options = ConvOptions { stride: [d, h, w], ..ConvOptions::new(1, kernel / 2) };
                Convolution::Deep(Conv3d::new(&conv, from, to, [kernel; 3], options, parameters)?)
            }
            _ => {
                return Err(ModelError::Shape {
                    what: "map of a stage, on which MTAN's masks lie,",
                    found: stride.to_vec(),
                    expected: "two or three spatial axes".into(),
                });
            }
        };
        Ok(Self(convolution, Norm::new(&format!("{name}.norm"), to, &norm, relu, parameters)?))
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let y = match &self.0 {
            Convolution::Planar(convolution) => convolution.forward(x)?,
            Convolution::Deep(convolution) => convolution.forward(x)?,
        };
        Ok(self.1.forward(&y, mode.phase())?)
    }
}

/// One task's mask of one stage.
#[derive(Debug)]
struct Mask {
    bridge: Option<ConvBlock>,
    first: ConvBlock,
    second: ConvBlock,
}

/// One task's attention over all stages of one view.
#[derive(Debug)]
struct Attention(Vec<Mask>);

impl Attention {
    /// `maps` are the `[C, ..]` of the stages, with two or three spatial axes.
    fn new(prefix: &str, maps: &[Vec<usize>], config: &BackboneConfig, parameters: &Parameters) -> Result<Self> {
        let mut masks = Vec::new();
        let mut below: Option<&[usize]> = None;
        for (stage, map) in maps.iter().enumerate() {
            let Some((&channels, axes)) = map.split_first() else { continue };
            let name = format!("{prefix}.stage{stage}");
            let block = |part: &str, from, kernel, stride: &[usize], relu| {
                let norm = (config.norm_config(), relu);
                ConvBlock::new(&format!("{name}.{part}"), [from, channels], kernel, stride, norm, parameters)
            };
            let still = vec![1; axes.len()];
            let bridge = below.and_then(<[usize]>::split_first).map(|(&from, before)| {
                let halved = before.iter().zip(axes).map(|(before, after)| if before > after { 2 } else { 1 });
                block("bridge", from, 3, &halved.collect::<Vec<_>>(), true)
            });
            let seen = if bridge.is_some() { 2 * channels } else { channels };
            masks.push(Mask {
                bridge: bridge.transpose()?,
                first: block("first", seen, 1, &still, true)?,
                second: block("second", channels, 1, &still, false)?,
            });
            below = Some(map);
        }
        Ok(Self(masks))
    }

    /// The last masked map.
    fn forward(&self, maps: &[Tensor], mode: Mode) -> Result<Tensor> {
        let mut masked: Option<Tensor> = None;
        for (stage, mask) in self.0.iter().enumerate() {
            let map = at(maps, stage)?;
            let seen = match (&mask.bridge, &masked) {
                (Some(bridge), Some(masked)) => Tensor::cat(&[map, &bridge.forward(masked, mode)?], 1)?,
                _ => map.clone(),
            };
            let mask = sigmoid(&mask.second.forward(&mask.first.forward(&seen, mode)?, mode)?)?;
            masked = Some((mask * map)?);
        }
        masked.ok_or_else(|| config_error("backbone.widths", "gives no stage to attend to"))
    }
}

/// One backbone per view, masks per task and view.
#[derive(Debug)]
pub struct Mtan {
    trunks: Trunks,
    /// By task and view.
    attention: Vec<Vec<Attention>>,
    heads: Vec<Head>,
}

impl Mtan {
    pub(crate) fn new(_config: &MtanConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let trunks = Trunks::new("trunk", blueprint)?;
        // The sizes of the maps are the backbones' affair: one pass over nothing tells them.
        let frozen = blueprint.parameters.frozen();
        let still = Trunks::new("trunk", &Blueprint { parameters: &frozen, ..*blueprint })?;
        let sizes: Result<Vec<Vec<Vec<usize>>>> = blueprint
            .views
            .iter()
            .zip(still.backbones())
            .map(|(view, backbone)| sizes(view, backbone, &frozen))
            .collect();
        let sizes = sizes?;
        let of = |task: &str| -> Result<Vec<Attention>> {
            let views = blueprint.views.iter().zip(&sizes);
            views
                .map(|(view, sizes)| {
                    let prefix = blueprint.name(&format!("attention.{task}"), &view.name);
                    Attention::new(&prefix, sizes, &view.backbone, blueprint.parameters)
                })
                .collect()
        };
        let attention: Result<Vec<Vec<Attention>>> = blueprint.task_names().map(of).collect();
        Ok(Self { trunks, attention: attention?, heads: heads(blueprint.features(), blueprint)? })
    }
}

/// `[C, ..]` of the map behind each stage of a view.
fn sizes(view: &ViewPlan, backbone: &Backbone, parameters: &Parameters) -> Result<Vec<Vec<usize>>> {
    let [windows, depth, height, width] = view.shape;
    let nothing = Tensor::zeros((1, windows, depth, height, width), parameters.dtype(), parameters.device())?;
    let maps = stages(backbone, &nothing, Mode::Evaluate)?;
    Ok(maps.iter().map(|map| map.dims().iter().skip(1).copied().collect()).collect())
}

/// The maps after each stage.
fn stages(backbone: &Backbone, x: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
    let mut map = backbone.stem(x, mode)?;
    let mut maps = Vec::new();
    for stage in 0..backbone.stages() {
        map = backbone.stage(stage, &map, mode)?;
        maps.push(map.clone());
    }
    Ok(maps)
}

impl MultiTaskModel for Mtan {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        let mut tensors = Vec::new();
        for (backbone, x) in self.trunks.with(inputs)? {
            tensors.extend(stages(backbone, x, mode)?);
        }
        Ok(Boundary { tensors, gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let (mut features, mut maps) = (Vec::new(), boundary);
        for (backbone, attention) in self.trunks.backbones().iter().zip(of_task(&self.attention, task)?) {
            let (own, rest) = maps.split_at_checked(backbone.stages()).unwrap_or((maps, &[]));
            features.push(backbone.finish(&attention.forward(own, mode)?)?);
            maps = rest;
        }
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&join(&features)?, mode)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.")
    }
}
