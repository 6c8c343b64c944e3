//! Vectorised inner loops on the CPU, without unsafe code of our own.
//!
//! Purpose: the matrix products and transforms that the layers spend their time in. The vectors come from `pulp`, which
//! picks AVX-512, AVX2 and FMA, NEON or plain scalars when the program starts and is what candle's own products run on.
//! Invariants: one call runs on one thread and adds in an order that depends on sizes (and on the width of the machine's
//! vectors) only; callers divide work by shapes, so results never depend on the number of threads. Scratch memory belongs
//! to a thread and is used again, because fresh pages cost more than the arithmetic on them.

mod pool;
pub(crate) mod product;
mod scratch;
pub(crate) mod winograd;

use candle_core::WithDType;
use pulp::{Arch, Simd, WithSimd};

pub(crate) use pool::Pooled;
pub(crate) use scratch::{LINE, Scratch, aligned};

/// A floating-point type with vectors.
pub(crate) trait Real: WithDType + Scratch + Pooled {
    /// A vector of the machine `S`.
    type Vector<S: Simd>: Copy;

    /// In double precision. (candle's own conversion is a call that vector code cannot see through.)
    fn widen(self) -> f64;
    /// From double precision.
    fn narrow(value: f64) -> Self;
    /// All lanes equal.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    /// `a + b`.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a - b`.
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b`.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b + c`, rounded once where the machine can.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    /// Sum of the lanes.
    fn reduce<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
    /// A slice as vectors and a rest.
    fn vectors<S: Simd>(slice: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    /// A slice as vectors and a rest.
    fn vectors_mut<S: Simd>(slice: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);
    /// Entries of a vector.
    fn lanes<S: Simd>() -> usize;
}

macro_rules! real {
    ($type:ident, $vector:ident, $lanes:ident, [$splat:ident $add:ident $sub:ident $mul:ident $fma:ident $sum:ident $as:ident $as_mut:ident]) => {
        impl Real for $type {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            #[allow(clippy::unnecessary_cast, reason = "one of the two types is double precision")]
            fn widen(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast, reason = "one of the two types is double precision")]
            fn narrow(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$fma(a, b, c)
            }
            #[inline(always)]
            fn reduce<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$sum(a)
            }
            #[inline(always)]
            fn vectors<S: Simd>(slice: &[Self]) -> (&[S::$vector], &[Self]) {
                S::$as(slice)
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(slice: &mut [Self]) -> (&mut [S::$vector], &mut [Self]) {
                S::$as_mut(slice)
            }
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
        }
    };
}

real!(f32, f32s, F32_LANES, [splat_f32s add_f32s sub_f32s mul_f32s mul_add_f32s reduce_sum_f32s as_simd_f32s as_mut_simd_f32s]);
real!(f64, f64s, F64_LANES, [splat_f64s add_f64s sub_f64s mul_f64s mul_add_f64s reduce_sum_f64s as_simd_f64s as_mut_simd_f64s]);

/// A plain loop that the compiler may vectorise for the machine it runs on. (A closure would not do: it is compiled on its
/// own, for the oldest machine.) Implementations are `#[inline(always)]`.
pub(crate) trait Loop {
    /// Runs the loop.
    fn run(self);
}

/// Runs a loop compiled for the widest vectors there are.
pub(crate) fn vectorised<L: Loop>(task: L) {
    struct Wide<L>(L);

    impl<L: Loop> WithSimd for Wide<L> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) {
            self.0.run();
        }
    }

    Arch::new().dispatch(Wide(task));
}

/// Multiple of entries that every vector width divides.
pub(crate) const LANES: usize = 16;

/// A row length of at least `entries`: whole vectors, and an odd number of cache lines, so that rows below each other do
/// not fall into the same few sets of a cache.
pub(crate) fn row_length(entries: usize) -> usize {
    let rows = entries.div_ceil(LANES).max(1);
    (rows + usize::from(rows.is_multiple_of(2))) * LANES
}

/// `entries` rounded up to whole vectors.
pub(crate) fn whole(entries: usize) -> usize {
    entries.div_ceil(LANES) * LANES
}
