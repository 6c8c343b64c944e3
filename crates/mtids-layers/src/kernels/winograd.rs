//! Winograd's minimal filtering F(4 × 4, 3 × 3): the linear maps between tiles and the domain where convolution is a product.
//!
//! Purpose: a 3 × 3 convolution of a 6 × 6 tile gives 4 × 4 outputs by `Y = Aᵀ [(G g Gᵀ) ∘ (Bᵀ d B)] A`, 36 products where
//! the definition needs 144 (Winograd 1980; Lavin and Gray, arXiv 1509.09308). The matrices follow from the interpolation
//! points 0, ±p, ±q and infinity (Toom and Cook). Each map runs over many tiles at once: it takes planes (one per tile
//! entry, a tile per lane) to planes. Invariant: the maps of the backward pass are the exact transposes.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::Real;

/// The points p and q. With p q = 1 the matrices are balanced: over 64 channels in single precision the largest error was
/// 1.3e-6 of the largest output (direct sums: 0.8e-6), with 1 and 2, which are usual, 5.3e-6, with ½ and 1 4.0e-6.
const P: f64 = std::f64::consts::FRAC_1_SQRT_2;
const Q: f64 = std::f64::consts::SQRT_2;

/// Edge of a tile of outputs.
pub(crate) const TILE: usize = 4;
/// Edge of a tile of inputs.
pub(crate) const EDGE: usize = 6;
/// Entries of a tile of inputs.
pub(crate) const POINTS: usize = EDGE * EDGE;

/// One of the maps along one axis, from `A` to `B` entries.
pub(crate) trait Axis<const A: usize, const B: usize> {
    /// The map.
    fn map<T: Real, S: Simd>(simd: S, x: [T::Vector<S>; A]) -> [T::Vector<S>; B];
}

/// Bᵀ: input tile to domain.
pub(crate) struct Data;
/// Aᵀ: domain to output tile.
pub(crate) struct Output;
/// A: gradient of an output tile to domain.
pub(crate) struct Spread;
/// G: filter to domain.
pub(crate) struct Filter;
/// Gᵀ: domain to gradient of the filter.
pub(crate) struct FilterGradient;

#[inline(always)]
fn constant<T: Real, S: Simd>(simd: S, value: f64) -> T::Vector<S> {
    T::splat(simd, T::narrow(value))
}

/// `(a + b, a - b)`.
#[inline(always)]
fn both<T: Real, S: Simd>(simd: S, a: T::Vector<S>, b: T::Vector<S>) -> (T::Vector<S>, T::Vector<S>) {
    (T::plus(simd, a, b), T::minus(simd, a, b))
}

impl Axis<6, 6> for Data {
    #[inline(always)]
    fn map<T: Real, S: Simd>(simd: S, d: [T::Vector<S>; 6]) -> [T::Vector<S>; 6] {
        let c = |value| constant::<T, S>(simd, value);
        let fma = |a, b, c| T::mul_add(simd, a, b, c);
        let (p2, q2) = (c(-P * P), c(-Q * Q));
        let even = |factor| fma(factor, d[2], d[4]);
        let odd = |factor| fma(factor, d[1], d[3]);
        let (r1, r2) = both::<T, S>(simd, even(q2), T::times(simd, c(P), odd(q2)));
        let (r3, r4) = both::<T, S>(simd, even(p2), T::times(simd, c(Q), odd(p2)));
        let ends = |a, b, e| fma(c(P * P * Q * Q), a, fma(c(-P * P - Q * Q), b, e));
        [ends(d[0], d[2], d[4]), r1, r2, r3, r4, ends(d[1], d[3], d[5])]
    }
}

impl Axis<6, 4> for Output {
    #[inline(always)]
    fn map<T: Real, S: Simd>(simd: S, m: [T::Vector<S>; 6]) -> [T::Vector<S>; 4] {
        let c = |value| constant::<T, S>(simd, value);
        let (s1, d1) = both::<T, S>(simd, m[1], m[2]);
        let (s2, d2) = both::<T, S>(simd, m[3], m[4]);
        let mix = |f: f64, a, g: f64, b| T::mul_add(simd, c(f), a, T::times(simd, c(g), b));
        [
            T::plus(simd, m[0], T::plus(simd, s1, s2)),
            mix(P, d1, Q, d2),
            mix(P * P, s1, Q * Q, s2),
            T::plus(simd, m[5], mix(P * P * P, d1, Q * Q * Q, d2)),
        ]
    }
}

