//! Convolutions against a loop written from the definition, against candle's operations, and against differences.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;

use super::geometry::Geometry;
use super::*;
use crate::kernels::Real;

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    (0..count as u64)
        .map(|n| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0)
        .collect()
}

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Output, gradient of the input and gradient of the weight, from the definition: `y = Σ w x`, each product visited once.
fn naive(g: &Geometry, x: &[f64], weight: &[f64], gradient: &[f64]) -> [Vec<f64>; 3] {
    let mut result = [vec![0.0; g.batch * g.out_sample()], vec![0.0; x.len()], vec![0.0; weight.len()]];
    let (outputs, members) = (g.outputs / g.groups, g.members());
    for sample in 0..g.batch {
        for output in 0..g.outputs {
            for cell in 0..g.cells() {
                let at = [cell / (g.out[1] * g.out[2]), cell / g.out[2] % g.out[1], cell % g.out[2]];
                let to = (sample * g.outputs + output) * g.cells() + cell;
                for member in 0..members {
                    for tap in 0..g.taps() {
                        let k = [tap / (g.kernel[1] * g.kernel[2]), tap / g.kernel[2] % g.kernel[1], tap % g.kernel[2]];
                        let place = [0, 1, 2].map(|axis| {
                            (at[axis] * g.stride[axis] + k[axis] * g.dilation[axis]).wrapping_sub(g.padding[axis])
                        });
                        if (0..3).all(|axis| place[axis] < g.size[axis]) {
                            let channel = output / outputs * members + member;
                            let plane = (place[0] * g.size[1] + place[1]) * g.size[2] + place[2];
                            let from = (sample * g.inputs + channel) * g.plane() + plane;
                            let by = (output * members + member) * g.taps() + tap;
                            result[0][to] += weight[by] * x[from];
                            result[1][from] += weight[by] * gradient[to];
                            result[2][by] += x[from] * gradient[to];
                        }
                    }
                }
            }
        }
    }
    result
}

fn axes(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(range)
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let settings = (axes(1..4), axes(0..3), axes(1..3), 1..4_usize, any::<bool>());
    (1..4_usize, 1..4_usize, 1..4_usize, axes(1..10), axes(1..4), settings).prop_filter_map(
        "the kernel must fit",
        |(batch, inputs, outputs, size, kernel, (stride, padding, dilation, groups, depthwise))| {
            let (inputs, groups) = (inputs * groups, if depthwise { inputs * groups } else { groups });
            let out = [0, 1, 2]
                .map(|axis| output_size(size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis]));
            let outputs = outputs * groups;
            let geometry = Geometry { batch, inputs, outputs, groups, size, kernel, out, stride, padding, dilation };
            (!out.contains(&0)).then_some(geometry)
        },
    )
}

/// Shapes that minimal filtering takes.
fn planar_geometries() -> impl Strategy<Value = Geometry> {
    (1..20_usize, 8..20_usize, 8..20_usize, axes(3..14), 1..4_usize, axes(0..3)).prop_filter_map(
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

struct Case {
    x: Vec<f64>,
    weight: Vec<f64>,
    gradient: Vec<f64>,
}

impl Case {
    fn new(g: &Geometry) -> Self {
        Self {
            x: numbers(g.batch * g.sample(), 1),
            weight: numbers(g.weights(), 2),
            gradient: numbers(g.batch * g.out_sample(), 3),
        }
    }

    fn run<T: Real>(&self, g: &Geometry) -> [Vec<f64>; 3] {
        let typed = |values: &[f64]| values.iter().map(|value| T::from_f64(*value)).collect::<Vec<T>>();
        let back = |values: Vec<T>| values.into_iter().map(T::to_f64).collect::<Vec<f64>>();
        let (x, weight, gradient) = (typed(&self.x), typed(&self.weight), typed(&self.gradient));
        let y = g.forward(&x, &weight);
        let (input, weights) = g.backward(&x, &weight, &gradient, true);
        let (none, same) = g.backward(&x, &weight, &gradient, false);
        assert!(
            none.is_empty() && same == weights,
            "the gradient of the weights does not depend on what else is asked"
        );
        [back(y), back(input), back(weights)]
    }

    fn check(&self, g: &Geometry) -> std::result::Result<(), TestCaseError> {
        let expected = naive(g, &self.x, &self.weight, &self.gradient);
        for (precision, found) in [(1e-9, self.run::<f64>(g)), (1e-4, self.run::<f32>(g))] {
            for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
                let error = distance(found, expected) / scale;
                prop_assert!(error <= precision, "result {which}: {error:e} of {precision:e}");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_convolution_equals_its_definition(g in geometries()) {
        Case::new(&g).check(&g)?;
    }

    #[test]
    fn the_composed_convolution_is_the_same_function(g in geometries()) {
        let options = ConvOptions { stride: g.stride, padding: g.padding, dilation: g.dilation, groups: g.groups };
        let shape = |a: usize, b: usize, rest: [usize; 3]| vec![a, b, rest[0], rest[1], rest[2]];
        let x = Var::from_tensor(&tensor(&shape(g.batch, g.inputs, g.size), 1)).unwrap();
        let weight = Var::from_tensor(&tensor(&shape(g.outputs, g.members(), g.kernel), 2)).unwrap();
        let mask = tensor(&shape(g.batch, g.outputs, g.out), 3);
        let run = |convolve: fn(&Tensor, &Tensor, &ConvOptions<3>) -> Result<Tensor>| {
            let y = convolve(&x, &weight, &options).unwrap();
            let store = (&y * &mask).unwrap().sum_all().unwrap().backward().unwrap();
            [flat(&y), flat(store.get(&x).unwrap()), flat(store.get(&weight).unwrap())]
        };
        for (ours, composed) in run(conv3d).iter().zip(&run(composed::conv3d)) {
            prop_assert!(distance(ours, composed) < 1e-9);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn minimal_filtering_equals_the_definition(g in planar_geometries()) {
        Case::new(&g).check(&g)?;
    }
}

#[test]
fn planar_layers_are_flat_volumes() {
    let options = ConvOptions { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 };
    let (x, weight) = (tensor(&[2, 4, 7, 9], 1), tensor(&[6, 2, 3, 3], 2));
    let y = conv2d(&x, &weight, &options).unwrap();
    assert_eq!(y.dims(), [2, 6, 4, 5]);
    assert!(distance(&flat(&y), &flat(&composed::conv2d(&x, &weight, &options.deep()).unwrap())) < 1e-12);
    assert!(conv2d(&x, &weight, &options.with_groups(3)).is_err());
    assert!(conv2d(&tensor(&[1, 4, 1, 1], 1), &weight, &options).is_err(), "the kernel does not fit");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for g in [[8, 12, 1, 20], [16, 16, 5, 9], [3, 8, 1, 30]].map(|[inputs, outputs, depth, side]| {
        let kernel = [depth.min(3), 3, 3];
        let size = [depth, side, side];
        let padding = kernel.map(|k| k / 2);
        let (stride, dilation) = ([1; 3], [1; 3]);
        Geometry { batch: 19, inputs, outputs, groups: 1, size, kernel, out: size, stride, padding, dilation }
    }) {
        let case = Case::new(&g);
        let on = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| case.run::<f32>(&g))
        };
        assert_eq!(on(1), on(5));
    }
}
