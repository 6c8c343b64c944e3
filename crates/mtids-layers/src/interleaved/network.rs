//! Runs of conv blocks and residual blocks on interleaved maps, forward and backward.
//!
//! Purpose: the forward pass keeps what the backward pass reads (inputs and outputs of convolutions, statistics of norms);
//! everything else lives no longer than its layer. Invariants: parameters lie in one list, a conv block's weight, the weight of
//! its norm and the bias of its norm behind each other; statistics of batches are handed out in the order of the plans.

use mtids_ranks::Ranks;

use super::batch_norm::{Behind, Follows};
use super::buffer::Buffer;
use super::norm::Statistics;
use super::{batch_norm, convolution, norm};
use crate::error::Result;
use crate::geometry::Geometry;
use crate::kernels::Real;
use crate::statistics::Moments;

/// The norm of a conv block.
#[derive(Clone, Debug)]
pub(crate) enum NormPlan {
    /// Group norm.
    Group {
        /// Groups.
        groups: usize,
    },
    /// Batch norm with the statistics of its input, of the samples of all ranks.
    BatchOfInput(Ranks),
    /// Batch norm with running statistics.
    BatchOfRunning(Moments),
}

/// A convolution, a norm and, if asked for, a rectifier.
#[derive(Clone, Debug)]
pub(crate) struct ConvBlockPlan {
    /// Sizes of the convolution; its batch counts bundles.
    pub geometry: Geometry,
    /// Norm.
    pub norm: NormPlan,
    /// Whether a rectifier follows the norm.
    pub relu: bool,
    /// Where the conv block's parameters start.
    pub start: usize,
}

/// `shortcut(x) + second(first(x))`, the shortcut being `x` itself where there is none.
#[derive(Clone, Debug)]
pub(crate) struct ResidualBlockPlan {
    /// First conv block.
    pub first: ConvBlockPlan,
    /// Second conv block.
    pub second: ConvBlockPlan,
    /// The conv block beside them.
    pub shortcut: Option<ConvBlockPlan>,
    /// Whether a rectifier follows the addition, which batch norm asks for.
    pub relu: bool,
}

/// One part of a run.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A conv block.
    ConvBlock(Box<ConvBlockPlan>),
    /// A residual block.
    ResidualBlock(Box<ResidualBlockPlan>),
}

impl Part {
    /// Channels of the input.
    pub(crate) fn inputs(&self) -> usize {
        match self {
            Self::ConvBlock(conv_block) => conv_block.geometry.inputs,
            Self::ResidualBlock(block) => block.first.geometry.inputs,
        }
    }

    /// Whether another rank may be waited for inside.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::ConvBlock(plan) => plan.waits(),
            Self::ResidualBlock(block) => [Some(&block.first), Some(&block.second), block.shortcut.as_ref()]
                .into_iter()
                .flatten()
                .any(ConvBlockPlan::waits),
        }
    }

    /// The conv block whose output has the sizes of the part's.
    pub(crate) fn last(&self) -> &ConvBlockPlan {
        match self {
            Self::ConvBlock(conv_block) => conv_block,
            Self::ResidualBlock(block) => &block.second,
        }
    }
}

/// The statistics of a norm: per bundle and group in each lane, or per channel.
enum KeptStatistics {
    Group(Statistics),
    Batch(Moments),
}

/// What a conv block keeps: the output of its convolution and the statistics of its norm.
struct KeptConvBlock<T: Real> {
    y: Buffer<T>,
    statistics: KeptStatistics,
}

/// What a part keeps beside its input.
enum KeptPart<T: Real> {
    ConvBlock(KeptConvBlock<T>),
    ResidualBlock(Box<KeptResidualBlock<T>>),
}

/// What a residual block keeps beside its input.
struct KeptResidualBlock<T: Real> {
    first: KeptConvBlock<T>,
    middle: Buffer<T>,
    second: KeptConvBlock<T>,
    shortcut: Option<KeptConvBlock<T>>,
}

/// What a run keeps for its backward pass: the input of every part and the output of the last, and what the parts keep.
pub(super) struct Kept<T: Real> {
    maps: Vec<Buffer<T>>,
    parts: Vec<KeptPart<T>>,
}

impl<T: Real> Kept<T> {
    /// The output of the last part.
    pub(super) fn result(&self) -> &[T] {
        self.maps.last().map_or(&[], |map| map)
    }
}

impl ConvBlockPlan {
    fn waits(&self) -> bool {
        matches!(&self.norm, NormPlan::BatchOfInput(ranks) if !ranks.is_alone())
    }