impl Axis<4, 6> for Spread {
    #[inline(always)]
    fn map<T: Real, S: Simd>(simd: S, y: [T::Vector<S>; 4]) -> [T::Vector<S>; 6] {
        let c = |value| constant::<T, S>(simd, value);
        let pair = |p: f64| {
            let even = T::mul_add(simd, c(p * p), y[2], y[0]);
            let odd = T::mul_add(simd, c(p * p * p), y[3], T::times(simd, c(p), y[1]));
            both::<T, S>(simd, even, odd)
        };
        let ((m1, m2), (m3, m4)) = (pair(P), pair(Q));
        [y[0], m1, m2, m3, m4, y[3]]
    }
}

/// `1 / (2 p² (p² − q²))`, the weight of the points ±p.
fn share(p: f64, q: f64) -> f64 {
    1.0 / (2.0 * p * p * (p * p - q * q))
}

impl Axis<3, 6> for Filter {
    #[inline(always)]
    fn map<T: Real, S: Simd>(simd: S, g: [T::Vector<S>; 3]) -> [T::Vector<S>; 6] {
        let c = |value| constant::<T, S>(simd, value);
        let pair = |p: f64, share: f64| {
            let even = T::mul_add(simd, c(share * p * p), g[2], T::times(simd, c(share), g[0]));
            both::<T, S>(simd, even, T::times(simd, c(share * p), g[1]))
        };
        let ((r1, r2), (r3, r4)) = (pair(P, share(P, Q)), pair(Q, share(Q, P)));
        [T::times(simd, c(1.0 / (P * P * Q * Q)), g[0]), r1, r2, r3, r4, g[2]]
    }
}

impl Axis<6, 3> for FilterGradient {
    #[inline(always)]
    fn map<T: Real, S: Simd>(simd: S, r: [T::Vector<S>; 6]) -> [T::Vector<S>; 3] {
        let c = |value| constant::<T, S>(simd, value);
        let (s1, d1) = both::<T, S>(simd, r[1], r[2]);
        let (s2, d2) = both::<T, S>(simd, r[3], r[4]);
        let (a, b) = (share(P, Q), share(Q, P));
        let mix = |f: f64, x, g: f64, y| T::mul_add(simd, c(f), x, T::times(simd, c(g), y));
        [
            T::mul_add(simd, c(1.0 / (P * P * Q * Q)), r[0], mix(a, s1, b, s2)),
            mix(a * P, d1, b * Q, d2),
            T::plus(simd, r[5], mix(a * P * P, s1, b * Q * Q, s2)),
        ]
    }
}

/// One map along both axes of many tiles: entry `(i, j)` of tile `t` lies at `(i * A + j) * from_plane + t` of `from`, and
/// at `(i * B + j) * to_plane + t` of `to`.
pub(crate) struct Tiles<'a, T, M, const A: usize, const B: usize> {
    from: &'a [T],
    from_plane: usize,
    to: &'a mut [T],
    to_plane: usize,
    tiles: usize,
    map: PhantomData<M>,
}

/// Runs a map over `tiles` tiles, a multiple of [`super::LANES`]; see [`Tiles`].
pub(crate) fn transform<T: Real, M: Axis<A, B>, const A: usize, const B: usize>(
    from: &[T],
    from_plane: usize,
    to: &mut [T],
    to_plane: usize,
    tiles: usize,
) {
    Arch::new().dispatch(Tiles::<T, M, A, B> { from, from_plane, to, to_plane, tiles, map: PhantomData });
}

impl<T: Real, M: Axis<A, B>, const A: usize, const B: usize> WithSimd for Tiles<'_, T, M, A, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = T::splat(simd, T::zero());
        let lanes = T::lanes::<S>();
        for tile in (0..self.tiles).step_by(lanes) {
            let mut middle = [[zero; A]; B];
            for j in 0..A {
                let column = std::array::from_fn(|i| {
                    let start = (i * A + j) * self.from_plane + tile;
                    T::vectors::<S>(&self.from[start..start + lanes]).0[0]
                });
                for (row, value) in middle.iter_mut().zip(M::map::<T, S>(simd, column)) {
                    row[j] = value;
                }
            }
            for (i, row) in middle.into_iter().enumerate() {
                for (j, value) in M::map::<T, S>(simd, row).into_iter().enumerate() {
                    let start = (i * B + j) * self.to_plane + tile;
                    T::vectors_mut::<S>(&mut self.to[start..start + lanes]).0[0] = value;
                }
            }
        }
    }
}
