//! Convolution by unfolding: any kernel, stride, padding, dilation and number of groups.
//!
//! Purpose: blocks of output rows are unfolded to a matrix `[C k, columns]` that stays in cache; the forward pass multiplies
//! it by the weights, the backward pass multiplies the output gradient by the transposed weights (folded back: the gradient
//! of the input) and by the unfolded input (the gradient of the weights). Invariant: blocks depend on shapes only.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::kernels::product::{InnerProducts, Multiply, PANEL, inner_products, multiply, pack, packed_length};
use crate::kernels::{Real, row_length, whole};

/// Columns of the unfolded matrix that one block aims at.
const COLUMNS: usize = 256;

/// One row of the output: where its sample starts and where its first input cell lies.
struct Line {
    sample: usize,
    z: usize,
    y: usize,
}

/// A block: some output rows of some samples of a part.
struct Block {
    lines: Vec<Line>,
    /// `(first column, sample, first cell, cells)` of each stretch without a gap in the output.
    runs: Vec<(usize, usize, usize, usize)>,
    columns: usize,
}

fn blocks(g: &Geometry, samples: usize) -> impl Iterator<Item = Block> {
    let [depth, height, width] = g.out;
    let per_sample = depth * height;
    let at_once = (COLUMNS / width).max(1);
    (0..samples * per_sample).step_by(at_once).map(move |first| {
        let mut block = Block { lines: Vec::with_capacity(at_once), runs: Vec::new(), columns: 0 };
        for line in first..(first + at_once).min(samples * per_sample) {
            let (sample, row) = (line / per_sample, line % per_sample);
            match block.runs.last_mut() {
                Some(run) if run.1 == sample => run.3 += width,
                _ => block.runs.push((block.columns, sample, row * width, width)),
            }
            block.lines.push(Line { sample, z: row / height, y: row % height });
            block.columns += width;
        }
        block
    })
}

/// Calls `visit(column, Some(input), length)` for each stretch of one row of the unfolded matrix that lies inside the input,
/// and `visit(column, None, length)` for each that does not; entry `i` of a stretch joins column `column + i` and input entry
/// `input + i * stride`.
#[inline(always)]
fn stretches(
    g: &Geometry,
    block: &Block,
    channel: usize,
    [dz, dy, dx]: [usize; 3],
    mut visit: impl FnMut(usize, Option<usize>, usize),
) {
    let (zs, ys, xs): (Range<usize>, Range<usize>, Range<usize>) = (g.valid(0, dz), g.valid(1, dy), g.valid(2, dx));
    let ([_, height, width], out_width) = (g.size, g.out[2]);
    for (index, line) in block.lines.iter().enumerate() {
        let column = index * out_width;
        if xs.is_empty() || !zs.contains(&line.z) || !ys.contains(&line.y) {
            visit(column, None, out_width);
            continue;
        }
        let z = line.z * g.stride[0] + dz * g.dilation[0] - g.padding[0];
        let y = line.y * g.stride[1] + dy * g.dilation[1] - g.padding[1];
        let x = xs.start * g.stride[2] + dx * g.dilation[2] - g.padding[2];
        let input = line.sample * g.sample() + channel * g.plane() + (z * height + y) * width + x;
        if xs.start > 0 {
            visit(column, None, xs.start);
        }
        visit(column + xs.start, Some(input), xs.len());
        if xs.end < out_width {
            visit(column + xs.end, None, out_width - xs.end);
        }
    }
}

/// Calls `visit(row, channel, tap)` for each row of the unfolded matrix of one group.
#[inline(always)]
fn unfolded_rows(g: &Geometry, group: usize, mut visit: impl FnMut(usize, usize, [usize; 3])) {
    let [kd, kh, kw] = g.kernel;
    let mut row = 0;
    for channel in group * g.members()..(group + 1) * g.members() {
        for dz in 0..kd {
            for dy in 0..kh {
                for dx in 0..kw {
                    visit(row, channel, [dz, dy, dx]);
                    row += 1;
                }
            }
        }
    }
}

fn unfold<T: Real>(g: &Geometry, block: &Block, group: usize, input: &[T], matrix: &mut [T], row: usize) {
    let stride = g.stride[2];
    unfolded_rows(g, group, |index, channel, tap| {
        let target = &mut matrix[index * row..(index + 1) * row];
        target[block.columns..].fill(T::zero());
        stretches(g, block, channel, tap, |column, from, length| {
            let target = &mut target[column..column + length];
            match from {
                None => target.fill(T::zero()),
                Some(from) if stride == 1 => target.copy_from_slice(&input[from..from + length]),
                Some(from) if stride == 2 => {
                    // The last cell may be the end of the input.
                    let (pairs, last) = input[from..from + 2 * length - 1].as_chunks::<2>();
                    for (value, pair) in target.iter_mut().zip(pairs) {
                        *value = pair[0];
                    }
                    target[length - 1..].copy_from_slice(last);
                }
                Some(from) => {
                    for (value, source) in target.iter_mut().zip(input[from..].iter().step_by(stride)) {
                        *value = *source;
                    }
                }
            }
        });
    });
}

/// The transpose of [`unfold`], adding into `input`.
fn fold<T: Real>(g: &Geometry, block: &Block, group: usize, matrix: &[T], input: &mut [T], row: usize) {
    let stride = g.stride[2];
    unfolded_rows(g, group, |index, channel, tap| {
        let source = &matrix[index * row..(index + 1) * row];
        stretches(g, block, channel, tap, |column, to, length| {
            let Some(to) = to else { return };
            let source = &source[column..column + length];
            if stride == 1 {
                for (value, add) in input[to..to + length].iter_mut().zip(source) {
                    *value += *add;
                }
            } else {
                for (value, add) in input[to..].iter_mut().step_by(stride).zip(source) {
                    *value += *add;
                }
            }
        });
    });
}

