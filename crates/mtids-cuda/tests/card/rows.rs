//! Soft-max and its logarithms.

use mtids_cuda::rows::{log_softmax, log_sum_exp, softmax};

use super::{Comparison, Device, gradients};

fn compare_all(device: Device) {
    let mut comparison = Comparison::on(device);
    let kinds = [("soft-max", softmax as fn(&_) -> _), ("logarithm", log_softmax), ("sum", log_sum_exp)];
    for (kind, operation) in kinds {
        for dims in [&[3, 5][..], &[300, 1], &[2, 130, 7], &[4], &[1000, 33]] {
            for shifted in [false, true] {
                comparison.of(&format!("{kind} {dims:?} shifted {shifted}"), |place| {
                    let (whole, x) = place.part_of(dims, 1, shifted);
                    let y = operation(&(x * 6.0).unwrap()).unwrap();
                    let slopes = gradients(place, &y, &[("gradient", &whole)]);
                    std::iter::once(("values", y)).chain(slopes).collect()
                });
            }
        }
    }
    comparison.end();
}

#[test]
fn comparisons_hold_on_the_host() {
    compare_all(Device::Cpu);
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn rows_give_the_numbers_of_the_cpu() {
    compare_all(super::card());
}
