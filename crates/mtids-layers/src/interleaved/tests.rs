//! Interleaved convolutions against those on plain maps, which are tested against their definition.

use proptest::prelude::*;

use super::*;
use crate::conv::winograd::suits;
use crate::conv::{Geometry, output_size};

fn numbers<T: Real>(count: usize, seed: u64) -> Vec<T> {
    (0..count as u64)
        .map(|n| T::narrow(((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0))
        .collect()
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let axes = prop::array::uniform3::<std::ops::Range<usize>>;
    (1..40_usize, 1..12_usize, 1..12_usize, axes(1..10), axes(1..4), axes(1..4), axes(0..3)).prop_filter_map(
        "the kernel must fit",
        |(batch, inputs, outputs, size, kernel, stride, padding)| {
            let padding = [0, 1, 2].map(|axis| padding[axis].min(kernel[axis]));
            let out = [0, 1, 2].map(|axis| output_size(size[axis], kernel[axis], stride[axis], padding[axis], 1));
            let g =
                Geometry { batch, inputs, outputs, groups: 1, size, kernel, out, stride, padding, dilation: [1; 3] };
            (!out.contains(&0)).then_some(g)
        },
    )
}

fn planar_geometries() -> impl Strategy<Value = Geometry> {
    let axes = prop::array::uniform3::<std::ops::Range<usize>>;
    (1..40_usize, 8..20_usize, 8..20_usize, axes(3..15), 1..4_usize, axes(0..3)).prop_filter_map(
        "must suit minimal filtering",
        |(batch, inputs, outputs, size, depth, padding)| {
            let kernel = [depth, 3, 3];
            let padding = [padding[0].min(depth - 1), padding[1], padding[2]];
            let out = [0, 1, 2].map(|axis| output_size(size[axis], kernel[axis], 1, padding[axis], 1));
            let (stride, dilation) = ([1; 3], [1; 3]);
            let g = Geometry { batch, inputs, outputs, groups: 1, size, kernel, out, stride, padding, dilation };
            (!out.contains(&0) && suits(&g)).then_some(g)
        },
    )
}

/// Output, gradient of the input (written, then added once more) and gradient of the weight.
fn run<T: Real>(g: &Geometry, minimal: bool) -> [Vec<T>; 4] {
    let x = interleave(&numbers::<T>(g.batch * g.sample(), 1), g.batch);
    let weight = numbers::<T>(g.weights(), 2);
    let gradient = interleave(&numbers::<T>(g.batch * g.out_sample(), 3), g.batch);
    let bundled = Geometry { batch: bundles(g.batch), ..*g };
    let mut input = Buffer::new(x.len());
    let mut by_weight = numbers(weight.len(), 4);
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
    let (x, weight) = (numbers::<f64>(g.batch * g.sample(), 1), numbers::<f64>(g.weights(), 2));
    let gradient = numbers::<f64>(g.batch * g.out_sample(), 3);
    let (input, by_weight) = g.backward(&x, &weight, &gradient, true);
    let twice = input.iter().map(|value| 2.0 * value).collect();
    let expected = [g.forward(&x, &weight), input, twice, by_weight];
    for (which, (found, expected)) in run::<T>(g, minimal).into_iter().zip(expected).enumerate() {
        prop_assert_eq!(found.len(), expected.len());
        let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
        let error = found.iter().zip(&expected).map(|(a, b)| (a.widen() - b).abs()).fold(0.0, f64::max) / scale;
        prop_assert!(error <= precision, "result {}: {:e}", which, error);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn direct_convolutions_are_those_on_plain_maps(g in geometries()) {
        check::<f64>(&g, false, 1e-11)?;
        check::<f32>(&g, false, 1e-4)?;
    }

    #[test]
    fn minimal_filtering_is_that_on_plain_maps(g in planar_geometries()) {
        check::<f64>(&g, true, 1e-11)?;
        check::<f32>(&g, true, 1e-4)?;
    }

    #[test]
    fn interleaving_comes_back_and_fills_with_zeros(batch in 1_usize..40, cells in 1_usize..300) {
        let x = numbers::<f32>(batch * cells, 5);
        let interleaved = interleave(&x, batch);
        prop_assert_eq!(deinterleave(&interleaved, batch), x);
        let behind = interleaved.chunks_exact(LANES).skip((bundles(batch) - 1) * cells);
        let used = batch - (bundles(batch) - 1) * LANES;
        prop_assert!(behind.flat_map(|cell| &cell[used..]).all(|value| *value == 0.0));
    }
}
