//! Interleaved convolutions against their definition.

use proptest::prelude::*;

use super::buffer::Buffer;
use super::definition::{definition, numbers};
use super::layout::{bundles, deinterleave, interleave};
use super::{direct, winograd};
use crate::geometry::{Geometry, output_size};
use crate::kernels::{LANES, Real};

fn typed<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|value| T::narrow(*value)).collect()
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let axes = prop::array::uniform3::<std::ops::Range<usize>>;
    let steps = (axes(1..4), axes(1..3));
    (1..40_usize, 1..12_usize, 1..12_usize, axes(1..10), axes(1..4), steps, axes(0..4)).prop_filter_map(
        "the kernel must fit",
        |(batch, inputs, outputs, size, kernel, (stride, dilation), padding)| {
            let out = [0, 1, 2]
                .map(|axis| output_size(size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]));
            let g = Geometry { batch, inputs, outputs, groups: 1, size, kernel, out, stride, padding, dilation };
            (!out.contains(&0)).then_some(g)
        },
    )
}

fn planar_geometries() -> impl Strategy<Value = Geometry> {
    let axes = prop::array::uniform3::<std::ops::Range<usize>>;
    (1..20_usize, 8..20_usize, 8..20_usize, axes(3..15), 1..4_usize, axes(0..3)).prop_filter_map(
        "must suit minimal filtering",
        |(batch, inputs, outputs, size, depth, padding)| {
            let kernel = [depth, 3, 3];
            let padding = [padding[0].min(depth - 1), padding[1], padding[2]];
            let out = [0, 1, 2].map(|axis| output_size(size[axis], kernel[axis], 1, padding[axis], 1));
            let (stride, dilation) = ([1; 3], [1; 3]);
            let g = Geometry { batch, inputs, outputs, groups: 1, size, kernel, out, stride, padding, dilation };
            (!out.contains(&0) && winograd::suits(&g)).then_some(g)
        },
    )
}

/// Output, gradient of the input (written, then added once more) and gradient of the weight.
fn run<T: Real>(g: &Geometry, minimal: bool) -> [Vec<T>; 4] {
    let x = interleave(&typed::<T>(&numbers(g.batch * g.sample(), 1)), g.batch);
    let weight = typed::<T>(&numbers(g.weights(), 2));
    let gradient = interleave(&typed::<T>(&numbers(g.batch * g.out_sample(), 3)), g.batch);
    let bundled = Geometry { batch: bundles(g.batch), ..*g };
    let mut input = Buffer::new(x.len());
    let mut by_weight = typed(&numbers(weight.len(), 4));
    let output = if minimal {
        let mut output = Buffer::new(gradient.len());
        winograd::forward(&bundled, &x, &weight, &mut output, false);
        winograd::backward_weight(&bundled, &x, &gradient, &mut by_weight);
        winograd::backward_input(&bundled, &weight, &gradient, &mut input, false);
        output
    } else {
        direct::backward_weight(&bundled, &x, &gradient, &mut by_weight);
        direct::backward_input(&bundled, &weight, &gradient, &mut input, false);
        direct::forward(&bundled, &x, &weight)
    };
    let once = deinterleave(&input, g.batch);
    if minimal {
        winograd::backward_input(&bundled, &weight, &gradient, &mut input, true);
    } else {
        direct::backward_input(&bundled, &weight, &gradient, &mut input, true);
    }
    [deinterleave(&output, g.batch), once, deinterleave(&input, g.batch), by_weight]
}

fn check<T: Real>(g: &Geometry, minimal: bool, precision: f64) -> Result<(), TestCaseError> {
    let (x, weight) = (numbers(g.batch * g.sample(), 1), numbers(g.weights(), 2));
    let gradient = numbers(g.batch * g.out_sample(), 3);
    let [output, input, by_weight] = definition(g, &x, &weight, &gradient);
    let twice = input.iter().map(|value| 2.0 * value).collect();
    let expected = [output, input, twice, by_weight];
    for (which, (found, expected)) in run::<T>(g, minimal).into_iter().zip(expected).enumerate() {
        prop_assert_eq!(found.len(), expected.len());
        let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
        let error = found.iter().zip(&expected).map(|(a, b)| (a.widen() - b).abs()).fold(0.0, f64::max) / scale;
        prop_assert!(error <= precision, "result {}: {:e}", which, error);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn direct_convolutions_follow_their_definition(g in geometries()) {
        check::<f64>(&g, false, 1e-11)?;
        check::<f32>(&g, false, 1e-4)?;
    }

    #[test]
    fn minimal_filtering_follows_the_definition(g in planar_geometries()) {
        check::<f64>(&g, true, 1e-11)?;
        check::<f32>(&g, true, 1e-4)?;
    }

    #[test]
    fn interleaving_comes_back_and_fills_with_zeros(batch in 1_usize..40, cells in 1_usize..300) {
        let x = typed::<f32>(&numbers(batch * cells, 5));
        let interleaved = interleave(&x, batch);
        prop_assert_eq!(deinterleave(&interleaved, batch), x);
        let behind = interleaved.chunks_exact(LANES).skip((bundles(batch) - 1) * cells);
        let used = batch - (bundles(batch) - 1) * LANES;
        prop_assert!(behind.flat_map(|cell| &cell[used..]).all(|value| *value == 0.0));
    }
}
