//! The backbone: a compact residual network on slices as channels (2.5-D).
//!
//! Purpose: `[B, C, D, H, W]` to features `[B, d]`. Windows and slices become channels, so that each convolution sees the
//! whole depth at once; a CPU trains it in minutes. Layout: stem convolution, then one stage per width (the first without, the
//! others with halving), each block `shortcut(x) + relu(norm(conv(relu(norm(conv x)))))`, average pooling on a coarse grid,
//! a linear layer and layer norm. Invariant: samples of a batch never influence each other.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conv::{Conv2d, ConvOptions, output_size};
use crate::error::{NnError, Result, config_error};
use crate::linear::Linear;
use crate::norm::{GroupNorm, LayerNorm};
use crate::parameters::Parameters;
use crate::pool::GridPool;

/// Size of the trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackboneConfig {
    /// Channels of each stage; every stage after the first halves height and width.
    pub widths: Vec<usize>,
    /// Residual blocks per stage.
    pub blocks: usize,
    /// Stride of the first convolution, 1 or 2.
    pub stem_stride: usize,
    /// Groups of the group norm; must divide every width.
    pub groups: usize,
    /// Cells per side of the final average pooling; 1 is the global average.
    pub pool_grid: usize,
    /// Features d at the end.
    pub features: usize,
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self { widths: vec![24, 48, 96], blocks: 1, stem_stride: 2, groups: 8, pool_grid: 3, features: 64 }
    }
}