    fn group_sizes(&self, groups: usize) -> norm::Sizes {
        let channels = self.geometry.outputs;
        norm::Sizes { channels, members: channels / groups, cells: self.geometry.cells() }
    }

    fn batch_sizes(&self, batch: usize) -> batch_norm::Sizes {
        batch_norm::Sizes { batch, channels: self.geometry.outputs, cells: self.geometry.cells() }
    }

    fn parameters<'a, T>(&self, all: &'a [T]) -> (&'a [T], [&'a [T]; 2]) {
        let (weight, rest) = all[self.start..].split_at(self.geometry.weights());
        let (norm_weight, rest) = rest.split_at(self.geometry.outputs);
        (weight, [norm_weight, &rest[..self.geometry.outputs]])
    }

    fn parameters_mut<'a, T>(&self, all: &'a mut [T]) -> (&'a mut [T], [&'a mut [T]; 2]) {
        let (weight, rest) = all[self.start..].split_at_mut(self.geometry.weights());
        let (norm_weight, rest) = rest.split_at_mut(self.geometry.outputs);
        (weight, [norm_weight, &mut rest[..self.geometry.outputs]])
    }

    /// The conv block's output, plus `base` where there is one, rectified behind the addition if `relu`.
    fn forward<T: Real>(
        &self,
        batch: usize,
        x: &[T],
        parameters: &[T],
        (base, relu): (Option<&[T]>, bool),
    ) -> Result<(Buffer<T>, KeptConvBlock<T>)> {
        let g = &self.geometry;
        let (weight, affine) = self.parameters(parameters);
        let y = convolution::forward(g, x, weight);
        let moments = match &self.norm {
            NormPlan::Group { groups } => {
                let (result, statistics) = norm::forward(self.group_sizes(*groups), self.relu, &y, affine, base);
                return Ok((result, KeptConvBlock { y, statistics: KeptStatistics::Group(statistics) }));
            }
            NormPlan::BatchOfInput(ranks) => batch_norm::moments(self.batch_sizes(batch), &y).over(ranks)?,
            NormPlan::BatchOfRunning(moments) => moments.clone(),
        };
        let behind = match base {
            Some(base) if relu => Behind::SumRelu(base),
            Some(base) => Behind::Sum(base),
            None if self.relu => Behind::Relu,
            None => Behind::Nothing,
        };
        let result = batch_norm::forward(self.batch_sizes(batch), &y, &moments, affine, behind);
        Ok((result, KeptConvBlock { y, statistics: KeptStatistics::Batch(moments) }))
    }

    /// Adds the gradient of the input to `input` or writes it, where one is asked for, and writes those of the parameters.
    fn backward<T: Real>(
        &self,
        batch: usize,
        (x, kept): (&[T], &KeptConvBlock<T>),
        parameters: &[T],
        gradient: &[T],
        by_parameters: &mut [T],
        input: Option<(&mut [T], bool)>,
    ) -> Result<()> {
        let g = &self.geometry;
        let (weight, affine) = self.parameters(parameters);
        let (by_weight, by_affine) = self.parameters_mut(by_parameters);
        let y = &kept.y;
        let by_y = match (&self.norm, &kept.statistics) {
            (NormPlan::Group { groups }, KeptStatistics::Group(statistics)) => {
                norm::backward(self.group_sizes(*groups), self.relu, (y, statistics), affine, gradient, by_affine)
            }
            (norm, KeptStatistics::Batch(moments)) => {
                let follows = match norm {
                    NormPlan::BatchOfInput(ranks) => Follows::Samples(ranks),
                    _ => Follows::Nothing,
                };
                let how = (self.relu, follows);
                batch_norm::backward(self.batch_sizes(batch), how, (y, moments), affine, gradient, by_affine)?
            }
            // A plan keeps the statistics of its own norm.
            (_, KeptStatistics::Group(_)) => return Ok(()),
        };
        convolution::backward_weight(g, x, &by_y, by_weight);
        if let Some((input, add)) = input {
            convolution::backward_input(g, weight, &by_y, input, add);
        }
        Ok(())
    }

    /// Space for the gradient of the input.
    fn input<T: Real>(&self) -> Buffer<T> {
        convolution::input(&self.geometry)
    }

    /// The statistics of the batch, where the norm takes them.
    fn moments<T: Real>(&self, kept: &KeptConvBlock<T>) -> Option<Moments> {
        match (&self.norm, &kept.statistics) {
            (NormPlan::BatchOfInput(_), KeptStatistics::Batch(moments)) => Some(moments.clone()),
            _ => None,
        }
    }
}

