//! Matrix products over cells of interleaved maps.
//!
//! Purpose: [`Product`] is `C = A B` with A packed in panels of [`PANEL`] rows and B read at the cells of lines (a line is cells at a constant
//! distance, so a stride is only a distance); [`Dots`] is `C += A Bᵀ` with sums over cells and lanes. Method: a tile of C stays
//! in vector registers while the inner dimension, or the cells, run through. Invariant: every entry of C is added up in an
//! order that depends on sizes (and on the width of the machine's vectors) only.

#![allow(clippy::needless_range_loop, reason = "loops over the same lanes or rows of several small arrays")]

use pulp::{Arch, Simd, WithSimd};

use super::{LANES, Real};

/// Rows of A in one panel.
pub(crate) const PANEL: usize = 8;

/// Packs an `m × k` matrix, entry `(i, j)` at `i * strides[0] + j * strides[1]`, into panels `[m / 8][k][8]`, zero below.
pub(crate) fn pack<T: Real>(packed: &mut [T], matrix: &[T], [m, k]: [usize; 2], strides: [usize; 2]) {
    for (panel, packed) in packed[..packed_length(m, k)].chunks_exact_mut(k * PANEL).enumerate() {
        let first = panel * PANEL;
        let rows = PANEL.min(m - first);
        for (j, entries) in packed.chunks_exact_mut(PANEL).enumerate() {
            let start = first * strides[0] + j * strides[1];
            for (i, entry) in entries.iter_mut().enumerate() {
                *entry = if i < rows { matrix[start + i * strides[0]] } else { T::zero() };
            }
        }
    }
}

/// Length of a packed matrix.
pub(crate) fn packed_length(m: usize, k: usize) -> usize {
    m.div_ceil(PANEL) * PANEL * k
}

/// Runs the body for each row of an array of at most eight, written out: an array that is indexed by a variable lies in
/// memory instead of in registers, and a loop this long is not unrolled.
macro_rules! each_row {
    ($rows:expr, |$index:ident, $row:ident| $body:expr) => {
        each_row!(@ $rows, $index, $row, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $rows:expr, $index:ident, $row:ident, $body:expr, $($at:literal)*) => {
        $(if let Some(&$row) = $rows.get($at) {
            let $index = $at;
            $body
        })*
    };
}

/// Entries of a cell of a packed panel of [`Dots`].
pub(crate) const CELL: usize = PANEL * LANES;

/// The vector that starts at `at`. (Loops call it, not closures, which are compiled on their own, for the oldest machine.)
#[inline(always)]
pub(crate) fn load<T: Real, S: Simd>(entries: &[T], at: usize) -> T::Vector<S> {
    T::vectors::<S>(&entries[at..at + T::lanes::<S>()]).0[0]
}

/// `C = A B`, or `C += A B`.
pub(crate) struct Product<'a, T> {
    /// C: row `i` at `i * c_row`.
    pub c: &'a mut [T],
    /// Distance of rows of C.
    pub c_row: usize,
    /// Distance of the cells of a line of C.
    pub c_step: usize,
    /// Rows of C.
    pub m: usize,
    /// A, packed: panel `p` of [`PANEL`] rows starts at `p * a_panel`.
    pub a: &'a [T],
    /// Distance of panels.
    pub a_panel: usize,
    /// B: the cell of row `j` for a line's cell `i` starts at `rows[j] + line[0] + i * b_step`.
    pub b: &'a [T],
    /// Starts of B's rows; as many as A has columns.
    pub rows: &'a [usize],
    /// Distance of the cells of a line of B.
    pub b_step: usize,
    /// Starts of lines in B and in C.
    pub lines: &'a [[usize; 2]],
    /// Cells of a line.
    pub count: usize,
    /// Whether C is added to instead of written.
    pub add: bool,
}

impl<T: Real> Product<'_, T> {
    /// Computes it.
    pub(crate) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<T: Real> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut this = self;
        let lanes = T::lanes::<S>();
        for &[b, c] in this.lines {
            let mut cell = 0;
            while cell < this.count {
                // Three vectors side by side use the registers best; two and two are better than three and one.
                let taken = match this.count - cell {
                    1 => 1,
                    2 | 4 => 2,
                    _ => 3,
                };
                for lane in (0..LANES).step_by(lanes) {
                    let at = [b + cell * this.b_step + lane, c + cell * this.c_step + lane];
                    match taken {
                        1 => this.cells::<S, 1>(simd, at),
                        2 => this.cells::<S, 2>(simd, at),
                        _ => this.cells::<S, 3>(simd, at),
                    }
                }
                cell += taken;
            }
        }
    }
}

