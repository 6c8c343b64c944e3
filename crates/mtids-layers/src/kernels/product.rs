//! Two matrix products: weights by columns, and inner products of rows.
//!
//! Purpose: [`multiply`] is `C = A B` with A packed in panels of [`PANEL`] rows and B given by the starts of its rows, which
//! may overlap (a convolution along depth reads the same slices again, shifted). [`inner_products`] is `C += A Bᵀ` without
//! transposing either. Method: a tile of C stays in vector registers while the inner dimension runs through; B is read in
//! blocks that stay in the first cache. Invariant: every entry of C is added up in the order of the inner dimension.

use pulp::{Arch, Simd, WithSimd};

use super::Real;

/// Rows of A in one panel.
pub(crate) const PANEL: usize = 8;
/// Inner dimension of one block of B.
const INNER: usize = 160;

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

/// `C = A B`.
pub(crate) struct Multiply<'a, T> {
    /// C: row `i` at `i * c_row`.
    pub c: &'a mut [T],
    /// Distance of rows of C, at least `n`.
    pub c_row: usize,
    /// Rows of C.
    pub m: usize,
    /// Columns, a multiple of [`super::LANES`].
    pub n: usize,
    /// A, packed: panel `p` starts at `p * a_panel`.
    pub a: &'a [T],
    /// Distance of panels.
    pub a_panel: usize,
    /// B: row `j` starts at `rows[j]`; as many rows as A has columns, at least one.
    pub b: &'a [T],
    /// Starts of B's rows.
    pub rows: &'a [usize],
}

/// Computes [`Multiply`].
pub(crate) fn multiply<T: Real>(task: Multiply<'_, T>) {
    Arch::new().dispatch(task);
}

impl<T: Real> WithSimd for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = T::lanes::<S>();
        let mut this = self;
        let inner = this.rows.len();
        for first in (0..inner).step_by(INNER) {
            let block = first..(first + INNER).min(inner);
            let mut column = 0;
            while column < this.n {
                // Three vectors side by side use the registers best; what is left takes one or two.
                match (this.n - column) / lanes {
                    0 => break,
                    1 => this.columns::<S, 1>(simd, &block, column),
                    2 => this.columns::<S, 2>(simd, &block, column),
                    _ => this.columns::<S, 3>(simd, &block, column),
                }
                column += lanes * ((this.n - column) / lanes).min(3);
            }
        }
    }
}

impl<T: Real> Multiply<'_, T> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&mut self, simd: S, block: &std::ops::Range<usize>, column: usize) {
        for panel in 0..self.m.div_ceil(PANEL) {
            let a = &self.a[panel * self.a_panel..][block.start * PANEL..block.end * PANEL];
            let rows = &self.rows[block.clone()];
            let first = panel * PANEL;
            // 256-bit machines have 16 registers, enough for four rows of three vectors; wider ones have 32.
            if size_of::<T::Vector<S>>() > 32 {
                let sums = tile::<T, S, 8, N>(simd, a, 0, self.b, rows, column);
                self.store(simd, &sums, first, column, block.start > 0);
            } else {
                let sums = tile::<T, S, 4, N>(simd, a, 0, self.b, rows, column);
                self.store(simd, &sums, first, column, block.start > 0);
                if first + 4 < self.m {
                    let sums = tile::<T, S, 4, N>(simd, a, 4, self.b, rows, column);
                    self.store(simd, &sums, first + 4, column, block.start > 0);
                }
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        sums: &[[T::Vector<S>; N]; M],
        first: usize,
        column: usize,
        add: bool,
    ) {
        let length = N * T::lanes::<S>();
        for (i, sums) in sums.iter().enumerate().take(self.m.saturating_sub(first)) {
            let start = (first + i) * self.c_row + column;
            let (target, _) = T::vectors_mut::<S>(&mut self.c[start..start + length]);
            for (target, sum) in target.iter_mut().zip(sums) {
                *target = if add { T::plus(simd, *target, *sum) } else { *sum };
            }
        }
    }
}

/// Rows `offset..offset + M` of a panel times `N` vectors of B.
#[inline(always)]
fn tile<T: Real, S: Simd, const M: usize, const N: usize>(
    simd: S,
    a: &[T],
    offset: usize,
    b: &[T],
    rows: &[usize],
    column: usize,
) -> [[T::Vector<S>; N]; M] {
    let mut sums = [[T::splat(simd, T::zero()); N]; M];
    let length = N * T::lanes::<S>();
    for (a, row) in a.chunks_exact(PANEL).zip(rows) {
        let start = row + column;
        let (b, _) = T::vectors::<S>(&b[start..start + length]);
        let b: [T::Vector<S>; N] = std::array::from_fn(|j| b[j]);
        for i in 0..M {
            let a = T::splat(simd, a[offset + i]);
            for j in 0..N {
                sums[i][j] = T::mul_add(simd, a, b[j], sums[i][j]);
            }
        }
    }
    sums
}