/// Output of a run.
pub(super) enum Output<T: Real> {
    /// With what a backward pass will read.
    Kept(Kept<T>),
    /// Alone.
    Map(Buffer<T>),
}

/// The output of all parts for `batch` samples, with what a backward pass reads if `keep`, and the statistics of batches.
pub(super) fn forward<T: Real>(
    parts: &[Part],
    batch: usize,
    x: Buffer<T>,
    parameters: &[T],
    keep: bool,
) -> Result<(Output<T>, Vec<Moments>)> {
    let mut map = x;
    let mut moments = Vec::new();
    let mut kept = keep.then(|| Kept { maps: Vec::new(), parts: Vec::new() });
    for part in parts {
        let (result, part) = match part {
            Part::ConvBlock(plan) => {
                let (result, conv_block) = plan.forward(batch, &map, parameters, (None, false))?;
                moments.extend(plan.moments(&conv_block));
                (result, KeptPart::ConvBlock(conv_block))
            }
            Part::ResidualBlock(plan) => {
                let ResidualBlockPlan { first, second, shortcut, relu } = &**plan;
                let beside = shortcut.as_ref().map(|plan| plan.forward(batch, &map, parameters, (None, false)));
                let beside = beside.transpose()?;
                let (middle, kept_first) = first.forward(batch, &map, parameters, (None, false))?;
                let base = beside.as_ref().map_or(&map, |(base, _)| base);
                let (result, kept_second) = second.forward(batch, &middle, parameters, (Some(base), *relu))?;
                let kept_shortcut = beside.map(|(_, shortcut)| shortcut);
                moments.extend(first.moments(&kept_first));
                moments.extend(second.moments(&kept_second));
                if let (Some(plan), Some(kept)) = (shortcut, &kept_shortcut) {
                    moments.extend(plan.moments(kept));
                }
                let kept =
                    KeptResidualBlock { first: kept_first, middle, second: kept_second, shortcut: kept_shortcut };
                (result, KeptPart::ResidualBlock(Box::new(kept)))
            }
        };
        let input = std::mem::replace(&mut map, result);
        if let Some(kept) = &mut kept {
            kept.maps.push(input);
            kept.parts.push(part);
        }
    }
    let output = match kept {
        Some(mut kept) => {
            kept.maps.push(map);
            Output::Kept(kept)
        }
        None => Output::Map(map),
    };
    Ok((output, moments))
}

/// The gradient of the input, if wanted; writes those of the parameters.
pub(super) fn backward<T: Real>(
    parts: &[Part],
    batch: usize,
    kept: &Kept<T>,
    parameters: &[T],
    gradient: Buffer<T>,
    by_parameters: &mut [T],
    want_input: bool,
) -> Result<Option<Buffer<T>>> {
    let mut gradient = gradient;
    let maps = kept.maps.windows(2);
    for (index, ((part, kept), maps)) in parts.iter().zip(&kept.parts).zip(maps).enumerate().rev() {
        let wanted = index > 0 || want_input;
        let [x, result] = maps else { return Ok(None) };
        let input = match (part, kept) {
            (Part::ConvBlock(plan), KeptPart::ConvBlock(conv_block)) => {
                let mut input = wanted.then(|| plan.input());
                let target = input.as_mut().map(|input| (&mut input[..], false));
                plan.backward(batch, (x, conv_block), parameters, &gradient, by_parameters, target)?;
                input
            }
            (Part::ResidualBlock(plan), KeptPart::ResidualBlock(kept)) => {
                let KeptResidualBlock { first, middle, second, shortcut } = &**kept;
                if plan.relu {
                    batch_norm::close(&mut gradient, result);
                }
                let mut inner = plan.second.input();
                let target = Some((&mut inner[..], false));
                plan.second.backward(batch, (middle, second), parameters, &gradient, by_parameters, target)?;
                let mut input = match (&plan.shortcut, shortcut) {
                    (Some(plan), Some(kept)) => {
                        let mut input = wanted.then(|| plan.input());
                        let target = input.as_mut().map(|input| (&mut input[..], false));
                        plan.backward(batch, (x, kept), parameters, &gradient, by_parameters, target)?;
                        input
                    }
                    // Beside the conv blocks the gradient passes as it is.
                    _ => wanted.then_some(gradient),
                };
                let target = input.as_mut().map(|input| (&mut input[..], true));
                plan.first.backward(batch, (x, first), parameters, &inner, by_parameters, target)?;
                input
            }
            // Parts and what they kept come from the same list.
            _ => return Ok(None),
        };
        let Some(input) = input else { return Ok(None) };
        gradient = input;
    }
    Ok(Some(gradient))
}
