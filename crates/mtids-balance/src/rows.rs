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

/// Coordinates converted to `f64` at a time: at T = 8 about 30 KB, which a first-level cache holds. No multiple of 512, so that
/// lines do not start at the same place of a page, where they would push each other out.
const BLOCK: usize = 480;
/// Coordinates that one task of the thread pool sums.
const CHUNK: usize = 64 * BLOCK;
/// Independent sums per pair of rows.
const LANES: usize = 4;
/// Rows are padded with zeros to a multiple of this.
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
    let padded = chosen.len().div_ceil(GROUP) * GROUP;
    let partials: Vec<Vec<f64>> = (0..width.div_ceil(CHUNK))
        .into_par_iter()
        .map_init(
            || vec![[[0.0; LANES]; BLOCK / LANES]; padded],
            |buffer, chunk| {
                let end = width.min((chunk + 1) * CHUNK);
                let mut sums = vec![0.0; padded * padded];
                let arch = pulp::Arch::new();
                for start in (chunk * CHUNK..end).step_by(BLOCK) {
                    let stop = end.min(start + BLOCK);
                    arch.dispatch(Block { rows: &chosen, start, stop, padded, buffer, sums: &mut sums });
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

/// One row of a block, in groups that fit a vector register.
type Line = [[f64; LANES]; BLOCK / LANES];

/// Adds the products of the coordinates `start..stop` to `sums`, `[padded, padded]`, on and above the diagonal. A type and no
/// closure, because it has to be inlined into each of the versions that pulp compiles for a processor.
struct Block<'a, F> {
    rows: &'a [&'a [F]],
    start: usize,
    stop: usize,
    padded: usize,
    buffer: &'a mut [Line],
    sums: &'a mut [f64],
}

impl<F: Element> pulp::NullaryFnOnce for Block<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // Lines beyond the last row stay zero from the start; a short last block is filled up with zeros.
        for (row, line) in self.rows.iter().zip(self.buffer.iter_mut()) {
            let (filled, rest) = line.as_flattened_mut().split_at_mut(self.stop - self.start);
            filled.iter_mut().zip(&row[self.start..self.stop]).for_each(|(to, from)| *to = (*from).into());
            rest.fill(0.0);
        }
        let buffer = &*self.buffer;
        // Two rows meet their own group of four and all later ones; of their own, the lower pair skips the upper one.
        for i in (0..self.padded).step_by(2) {
            let left = [&buffer[i], &buffer[i + 1]];
            let own = i / GROUP * GROUP;
            if i > own {
                add(self.sums, self.padded, (i, i), tile(left, left));
            }
            for j in (own + if i > own { GROUP } else { 0 }..self.padded).step_by(GROUP) {
                let right = [&buffer[j], &buffer[j + 1], &buffer[j + 2], &buffer[j + 3]];
                add(self.sums, self.padded, (i, j), tile(left, right));
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

/// Inner products of A rows with B rows, which all stay in registers for 2 and 4.
#[inline(always)]
fn tile<const A: usize, const B: usize>(left: [&Line; A], right: [&Line; B]) -> [[f64; B]; A] {
    let mut sums = [[[0.0; LANES]; B]; A];
    for at in 0..BLOCK / LANES {
        for a in 0..A {
            for b in 0..B {
                for lane in 0..LANES {
                    sums[a][b][lane] += left[a][at][lane] * right[b][at][lane];
                }
            }
        }
    }
    let mut products = [[0.0; B]; A];
    for a in 0..A {
        for b in 0..B {
            let lanes = &sums[a][b];
            products[a][b] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
        }
    }
    products
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
