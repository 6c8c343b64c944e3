//! Whole task gradients as rows, and their Gram matrix at the speed of memory.
//!
//! # Invariants
//! * [`gram_matrix`] gives the same bits for any number of threads and any processor: products of two `f32` are exact in `f64`,
//!   lanes, blocks and chunks have fixed sizes, and partial sums are added in the order of the coordinates.
//! * Rows of inactive tasks are not read.
//!
//! # Units
//! Rows are `[P]` in whatever units the caller uses; sums are in `f64`.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::BalanceError;

/// Coordinates multiplied at a time: pieces of this many of a few rows stay in a first-level cache between visits.
const BLOCK: usize = 240;
/// Coordinates that one task of the thread pool sums.
const CHUNK: usize = 128 * BLOCK;
/// Independent sums per pair of rows, a multiple of every vector's length.
const LANES: usize = 8;
/// Rows that meet each other at a time; what is missing of the last group is filled up with zeros.
const GROUP: usize = 4;

/// Task gradients, one row each.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Single precision.
    F32(&'a [&'a [f32]]),
    /// Double precision.
    F64(&'a [&'a [f64]]),
}

/// The gradients and losses of one step, for T tasks of P shared parameters.
#[derive(Debug, Clone, Copy)]
pub struct GradientInput<'a> {
    /// `[T, P]`: the tasks' gradients.
    pub rows: Rows<'a>,
    /// `[T]`: detached losses, for the rules that use them.
    pub losses: Option<&'a [f64]>,
    /// `[T]`: whether the task had a labelled sample in the batch.
    pub active: &'a [bool],
}

/// A number that a gradient is made of.
pub(crate) trait Element: Copy + Into<f64> + Sync {
    /// `a * b + sum` of widened numbers, with the same result on every processor.
    fn add_product<S: Simd>(simd: S, a: S::f64s, b: S::f64s, sum: S::f64s) -> S::f64s;
}

impl Element for f32 {
    /// The product is exact in `f64`, so it is the same whether a processor rounds once or twice.
    #[inline(always)]
    fn add_product<S: Simd>(simd: S, a: S::f64s, b: S::f64s, sum: S::f64s) -> S::f64s {
        simd.mul_add_e_f64s(a, b, sum)
    }
}

impl Element for f64 {
    /// Rounded twice, as processors without a fused operation do.
    #[inline(always)]
    fn add_product<S: Simd>(simd: S, a: S::f64s, b: S::f64s, sum: S::f64s) -> S::f64s {
        simd.add_f64s(simd.mul_f64s(a, b), sum)
    }
}

/// Inner products of all pairs of rows, `[T, T]` row-major, in double precision.
///
/// # Errors
/// [`BalanceError::Width`] when rows differ in length.
pub fn gram_matrix(rows: Rows<'_>) -> Result<Vec<f64>, BalanceError> {
    match rows {
        Rows::F32(rows) => gram_of(rows, &vec![true; rows.len()]),
        Rows::F64(rows) => gram_of(rows, &vec![true; rows.len()]),
    }
}

/// As [`gram_matrix`]; products with inactive rows are 0.
pub(crate) fn gram_of<F: Element>(rows: &[&[F]], active: &[bool]) -> Result<Vec<f64>, BalanceError> {
    let tasks = rows.len();
    let members: Vec<usize> = (0..tasks).filter(|&task| active.get(task).copied().unwrap_or(false)).collect();
    let width = members.first().map_or(0, |&task| rows[task].len());
    if let Some(&task) = members.iter().find(|&&task| rows[task].len() != width) {
        return Err(BalanceError::Width { task, expected: width, got: rows[task].len() });
    }
    let chosen: Vec<&[F]> = members.iter().map(|&task| rows[task]).collect();
    let padded = chosen.len().div_ceil(GROUP) * GROUP;
    let partials: Vec<Vec<f64>> = (0..width.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let end = width.min((chunk + 1) * CHUNK);
            let mut sums = vec![0.0; padded * padded];
            pulp::Arch::new().dispatch(Chunk { rows: &chosen, range: chunk * CHUNK..end, padded, sums: &mut sums });
            sums
        })
        .collect();
    let mut gram = vec![0.0; tasks * tasks];
    for sums in &partials {
        for (i, &row) in members.iter().enumerate() {
            for (j, &column) in members.iter().enumerate().skip(i) {
                gram[row * tasks + column] += sums[i * padded + j];
            }
        }
    }
    for row in 0..tasks {
        for column in 0..row {
            gram[row * tasks + column] = gram[column * tasks + row];
        }
    }
    Ok(gram)
}

/// A block of one row, in double precision.
type Line = [f64; BLOCK];

/// Adds the products of a range of coordinates to `sums`, `[padded, padded]`, on and above the diagonal, block by block. A type and
/// no closure, because it has to be inlined into each of the versions that pulp compiles for a processor.
struct Chunk<'a, F> {
    rows: &'a [&'a [F]],
    range: std::ops::Range<usize>,
    padded: usize,
    sums: &'a mut [f64],
}

