//! Sums in double precision, in an order that depends on the length only.

use crate::kernels::Real;

/// `Σ term(i)` in double precision with eight running sums, so that the compiler can use vector registers.
#[inline(always)]
pub(super) fn sum<T: Real>(values: &[T], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value.widen());
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|value| term(value.widen())).sum::<f64>()
}

/// `(Σ a, Σ a (b − mean))`, likewise.
#[inline(always)]
pub(super) fn sums<T: Real>(a: &[T], b: &[T], mean: f64) -> (f64, f64) {
    let mut lanes = [[0f64; 8]; 2];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..8 {
            let value = a[lane].widen();
            lanes[0][lane] += value;
            lanes[1][lane] += value * (b[lane].widen() - mean);
        }
    }
    let mut totals = (lanes[0].iter().sum::<f64>(), lanes[1].iter().sum::<f64>());
    for (a, b) in a_rest.iter().zip(b_rest) {
        totals.0 += a.widen();
        totals.1 += a.widen() * (b.widen() - mean);
    }
    totals
}
