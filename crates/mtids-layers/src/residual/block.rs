//! The blocks of a residual network, composed of layers and as plans for interleaved maps.
//!
//! Invariant: a plan's parameters, and the statistics that its run hands out, stand in the order in which the plans were made.

use candle_core::Tensor;

use crate::conv::{Conv, ConvOptions};
use crate::error::Result;
use crate::geometry::Geometry;
use crate::interleaved::{ConvBlockPlan, NormPlan, ResidualBlockPlan, layout};
use crate::norm::{Norm, NormConfig, Phase, values_of_channel};
use crate::parameters::Parameters;
use crate::precision::Precision;
use crate::statistics::{Moments, RunningStatistics};

/// A convolution, a norm and, if asked for, a rectifier.
#[derive(Clone, Debug)]
pub(super) struct ConvBlock<const N: usize> {
    conv: Conv<N>,
    norm: Norm,
}

impl<const N: usize> ConvBlock<N> {
    pub(super) fn new(
        name: &str,
        [from, to]: [usize; 2],
        kernel: usize,
        stride: [usize; N],
        (norm, relu): (NormConfig, bool),
        parameters: &Parameters,
    ) -> Result<Self> {
        let options = ConvOptions { stride, ..ConvOptions::new(1, kernel / 2) };
        Ok(Self {
            conv: Conv::new(&format!("{name}.conv"), from, to, [kernel; N], options, parameters)?,
            norm: Norm::new(&format!("{name}.norm"), to, &norm, relu, parameters)?,
        })
    }

    pub(super) fn precision(&self) -> Precision {
        self.conv.precision()
    }

    pub(super) fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x)?, phase)
    }

    /// The conv block of `x` plus `base`, rectified behind the addition if `relu`.
    pub(super) fn forward_added(&self, x: &Tensor, phase: Phase, base: &Tensor, relu: bool) -> Result<Tensor> {
        self.norm.forward_added(&self.conv.forward(x)?, phase, base, relu)
    }

    /// The conv block on maps of `size`, and its parameters at the end of the list.
    pub(super) fn plan(&self, size: [usize; 3], list: &mut List) -> Result<ConvBlockPlan> {
        let weight = self.conv.weight();
        let geometry = Geometry::of_sizes(&self.conv.options(), layout::bundles(list.batch), size, weight.dims())?;
        let start = list.entries;
        for parameter in [weight].into_iter().chain(self.norm.parameters()) {
            list.entries += parameter.elem_count();
            list.tensors.push(parameter.clone());
        }
        let norm = match &self.norm {
            Norm::Group(norm) => NormPlan::Group { groups: norm.groups() },
            Norm::Batch(norm) => {
                values_of_channel(list.batch * geometry.cells(), list.phase, norm.ranks())?;
                match list.phase {
                    Phase::Train => {
                        list.recorders.push(norm.statistics().clone());
                        NormPlan::BatchOfInput(norm.ranks().clone())
                    }
                    Phase::Evaluate => NormPlan::BatchOfRunning(norm.statistics().moments()?),
                }
            }
        };
        Ok(ConvBlockPlan { geometry, norm, relu: self.norm.relu(), start })
    }
}

/// The parameters of a run, and where its batch norms record.
pub(super) struct List {
    batch: usize,
    phase: Phase,
    tensors: Vec<Tensor>,
    entries: usize,
    recorders: Vec<RunningStatistics>,
}

impl List {
    /// An empty list for a run of `batch` samples.
    pub(super) fn new(batch: usize, phase: Phase) -> Self {
        Self { batch, phase, tensors: Vec::new(), entries: 0, recorders: Vec::new() }
    }

    pub(super) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Records what the run handed out, in the order of its plans.
    pub(super) fn record(&self, moments: Vec<Moments>) -> Result<()> {
        let pairs = self.recorders.iter().zip(moments);
        pairs.into_iter().try_for_each(|(statistics, moments)| statistics.record_moments(&moments))
    }
}

/// Two conv blocks beside a shortcut, which is `x` itself where neither channels nor size change.
#[derive(Clone, Debug)]
pub(super) struct ResidualBlock<const N: usize> {
    first: ConvBlock<N>,
    second: ConvBlock<N>,
    shortcut: Option<ConvBlock<N>>,
    /// Whether the rectifier follows the addition; else it belongs to the second conv block.
    relu: bool,
}

impl<const N: usize> ResidualBlock<N> {
    pub(super) fn new(
        name: &str,
        channels: [usize; 2],
        stride: [usize; N],
        norm: NormConfig,
        parameters: &Parameters,
    ) -> Result<Self> {
        let [from, to] = channels;
        let conv_block = |part: &str, channels, kernel, stride, relu| {
            ConvBlock::new(&format!("{name}.{part}"), channels, kernel, stride, (norm, relu), parameters)
        };
        let changes = from != to || stride != [1; N];
        let relu = norm == NormConfig::Batch;
        Ok(Self {
            first: conv_block("first", channels, 3, stride, true)?,
            second: conv_block("second", [to, to], 3, [1; N], !relu)?,
            shortcut: changes.then(|| conv_block("shortcut", channels, 1, stride, false)).transpose()?,
            relu,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let inner = self.first.forward(x, phase)?;
        let base = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, phase)?,
            None => x.clone(),
        };
        self.second.forward_added(&inner, phase, &base, self.relu)
    }

    /// The block on maps of `size`, and its parameters at the end of the list.
    pub(super) fn plan(&self, size: [usize; 3], list: &mut List) -> Result<ResidualBlockPlan> {
        let first = self.first.plan(size, list)?;
        let second = self.second.plan(first.geometry.out, list)?;
        let shortcut = self.shortcut.as_ref().map(|conv_block| conv_block.plan(size, list)).transpose()?;
        Ok(ResidualBlockPlan { first, second, shortcut, relu: self.relu })
    }
}
