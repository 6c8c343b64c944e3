//! A backbone: stem, stages, pooling and its end, along two or three axes.
//!
//! Strides and sizes come from the settings by the functions that the network itself is built with.

use mtids_layers::NormConfig;
use mtids_layers::residual::{ResidualConfig, Strides};
use mtids_models::{BackboneConfig, BackboneKind, Finish};

use crate::builder::Builder;
use crate::error::{Result, shape_error};
use crate::graph::Value;

/// One number for each axis of the maps.
type ByAxis = Vec<usize>;

/// A backbone with its parameters' prefix.
#[derive(Clone, Debug)]
pub(crate) struct Backbone {
    prefix: String,
    config: BackboneConfig,
    stages: ResidualConfig,
    input: [usize; 4],
    stem_stride: ByAxis,
    /// Of each block of each stage.
    strides: Vec<Vec<ByAxis>>,
    /// Size of the map behind each stage.
    sizes: Vec<ByAxis>,
}

impl Backbone {
    /// The backbone `<prefix>.*` for inputs `[C, D, H, W]`.
    pub(crate) fn new(prefix: &str, config: &BackboneConfig, input: [usize; 4]) -> Self {
        let [_, depth, height, width] = input;
        let stages = config.stages();
        let (stem_stride, strides, sizes) = match config.kind {
            BackboneKind::Slices => plain(stages.strides([height, width])),
            BackboneKind::Volume => plain(stages.strides([depth, height, width])),
        };
        Self { prefix: prefix.to_owned(), config: config.clone(), stages, input, stem_stride, strides, sizes }
    }

    /// Number of stages.
    pub(crate) fn stages(&self) -> usize {
        self.strides.len()
    }

    /// Its settings.
    pub(crate) fn config(&self) -> &BackboneConfig {
        &self.config
    }

    /// Channels and size of the map behind each stage.
    pub(crate) fn maps(&self) -> impl Iterator<Item = (usize, &[usize])> {
        self.config.widths.iter().copied().zip(self.sizes.iter().map(Vec::as_slice))
    }

    /// `[C, D, H, W]` to the map before the first stage.
    pub(crate) fn stem(&self, builder: &mut Builder, x: &Value) -> Result<Value> {
        if x.axes() != self.input {
            return Err(shape_error(&self.prefix, x.axes(), format!("{:?}", self.input)));
        }
        let [channels, depth, height, width] = self.input;
        let x = match self.config.kind {
            BackboneKind::Slices => builder.graph.reshape(x, &[channels * depth, height, width])?,
            BackboneKind::Volume => x.clone(),
        };
        let outputs = self.config.widths.first().copied().unwrap_or(0);
        let name = format!("{}.stem", self.prefix);
        builder.conv_block(&name, &x, outputs, 3, &self.stem_stride, (&self.stages.norm, true))
    }

    /// One stage, from the map of the stage before.
    pub(crate) fn stage(&self, builder: &mut Builder, stage: usize, map: &Value) -> Result<Value> {
        let missing = || shape_error(&self.prefix, map.axes(), format!("a stage {stage}"));
        let outputs = *self.config.widths.get(stage).ok_or_else(missing)?;
        let mut map = map.clone();
        for (block, stride) in self.strides.get(stage).ok_or_else(missing)?.iter().enumerate() {
            let name = format!("{}.stage{stage}.block{block}", self.prefix);
            map = self.block(builder, &name, &map, outputs, stride)?;
        }
        Ok(map)
    }

    /// Two conv blocks beside a shortcut. With batch norm the rectifier follows the addition, with group norm it precedes it.
    fn block(&self, builder: &mut Builder, name: &str, x: &Value, outputs: usize, stride: &[usize]) -> Result<Value> {
        let norm = &self.stages.norm;
        let relu_last = *norm == NormConfig::Batch;
        let still = vec![1; stride.len()];
        let first = builder.conv_block(&format!("{name}.first"), x, outputs, 3, stride, (norm, true))?;
        let second = builder.conv_block(&format!("{name}.second"), &first, outputs, 3, &still, (norm, !relu_last))?;
        let shortcut = if x.axes().first() != Some(&outputs) || stride != still {
            builder.conv_block(&format!("{name}.shortcut"), x, outputs, 1, stride, (norm, false))?
        } else {
            x.clone()
        };
        let sum = builder.graph.combine("Add", &shortcut, &second)?;
        Ok(if relu_last { builder.graph.map("Relu", &sum) } else { sum })
    }

    /// The last stage's map to features.
    pub(crate) fn finish(&self, builder: &mut Builder, map: &Value) -> Result<Value> {
        let BackboneConfig { pool_grid, pooling, features, finish, .. } = self.config;
        let pooled = builder.grid_pool(map, pool_grid, pooling)?;
        let name = format!("{}.features", self.prefix);
        match finish {
            Finish::Normalised => {
                let linear = builder.linear(&name, &pooled, features)?;
                builder.layer_norm(&format!("{name}.norm"), &linear)
            }
            Finish::Rectified => {
                let linear = builder.linear(&name, &pooled, features)?;
                Ok(builder.graph.map("Relu", &linear))
            }
            Finish::None => Ok(pooled),
        }
    }

    /// The maps behind all stages.
    pub(crate) fn all_stages(&self, builder: &mut Builder, x: &Value) -> Result<Vec<Value>> {
        let mut map = self.stem(builder, x)?;
        let mut maps = Vec::with_capacity(self.stages());
        for stage in 0..self.stages() {
            map = self.stage(builder, stage, &map)?;
            maps.push(map.clone());
        }
        Ok(maps)
    }

    /// All parts in order.
    pub(crate) fn forward(&self, builder: &mut Builder, x: &Value) -> Result<Value> {
        let maps = self.all_stages(builder, x)?;
        let last = maps.last().ok_or_else(|| shape_error(&self.prefix, x.axes(), "at least one stage"))?;
        self.finish(builder, last)
    }
}

/// Strides and sizes without the number of axes in their type; of the sizes those behind stages.
fn plain<const N: usize>(strides: Strides<N>) -> (ByAxis, Vec<Vec<ByAxis>>, Vec<ByAxis>) {
    let Strides { stem, blocks, sizes } = strides;
    let blocks = blocks.into_iter().map(|stage| stage.into_iter().map(Vec::from).collect()).collect();
    (stem.to_vec(), blocks, sizes.into_iter().skip(1).map(Vec::from).collect())
}
