//! Stem and stages of a residual network along two or three axes.
//!
//! Purpose: the layers and their order. On the CPU a whole run of them is one operation on interleaved maps; elsewhere, and in
//! another precision, the same function is composed of the layers (`conv` has the diagram). Invariant: on the CPU a sample's
//! map has the same bits in a batch of any size, but for batch norm in [`Phase::Train`].

mod block;

use candle_core::Tensor;

use block::{ConvBlock, List, ResidualBlock};

use crate::error::{LayerError, Result, config_error};
use crate::geometry::{deep, output_size};
use crate::interleaved::{self, Part};
use crate::norm::{NormConfig, Phase};
use crate::parameters::Parameters;

/// An axis shorter than this is not halved any more in three dimensions, where depths are often small.
const HALVED_FROM: usize = 4;

/// Sizes of stem and stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidualConfig {
    /// Channels of each stage; every stage after the first halves the map.
    pub widths: Vec<usize>,
    /// Residual blocks of each stage; as many entries as `widths`.
    pub blocks: Vec<usize>,
    /// Stride of the first convolution.
    pub stem_stride: usize,
    /// The norm behind each convolution; it also decides the form of a block. With group norm: `shortcut(x) + relu(norm(conv(relu(norm(conv x)))))`;
    /// with batch norm the rectifier follows the addition (He et al., CVPR 2016): `relu(shortcut(x) + norm(conv(relu(norm(conv x)))))`.
    pub norm: NormConfig,
    /// First stage that halves the depth too (in three dimensions); with 0 the stem strides along the depth as well. Patches have fewer and
    /// thicker slices than rows.
    pub depth_halved_from: usize,
}

/// How maps shrink on their way through stem and stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strides<const N: usize> {
    /// Stride of the stem.
    pub stem: [usize; N],
    /// Stride of each block of each stage; it is that of the block's first convolution and of its shortcut.
    pub blocks: Vec<Vec<[usize; N]>>,
    /// Size of the map behind the stem, then behind each stage.
    pub sizes: Vec<[usize; N]>,
}

impl ResidualConfig {
    /// The strides for maps of this size.
    pub fn strides<const N: usize>(&self, mut size: [usize; N]) -> Strides<N> {
        // The stride along each axis; `size` becomes that of the map behind it.
        let shrink = |size: &mut [usize; N], stride: usize, deep: bool| -> [usize; N] {
            std::array::from_fn(|axis| {
                let kept = N == 3 && (size[axis] < HALVED_FROM || (axis == 0 && !deep));
                let stride = if kept { 1 } else { stride };
                size[axis] = output_size(size[axis], 3, stride, 1, 1);
                stride
            })
        };
        let stem = shrink(&mut size, self.stem_stride, self.depth_halved_from == 0);
        let (mut blocks, mut sizes) = (Vec::new(), vec![size]);
        for (stage, &count) in (0..self.widths.len()).zip(&self.blocks) {
            let stride = |block: usize| if stage > 0 && block == 0 { 2 } else { 1 };
            let deep = stage >= self.depth_halved_from;
            blocks.push((0..count).map(|block| shrink(&mut size, stride(block), deep)).collect());
            sizes.push(size);
        }
        Strides { stem, blocks, sizes }
    }
}

/// Stem and stages on maps `[B, C, H, W]` (`N` = 2) or `[B, C, D, H, W]` (`N` = 3).
#[derive(Clone, Debug)]
pub struct Residual<const N: usize> {
    stem: ConvBlock<N>,
    stages: Vec<Vec<ResidualBlock<N>>>,
    size: [usize; N],
}

