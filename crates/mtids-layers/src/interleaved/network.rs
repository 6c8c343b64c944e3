//! Runs of conv blocks and residual blocks on interleaved maps, forward and backward.
//!
//! Purpose: the forward pass keeps what the backward pass reads (inputs and outputs of convolutions, statistics of norms);
//! everything else lives no longer than its layer. Invariant: parameters lie in one list, a conv block's weight, the weight of
//! its norm and the bias of its norm behind each other.

use super::buffer::Buffer;
use super::norm::{Sizes, Statistics};
use super::{convolution, norm};
use crate::geometry::Geometry;
use crate::kernels::Real;

/// A convolution, group norm and, if asked for, a rectifier.
#[derive(Clone, Debug)]
pub(crate) struct ConvBlockPlan {
    /// Sizes of the convolution; its batch counts bundles.
    pub geometry: Geometry,
    /// Groups of the norm.
    pub groups: usize,
    /// Whether a rectifier follows.
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
}

/// One part of a run.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A conv block.
    ConvBlock(ConvBlockPlan),
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

    /// The conv block whose output has the sizes of the part's.
    pub(crate) fn last(&self) -> &ConvBlockPlan {
        match self {
            Self::ConvBlock(conv_block) => conv_block,
            Self::ResidualBlock(block) => &block.second,
        }
    }
}

/// What a conv block keeps: the output of its convolution and the statistics of its norm.
struct KeptConvBlock<T: Real> {
    y: Buffer<T>,
    statistics: Statistics,
}

/// What a part keeps, first of all its input.
enum KeptPart<T: Real> {
    ConvBlock {
        x: Buffer<T>,
        conv_block: KeptConvBlock<T>,
    },
    ResidualBlock {
        x: Buffer<T>,
        first: KeptConvBlock<T>,
        middle: Buffer<T>,
        second: KeptConvBlock<T>,
        shortcut: Option<KeptConvBlock<T>>,
    },
}

/// What a run keeps for its backward pass.
pub(super) struct Kept<T: Real>(Vec<KeptPart<T>>);

impl ConvBlockPlan {
    fn sizes(&self) -> Sizes {
        let channels = self.geometry.outputs;
        Sizes { channels, members: channels / self.groups, cells: self.geometry.cells() }
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

    /// The conv block's output, plus `base` where there is one.
    fn forward<T: Real>(&self, x: &[T], parameters: &[T], base: Option<&[T]>) -> (Buffer<T>, KeptConvBlock<T>) {
        let g = &self.geometry;
        let (weight, affine) = self.parameters(parameters);
        let y = convolution::forward(g, x, weight);
        let (result, statistics) = norm::forward(self.sizes(), self.relu, &y, affine, base);
        (result, KeptConvBlock { y, statistics })
    }

    /// Adds the gradient of the input to `input` or writes it, where one is asked for, and writes those of the parameters.
    fn backward<T: Real>(
        &self,
        (x, kept): (&[T], &KeptConvBlock<T>),
        parameters: &[T],
        gradient: &[T],
        by_parameters: &mut [T],
        input: Option<(&mut [T], bool)>,
    ) {
        let g = &self.geometry;
        let (weight, affine) = self.parameters(parameters);
        let (by_weight, by_affine) = self.parameters_mut(by_parameters);
        let (y, statistics) = (&kept.y, &kept.statistics);
        let by_y = norm::backward(self.sizes(), self.relu, (y, statistics), affine, gradient, by_affine);
        convolution::backward_weight(g, x, &by_y, by_weight);
        if let Some((input, add)) = input {
            convolution::backward_input(g, weight, &by_y, input, add);
        }
    }

    /// Space for the gradient of the input.
    fn input<T: Real>(&self) -> Buffer<T> {
        convolution::input(&self.geometry)
    }
}

/// The output of all parts, and what they keep if a backward pass will follow.
pub(super) fn forward<T: Real>(
    parts: &[Part],
    x: Buffer<T>,
    parameters: &[T],
    keep: bool,
) -> (Buffer<T>, Option<Kept<T>>) {
    let mut map = x;
    let mut kept = keep.then(|| Vec::with_capacity(parts.len()));
    for part in parts {
        let (result, part) = match part {
            Part::ConvBlock(plan) => {
                let (result, conv_block) = plan.forward(&map, parameters, None);
                (result, KeptPart::ConvBlock { x: map, conv_block })
            }
            Part::ResidualBlock(plan) => {
                let ResidualBlockPlan { first, second, shortcut } = &**plan;
                let beside = shortcut.as_ref().map(|plan| plan.forward(&map, parameters, None));
                let (middle, first) = first.forward(&map, parameters, None);
                let base = beside.as_ref().map_or(&map, |(base, _)| base);
                let (result, second) = second.forward(&middle, parameters, Some(base));
                let shortcut = beside.map(|(_, shortcut)| shortcut);
                (result, KeptPart::ResidualBlock { x: map, first, middle, second, shortcut })
            }
        };
        if let Some(kept) = &mut kept {
            kept.push(part);
        }
        map = result;
    }
    (map, kept.map(Kept))
}

/// The gradient of the input, if wanted; writes those of the parameters.
pub(super) fn backward<T: Real>(
    parts: &[Part],
    kept: &Kept<T>,
    parameters: &[T],
    gradient: Buffer<T>,
    by_parameters: &mut [T],
    want_input: bool,
) -> Option<Buffer<T>> {
    let mut gradient = gradient;
    for (index, (part, kept)) in parts.iter().zip(&kept.0).enumerate().rev() {
        let wanted = index > 0 || want_input;
        gradient = match (part, kept) {
            (Part::ConvBlock(plan), KeptPart::ConvBlock { x, conv_block }) => {
                let mut input = wanted.then(|| plan.input());
                let target = input.as_mut().map(|input| (&mut input[..], false));
                plan.backward((x, conv_block), parameters, &gradient, by_parameters, target);
                input?
            }
            (Part::ResidualBlock(plan), KeptPart::ResidualBlock { x, first, middle, second, shortcut }) => {
                let mut inner = plan.second.input();
                let target = Some((&mut inner[..], false));
                plan.second.backward((middle, second), parameters, &gradient, by_parameters, target);
                let mut input = match (&plan.shortcut, shortcut) {
                    (Some(plan), Some(kept)) => {
                        let mut input = wanted.then(|| plan.input());
                        let target = input.as_mut().map(|input| (&mut input[..], false));
                        plan.backward((x, kept), parameters, &gradient, by_parameters, target);
                        input
                    }
                    // Beside the conv blocks the gradient passes as it is.
                    _ => wanted.then_some(gradient),
                };
                let target = input.as_mut().map(|input| (&mut input[..], true));
                plan.first.backward((x, first), parameters, &inner, by_parameters, target);
                input?
            }
            // Parts and what they kept come from the same list.
            _ => return None,
        };
    }
    Some(gradient)
}