impl<T: Real> Product<'_, T> {
    #[inline(always)]
    fn cells<S: Simd, const N: usize>(&mut self, simd: S, at: [usize; 2]) {
        for first in (0..self.m).step_by(PANEL) {
            // 256-bit machines have 16 registers, enough for four rows of three vectors; wider ones have 32.
            if size_of::<T::Vector<S>>() > 32 {
                self.tile::<S, 8, N>(simd, first, 0, at);
            } else {
                self.tile::<S, 4, N>(simd, first, 0, at);
                if first + 4 < self.m {
                    self.tile::<S, 4, N>(simd, first, 4, at);
                }
            }
        }
    }

    /// Rows `first + offset..` of C, where `first` begins a panel.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        first: usize,
        offset: usize,
        [b_at, c_at]: [usize; 2],
    ) {
        let a = &self.a[first / PANEL * self.a_panel..][..self.rows.len() * PANEL];
        let sums = weighted::<T, S, M, N>(simd, (a, offset), (self.b, self.b_step), self.rows, b_at);
        let first = first + offset;
        each_row!(sums, |i, row| if first + i < self.m {
            self.store::<S, N>(simd, (first + i) * self.c_row + c_at, row);
        });
    }

    #[inline(always)]
    fn store<S: Simd, const N: usize>(&mut self, simd: S, mut start: usize, sums: [T::Vector<S>; N]) {
        for sum in sums {
            let target = &mut T::vectors_mut::<S>(&mut self.c[start..start + T::lanes::<S>()]).0[0];
            *target = if self.add { T::plus(simd, *target, sum) } else { sum };
            start += self.c_step;
        }
    }
}

/// Rows `offset..offset + M` of a panel times `N` vectors of B.
#[inline(always)]
fn weighted<T: Real, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (a, offset): (&[T], usize),
    (b, step): (&[T], usize),
    rows: &[usize],
    at: usize,
) -> [[T::Vector<S>; N]; M] {
    let lanes = T::lanes::<S>();
    let zero = T::splat(simd, T::zero());
    let mut sums = [[zero; N]; M];
    let (a, _) = a.as_chunks::<PANEL>();
    for (a, row) in a.iter().zip(rows) {
        let b = &b[row + at..][..(N - 1) * step + lanes];
        let mut vectors = [zero; N];
        for n in 0..N {
            vectors[n] = load::<T, S>(b, n * step);
        }
        for i in 0..M {
            let a = T::splat(simd, a[offset + i]);
            for n in 0..N {
                sums[i][n] = T::mul_add(simd, a, vectors[n], sums[i][n]);
            }
        }
    }
    sums
}

/// `C += A Bᵀ`: entry `(i, j)` gets the sum over cells and lanes.
pub(crate) struct Dots<'a, T> {
    /// C: entry `(i, j)` at `i * c_row + j`.
    pub c: &'a mut [T],
    /// Distance of rows of C.
    pub c_row: usize,
    /// Rows of C.
    pub m: usize,
    /// A, packed: panel `p` is `[cells][PANEL][LANES]` from `p * a_panel` on; rows behind `m` may hold anything.
    pub a: &'a [T],
    /// Distance of panels.
    pub a_panel: usize,
    /// B: cell `k` of row `j` starts at `rows[j] + cells[k]`.
    pub b: &'a [T],
    /// Starts of B's rows.
    pub rows: &'a [usize],
    /// Starts of cells in a row of B.
    pub cells: &'a [usize],
}

impl<T: Real> Dots<'_, T> {
    /// Computes it.
    pub(crate) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<T: Real> WithSimd for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut this = self;
        for first in (0..this.m).step_by(PANEL) {
            if size_of::<T::Vector<S>>() > 32 {
                this.rows_of_b::<S, 8>(simd, first, 0);
            } else {
                this.rows_of_b::<S, 4>(simd, first, 0);
                if first + 4 < this.m {
                    this.rows_of_b::<S, 4>(simd, first, 4);
                }
            }
        }
    }
}

impl<T: Real> Dots<'_, T> {
    #[inline(always)]
    fn rows_of_b<S: Simd, const M: usize>(&mut self, simd: S, first: usize, offset: usize) {
        let mut j = 0;
        while j < self.rows.len() {
            match self.rows.len() - j {
                1 => self.tile::<S, M, 1>(simd, first, offset, j),
                2 => self.tile::<S, M, 2>(simd, first, offset, j),
                _ => self.tile::<S, M, 3>(simd, first, offset, j),
            }
            j += 3;
        }
    }

    /// Rows `first + offset..` of C, where `first` begins a panel, and columns `j..`.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(&mut self, simd: S, first: usize, offset: usize, j: usize) {
        let (a, _) = self.a[first / PANEL * self.a_panel..].as_chunks::<CELL>();
        let mut b: [&[T]; N] = [&[]; N];
        for n in 0..N {
            b[n] = &self.b[self.rows[j + n]..];
        }
        let sums = inner::<T, S, M, N>(simd, (a, offset), b, self.cells);
        let first = first + offset;
        each_row!(sums, |m, row| if first + m < self.m {
            self.reduce::<S, N>(simd, (first + m) * self.c_row + j, row);
        });
    }

    #[inline(always)]
    fn reduce<S: Simd, const N: usize>(&mut self, simd: S, start: usize, sums: [T::Vector<S>; N]) {
        for (c, sum) in self.c[start..start + N].iter_mut().zip(sums) {
            *c += T::reduce(simd, sum);
        }
    }
}