impl BackboneConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`NnError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.widths.is_empty() || self.widths.contains(&0) {
            return Err(config_error("backbone.widths", "give at least one width, none of them 0"));
        }
        if self.groups == 0 || self.widths.iter().any(|width| width % self.groups != 0) {
            return Err(config_error("backbone.groups", "must be at least 1 and divide every width"));
        }
        if !(1..=2).contains(&self.stem_stride) {
            return Err(config_error("backbone.stem_stride", "must be 1 or 2"));
        }
        for (key, value) in [("blocks", self.blocks), ("pool_grid", self.pool_grid), ("features", self.features)] {
            if value == 0 {
                return Err(config_error(&format!("backbone.{key}"), "must be at least 1"));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Block {
    first: (Conv2d, GroupNorm),
    second: (Conv2d, GroupNorm),
    shortcut: Option<(Conv2d, GroupNorm)>,
}

impl Block {
    fn new(name: &str, from: usize, to: usize, stride: usize, groups: usize, p: &Parameters) -> Result<Self> {
        let unit = |part: &str, from: usize, kernel: usize, stride: usize, rectify: bool| -> Result<_> {
            let name = format!("{name}.{part}");
            Ok((
                Conv2d::new(&format!("{name}.conv"), from, to, [kernel; 2], ConvOptions::new(stride, kernel / 2), p)?,
                GroupNorm::new(&format!("{name}.norm"), to, groups, rectify, p)?,
            ))
        };
        Ok(Self {
            first: unit("first", from, 3, stride, true)?,
            second: unit("second", to, 3, 1, true)?,
            shortcut: if from != to || stride != 1 { Some(unit("shortcut", from, 1, stride, false)?) } else { None },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let apply = |(conv, norm): &(Conv2d, GroupNorm), x: &Tensor| norm.forward(&conv.forward(x)?);
        let long = apply(&self.second, &apply(&self.first, x)?)?;
        Ok(match &self.shortcut {
            Some(shortcut) => (apply(shortcut, x)? + long)?,
            None => (x + long)?,
        })
    }
}

/// A backbone: stem, stages, and the way from the last map to features. The parts are also callable one by one, so that
/// methods with shared and task-specific stages can mix maps between them.
#[derive(Clone, Debug)]
pub struct Backbone {
    input: [usize; 4],
    stem: (Conv2d, GroupNorm),
    stages: Vec<Vec<Block>>,
    channels: Vec<usize>,
    pool: GridPool,
    linear: Linear,
    norm: LayerNorm,
}

impl Backbone {
    /// Builds a backbone for inputs of shape `[C, D, H, W]`; parameters are named `<prefix>.*`.
    ///
    /// # Errors
    /// [`NnError::Config`] for bad settings or an input too small for them.
    pub fn new(prefix: &str, config: &BackboneConfig, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        config.validate()?;
        let [windows, depth, mut height, mut width] = input;
        if input.contains(&0) {
            return Err(config_error("backbone", format!("input shape {input:?} has an empty axis")));
        }
        let stem_width = config.widths[0];
        let stem = (
            Conv2d::new(
                &format!("{prefix}.stem.conv"),
                windows * depth,
                stem_width,
                [3; 2],
                ConvOptions::new(config.stem_stride, 1),
                parameters,
            )?,
            GroupNorm::new(&format!("{prefix}.stem.norm"), stem_width, config.groups, true, parameters)?,
        );
        let mut shrink = |stride: usize| {
            height = output_size(height, 3, stride, 1, 1);
            width = output_size(width, 3, stride, 1, 1);
        };
        shrink(config.stem_stride);
        let mut stages = Vec::new();
        let mut from = stem_width;
        for (stage, &to) in config.widths.iter().enumerate() {
            let mut blocks = Vec::new();
            for block in 0..config.blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                shrink(stride);
                let name = format!("{prefix}.stage{stage}.block{block}");
                blocks.push(Block::new(&name, from, to, stride, config.groups, parameters)?);
                from = to;
            }
            stages.push(blocks);
        }
        if height < config.pool_grid || width < config.pool_grid {
            return Err(config_error(
                "backbone.pool_grid",
                format!("the final map is {height} × {width}, smaller than {0} × {0} cells", config.pool_grid),
            ));
        }
        let pooled = from * config.pool_grid * config.pool_grid;
        Ok(Self {
            input,
            stem,
            stages,
            channels: config.widths.clone(),
            pool: GridPool::new(&[height, width], config.pool_grid, parameters.dtype(), parameters.device())?,
            linear: Linear::new(&format!("{prefix}.features"), pooled, config.features, 1.0, parameters)?,
            norm: LayerNorm::new(&format!("{prefix}.features.norm"), config.features, parameters)?,
        })
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Channels of the map behind a stage; 0 for a stage that does not exist.
    pub fn stage_channels(&self, stage: usize) -> usize {
        self.channels.get(stage).copied().unwrap_or(0)
    }

    /// `[B, C, D, H, W]` to the map before the first stage.
    ///
    /// # Errors
    /// [`NnError::Shape`] when the input is not of the shape the backbone was built for.
    pub fn stem(&self, x: &Tensor) -> Result<Tensor> {
        let [windows, depth, height, width] = self.input;
        let batch = match x.dims() {
            [batch, rest @ ..] if rest == self.input && *batch > 0 => *batch,
            other => {
                return Err(NnError::Shape {
                    what: "input",
                    found: other.to_vec(),
                    expected: format!("[B, {windows}, {depth}, {height}, {width}]"),
                });
            }
        };
        let slices = x.reshape((batch, windows * depth, height, width))?;
        self.stem.1.forward(&self.stem.0.forward(&slices)?)
    }

    /// One stage: from the map of the stage before (stage 0: of the stem) to its own.
    ///
    /// # Errors
    /// [`NnError::Config`] for a stage that does not exist; when the shape does not fit.
    pub fn stage(&self, stage: usize, map: &Tensor) -> Result<Tensor> {
        let blocks = self
            .stages
            .get(stage)
            .ok_or_else(|| config_error("backbone.widths", format!("there is no stage {stage}")))?;
        let mut map = map.clone();
        for block in blocks {
            map = block.forward(&map)?;
        }
        Ok(map)
    }

    /// The last stage's map to features `[B, d]`: pooling, linear layer, layer norm.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn finish(&self, map: &Tensor) -> Result<Tensor> {
        let pooled = self.pool.forward(map)?.flatten_from(1)?;
        self.norm.forward(&self.linear.forward(&pooled)?)
    }

    /// All parts in order: `[B, C, D, H, W]` to `[B, d]`.
    ///
    /// # Errors
    /// As [`Backbone::stem`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut map = self.stem(x)?;
        for stage in 0..self.stages() {
            map = self.stage(stage, &map)?;
        }
        self.finish(&map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn parts_in_order_are_the_whole_and_names_carry_the_prefix() {
        let parameters = Parameters::new(3, DType::F64, &Device::Cpu);
        let config = BackboneConfig { widths: vec![4, 8], groups: 2, pool_grid: 2, features: 5, ..Default::default() };
        let backbone = Backbone::new("twig", &config, [1, 2, 16, 16], &parameters).unwrap();
        assert!(parameters.variables().iter().all(|(name, _)| name.starts_with("twig.")));
        let x = Tensor::arange(0f64, 1024.0, &Device::Cpu).unwrap().reshape((2, 1, 2, 16, 16)).unwrap();
        let mut map = backbone.stem(&x).unwrap();
        for stage in 0..backbone.stages() {
            map = backbone.stage(stage, &map).unwrap();
            assert_eq!(map.dim(1).unwrap(), backbone.stage_channels(stage));
        }
        let parts = backbone.finish(&map).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(parts, backbone.forward(&x).unwrap().to_vec2::<f64>().unwrap());
        assert!(backbone.stage(2, &map).is_err());
    }
}