impl<const N: usize> Residual<N> {
    /// For maps of `channels` channels and this size; parameters are `<prefix>.stem.*`, `<prefix>.stage<s>.block<b>.*`.
    ///
    /// # Errors
    /// When a parameter exists with another shape, or the groups of the norm do not divide a width.
    pub fn new(
        prefix: &str,
        config: &ResidualConfig,
        channels: usize,
        size: [usize; N],
        parameters: &Parameters,
    ) -> Result<Self> {
        let Strides { stem: stride, blocks, sizes } = config.strides(size);
        let width = config.widths.first().copied().unwrap_or(0);
        let stem =
            ConvBlock::new(&format!("{prefix}.stem"), [channels, width], 3, stride, (config.norm, true), parameters)?;
        let mut stages = Vec::new();
        let mut from = width;
        for (stage, (&to, strides)) in config.widths.iter().zip(blocks).enumerate() {
            let mut blocks = Vec::new();
            for (block, stride) in strides.into_iter().enumerate() {
                let name = format!("{prefix}.stage{stage}.block{block}");
                blocks.push(ResidualBlock::new(&name, [from, to], stride, config.norm, parameters)?);
                from = to;
            }
            stages.push(blocks);
        }
        Ok(Self { stem, stages, size: sizes.last().copied().unwrap_or(size) })
    }

    /// Size of the last map.
    pub fn size(&self) -> &[usize] {
        &self.size
    }

    /// The stem: `[B, channels, ..]` to `[B, widths[0], ..]`.
    ///
    /// # Errors
    /// When the shape does not fit; [`LayerError::TooFewValues`] for batch norm in training.
    pub fn stem(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        self.run(true, &[], x, phase)
    }

    /// One stage: from the map of the stage before (stage 0: of the stem) to its own.
    ///
    /// # Errors
    /// [`LayerError::Config`] for a stage that does not exist; as [`Residual::stem`].
    pub fn stage(&self, stage: usize, map: &Tensor, phase: Phase) -> Result<Tensor> {
        let missing = || config_error("backbone.widths", format!("there is no stage {stage}"));
        self.run(false, std::slice::from_ref(self.stages.get(stage).ok_or_else(missing)?), map, phase)
    }

    /// Stem and all stages.
    ///
    /// # Errors
    /// As [`Residual::stem`].
    pub fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        self.run(true, &self.stages, x, phase)
    }

    /// The stem, if asked for, and some stages.
    fn run(&self, stem: bool, stages: &[Vec<ResidualBlock<N>>], x: &Tensor, phase: Phase) -> Result<Tensor> {
        // The roundings of other precisions lie at each convolution.
        let plain = !self.stem.precision().rounds();
        let quick = x.device().is_cpu() && plain;
        if quick { self.interleaved(stem, stages, x, phase) } else { self.composed(stem, stages, x, phase) }
    }

    fn composed(&self, stem: bool, stages: &[Vec<ResidualBlock<N>>], x: &Tensor, phase: Phase) -> Result<Tensor> {
        let mut map = if stem { self.stem.forward(x, phase)? } else { x.clone() };
        for block in stages.iter().flatten() {
            map = block.forward(&map, phase)?;
        }
        Ok(map)
    }

    fn interleaved(&self, stem: bool, stages: &[Vec<ResidualBlock<N>>], x: &Tensor, phase: Phase) -> Result<Tensor> {
        let other_shape = || LayerError::Shape {
            what: "feature map",
            found: x.dims().to_vec(),
            expected: format!("a batch, the channels of the first layer and {N} axes"),
        };
        let size: [usize; N] = x.dims().get(2..).and_then(|axes| axes.try_into().ok()).ok_or_else(other_shape)?;
        let (mut size, mut list) = (deep(size, 1), List::new(x.dim(0)?, phase));
        let mut parts = Vec::new();
        if stem {
            let conv_block = self.stem.plan(size, &mut list)?;
            size = conv_block.geometry.out;
            parts.push(Part::ConvBlock(Box::new(conv_block)));
        }
        for block in stages.iter().flatten() {
            let plan = block.plan(size, &mut list)?;
            size = plan.second.geometry.out;
            parts.push(Part::ResidualBlock(Box::new(plan)));
        }
        let first = parts.iter().map(Part::inputs).next();
        if first.is_some_and(|channels| x.dims().get(1) != Some(&channels)) {
            return Err(other_shape());
        }
        let (y, moments) = interleaved::run(parts, list.tensors(), x)?;
        list.record(moments)?;
        Ok(y)
    }
}

#[cfg(test)]
mod tests;
