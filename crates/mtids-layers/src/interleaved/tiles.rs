//! Tiles of interleaved maps to the domain of minimal filtering and back.
//!
//! Purpose: a cell is [`LANES`] samples, so an entry of a tile is whole vectors and a tile is transformed where it lies, without
//! being gathered first. Invariants: cells beyond the map are zero when read and left out when written.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::product::load;
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
    /// Distances of points and of tiles.
    point: usize,
    step: usize,
    map: PhantomData<M>,
}

impl<'a, T: Real, M: Axis<A, B>, const A: usize, const B: usize> Read<'a, T, M, A, B> {
    /// Entry `(i, j)` of tile `t` goes to `(i * B + j) * point + t * step` of `to`.
    pub(super) fn run(
        slice: Option<&'a [T]>,
        size: [usize; 2],
        (corner, padding): ([usize; 2], [usize; 2]),
        tiles: usize,
        to: &'a mut [T],
        [point, step]: [usize; 2],
    ) {
        Arch::new().dispatch(Self { slice, size, corner, padding, tiles, to, point, step, map: PhantomData });
    }
}

impl<T: Real, M: Axis<A, B>, const A: usize, const B: usize> WithSimd for Read<'_, T, M, A, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slice, size: [height, width], corner, padding, tiles, to, point, step, .. } = self;
        let Some(slice) = slice else {
            for index in 0..B * B {
                for tile in 0..tiles {
                    to[index * point + tile * step..][..LANES].fill(T::zero());
                }
            }
            return;
        };
        let zero = T::splat(simd, T::zero());
        let lanes = T::lanes::<S>();
        // A line outside is an empty one.
        let mut lines: [&[T]; A] = [&[]; A];
        for (i, line) in lines.iter_mut().enumerate() {
            let y = (corner[0] + i).wrapping_sub(padding[0]);
            if y < height {
                *line = &slice[y * width * LANES..][..width * LANES];
            }
        }
        // Written before it is read in each tile; zeros in each would cost as much as a map.
        let mut middle = [[zero; A]; B];
        for tile in 0..tiles {
            for lane in (0..LANES).step_by(lanes) {
                for j in 0..A {
                    let x = (corner[1] + tile * TILE + j).wrapping_sub(padding[1]);
                    let mut column = [zero; A];
                    if x < width {
                        for i in 0..A {
                            if !lines[i].is_empty() {
                                column[i] = load::<T, S>(lines[i], x * LANES + lane);
                            }
                        }
                    }
                    let column = M::map::<T, S>(simd, column);
                    for i in 0..B {
                        middle[i][j] = column[i];
                    }
                }
                for i in 0..B {
                    let row = M::map::<T, S>(simd, middle[i]);
                    for j in 0..B {
                        let start = (i * B + j) * point + tile * step + lane;
                        T::vectors_mut::<S>(&mut to[start..start + lanes]).0[0] = row[j];
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
        let mut middle = [[zero; EDGE]; TILE];
        let height = self.lines.len() / (self.width * LANES);
        for tile in 0..self.tiles {
            let first = self.column + tile * TILE;
            for lane in (0..LANES).step_by(lanes) {
                for j in 0..EDGE {
                    let mut column = [zero; EDGE];
                    for i in 0..EDGE {
                        column[i] = load::<T, S>(self.from, (i * EDGE + j) * self.point + tile * LANES + lane);
                    }
                    let column = <Output as Axis<EDGE, TILE>>::map::<T, S>(simd, column);
                    for i in 0..TILE {
                        middle[i][j] = column[i];
                    }
                }
                for i in 0..TILE {
                    let row = <Output as Axis<EDGE, TILE>>::map::<T, S>(simd, middle[i]);
                    for j in 0..TILE {
                        if i < height && first + j < self.width {
                            let start = (i * self.width + first + j) * LANES + lane;
                            let target = &mut T::vectors_mut::<S>(&mut self.lines[start..start + lanes]).0[0];
                            *target = if self.add { T::plus(simd, *target, row[j]) } else { row[j] };
                        }
                    }
                }
            }
        }
    }
}
