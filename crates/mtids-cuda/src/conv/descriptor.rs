//! What cuDNN is told of a convolution, as numbers: a pure function of shapes and settings.
//!
//! Purpose: descriptors are where a call of cuDNN goes wrong, and no card is needed to check numbers. Tables from PyTorch test this
//! file, and [`super::reference`] computes what a library that reads these numbers would. Invariants: tensors are contiguous, batch first,
//! channels second; in two dimensions all lists have the two axes of the map, in three dimensions three; no tensor has more entries
//! than cuDNN can address.

use crate::error::{CudaError, Result};

/// Settings of a convolution along `N` axes, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvSettings<const N: usize> {
    /// Distance of neighbouring outputs, in input cells.
    pub stride: [usize; N],
    /// Zeros in front of and behind the input.
    pub padding: [usize; N],
    /// Distance of neighbouring taps, in input cells.
    pub dilation: [usize; N],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// Shape and strides of a tensor, in entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorNumbers {
    /// Batch, channels, then the axes of the map.
    pub dims: Vec<i32>,
    /// Entries from one index to the next, of each axis.
    pub strides: Vec<i32>,
}

impl TensorNumbers {
    /// A contiguous tensor.
    fn contiguous(dims: &[usize]) -> Result<Self> {
        let sample = dims[1..].iter().fold(1_usize, |all, &size| all.saturating_mul(size));
        let too_large = || CudaError::TooLarge { dims: dims.to_vec(), batch: i32::MAX as usize / sample.max(1) };
        let entries = dims.iter().try_fold(1_usize, |all, &size| all.checked_mul(size)).ok_or_else(too_large)?;
        if i32::try_from(entries).is_err() {
            return Err(too_large());
        }
        // Every size and stride is at most the number of entries, which fits.
        let number = |value: usize| i32::try_from(value).map_err(|_| too_large());
        let mut strides = vec![1; dims.len()];
        for axis in (1..dims.len()).rev() {
            strides[axis - 1] = strides[axis] * number(dims[axis])?;
        }
        Ok(Self { dims: dims.iter().map(|&size| number(size)).collect::<Result<_>>()?, strides })
    }

    /// Entries of the tensor.
    pub fn entries(&self) -> usize {
        self.dims.iter().map(|&size| size.unsigned_abs() as usize).product()
    }

    /// The shape.
    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|&size| size.unsigned_abs() as usize).collect()
    }
}

/// A convolution in the numbers of cuDNN. It is the key of what is cached for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvNumbers {
    /// `[B, C, (D,) H, W]`.
    pub input: TensorNumbers,
    /// `[O, C / groups, (kd,) kh, kw]`: cuDNN too counts the channels of one group.
    pub filter: Vec<i32>,
    /// `[B, O, (D',) H', W']`.
    pub output: TensorNumbers,
    /// Padding along the axes of the map.
    pub padding: Vec<i32>,
    /// Stride along the axes of the map.
    pub stride: Vec<i32>,
    /// Dilation along the axes of the map.
    pub dilation: Vec<i32>,
    /// Groups.
    pub groups: i32,
}

impl ConvNumbers {
    /// For an input `[B, C, ..]` and a filter `[O, C / groups, ..]` with `N` axes behind each.
    ///
    /// # Errors
    /// When the shapes do not fit each other, an axis is empty, the kernel is larger than the padded map, or a tensor is too large.
    pub fn new<const N: usize>(input: &[usize], filter: &[usize], settings: &ConvSettings<N>) -> Result<Self> {
        let fail = |reason: String| CudaError::Shape { input: input.to_vec(), filter: filter.to_vec(), reason };
        let ConvSettings { stride, padding, dilation, groups } = *settings;
        if !(N == 2 || N == 3) || input.len() != N + 2 || filter.len() != N + 2 {
            return Err(fail(format!("batch, channels and {N} axes are needed, 2 or 3")));
        }
        if input.contains(&0) || filter.contains(&0) || groups == 0 || stride.contains(&0) || dilation.contains(&0) {
            return Err(fail("no size, stride, dilation or number of groups may be 0".into()));
        }
        if input[1] != filter[1] * groups || !filter[0].is_multiple_of(groups) {
            return Err(fail(format!("{groups} groups do not fit {} channels and {} outputs", input[1], filter[0])));
        }
        let mut output = vec![input[0], filter[0]];
        for axis in 0..N {
            let reach = dilation[axis].saturating_mul(filter[axis + 2] - 1).saturating_add(1);
            match input[axis + 2].saturating_add(padding[axis].saturating_mul(2)).checked_sub(reach) {
                Some(room) => output.push(room / stride[axis] + 1),
                None => return Err(fail(format!("the kernel reaches over {reach} cells of axis {axis}"))),
            }
        }
        let filter_numbers = TensorNumbers::contiguous(filter)?.dims;
        let numbers = |values: [usize; N]| -> Result<Vec<i32>> {
            let number = |value| i32::try_from(value).ok();
            let numbers: Option<Vec<i32>> = values.into_iter().map(number).collect();
            numbers.ok_or_else(|| fail("a stride, padding or dilation is too large".into()))
        };
        Ok(Self {
            input: TensorNumbers::contiguous(input)?,
            filter: filter_numbers,
            output: TensorNumbers::contiguous(&output)?,
            padding: numbers(padding)?,
            stride: numbers(stride)?,
            dilation: numbers(dilation)?,
            // At most as many as channels.
            groups: i32::try_from(groups).unwrap_or(i32::MAX),
        })
    }

    /// Entries of the filter.
    pub fn filter_entries(&self) -> usize {
        self.filter.iter().map(|&size| size.unsigned_abs() as usize).product()
    }