impl<F: Element> WithSimd for Chunk<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Lines beyond the last row stay zero; a short last block is filled up with zeros.
        let mut lines = vec![[0.0; BLOCK]; self.padded];
        for start in self.range.clone().step_by(BLOCK) {
            let stop = self.range.end.min(start + BLOCK);
            for (line, row) in lines.iter_mut().zip(self.rows) {
                let (filled, rest) = line.split_at_mut(stop - start);
                filled.iter_mut().zip(&row[start..stop]).for_each(|(to, from)| *to = (*from).into());
                rest.fill(0.0);
            }
            products::<F, S>(simd, &lines, self.sums);
        }
    }
}

/// Adds the products of the lines of one block.
#[inline(always)]
fn products<F: Element, S: Simd>(simd: S, lines: &[Line], sums: &mut [f64]) {
    let padded = lines.len();
    for own in (0..padded).step_by(GROUP) {
        let (lower, upper) = (&lines[own..], &lines[own + 2..]);
        add(sums, padded, (own, own), tile::<F, S, 2, 4>(simd, lower, lower));
        add(sums, padded, (own + 2, own + 2), tile::<F, S, 2, 2>(simd, upper, upper));
        for other in (own + GROUP..padded).step_by(GROUP) {
            let right = &lines[other..];
            // 256-bit machines have 16 registers, which 16 sums would fill; wider ones have 32.
            if size_of::<S::f64s>() > 32 {
                add(sums, padded, (own, other), tile::<F, S, 4, 4>(simd, lower, right));
            } else {
                add(sums, padded, (own, other), tile::<F, S, 2, 4>(simd, lower, right));
                add(sums, padded, (own + 2, other), tile::<F, S, 2, 4>(simd, upper, right));
            }
        }
    }
}

/// Adds the products of a tile to the sums, from a place on.
#[inline(always)]
fn add<const A: usize, const B: usize>(
    sums: &mut [f64],
    padded: usize,
    (row, column): (usize, usize),
    products: [[f64; B]; A],
) {
    for (a, products) in products.iter().enumerate() {
        for (b, product) in products.iter().enumerate() {
            sums[(row + a) * padded + column + b] += product;
        }
    }
}

/// Inner products of the first A lines with the first B lines, whose running sums all stay in registers.
///
/// Machines whose vectors are shorter than [`LANES`] visit the lines once for each part of the lanes.
#[inline(always)]
fn tile<F: Element, S: Simd, const A: usize, const B: usize>(simd: S, left: &[Line], right: &[Line]) -> [[f64; B]; A] {
    let left: [&[S::f64s]; A] = std::array::from_fn(|a| S::as_simd_f64s(&left[a]).0);
    let right: [&[S::f64s]; B] = std::array::from_fn(|b| S::as_simd_f64s(&right[b]).0);
    let parts = LANES / S::F64_LANES;
    let mut lanes = [[[0.0; LANES]; B]; A];
    for part in 0..parts {
        let mut sums = [[simd.splat_f64s(0.0); B]; A];
        for at in (part..BLOCK / S::F64_LANES).step_by(parts) {
            for (sums, left) in sums.iter_mut().zip(left) {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = F::add_product(simd, left[at], right[at], *sum);
                }
            }
        }
        for (lanes, sums) in lanes.iter_mut().zip(sums) {
            for (lanes, sum) in lanes.iter_mut().zip(sums) {
                S::as_mut_simd_f64s(lanes).0[part] = sum;
            }
        }
    }
    lanes.map(|row| {
        row.map(|lanes| {
            let halves: [f64; LANES / 2] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + LANES / 2]);
            (halves[0] + halves[1]) + (halves[2] + halves[3])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_core::random::stream;
    use rand::RngExt;

    fn rows(tasks: usize, width: usize) -> Vec<Vec<f32>> {
        (0..tasks)
            .map(|task| {
                let mut random = stream(1, "test/rows", &[task as u64]);
                (0..width).map(|_| random.random::<f32>() - 0.5).collect()
            })
            .collect()
    }

    fn in_threads(threads: usize, rows: &[&[f32]]) -> Vec<f64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| gram_matrix(Rows::F32(rows)).unwrap())
    }

    #[test]
    fn it_is_the_gram_matrix_for_any_shape_and_number_of_threads() {
        for (tasks, width) in
            [(1, 1), (2, 3), (3, BLOCK + 1), (4, CHUNK), (5, CHUNK + 7), (8, 3 * CHUNK + 511), (17, 999)]
        {
            let rows = rows(tasks, width);
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let gram = in_threads(1, &rows);
            assert_eq!(gram, in_threads(3, &rows));
            for i in 0..tasks {
                for j in 0..tasks {
                    let expected: f64 = rows[i].iter().zip(rows[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let found = gram[i * tasks + j];
                    assert!((found - expected).abs() < 1e-12 * width as f64, "{tasks} {width}: {found} {expected}");
                }
            }
            let wide: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
            let wide: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
            assert_eq!(gram, gram_matrix(Rows::F64(&wide)).unwrap());
        }
    }

    #[test]
    fn ragged_rows_are_refused_and_inactive_ones_not_read() {
        let short: [&[f64]; 2] = [&[1.0, 2.0], &[1.0]];
        assert_eq!(gram_matrix(Rows::F64(&short)), Err(BalanceError::Width { task: 1, expected: 2, got: 1 }));
        assert_eq!(gram_of(&short, &[true, false]).unwrap(), [5.0, 0.0, 0.0, 0.0]);
        assert_eq!(gram_matrix(Rows::F64(&[])).unwrap(), [0.0; 0]);
    }
}
