//! One convolution on interleaved maps by the quicker of two algorithms, and its gradients.
//!
//! Purpose: minimal filtering where it saves multiplications (`winograd::suits`), the definition everywhere else. Invariants:
//! the batch of a [`Geometry`] counts bundles here; the choice depends on sizes only, and not on the batch.

use super::buffer::Buffer;
use super::{direct, winograd};
use crate::geometry::Geometry;
use crate::kernels::{LANES, Real};

/// Whether the engine knows this convolution: any but those of several groups.
pub(crate) fn serves(g: &Geometry) -> bool {
    g.groups == 1
}

/// `[bundles][O][cells][LANES]` from `x` `[bundles][C][plane][LANES]`.
pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Buffer<T> {
    if !winograd::suits(g) {
        return direct::forward(g, x, weight);
    }
    let mut y = Buffer::new(g.batch * g.out_sample() * LANES);
    winograd::forward(g, x, weight, &mut y, false);
    y
}

/// Writes the gradient of the weight.
pub(crate) fn backward_weight<T: Real>(g: &Geometry, x: &[T], gradient: &[T], weight: &mut [T]) {
    if winograd::suits(g) {
        winograd::backward_weight(g, x, gradient, weight);
    } else {
        direct::backward_weight(g, x, gradient, weight);
    }
}

/// Adds the gradient of the input to `input`, or writes it.
pub(crate) fn backward_input<T: Real>(g: &Geometry, weight: &[T], gradient: &[T], input: &mut [T], add: bool) {
    if winograd::suits(g) {
        winograd::backward_input(g, weight, gradient, input, add);
    } else {
        direct::backward_input(g, weight, gradient, input, add);
    }
}

/// Space for an input map or its gradient.
pub(crate) fn input<T: Real>(g: &Geometry) -> Buffer<T> {
    Buffer::new(g.batch * g.sample() * LANES)
}
