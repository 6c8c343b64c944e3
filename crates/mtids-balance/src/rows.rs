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

use crate::error::BalanceError;

/// Coordinates multiplied at a time: in single precision this many of the rows of two groups, 16 KiB, stay in a first-level cache.
const BLOCK: usize = 512;
/// Coordinates that one task of the thread pool sums.
const CHUNK: usize = 64 * BLOCK;
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
pub(crate) trait Element: Copy + Default + Into<f64> + Sync {
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

/// Inner products of all pairs of active rows, `[T, T]` row-major, in double precision; products with inactive rows, which may be
/// empty, are 0.
///
/// Numbers are widened on the way into registers and not written back, so that the processor's arithmetic overlaps with its reading of
/// memory: docs/benchmarks/balance_bench.md has the ratio to one read.
///
/// # Errors
/// [`BalanceError::Shape`] when `active` has another length than there are rows; [`BalanceError::Width`] when active rows differ in
/// length.
pub fn gram_matrix(rows: Rows<'_>, active: &[bool]) -> Result<Vec<f64>, BalanceError> {
    match rows {
        Rows::F32(rows) => gram_of(rows, active),
        Rows::F64(rows) => gram_of(rows, active),
    }
}

/// As [`gram_matrix`].
pub(crate) fn gram_of<F: Element>(rows: &[&[F]], active: &[bool]) -> Result<Vec<f64>, BalanceError> {
    let tasks = rows.len();
    if active.len() != tasks {
        return Err(BalanceError::Shape {
            what: "the list of active tasks",
            tasks,
            expected: tasks,
            got: active.len(),
        });
    }
    let members: Vec<usize> = (0..tasks).filter(|&task| active[task]).collect();
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
            let mut sums = vec![[0.0; LANES]; padded * padded];
            pulp::Arch::new().dispatch(Chunk { rows: &chosen, range: chunk * CHUNK..end, padded, sums: &mut sums });
            sums.iter().map(total).collect()
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

/// The sum of the lanes, always in the same order.
fn total(lanes: &[f64; LANES]) -> f64 {
    let halves: [f64; LANES / 2] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + LANES / 2]);
    (halves[0] + halves[1]) + (halves[2] + halves[3])
}

/// Adds the products of a range of coordinates to `sums`, `[padded, padded]`, on and above the diagonal, block by block. A type and
/// no closure, because it has to be inlined into each of the versions that pulp compiles for a processor.
struct Chunk<'a, F> {
    rows: &'a [&'a [F]],
    range: std::ops::Range<usize>,
    padded: usize,
    sums: &'a mut [[f64; LANES]],
}

impl<F: Element> WithSimd for Chunk<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zeros = [[F::default(); LANES]; BLOCK / LANES];
        let (whole, rest) = (self.range.start..self.range.end - self.range.len() % LANES, self.range.len() % LANES);
        let mut lines = Vec::with_capacity(self.padded);
        for start in whole.clone().step_by(BLOCK) {
            let stop = whole.end.min(start + BLOCK);
            lines.clear();
            lines.extend(self.rows.iter().map(|row| row[start..stop].as_chunks().0));
            lines.resize(self.padded, &zeros[..(stop - start) / LANES]);
            products::<F, S>(simd, &lines, self.sums);
        }
        if rest > 0 {
            // Less than a vector is left: filled up with zeros.
            let filled =
                |row: &&[F]| std::array::from_fn(|lane| if lane < rest { row[whole.end + lane] } else { F::default() });
            let filled: Vec<[F; LANES]> = self.rows.iter().map(filled).collect();
            lines.clear();
            lines.extend(filled.iter().map(std::slice::from_ref));
            lines.resize(self.padded, &zeros[..1]);
            products::<F, S>(simd, &lines, self.sums);
        }
    }
}

/// Adds the products of the lines of one block.
#[inline(always)]
fn products<F: Element, S: Simd>(simd: S, lines: &[&[[F; LANES]]], sums: &mut [[f64; LANES]]) {
    let padded = lines.len();
    for own in (0..padded).step_by(GROUP) {
        triangle::<F, S>(simd, std::array::from_fn(|n| lines[own + n]), padded, &mut sums[own * padded + own..]);
        for other in (own + GROUP..padded).step_by(GROUP) {
            let right = std::array::from_fn(|n| lines[other + n]);
            // 256-bit machines have 16 registers, which 16 sums would fill; wider ones have 32.
            if size_of::<S::f64s>() > 32 {
                let left = std::array::from_fn(|n| lines[own + n]);
                tile::<F, S, GROUP>(simd, left, right, padded, &mut sums[own * padded + other..]);
            } else {
                for own in [own, own + 2] {
                    let left = std::array::from_fn(|n| lines[own + n]);
                    tile::<F, S, 2>(simd, left, right, padded, &mut sums[own * padded + other..]);
                }
            }
        }
    }
}

/// A part of the lanes in double precision. A loop, because a closure would not be compiled for the processor at hand.
#[inline(always)]
fn widen<F: Element, S: Simd>(values: &[F; LANES], part: usize) -> S::f64s {
    let mut wide = [0.0; LANES];
    for (wide, value) in wide.iter_mut().zip(values) {
        *wide = (*value).into();
    }
    S::as_simd_f64s(&wide).0[part]
}

