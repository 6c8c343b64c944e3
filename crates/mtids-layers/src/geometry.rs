//! The sizes of one convolution in three dimensions; two dimensions are three with a depth of one.
//!
//! Invariant: a [`Geometry`] has no empty axis, at least one output, and groups that divide inputs and outputs.

use candle_core::{Layout, Shape};

/// Settings of a convolution along `N` axes (depth, height, width; the last two in two dimensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions<const N: usize> {
    /// Distance of neighbouring outputs, in input cells.
    pub stride: [usize; N],
    /// Zeros in front of and behind the input.
    pub padding: [usize; N],
    /// Distance of neighbouring taps, in input cells.
    pub dilation: [usize; N],
    /// Channels are dealt into this many groups that do not see each other; must divide inputs and outputs. As many groups
    /// as inputs is a depthwise convolution.
    pub groups: usize,
}

impl<const N: usize> ConvOptions<N> {
    /// The same stride and padding along all axes, no dilation, one group.
    pub fn new(stride: usize, padding: usize) -> Self {
        Self { stride: [stride; N], padding: [padding; N], dilation: [1; N], groups: 1 }
    }

    /// The same with another number of groups.
    #[must_use]
    pub fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The same along three axes; missing ones in front have a depth of one.
    pub(crate) fn deep(&self) -> ConvOptions<3> {
        let ConvOptions { stride, padding, dilation, groups } = *self;
        ConvOptions { stride: deep(stride, 1), padding: deep(padding, 0), dilation: deep(dilation, 1), groups }
    }
}

/// Values along up to three axes behind `fill` for the missing ones.
pub(crate) fn deep<const N: usize>(values: [usize; N], fill: usize) -> [usize; 3] {
    std::array::from_fn(|axis| (axis + N).checked_sub(3).and_then(|at| values.get(at)).copied().unwrap_or(fill))
}

/// Output size along one axis; 0 when the kernel does not fit.
pub(crate) fn output_size(size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> usize {
    match (size + 2 * padding).checked_sub(dilation * kernel.saturating_sub(1) + 1) {
        Some(room) if kernel > 0 && stride > 0 => room / stride + 1,
        _ => 0,
    }
}

/// Two leading sizes and up to three axes.
fn sizes(dims: &[usize]) -> Option<([usize; 2], [usize; 3])> {
    match *dims {
        [a, b, h, w] => Some(([a, b], [1, h, w])),
        [a, b, d, h, w] => Some(([a, b], [d, h, w])),
        _ => None,
    }
}

/// All sizes of one convolution; axes are depth, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub groups: usize,
    pub size: [usize; 3],
    pub kernel: [usize; 3],
    pub out: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
}

impl Geometry {
    /// From the shapes of input and weight, which may have two or three spatial axes.
    pub(crate) fn new(options: &ConvOptions<3>, x: &Layout, weight: &Layout) -> candle_core::Result<Self> {
        if let Some(([batch, inputs], size)) = sizes(x.dims())
            && let Ok(geometry) = Self::of_sizes(options, batch, size, weight.dims())
            && geometry.inputs == inputs
        {
            return Ok(geometry);
        }
        candle_core::bail!("convolution of {:?} with {:?}, {options:?}", x.shape(), weight.shape())
    }

    /// From the size of a map with the channels that the weight asks for.
    pub(crate) fn of_sizes(
        options: &ConvOptions<3>,
        batch: usize,
        size: [usize; 3],
        weight: &[usize],
    ) -> candle_core::Result<Self> {
        let ConvOptions { stride, padding, dilation, groups } = *options;
        if let Some(([outputs, members], kernel)) = sizes(weight) {
            let inputs = members * groups;
            let out = [0, 1, 2]
                .map(|axis| output_size(size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]));
            let fits = outputs > 0 && outputs.is_multiple_of(groups);
            if fits && batch > 0 && inputs > 0 && !out.contains(&0) && !dilation.contains(&0) && !size.contains(&0) {
                return Ok(Self { batch, inputs, outputs, groups, size, kernel, out, stride, padding, dilation });
            }
        }
        candle_core::bail!("convolution of {size:?} with {weight:?}, {options:?}")
    }

    /// Shape of the output with `rank` axes, four or five.
    pub(crate) fn shape(&self, rank: usize) -> Shape {
        let mut dims = vec![self.batch, self.outputs];
        dims.extend(&self.out[5 - rank..]);
        dims.into()
    }

    /// Entries of one input channel.
    pub(crate) fn plane(&self) -> usize {
        self.size.iter().product()
    }

    /// Entries of one input sample.
    pub(crate) fn sample(&self) -> usize {
        self.inputs * self.plane()
    }

    /// Entries of one output channel.
    pub(crate) fn cells(&self) -> usize {
        self.out.iter().product()
    }

    /// Entries of one output sample.
    pub(crate) fn out_sample(&self) -> usize {
        self.outputs * self.cells()
    }

    /// Taps of one input channel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Input channels of one group.
    pub(crate) fn members(&self) -> usize {
        self.inputs / self.groups
    }

    /// How far a tap lies behind the first one, in input cells.
    pub(crate) fn reach(&self, tap: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| tap[axis] * self.dilation[axis])
    }

    /// How far the last tap lies behind the first one, in input cells.
    pub(crate) fn span(&self) -> [usize; 3] {
        self.reach(self.kernel.map(|taps| taps - 1))
    }

    /// Entries of the weight.
    pub(crate) fn weights(&self) -> usize {
        self.outputs * self.members() * self.taps()
    }
}
