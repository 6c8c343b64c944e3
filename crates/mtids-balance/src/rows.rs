//! Whole task gradients as rows, and their Gram matrix at the speed of memory.
//!
//! # Invariants
//! * [`gram_matrix`] gives the same bits for any number of threads and any processor: products of two `f32` are exact in `f64`,
//!   lanes, blocks and chunks have fixed sizes, and partial sums are added in the order of the coordinates.
//! * Rows of inactive tasks are not read.
//!
//! # Units
//! Rows are `[P]` in whatever units the caller uses; sums are in `f64`.

use rayon::prelude::*;

use crate::BalanceError;

/// Coordinates converted to `f64` at a time; at T = 8 a block is 32 KiB, as large as a first-level cache.
const BLOCK: usize = 512;
/// Coordinates that one task of the thread pool sums.
const CHUNK: usize = 64 * BLOCK;
/// Independent sums per pair of rows.
const LANES: usize = 4;
/// Rows of a tile, downwards and across.
const TILE: (usize, usize) = (2, 4);

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
pub(crate) trait Element: Copy + Into<f64> + Sync {}
impl Element for f32 {}
impl Element for f64 {}

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
    let padded = chosen.len().div_ceil(TILE.1) * TILE.1;
    let partials: Vec<Vec<f64>> = (0..width.div_ceil(CHUNK))
        .into_par_iter()
        .map_init(
            || vec![0.0; padded * BLOCK],
            |buffer, chunk| {
                let end = width.min((chunk + 1) * CHUNK);
                let mut sums = vec![0.0; padded * padded];
                let arch = pulp::Arch::new();
                for start in (chunk * CHUNK..end).step_by(BLOCK) {
                    let stop = end.min(start + BLOCK);
                    arch.dispatch(|| block(&chosen, start, stop, padded, buffer, &mut sums));
                }
                sums
            },
        )
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

/// Adds the products of the coordinates `start..stop` to `sums`, `[padded, padded]`, on and above the diagonal.
#[inline(always)]
fn block<F: Element>(rows: &[&[F]], start: usize, stop: usize, padded: usize, buffer: &mut [f64], sums: &mut [f64]) {
    // Rows beyond the last stay zero from the start; a short last block is filled up with zeros.
    for (row, line) in rows.iter().zip(buffer.chunks_exact_mut(BLOCK)) {
        let (filled, rest) = line.split_at_mut(stop - start);
        filled.iter_mut().zip(&row[start..stop]).for_each(|(to, from)| *to = (*from).into());
        rest.fill(0.0);
    }
    let line = |row: usize| &buffer[row * BLOCK..(row + 1) * BLOCK];
    for i in (0..padded).step_by(TILE.0) {
        for j in (i / TILE.1 * TILE.1..padded).step_by(TILE.1) {
            let products = tile([line(i), line(i + 1)], [line(j), line(j + 1), line(j + 2), line(j + 3)]);
            for (a, products) in products.iter().enumerate() {
                for (b, product) in products.iter().enumerate() {
                    sums[(i + a) * padded + j + b] += product;
                }
            }
        }
    }
}

/// Inner products of two rows with four.
#[inline(always)]
fn tile(left: [&[f64]; TILE.0], right: [&[f64]; TILE.1]) -> [[f64; TILE.1]; TILE.0] {
    let mut sums = [[[0.0; LANES]; TILE.1]; TILE.0];
    for at in (0..BLOCK).step_by(LANES) {
        for (a, left) in left.iter().enumerate() {
            for (b, right) in right.iter().enumerate() {
                for lane in 0..LANES {
                    sums[a][b][lane] += left[at + lane] * right[at + lane];
                }
            }
        }
    }
    sums.map(|row| row.map(|lanes| (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])))
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
