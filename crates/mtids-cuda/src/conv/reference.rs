//! The convolution that a library computes when it reads a [`ConvNumbers`]: loops from the definition, on the host.
//!
//! Purpose: a test runs the whole operation on the CPU with these numbers in cuDNN's place, so that wrong numbers or swapped operands
//! show without a card. It reads addresses from the strides, as cuDNN does. It is slow, and nothing but tests runs it.

use super::descriptor::{ConvNumbers, TensorNumbers};

/// A type of tensor entries that the reference adds up in.
pub trait Entry: Copy + std::ops::Mul<Output = Self> + std::ops::AddAssign {
    /// Zero.
    const ZERO: Self;
}

impl Entry for f32 {
    const ZERO: Self = 0.0;
}

impl Entry for f64 {
    const ZERO: Self = 0.0;
}

/// Values along three axes behind `fill` for those in front that are missing.
fn three(values: &[i32], fill: i32) -> [i32; 3] {
    std::array::from_fn(|axis| (axis + values.len()).checked_sub(3).map_or(fill, |at| values[at]))
}

/// Where an entry of a tensor lies.
fn address(numbers: &TensorNumbers, sample: i32, channel: i32, cell: [i32; 3]) -> usize {
    let (strides, along) = (&numbers.strides, three(&numbers.strides[2..], 0));
    let place =
        sample * strides[0] + channel * strides[1] + cell[0] * along[0] + cell[1] * along[1] + cell[2] * along[2];
    place.unsigned_abs() as usize
}

/// Calls `visit` with the addresses of input, filter and output of every product of the convolution.
fn products(numbers: &ConvNumbers, mut visit: impl FnMut(usize, usize, usize)) {
    let ConvNumbers { input, filter, output, groups, .. } = numbers;
    let (size, out, kernel) = (three(&input.dims[2..], 1), three(&output.dims[2..], 1), three(&filter[2..], 1));
    let (stride, padding, dilation) =
        (three(&numbers.stride, 1), three(&numbers.padding, 0), three(&numbers.dilation, 1));
    let (members, outputs_of_group) = (filter[1], filter[0] / groups);
    let taps = kernel[0] * kernel[1] * kernel[2];
    for sample in 0..output.dims[0] {
        for to in 0..output.dims[1] {
            for cell in 0..out[0] * out[1] * out[2] {
                let at = [cell / (out[1] * out[2]), cell / out[2] % out[1], cell % out[2]];
                let place = address(output, sample, to, at);
                for member in 0..members {
                    let from = to / outputs_of_group * members + member;
                    for tap in 0..taps {
                        let step = [tap / (kernel[1] * kernel[2]), tap / kernel[2] % kernel[1], tap % kernel[2]];
                        let read: [i32; 3] = std::array::from_fn(|axis| {
                            at[axis] * stride[axis] - padding[axis] + step[axis] * dilation[axis]
                        });
                        if (0..3).all(|axis| (0..size[axis]).contains(&read[axis])) {
                            let weight = (to * members + member) * taps + tap;
                            visit(address(input, sample, from, read), weight.unsigned_abs() as usize, place);
                        }
                    }
                }
            }
        }
    }
}

/// The output.
pub fn forward<T: Entry>(numbers: &ConvNumbers, x: &[T], weight: &[T]) -> Vec<T> {
    let mut result = vec![T::ZERO; numbers.output.entries()];
    products(numbers, |input, filter, output| result[output] += x[input] * weight[filter]);
    result
}

/// The gradient of the input.
pub fn data_gradient<T: Entry>(numbers: &ConvNumbers, weight: &[T], gradient: &[T]) -> Vec<T> {
    let mut result = vec![T::ZERO; numbers.input.entries()];
    products(numbers, |input, filter, output| result[input] += gradient[output] * weight[filter]);
    result
}

/// The gradient of the filter.
pub fn filter_gradient<T: Entry>(numbers: &ConvNumbers, x: &[T], gradient: &[T]) -> Vec<T> {
    let mut result = vec![T::ZERO; numbers.filter_entries()];
    products(numbers, |input, filter, output| result[filter] += x[input] * gradient[output]);
    result
}