/// Sizes of the matrices of one group.
struct Sizes {
    /// Rows of the unfolded matrix.
    rows: usize,
    /// Outputs of one group.
    outputs: usize,
    /// Row length of a block's matrices.
    row: usize,
    /// Samples of one part.
    part: usize,
}

impl Sizes {
    fn new(g: &Geometry) -> Self {
        let at_once = (COLUMNS / g.out[2]).max(1) * g.out[2];
        Self {
            rows: g.members() * g.taps(),
            outputs: g.outputs / g.groups,
            row: row_length(at_once.min(g.batch * g.cells())),
            part: g.part(g.cells(), COLUMNS),
        }
    }

    fn starts(&self, rows: usize) -> Vec<usize> {
        (0..rows).map(|row| row * self.row).collect()
    }
}

/// All groups' weights packed, as `[outputs, rows]` or transposed.
fn packed<T: Real>(g: &Geometry, sizes: &Sizes, weight: &[T], transposed: bool) -> Vec<Vec<T>> {
    let Sizes { rows, outputs, .. } = *sizes;
    let (shape, strides) = if transposed { ([rows, outputs], [1, rows]) } else { ([outputs, rows], [rows, 1]) };
    let pack_one = |weight: &[T]| {
        let mut result = vec![T::zero(); packed_length(shape[0], shape[1])];
        pack(&mut result, weight, shape, strides);
        result
    };
    weight.chunks(outputs * rows).take(g.groups).map(pack_one).collect()
}

/// `[B, O, cells]` from `x` `[B, C, plane]`.
pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    let sizes = Sizes::new(g);
    let Sizes { rows, outputs, row, part } = sizes;
    let (weights, starts) = (packed(g, &sizes, weight, false), sizes.starts(rows));
    let mut result = vec![T::zero(); g.batch * g.out_sample()];
    result.par_chunks_mut(part * g.out_sample()).zip(x.par_chunks(part * g.sample())).for_each(|(result, x)| {
        T::with([rows * row, outputs * row], |[matrix, product]| {
            for block in blocks(g, x.len() / g.sample()) {
                for (group, a) in weights.iter().enumerate() {
                    unfold(g, &block, group, x, matrix, row);
                    let n = whole(block.columns);
                    multiply(Multiply {
                        c: product,
                        c_row: row,
                        m: outputs,
                        n,
                        a,
                        a_panel: rows * PANEL,
                        b: matrix,
                        rows: &starts,
                    });
                    for output in 0..outputs {
                        for &(column, sample, cell, cells) in &block.runs {
                            let to = sample * g.out_sample() + (group * outputs + output) * g.cells() + cell;
                            let from = output * row + column;
                            result[to..to + cells].copy_from_slice(&product[from..from + cells]);
                        }
                    }
                }
            }
        });
    });
    result
}

/// Gradients of the input (empty unless asked for) and of the weight.
pub(crate) fn backward<T: Real>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    gradient: &[T],
    want_input: bool,
) -> (Vec<T>, Vec<T>) {
    let sizes = Sizes::new(g);
    let Sizes { rows, outputs, row, part } = sizes;
    let weights = if want_input { packed(g, &sizes, weight, true) } else { Vec::new() };
    let (starts, output_starts) = (sizes.starts(rows), sizes.starts(outputs));
    let mut input = vec![T::zero(); if want_input { x.len() } else { 0 }];
    let parts = g.batch.div_ceil(part);
    let mut targets: Vec<Option<&mut [T]>> = input.chunks_mut(part * g.sample()).map(Some).collect();
    targets.resize_with(parts, || None);
    let sums: Vec<Vec<T>> = targets
        .into_par_iter()
        .zip(x.par_chunks(part * g.sample()))
        .zip(gradient.par_chunks(part * g.out_sample()))
        .map(|((mut target, x), gradient)| {
            let mut sum = vec![T::zero(); g.weights()];
            T::with([rows * row, outputs * row], |[matrix, grouped]| {
                for block in blocks(g, x.len() / g.sample()) {
                    let n = whole(block.columns);
                    for group in 0..g.groups {
                        for output in 0..outputs {
                            let to = &mut grouped[output * row..(output + 1) * row];
                            to[block.columns..].fill(T::zero());
                            for &(column, sample, cell, cells) in &block.runs {
                                let from = sample * g.out_sample() + (group * outputs + output) * g.cells() + cell;
                                to[column..column + cells].copy_from_slice(&gradient[from..from + cells]);
                            }
                        }
                        if let Some(target) = &mut target {
                            let (a, a_panel) = (&weights[group], outputs * PANEL);
                            let starts = &output_starts;
                            multiply(Multiply {
                                c: matrix,
                                c_row: row,
                                m: rows,
                                n,
                                a,
                                a_panel,
                                b: grouped,
                                rows: starts,
                            });
                            fold(g, &block, group, matrix, target, row);
                        }
                        unfold(g, &block, group, x, matrix, row);
                        inner_products(InnerProducts {
                            c: &mut sum[group * outputs * rows..(group + 1) * outputs * rows],
                            c_row: rows,
                            a: grouped,
                            a_row: row,
                            m: outputs,
                            b: matrix,
                            rows: &starts,
                            length: n,
                        });
                    }
                }
            });
            sum
        })
        .collect();
    (input, add_in_order(sums))
}

/// The sum of equally long lists, in their order.
pub(super) fn add_in_order<T: Real>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_default();
    for part in parts {
        for (total, value) in sum.iter_mut().zip(part) {
            *total += value;
        }
    }
    sum
}