/// Adds the inner products of the lines of a group with each other; the running sums all stay in registers.
///
/// Machines whose vectors are shorter than [`LANES`] visit the lines once for each part of the lanes.
#[inline(always)]
fn triangle<F: Element, S: Simd>(simd: S, lines: [&[[F; LANES]]; GROUP], padded: usize, sums: &mut [[f64; LANES]]) {
    let count = lines[0].len();
    let lines = lines.map(|line| &line[..count]);
    for part in 0..LANES / S::F64_LANES {
        let mut running = [[simd.splat_f64s(0.0); GROUP]; GROUP];
        for at in 0..count {
            let mut values = [simd.splat_f64s(0.0); GROUP];
            for (value, line) in values.iter_mut().zip(lines) {
                *value = widen::<F, S>(&line[at], part);
            }
            for a in 0..GROUP {
                for b in a..GROUP {
                    running[a][b] = F::add_product(simd, values[a], values[b], running[a][b]);
                }
            }
        }
        for a in 0..GROUP {
            for b in a..GROUP {
                let sum = &mut S::as_mut_simd_f64s(&mut sums[a * padded + b]).0[part];
                *sum = simd.add_f64s(*sum, running[a][b]);
            }
        }
    }
}

/// As [`triangle`], for the products of A lines with the lines of another group.
#[inline(always)]
fn tile<F: Element, S: Simd, const A: usize>(
    simd: S,
    left: [&[[F; LANES]]; A],
    right: [&[[F; LANES]]; GROUP],
    padded: usize,
    sums: &mut [[f64; LANES]],
) {
    let count = right[0].len();
    let (left, right) = (left.map(|line| &line[..count]), right.map(|line| &line[..count]));
    for part in 0..LANES / S::F64_LANES {
        let mut running = [[simd.splat_f64s(0.0); GROUP]; A];
        for at in 0..count {
            let mut others = [simd.splat_f64s(0.0); GROUP];
            for (other, line) in others.iter_mut().zip(right) {
                *other = widen::<F, S>(&line[at], part);
            }
            for a in 0..A {
                let left = widen::<F, S>(&left[a][at], part);
                for b in 0..GROUP {
                    running[a][b] = F::add_product(simd, left, others[b], running[a][b]);
                }
            }
        }
        for a in 0..A {
            for b in 0..GROUP {
                let sum = &mut S::as_mut_simd_f64s(&mut sums[a * padded + b]).0[part];
                *sum = simd.add_f64s(*sum, running[a][b]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    fn rows(tasks: usize, width: usize) -> Vec<Vec<f32>> {
        (0..tasks)
            .map(|task| {
                let mut random = rng_for(1, "test/rows", &[task as u64]);
                (0..width).map(|_| random.random::<f32>() - 0.5).collect()
            })
            .collect()
    }

    fn in_threads(threads: usize, rows: &[&[f32]]) -> Vec<f64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| gram_matrix(Rows::F32(rows), &vec![true; rows.len()]).unwrap())
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
            assert_eq!(gram, gram_matrix(Rows::F64(&wide), &vec![true; tasks]).unwrap());
        }
    }

    #[test]
    fn short_vectors_and_long_ones_give_the_same_bits() {
        fn partial_sums<F: Element>(simd: impl Simd, rows: &[&[F]], padded: usize) -> Vec<[f64; LANES]> {
            let mut sums = vec![[0.0; LANES]; padded * padded];
            simd.vectorize(Chunk { rows, range: 0..rows[0].len(), padded, sums: &mut sums });
            sums
        }
        let single = rows(5, 2 * BLOCK + 61);
        let double: Vec<Vec<f64>> =
            single.iter().map(|row| row.iter().map(|x| f64::from(*x).sin()).collect()).collect();
        let single: Vec<&[f32]> = single.iter().map(Vec::as_slice).collect();
        let double: Vec<&[f64]> = double.iter().map(Vec::as_slice).collect();
        let plain = (partial_sums(pulp::Scalar::new(), &single, 8), partial_sums(pulp::Scalar::new(), &double, 8));
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = pulp::x86::V3::try_new() {
                assert_eq!(plain, (partial_sums(simd, &single, 8), partial_sums(simd, &double, 8)));
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                assert_eq!(plain, (partial_sums(simd, &single, 8), partial_sums(simd, &double, 8)));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(simd) = pulp::aarch64::Neon::try_new() {
            assert_eq!(plain, (partial_sums(simd, &single, 8), partial_sums(simd, &double, 8)));
        }
        assert!(plain.0.iter().flatten().any(|sum| *sum != 0.0));
    }

    #[test]
    fn ragged_rows_are_refused_and_inactive_ones_not_read() {
        let short: [&[f64]; 2] = [&[1.0, 2.0], &[1.0]];
        assert_eq!(
            gram_matrix(Rows::F64(&short), &[true; 2]),
            Err(BalanceError::Width { task: 1, expected: 2, got: 1 })
        );
        assert_eq!(gram_matrix(Rows::F64(&short), &[true, false]).unwrap(), [5.0, 0.0, 0.0, 0.0]);
        assert_eq!(gram_matrix(Rows::F64(&[]), &[]).unwrap(), [0.0; 0]);
    }

    #[test]
    fn a_list_of_active_tasks_of_another_length_is_refused() {
        let rows: [&[f32]; 2] = [&[1.0, 2.0], &[3.0, 4.0]];
        for active in [&[true][..], &[true; 3]] {
            let refused = gram_matrix(Rows::F32(&rows), active).unwrap_err();
            let expected = matches!(refused, BalanceError::Shape { expected: 2, got, .. } if got == active.len());
            assert!(expected, "{refused}");
        }
    }
}
