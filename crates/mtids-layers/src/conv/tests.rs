//! Convolutions against a loop written from the definition, against candle's operations, and against differences.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;

use super::*;
use crate::geometry::{Geometry, output_size};
use crate::interleaved::definition::{definition, numbers};

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
            (!out.contains(&0)).then_some(g)
        },
    )
}

fn options(g: &Geometry) -> ConvOptions<3> {
    ConvOptions { stride: g.stride, padding: g.padding, dilation: g.dilation, groups: g.groups }
}

/// Input `[B, C, ..]`, weight, and the gradient of the output.
fn tensors(g: &Geometry) -> [Tensor; 3] {
    let shape = |a: usize, b: usize, rest: [usize; 3]| [a, b, rest[0], rest[1], rest[2]];
    let [x, weight] = [shape(g.batch, g.inputs, g.size), shape(g.outputs, g.members(), g.kernel)];
    [tensor(&x, 1), tensor(&weight, 2), tensor(&shape(g.batch, g.outputs, g.out), 3)]
}

/// Output, gradient of the input and gradient of the weight.
fn run(g: &Geometry, dtype: DType) -> [Vec<f64>; 3] {
    let [x, weight, gradient] = tensors(g).map(|tensor| tensor.to_dtype(dtype).unwrap());
    let (x, weight) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&weight).unwrap());
    let pass = |x: &Tensor| {
        let y = conv3d(x, &weight, &options(g)).unwrap();
        let store = (&y * &gradient).unwrap().sum_all().unwrap().backward().unwrap();
        (flat(&y), store)
    };
    let (y, store) = pass(&x);
    let weights = flat(store.get(&weight).unwrap());
    let (_, other) = pass(&x.as_detached_tensor());
    assert_eq!(flat(other.get(&weight).unwrap()), weights, "it does not depend on what else is asked for");
    [y, flat(store.get(&x).unwrap()), weights]
}

fn check(g: &Geometry) -> std::result::Result<(), TestCaseError> {
    let [x, weight, gradient] = tensors(g).map(|tensor| flat(&tensor));
    let expected = definition(g, &x, &weight, &gradient);
    for (precision, dtype) in [(1e-9, DType::F64), (1e-4, DType::F32)] {
        for (which, (found, expected)) in run(g, dtype).iter().zip(&expected).enumerate() {
            let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
            let error = distance(found, expected) / scale;
            prop_assert!(error <= precision, "result {which}: {error:e} of {precision:e}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_convolution_equals_its_definition(g in geometries()) {
        check(&g)?;
    }

    #[test]
    fn the_composed_convolution_is_the_same_function(g in geometries()) {
        let [x, weight, mask] = tensors(&g);
        let (x, weight) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&weight).unwrap());
        let run = |convolve: fn(&Tensor, &Tensor, &ConvOptions<3>) -> Result<Tensor>| {
            let y = convolve(&x, &weight, &options(&g)).unwrap();
            let store = (&y * &mask).unwrap().sum_all().unwrap().backward().unwrap();
            [flat(&y), flat(store.get(&x).unwrap()), flat(store.get(&weight).unwrap())]
        };
        for (ours, composed) in run(conv3d).iter().zip(&run(composed::conv3d)) {
            prop_assert!(distance(ours, composed) < 1e-9);
        }
    }

    #[test]
    fn what_cudnn_is_told_is_the_same_function(g in geometries()) {
        // On the CPU the operation for GPUs runs from the definition, with the numbers of its descriptors.
        let [x, weight, mask] = tensors(&g);
        let (x, weight) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&weight).unwrap());
        let run = |convolve: fn(&Tensor, &Tensor, &ConvOptions<3>) -> Result<Tensor>| {
            let y = convolve(&x, &weight, &options(&g)).unwrap();
            let store = (&y * &mask).unwrap().sum_all().unwrap().backward().unwrap();
            [flat(&y), flat(store.get(&x).unwrap()), flat(store.get(&weight).unwrap())]
        };
        let told = run(|x, weight, options| by_library(x, weight, options, Computation::default()));
        for (ours, told) in run(conv3d).iter().zip(&told) {
            prop_assert!(distance(ours, told) < 1e-9);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn minimal_filtering_equals_the_definition(g in planar_geometries()) {
        check(&g)?;
    }
}

#[test]
fn planar_layers_are_flat_volumes() {
    let options = ConvOptions { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 };
    let (x, weight) = (tensor(&[2, 4, 7, 9], 1), tensor(&[6, 2, 3, 3], 2));
    let y = conv2d(&x, &weight, &options).unwrap();
    assert_eq!(y.dims(), [2, 6, 4, 5]);
    assert!(distance(&flat(&y), &flat(&composed::conv2d(&x, &weight, &options.deep()).unwrap())) < 1e-12);
    assert!(distance(&flat(&y), &flat(&by_library(&x, &weight, &options, Computation::default()).unwrap())) < 1e-12);
    assert!(conv2d(&x, &weight, &options.with_groups(3)).is_err());
    assert!(by_library(&x, &weight, &options.with_groups(3), Computation::default()).is_err());
    assert!(conv2d(&tensor(&[1, 4, 1, 1], 1), &weight, &options).is_err(), "the kernel does not fit");
}

#[test]
fn the_operation_for_gpus_computes_the_gradients_that_are_needed() {
    let (x, weight) = (tensor(&[2, 4, 7, 9], 1), tensor(&[6, 4, 3, 3], 2));
    let (variable, weights) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&weight).unwrap());
    let walk = |x: &Tensor, weight: &Tensor| {
        let y = by_library(x, weight, &ConvOptions::<2>::new(2, 1), Computation::default()).unwrap();
        y.sqr().unwrap().sum_all().unwrap().backward().unwrap()
    };
    let (both, images, frozen) = (walk(&variable, &weights), walk(&x, &weights), walk(&variable, &weight));
    assert!(images.get(&x).is_none() && frozen.get(&weight).is_none());
    assert_eq!(flat(images.get(&weights).unwrap()), flat(both.get(&weights).unwrap()));
    assert_eq!(flat(frozen.get(&variable).unwrap()), flat(both.get(&variable).unwrap()));
    // A view with an offset is read from its start.
    let part = tensor(&[5, 4, 7, 9], 1).narrow(0, 2, 2).unwrap();
    let of = |x: &Tensor| flat(&by_library(x, &weight, &ConvOptions::<2>::new(2, 1), Computation::default()).unwrap());
    assert_eq!(of(&part), of(&part.copy().unwrap()));
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
        let on = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| run(&g, DType::F32))
        };
        assert_eq!(on(1), on(5));
    }
}