/// `C += A Bᵀ` over `length` columns.
pub(crate) struct InnerProducts<'a, T> {
    /// C: entry `(i, j)` at `i * c_row + j`.
    pub c: &'a mut [T],
    /// Distance of rows of C.
    pub c_row: usize,
    /// A: row `i` at `a_start + i * a_row`.
    pub a: &'a [T],
    /// Distance of rows of A.
    pub a_row: usize,
    /// Rows of A.
    pub m: usize,
    /// B: row `j` starts at `rows[j]`.
    pub b: &'a [T],
    /// Starts of B's rows.
    pub rows: &'a [usize],
    /// Columns, a multiple of [`super::LANES`].
    pub length: usize,
}

/// Computes [`InnerProducts`].
pub(crate) fn inner_products<T: Real>(task: InnerProducts<'_, T>) {
    Arch::new().dispatch(task);
}

impl<T: Real> WithSimd for InnerProducts<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut this = self;
        let mut j = 0;
        while j < this.rows.len() {
            match this.rows.len() - j {
                1 => this.rows_of_a::<S, 1>(simd, j),
                2 => this.rows_of_a::<S, 2>(simd, j),
                _ => this.rows_of_a::<S, 3>(simd, j),
            }
            j += 3;
        }
    }
}

impl<T: Real> InnerProducts<'_, T> {
    #[inline(always)]
    fn rows_of_a<S: Simd, const N: usize>(&mut self, simd: S, j: usize) {
        let b: [&[T::Vector<S>]; N] =
            std::array::from_fn(|n| T::vectors::<S>(&self.b[self.rows[j + n]..][..self.length]).0);
        let mut i = 0;
        while i < self.m {
            if self.m - i >= 4 {
                self.dots::<S, 4, N>(simd, b, i, j);
                i += 4;
            } else {
                self.dots::<S, 1, N>(simd, b, i, j);
                i += 1;
            }
        }
    }

    #[inline(always)]
    fn dots<S: Simd, const M: usize, const N: usize>(&mut self, simd: S, b: [&[T::Vector<S>]; N], i: usize, j: usize) {
        let steps = self.length / T::lanes::<S>();
        let a: [&[T::Vector<S>]; M] =
            std::array::from_fn(|m| &T::vectors::<S>(&self.a[(i + m) * self.a_row..][..self.length]).0[..steps]);
        // Cut to the same length, so that no index below needs a check.
        let b: [&[T::Vector<S>]; N] = std::array::from_fn(|n| &b[n][..steps]);
        let mut sums = [[T::splat(simd, T::zero()); N]; M];
        for step in 0..steps {
            let b: [T::Vector<S>; N] = std::array::from_fn(|n| b[n][step]);
            for m in 0..M {
                let a = a[m][step];
                for n in 0..N {
                    sums[m][n] = T::mul_add(simd, a, b[n], sums[m][n]);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                self.c[(i + m) * self.c_row + j + n] += T::reduce(simd, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{row_length, whole};
    use proptest::prelude::*;

    fn numbers(count: usize, seed: u64) -> Vec<f64> {
        (0..count as u64).map(|n| ((n * 31 + seed * 17 + 5) as f64 * 0.618_033_988_75).fract() - 0.5).collect()
    }

    proptest! {
        #[test]
        fn products_equal_their_definition(m in 1usize..20, n in 1usize..120, k in 1usize..400, transposed: bool) {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let strides = if transposed { [1, m] } else { [k, 1] };
            let entry = |i: usize, j: usize| a[i * strides[0] + j * strides[1]];
            let row = row_length(n);
            let mut padded = vec![0.0; k * row];
            for j in 0..k {
                padded[j * row..][..n].copy_from_slice(&b[j * n..][..n]);
            }
            let rows: Vec<usize> = (0..k).map(|j| j * row).collect();
            let mut packed = vec![9.0; packed_length(m, k)];
            pack(&mut packed, &a, [m, k], strides);
            let mut c = vec![7.0; m * row];
            multiply(Multiply { c: &mut c, c_row: row, m, n: whole(n), a: &packed, a_panel: k * PANEL, b: &padded, rows: &rows });
            for i in 0..m {
                for j in 0..n {
                    let expected: f64 = (0..k).map(|l| entry(i, l) * b[l * n + j]).sum();
                    prop_assert!((c[i * row + j] - expected).abs() < 1e-10, "{i} {j}");
                }
            }
            // C row by row with B again: C Bᵀ.
            let mut d = vec![1.0; m * k];
            inner_products(InnerProducts {
                c: &mut d, c_row: k, a: &c, a_row: row, m, b: &padded, rows: &rows, length: whole(n),
            });
            for i in 0..m {
                for j in 0..k {
                    let expected: f64 = 1.0 + (0..n).map(|l| c[i * row + l] * b[j * n + l]).sum::<f64>();
                    prop_assert!((d[i * k + j] - expected).abs() < 1e-10 * expected.abs().max(1.0), "{i} {j}");
                }
            }
        }
    }
}
