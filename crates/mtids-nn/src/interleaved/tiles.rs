//! Tiles of interleaved maps to the domain of minimal filtering and back.
//!
//! Purpose: a cell is [`LANES`] samples, so an entry of a tile is whole vectors and a tile is transformed where it lies, without
//! being gathered first. Invariants: cells beyond the map are zero when read and left out when written.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::winograd::{Axis, EDGE, Output, TILE};
use crate::kernels::{LANES, Real};

/// Reads neighbouring tiles of one slice of one channel and maps them from `A × A` to `B × B` entries.
pub(super) struct Read<'a, T, M, const A: usize, const B: usize> {
    /// The slice, or nothing (all zero).
    slice: Option<&'a [T]>,
    /// Height and width.
    size: [usize; 2],
    /// First line and column of the first tile, `padding` cells further on than they lie.
    corner: [usize; 2],
    padding: [usize; 2],
    tiles: usize,
    to: &'a mut [T],
    point: usize,
    map: PhantomData<M>,
}

impl<'a, T: Real, M: Axis<A, B>, const A: usize, const B: usize> Read<'a, T, M, A, B> {
    /// Entry `(i, j)` of tile `t` goes to `(i * B + j) * point + t * LANES` of `to`.
    pub(super) fn run(
        slice: Option<&'a [T]>,
        size: [usize; 2],
        (corner, padding): ([usize; 2], [usize; 2]),
        tiles: usize,
        to: &'a mut [T],
        point: usize,
    ) {
        Arch::new().dispatch(Self { slice, size, corner, padding, tiles, to, point, map: PhantomData });
    }
}

impl<T: Real, M: Axis<A, B>, const A: usize, const B: usize> WithSimd for Read<'_, T, M, A, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slice, size: [height, width], corner, padding, tiles, to, point, .. } = self;
        let length = tiles * LANES;
        let Some(slice) = slice else {
            for index in 0..B * B {
                to[index * point..][..length].fill(T::zero());
            }
            return;
        };
        let zero = T::splat(simd, T::zero());
        let lanes = T::lanes::<S>();
        // A line outside is an empty one.
        let lines: [&[T]; A] = std::array::from_fn(|i| {
            let y = (corner[0] + i).wrapping_sub(padding[0]);
            if y < height { &slice[y * width * LANES..][..width * LANES] } else { &slice[..0] }
        });
        for tile in 0..tiles {
            let columns: [usize; A] = std::array::from_fn(|j| (corner[1] + tile * TILE + j).wrapping_sub(padding[1]));
            for lane in (0..LANES).step_by(lanes) {
                let mut middle = [[zero; A]; B];
                for j in 0..A {
                    if columns[j] >= width {
                        continue;
                    }
                    let start = columns[j] * LANES + lane;
                    let column = std::array::from_fn(|i| match lines[i].get(start..start + lanes) {
                        Some(cell) => T::vectors::<S>(cell).0[0],
                        None => zero,
                    });
                    for (row, value) in middle.iter_mut().zip(M::map::<T, S>(simd, column)) {
                        row[j] = value;
                    }
                }
                for (i, row) in middle.into_iter().enumerate() {
                    for (j, value) in M::map::<T, S>(simd, row).into_iter().enumerate() {
                        let start = (i * B + j) * point + tile * LANES + lane;
                        T::vectors_mut::<S>(&mut to[start..start + lanes]).0[0] = value;
                    }
                }
            }
        }
    }
}

/// Maps neighbouring tiles from the domain to outputs.
pub(super) struct Write<'a, T> {
    /// Entry `(i, j)` of tile `t` at `(i * EDGE + j) * point + t * LANES`.
    pub from: &'a [T],
    pub point: usize,
    pub tiles: usize,
    /// Up to [`TILE`] lines of a slice.
    pub lines: &'a mut [T],
    pub width: usize,
    /// First column of the first tile.
    pub column: usize,
    /// Whether outputs are added to what is there.
    pub add: bool,
}

impl<T: Real> Write<'_, T> {
    /// Does it.
    pub(super) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<T: Real> WithSimd for Write<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = T::splat(simd, T::zero());
        let lanes = T::lanes::<S>();
        for tile in 0..self.tiles {
            let first = self.column + tile * TILE;
            for lane in (0..LANES).step_by(lanes) {
                let mut middle = [[zero; EDGE]; TILE];
                for j in 0..EDGE {
                    let column = std::array::from_fn(|i| {
                        let start = (i * EDGE + j) * self.point + tile * LANES + lane;
                        T::vectors::<S>(&self.from[start..start + lanes]).0[0]
                    });
                    for (row, value) in middle.iter_mut().zip(<Output as Axis<EDGE, TILE>>::map::<T, S>(simd, column)) {
                        row[j] = value;
                    }
                }
                for (row, line) in middle.into_iter().zip(self.lines.chunks_exact_mut(self.width * LANES)) {
                    let values = <Output as Axis<EDGE, TILE>>::map::<T, S>(simd, row);
                    for (value, cell) in values.into_iter().zip(line[first * LANES..].chunks_exact_mut(LANES)) {
                        let target = &mut T::vectors_mut::<S>(&mut cell[lane..lane + lanes]).0[0];
                        *target = if self.add { T::plus(simd, *target, value) } else { value };
                    }
                }
            }
        }
    }
}
