//! Moments and batch norm, alone and of a sum, rectified and not, in training and evaluation.

use candle_core::Var;
use mtids_cuda::norm::{Moments, batch_norm, batch_norm_of_sum, moments};

use super::{Comparison, Device, Named, Place, gradients};

/// Shapes of maps: one value for each thread and less, odd numbers of cells, several runs for each channel.
const SMALL: [&[usize]; 5] = [&[2, 8, 5], &[3, 5, 7, 9], &[5, 3, 33, 31], &[2, 130, 3, 3, 3], &[9, 2, 31, 33]];
/// Of a training: 64 runs for each channel, 3, and more channels than blocks fill a card.
#[cfg(feature = "cuda")]
const LARGE: [&[usize]; 3] = [&[64, 16, 8, 32, 32], &[64, 128, 6, 6, 6], &[16, 1100, 5, 5]];

/// How a norm is asked for.
#[derive(Clone, Copy, Debug)]
struct Case {
    training: bool,
    rectified: bool,
    of_sum: bool,
    shifted: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    (0..16).map(|n| Case { training: n & 1 > 0, rectified: n & 2 > 0, of_sum: n & 4 > 0, shifted: n & 8 > 0 })
}

/// A norm of a map with its moments and gradients. With `slopes` false a rectified one is without gradients: among millions of entries some are so near to
/// 0 that rounding opens or closes the rectifier.
fn run(place: &Place, dims: &[usize], case: Case, slopes: bool) -> Vec<Named> {
    let Case { training, rectified, of_sum, shifted } = case;
    let channels = dims[1];
    let (whole, x) = place.part_of(dims, 1, shifted);
    let (other, base) = place.part_of(dims, 2, shifted);
    let affine = |seed: usize| Var::from_tensor(&(place.tensor(&[channels], seed) + 1.2).unwrap()).unwrap();
    let (weight, bias) = (affine(3), affine(4));
    let found = moments(&x).unwrap();
    let mut results = vec![("mean", found.mean.clone()), ("variance", found.variance.clone())];
    let used = if training {
        found
    } else {
        let mean = (place.tensor(&[channels], 5) * 0.2).unwrap();
        Moments { mean, variance: (place.tensor(&[channels], 6) + 1.5).unwrap(), follows: false }
    };
    let y = if of_sum {
        batch_norm_of_sum(&x, [&weight, &bias], &used, &base, rectified).unwrap()
    } else {
        batch_norm(&x, &weight, &bias, &used, rectified).unwrap()
    };
    results.push(("norm", y.clone()));
    if slopes || !rectified {
        let mut of = vec![("map's gradient", &whole), ("weight's gradient", &weight), ("bias's gradient", &bias)];
        if of_sum {
            of.push(("gradient of what is added", &other));
        }
        results.extend(gradients(place, &y, &of));
    }
    results
}

fn compare_all(device: Device, groups: &[(&[&[usize]], bool)]) {
    let mut comparison = Comparison::on(device);
    for &(shapes, slopes) in groups {
        for dims in shapes {
            for case in cases() {
                comparison.of(&format!("{dims:?} {case:?}"), |place| run(place, dims, case, slopes));
            }
        }
    }
    comparison.end();
}

#[test]
fn comparisons_hold_on_the_host() {
    compare_all(Device::Cpu, &[(&SMALL, true)]);
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn norms_give_the_numbers_of_the_cpu() {
    compare_all(super::card(), &[(&SMALL, true), (&LARGE, false)]);
}