/// Inner products, lane by lane, of rows `offset..offset + M` of a packed panel with `N` rows of B.
#[inline(always)]
fn inner<T: Real, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (a, offset): (&[[T; CELL]], usize),
    b: [&[T]; N],
    cells: &[usize],
) -> [[T::Vector<S>; N]; M] {
    let lanes = T::lanes::<S>();
    let zero = T::splat(simd, T::zero());
    let mut sums = [[zero; N]; M];
    for (a, &cell) in a.iter().zip(cells) {
        for lane in (0..LANES).step_by(lanes) {
            let mut vectors = [zero; N];
            for n in 0..N {
                vectors[n] = load::<T, S>(b[n], cell + lane);
            }
            for m in 0..M {
                let a = load::<T, S>(a, (offset + m) * LANES + lane);
                for n in 0..N {
                    sums[m][n] = T::mul_add(simd, a, vectors[n], sums[m][n]);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = 2 * LANES;

    fn numbers<T: Real>(count: usize, seed: u64) -> Vec<T> {
        (0..count as u64)
            .map(|n| T::narrow(((n * 31 + seed * 17 + 5) as f64 * 0.618_033_988_75).fract() - 0.5))
            .collect()
    }

    /// Both products on one kind of machine: `[m, k]` weights, lines of `count` cells at every second cell of B.
    fn check<T: Real, S: Simd>(simd: S, [m, k, count]: [usize; 3]) {
        let (weights, b) = (numbers::<T>(m * k, 1), numbers::<T>(k * 3 * count * STEP, 2));
        let mut a = vec![T::zero(); packed_length(m, k)];
        pack(&mut a, &weights, [m, k], [k, 1]);
        let rows: Vec<usize> = (0..k).map(|j| j * 3 * count * STEP).collect();
        let lines = [[LANES, 0], [count * STEP, count * LANES]];
        let c_row = 2 * count * LANES;
        let mut c = numbers::<T>(m * c_row, 3);
        let before = c.clone();
        for add in [false, true] {
            let (rows, lines, a_panel) = (&rows[..], &lines[..], PANEL * k);
            let (a, b, c) = (&a[..], &b[..], &mut c[..]);
            simd.vectorize(Product {
                c,
                c_row,
                c_step: LANES,
                m,
                a,
                a_panel,
                b,
                rows,
                b_step: STEP,
                lines,
                count,
                add,
            });
        }
        let cell = |j: usize, cell: usize| rows[j] + lines[cell / count][0] + cell % count * STEP;
        for i in 0..m {
            for at in 0..c_row {
                let (at_cell, lane) = (at / LANES, at % LANES);
                let terms = (0..k).map(|j| weights[i * k + j].widen() * b[cell(j, at_cell) + lane].widen());
                let expected = 2.0 * terms.sum::<f64>();
                assert!((c[i * c_row + at].widen() - expected).abs() < 1e-4, "{m} {k} {count}: {i}, {at}");
            }
        }
        // C Bᵀ over the same cells.
        let mut packed = vec![T::zero(); m.div_ceil(PANEL) * 2 * count * CELL];
        for i in 0..m {
            for at in 0..2 * count {
                let to = (i / PANEL * 2 * count + at) * CELL + i % PANEL * LANES;
                packed[to..to + LANES].copy_from_slice(&before[i * c_row + at * LANES..][..LANES]);
            }
        }
        let cells: Vec<usize> = (0..2 * count).map(|at| cell(0, at)).collect();
        let mut dots = vec![T::narrow(1.0); m * k];
        simd.vectorize(Dots {
            c: &mut dots,
            c_row: k,
            m,
            a: &packed,
            a_panel: 2 * count * CELL,
            b: &b,
            rows: &rows,
            cells: &cells,
        });
        for i in 0..m {
            for j in 0..k {
                let term = |at: usize| before[i * c_row + at].widen() * b[cell(j, at / LANES) + at % LANES].widen();
                let expected = 1.0 + (0..c_row).map(term).sum::<f64>();
                assert!((dots[i * k + j].widen() - expected).abs() < 1e-4, "{m} {k} {count}: {i}, {j}");
            }
        }
    }

    fn on<S: Simd>(simd: S) {
        for sizes in [[1, 1, 1], [8, 3, 2], [5, 4, 3], [12, 7, 4], [19, 11, 8]] {
            check::<f32, S>(simd, sizes);
            check::<f64, S>(simd, sizes);
        }
    }

    #[test]
    fn products_equal_their_definition_on_machines_of_any_width() {
        on(pulp::Scalar::new());
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = pulp::x86::V3::try_new() {
                on(simd);
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                on(simd);
            }
        }
    }
}