    /// Shape of the filter.
    pub fn filter_shape(&self) -> Vec<usize> {
        self.filter.iter().map(|&size| size.unsigned_abs() as usize).collect()
    }

    /// In words, for messages.
    pub fn describe(&self) -> String {
        let Self { input, filter, padding, stride, dilation, groups, .. } = self;
        format!(
            "the convolution of {:?} with {filter:?} (stride {stride:?}, padding {padding:?}, dilation {dilation:?}, {groups} groups)",
            input.dims
        )
    }
}

/// One of the three passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// From input and filter to the output.
    Forward,
    /// From filter and gradient of the output to the gradient of the input.
    DataGradient,
    /// From input and gradient of the output to the gradient of the filter.
    FilterGradient,
}

impl Pass {
    /// Shapes of the two operands and of the result.
    pub(crate) fn shapes(self, numbers: &ConvNumbers) -> [Vec<usize>; 3] {
        let (input, filter, output) = (numbers.input.shape(), numbers.filter_shape(), numbers.output.shape());
        match self {
            Self::Forward => [input, filter, output],
            Self::DataGradient => [filter, output, input],
            Self::FilterGradient => [input, output, filter],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PyTorch answers, by `tests/parity/make_convolution_fixtures.py`.
    #[derive(serde::Deserialize)]
    struct Fixture {
        input: Vec<usize>,
        filter: Vec<usize>,
        stride: Vec<usize>,
        padding: Vec<usize>,
        dilation: Vec<usize>,
        groups: usize,
        output: Option<Vec<usize>>,
        input_strides: Vec<usize>,
        output_strides: Option<Vec<usize>>,
    }

    fn numbers<const N: usize>(fixture: &Fixture) -> Result<ConvNumbers> {
        let axes = |values: &[usize]| <[usize; N]>::try_from(values).unwrap();
        let settings = ConvSettings {
            stride: axes(&fixture.stride),
            padding: axes(&fixture.padding),
            dilation: axes(&fixture.dilation),
            groups: fixture.groups,
        };
        ConvNumbers::new(&fixture.input, &fixture.filter, &settings)
    }

    #[test]
    fn shapes_and_strides_are_those_of_pytorch() {
        let fixtures: Vec<Fixture> = serde_json::from_str(include_str!("fixtures/shapes.json")).unwrap();
        assert!(fixtures.len() > 150);
        let wide = |values: &[i32]| values.iter().map(|&value| value as usize).collect::<Vec<_>>();
        let (mut refused, mut deep) = (0, 0);
        for fixture in &fixtures {
            deep += usize::from(fixture.stride.len() == 3);
            let found = if fixture.stride.len() == 2 { numbers::<2>(fixture) } else { numbers::<3>(fixture) };
            match &fixture.output {
                Some(output) => {
                    let found = found.unwrap();
                    assert_eq!(&found.output.shape(), output, "{}", found.describe());
                    assert_eq!(Some(wide(&found.output.strides)), fixture.output_strides);
                    assert_eq!(found.input.shape(), fixture.input);
                    assert_eq!(wide(&found.input.strides), fixture.input_strides);
                    assert_eq!(found.filter_shape(), fixture.filter);
                    assert_eq!(wide(&found.padding), fixture.padding);
                    assert_eq!(wide(&found.stride), fixture.stride);
                    assert_eq!(wide(&found.dilation), fixture.dilation);
                    assert_eq!(found.groups as usize, fixture.groups);
                }
                None => {
                    refused += 1;
                    assert!(matches!(found, Err(CudaError::Shape { .. })), "{:?}", fixture.input);
                }
            }
        }
        assert!(refused > 10 && deep > 50, "{refused} refused, {deep} in three dimensions");
    }

    #[test]
    fn what_cannot_be_addressed_is_refused_with_the_batch_that_fits() {
        let settings = ConvSettings { stride: [1; 3], padding: [1; 3], dilation: [1; 3], groups: 1 };
        let of_batch = |batch| ConvNumbers::new(&[batch, 16, 128, 128, 128], &[16, 16, 3, 3, 3], &settings);
        assert!(of_batch(63).is_ok());
        assert_eq!(of_batch(64).unwrap_err(), CudaError::TooLarge { dims: vec![64, 16, 128, 128, 128], batch: 63 });
        let wider = ConvNumbers::new(&[64, 1, 128, 128, 128], &[16, 1, 3, 3, 3], &settings);
        assert!(wider.unwrap_err().to_string().contains("a batch of at most 63"), "the output counts too");
    }

    #[test]
    fn what_is_no_convolution_is_refused() {
        let settings = ConvSettings { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 2 };
        fn new(input: &[usize], filter: &[usize], settings: &ConvSettings<2>) -> Result<ConvNumbers> {
            ConvNumbers::new(input, filter, settings)
        }
        assert!(new(&[1, 4, 5, 5], &[6, 2, 3, 3], &settings).is_ok());
        assert!(new(&[1, 4, 5, 5], &[5, 2, 3, 3], &settings).is_err(), "groups and outputs");
        assert!(new(&[1, 4, 5, 5], &[6, 4, 3, 3], &settings).is_err(), "groups and inputs");
        assert!(new(&[1, 4, 5], &[6, 2, 3, 3], &settings).is_err(), "an axis is missing");
        assert!(new(&[0, 4, 5, 5], &[6, 2, 3, 3], &settings).is_err(), "nothing");
        assert!(new(&[1, 4, 5, 5], &[6, 2, 3, 3], &ConvSettings { stride: [1, 0], ..settings }).is_err());
        assert!(new(&[1, 4, 5, 5], &[6, 2, 3, 3], &ConvSettings { padding: [usize::MAX, 0], ..settings }).is_err());
    }
}
