//! Pooling against its definition, its composed form and differences.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;

use super::window::{Kind, Regions, WindowOp};
use super::*;

fn tensor(shape: &[usize], levels: f64) -> Tensor {
    let value = |n: usize| (((n * 7919 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0) * levels;
    // Few levels give equal cells, as a rectifier does.
    let values: Vec<f64> =
        (0..shape.iter().product()).map(|n| if levels > 9.0 { value(n) } else { value(n).round() }).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn windows_and_grids_equal_their_composed_form(
        grid: bool, size in prop::array::uniform3(1usize..7), kernel in prop::array::uniform3(1usize..4),
        stride in prop::array::uniform3(1usize..4), padding in prop::array::uniform3(0usize..2), average: bool, levels in prop::sample::select(vec![2.0, 100.0]),
    ) {
        let regions = if grid {
            Regions::Grid(kernel)
        } else {
            Regions::Windows(Windows { kernel, stride, padding: [0, 1, 2].map(|axis| padding[axis].min(kernel[axis] - 1)) })
        };
        let kind = if average { Kind::Average } else { Kind::Maximum };
        let x = Var::from_tensor(&tensor(&[2, 3, size[0], size[1], size[2]], levels)).unwrap();
        let op = WindowOp { regions, kind };
        prop_assume!(op.check(x.dims()).is_ok());
        let run = |pool: &dyn Fn() -> Result<Tensor>| {
            let y = pool().unwrap();
            let store = (&y * tensor(y.dims(), 50.0)).unwrap().sum_all().unwrap().backward().unwrap();
            (flat(&y), flat(store.get(&x).unwrap()))
        };
        let ours = run(&|| pool_regions(&x, regions, kind));
        let other = run(&|| composed::pool(&x, &op));
        for (a, b) in ours.0.iter().chain(&ours.1).zip(other.0.iter().chain(&other.1)) {
            prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}

#[test]
fn a_small_example_by_hand() {
    let x = Var::from_vec(vec![1f64, 5.0, 2.0, 5.0, 0.0, 3.0, 7.0, -1.0, 4.0], (1, 1, 3, 3), &Device::Cpu).unwrap();
    let largest = max_pool(&x, &Windows::<2>::new(2, 1, 0)).unwrap();
    assert_eq!(flat(&largest), [5.0, 5.0, 7.0, 4.0]);
    // The first of two equal cells gets the gradient: cell 1 for both windows of the first row.
    let gradient = largest.sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(gradient.get(&x).unwrap()), [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    let mean = average_pool(&x, &Windows::<2>::new(2, 2, 1)).unwrap();
    assert_eq!(flat(&mean), [1.0, 3.5, 6.0, 1.5]);
    assert_eq!(flat(&global_max_pool(&x).unwrap()), [7.0]);
    assert!((flat(&global_average_pool(&x).unwrap())[0] - 26.0 / 9.0).abs() < 1e-12);
    assert!(max_pool(&x, &Windows::<2>::new(1, 1, 1)).is_err(), "a window would lie outside");
    assert!(max_pool(&x, &Windows::<3>::new(1, 1, 0)).is_err());
}

#[test]
fn a_nan_is_not_lost() {
    let x = Tensor::new(&[[[[1f64, f64::NAN, 2.0]]]], &Device::Cpu).unwrap();
    assert!(flat(&global_max_pool(&x).unwrap())[0].is_nan());
}
