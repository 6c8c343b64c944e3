//! Stem and stages of a residual network along two or three axes.

use candle_core::Tensor;

use crate::conv::{Conv, ConvOptions, output_size};
use crate::error::{Result, config_error};
use crate::norm::GroupNorm;
use crate::parameters::Parameters;

use super::config::BackboneConfig;

/// An axis shorter than this is not halved any more in three dimensions, where depths are often small.
const HALVED_FROM: usize = 4;

/// A convolution, group norm and, if asked for, a rectifier.
#[derive(Clone, Debug)]
struct Unit<const N: usize> {
    conv: Conv<N>,
    norm: GroupNorm,
}

impl<const N: usize> Unit<N> {
    fn new(
        name: &str,
        [from, to]: [usize; 2],
        kernel: usize,
        stride: [usize; N],
        (groups, rectify): (usize, bool),
        parameters: &Parameters,
    ) -> Result<Self> {
        let options = ConvOptions { stride, ..ConvOptions::new(1, kernel / 2) };
        Ok(Self {
            conv: Conv::new(&format!("{name}.conv"), from, to, [kernel; N], options, parameters)?,
            norm: GroupNorm::new(&format!("{name}.norm"), to, groups, rectify, parameters)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x)?)
    }
}

/// `shortcut(x) + relu(norm(conv(relu(norm(conv x)))))`.
#[derive(Clone, Debug)]
struct Block<const N: usize> {
    first: Unit<N>,
    second: Unit<N>,
    shortcut: Option<Unit<N>>,
}

impl<const N: usize> Block<N> {
    fn new(name: &str, channels: [usize; 2], stride: [usize; N], groups: usize, p: &Parameters) -> Result<Self> {
        let [from, to] = channels;
        let unit = |part: &str, channels, kernel, stride, rectify| {
            Unit::new(&format!("{name}.{part}"), channels, kernel, stride, (groups, rectify), p)
        };
        let changes = from != to || stride != [1; N];
        Ok(Self {
            first: unit("first", channels, 3, stride, true)?,
            second: unit("second", [to, to], 3, [1; N], true)?,
            shortcut: changes.then(|| unit("shortcut", channels, 1, stride, false)).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let long = self.second.forward(&self.first.forward(x)?)?;
        Ok(match &self.shortcut {
            Some(shortcut) => (shortcut.forward(x)? + long)?,
            None => (x + long)?,
        })
    }
}

/// Stem and stages.
#[derive(Clone, Debug)]
pub(super) struct Residual<const N: usize> {
    stem: Unit<N>,
    stages: Vec<Vec<Block<N>>>,
    size: [usize; N],
}

impl<const N: usize> Residual<N> {
    /// For maps of `channels` channels and this size.
    pub(super) fn new(
        prefix: &str,
        config: &BackboneConfig,
        channels: usize,
        mut size: [usize; N],
        parameters: &Parameters,
    ) -> Result<Self> {
        // The stride along each axis, and the size of the map behind it.
        let mut shrink = |stride: usize| -> [usize; N] {
            std::array::from_fn(|axis| {
                let stride = if N == 3 && size[axis] < HALVED_FROM { 1 } else { stride };
                size[axis] = output_size(size[axis], 3, stride, 1, 1);
                stride
            })
        };
        let width = config.widths.first().copied().unwrap_or(0);
        let stride = shrink(config.stem_stride);
        let stem =
            Unit::new(&format!("{prefix}.stem"), [channels, width], 3, stride, (config.groups, true), parameters)?;
        let mut stages = Vec::new();
        let mut from = width;
        for (stage, &to) in config.widths.iter().enumerate() {
            let mut blocks = Vec::new();
            for block in 0..config.blocks_of(stage) {
                let stride = shrink(if stage > 0 && block == 0 { 2 } else { 1 });
                let name = format!("{prefix}.stage{stage}.block{block}");
                blocks.push(Block::new(&name, [from, to], stride, config.groups, parameters)?);
                from = to;
            }
            stages.push(blocks);
        }
        Ok(Self { stem, stages, size })
    }

    /// Size of the last map.
    pub(super) fn size(&self) -> &[usize] {
        &self.size
    }

    pub(super) fn stem(&self, x: &Tensor) -> Result<Tensor> {
        self.stem.forward(x)
    }

    pub(super) fn stage(&self, stage: usize, map: &Tensor) -> Result<Tensor> {
        let missing = || config_error("backbone.widths", format!("there is no stage {stage}"));
        let mut map = map.clone();
        for block in self.stages.get(stage).ok_or_else(missing)? {
            map = block.forward(&map)?;
        }
        Ok(map)
    }
}
