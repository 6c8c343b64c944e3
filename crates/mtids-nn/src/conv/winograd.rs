//! Convolution with a 3 × 3 kernel in the plane and stride 1, by minimal filtering.
//!
//! Purpose: such convolutions are most of a residual network, and a quarter of the multiplications suffices. Along depth
//! the taps are part of the inner dimension: the domain of a slice is computed once and read by every depth tap. Method:
//! blocks of slices become `V [36][C][tiles]`, the weights `U [36][O][C kd]`, their 36 products are folded back. The gradient
//! of the input is the same function of the output gradient and the flipped weights; the gradient of the weights is the
//! exact transpose. Invariant: blocks depend on shapes only.

use rayon::prelude::*;

use super::columns::add_in_order;
use super::geometry::{Geometry, valid};
use crate::kernels::product::{InnerProducts, Multiply, PANEL, inner_products, multiply, packed_length};
use crate::kernels::winograd::{Data, EDGE, Filter, FilterGradient, Output, POINTS, Spread, TILE, transform};
use crate::kernels::{Real, row_length, whole};

/// Entries of V and of the products in one block: as much as stays in a core's second cache.
const BLOCK: usize = 1 << 18;

/// Whether this algorithm can compute the convolution, and with clearly fewer multiplications.
pub(crate) fn suits(g: &Geometry) -> bool {
    let [_, height, width] = g.out;
    let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
    let saves = 9 * height * width >= 3 * POINTS * tiles / 2;
    g.groups == 1
        && g.kernel[1..] == [3, 3]
        && g.stride == [1; 3]
        && g.dilation == [1; 3]
        && (0..3).all(|axis| g.padding[axis] < g.kernel[axis])
        && g.inputs >= 8
        && g.outputs >= 8
        && saves
}

/// How a convolution is cut into blocks of slices.
struct Plan<'a> {
    g: &'a Geometry,
    tiles: [usize; 2],
    /// Slices per block that are read; the last `kd - 1` of them start no output slice.
    slices: usize,
    /// Samples of one part.
    part: usize,
    /// Row lengths of V and of the products.
    v_row: usize,
    m_row: usize,
}

/// A slice to be read or written: sample and depth, `None` outside.
type Slice = Option<(usize, usize)>;

impl<'a> Plan<'a> {
    fn new(g: &'a Geometry) -> Self {
        let tiles = [g.out[1].div_ceil(TILE), g.out[2].div_ceil(TILE)];
        let per_slice = tiles[0] * tiles[1];
        let halo = g.kernel[0] - 1;
        let list = g.out[0] + halo;
        let aim = (BLOCK / (POINTS * (g.inputs + g.outputs))).clamp(64, 512);
        let part = g.part(per_slice * g.out[0], aim);
        let slices = (aim.div_ceil(per_slice) + halo).max(2 * halo + 1).min(part * list);
        let columns = whole((slices - halo) * per_slice);
        Self { g, tiles, slices, part, v_row: row_length(halo * per_slice + columns), m_row: row_length(columns) }
    }

    fn per_slice(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    fn halo(&self) -> usize {
        self.g.kernel[0] - 1
    }

    /// Slices read for each sample, in order; those outside the input are zero.
    fn list(&self) -> usize {
        self.g.out[0] + self.halo()
    }

    /// Blocks of a part, as the first slice of the list and how many are read.
    fn blocks(&self, samples: usize) -> impl Iterator<Item = (usize, usize)> {
        let (slices, halo, end) = (self.slices, self.halo(), samples * self.list());
        (0..end - halo).step_by(slices - halo).map(move |first| (first, slices.min(end - first)))
    }

    fn input_slice(&self, index: usize) -> Slice {
        let depth = (index % self.list()).checked_sub(self.g.padding[0])?;
        (depth < self.g.size[0]).then_some((index / self.list(), depth))
    }

    fn output_slice(&self, index: usize) -> Slice {
        let depth = index % self.list();
        (depth < self.g.out[0]).then_some((index / self.list(), depth))
    }

    /// V of one block: `[36][C][v_row]`.
    fn domain<T: Real>(&self, x: &[T], (first, slices): (usize, usize), planes: &mut [T], v: &mut [T]) {
        let g = self.g;
        let columns = whole(slices * self.per_slice()).min(self.v_row);
        for channel in 0..g.inputs {
            gather::<T, EDGE>(self, planes, slices, |index| {
                let (sample, depth) = self.input_slice(first + index)?;
                let start = sample * g.sample() + channel * g.plane() + depth * g.size[1] * g.size[2];
                Some(&x[start..start + g.size[1] * g.size[2]])
            });
            let start = channel * self.v_row;
            transform::<T, Data, EDGE, EDGE>(planes, self.v_row, &mut v[start..], g.inputs * self.v_row, columns);
            for point in 0..POINTS {
                let row = point * g.inputs * self.v_row + start;
                v[row + columns..row + self.v_row].fill(T::zero());
            }
        }
    }

    /// Starts of the rows of V that the inner dimension `(c, depth tap)` reads.
    fn rows(&self) -> Vec<usize> {
        let depth = |channel: usize| (0..self.g.kernel[0]).map(move |tap| (channel, tap));
        (0..self.g.inputs).flat_map(depth).map(|(channel, tap)| channel * self.v_row + tap * self.per_slice()).collect()
    }

    /// Columns of the products of a block.
    fn columns(&self, slices: usize) -> usize {
        whole((slices - self.halo()) * self.per_slice()).min(self.m_row)
    }
}

/// Tiles of the slices of one channel as planes `[N * N][v_row]`, zero outside the input and behind the last tile. With
/// `N` = 6 a tile starts one padding before its outputs and overlaps its neighbours, with `N` = 4 it is its outputs.
fn gather<'x, T: Real, const N: usize>(
    plan: &Plan<'_>,
    planes: &mut [T],
    slices: usize,
    slice: impl Fn(usize) -> Option<&'x [T]>,
) {
    let [rows, columns] = plan.tiles;
    let (size, padding) = if N == EDGE { (plan.g.size, plan.g.padding) } else { (plan.g.out, [0; 3]) };
    let [_, height, width] = size;
    let spans: [_; N] = std::array::from_fn(|j| valid(width, columns, TILE, padding[2], j));
    let end = slices * plan.per_slice();
    for plane in planes.chunks_mut(plan.v_row).take(N * N) {
        plane[end..].fill(T::zero());
    }
    for index in 0..slices {
        let x = slice(index);
        for tile in 0..rows {
            let start = index * plan.per_slice() + tile * columns;
            for i in 0..N {
                let y = (tile * TILE + i).wrapping_sub(padding[1]);
                let line = x.filter(|_| y < height).map(|x| &x[y * width..(y + 1) * width]);
                for (j, span) in spans.iter().enumerate() {
                    let target = &mut planes[(i * N + j) * plan.v_row + start..][..columns];
                    let Some(line) = line else {
                        target.fill(T::zero());
                        continue;
                    };
                    target[..span.start].fill(T::zero());
                    target[span.end..].fill(T::zero());
                    if !span.is_empty() {
                        let from = span.start * TILE + j - padding[2];
                        for (value, x) in target[span.clone()].iter_mut().zip(line[from..].iter().step_by(TILE)) {
                            *value = *x;
                        }
                    }
                }
            }
        }
    }
}

/// Weights `[O, C, kd, 3, 3]` in the domain, packed: `[36][panels of O][C kd][8]`.
fn filter_domain<T: Real>(weight: &[T], outputs: usize, inner: usize) -> Vec<T> {
    let (row, length) = (row_length(inner), packed_length(outputs, inner));
    let mut result = vec![T::zero(); POINTS * length];
    T::with([9 * row, POINTS * row], |[planes, domain]| {
        planes.fill(T::zero());
        for (output, weight) in weight.chunks_exact(inner * 9).enumerate() {
            for (index, taps) in weight.chunks_exact(9).enumerate() {
                for (tap, value) in taps.iter().enumerate() {
                    planes[tap * row + index] = *value;
                }
            }
            transform::<T, Filter, 3, EDGE>(planes, row, domain, row, whole(inner));
            for (domain, packed) in domain.chunks_exact(row).zip(result.chunks_exact_mut(length)) {
                let panel = &mut packed[output / PANEL * PANEL * inner..][..PANEL * inner];
                for (value, entries) in domain.iter().zip(panel.chunks_exact_mut(PANEL)) {
                    entries[output % PANEL] = *value;
                }
            }
        }
    });
    result
}

/// The weights of the gradient of the input: `[O, C, taps]` to `[C, O, taps backwards]`.
fn flipped<T: Real>(g: &Geometry, weight: &[T]) -> Vec<T> {
    let taps = g.taps();
    let mut result = Vec::with_capacity(weight.len());
    for input in 0..g.inputs {
        for output in 0..g.outputs {
            result.extend(weight[(output * g.inputs + input) * taps..][..taps].iter().rev());
        }
    }
    result
}

/// `[B, O, cells]` from `x` `[B, C, plane]`.
pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    let plan = Plan::new(g);
    let inner = g.inputs * g.kernel[0];
    let (u, rows) = (filter_domain(weight, g.outputs, inner), plan.rows());
    let (v_point, m_point) = (g.inputs * plan.v_row, g.outputs * plan.m_row);
    let mut result = vec![T::zero(); g.batch * g.out_sample()];
    result.par_chunks_mut(plan.part * g.out_sample()).zip(x.par_chunks(plan.part * g.sample())).for_each(
        |(result, x)| {
            let lengths = [POINTS * plan.v_row, POINTS * v_point, POINTS * m_point];
            T::with(lengths, |[planes, v, m]| {
                for block in plan.blocks(x.len() / g.sample()) {
                    plan.domain(x, block, planes, v);
                    let n = plan.columns(block.1);
                    let products = v.chunks_exact(v_point).zip(m.chunks_exact_mut(m_point));
                    for ((b, c), a) in products.zip(u.chunks_exact(packed_length(g.outputs, inner))) {
                        multiply(Multiply { c, c_row: plan.m_row, m: g.outputs, n, a, b, rows: &rows });
                    }
                    for output in 0..g.outputs {
                        let m = &m[output * plan.m_row..];
                        transform::<T, Output, EDGE, TILE>(m, m_point, planes, plan.v_row, n);
                        scatter(&plan, planes, block, output, result);
                    }
                }
            });
        },
    );
    result
}

/// Writes the tiles of one output channel.
fn scatter<T: Real>(plan: &Plan<'_>, planes: &[T], (first, slices): (usize, usize), output: usize, result: &mut [T]) {
    let g = plan.g;
    let [_, height, width] = g.out;
    for index in 0..slices - plan.halo() {
        let Some((sample, depth)) = plan.output_slice(first + index) else { continue };
        let start = sample * g.out_sample() + output * g.cells() + depth * height * width;
        for (y, line) in result[start..start + height * width].chunks_exact_mut(width).enumerate() {
            let tile = index * plan.per_slice() + y / TILE * plan.tiles[1];
            let plane = |j: usize| &planes[(y % TILE * TILE + j) * plan.v_row + tile..][..plan.tiles[1]];
            let [a, b, c, d] = [plane(0), plane(1), plane(2), plane(3)];
            let mut chunks = line.chunks_exact_mut(TILE);
            let values = a.iter().zip(b).zip(c.iter().zip(d));
            for (chunk, ((a, b), (c, d))) in (&mut chunks).zip(values) {
                chunk.copy_from_slice(&[*a, *b, *c, *d]);
            }
            let rest = chunks.into_remainder();
            let last = plan.tiles[1] - 1;
            for (value, plane) in rest.iter_mut().zip([a, b, c, d]) {
                *value = plane[last];
            }
        }
    }
}

/// Gradients of the input (empty unless asked for) and of the weight.
pub(crate) fn backward<T: Real>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    gradient: &[T],
    want_input: bool,
) -> (Vec<T>, Vec<T>) {
    let input = if want_input {
        let padding = [0, 1, 2].map(|axis| g.kernel[axis] - 1 - g.padding[axis]);
        let back = Geometry { inputs: g.outputs, outputs: g.inputs, size: g.out, out: g.size, padding, ..*g };
        forward(&back, gradient, &flipped(g, weight))
    } else {
        Vec::new()
    };
    (input, weight_gradient(g, x, gradient))
}

fn weight_gradient<T: Real>(g: &Geometry, x: &[T], gradient: &[T]) -> Vec<T> {
    let plan = Plan::new(g);
    let inner = g.inputs * g.kernel[0];
    let rows = plan.rows();
    let (v_point, m_point) = (g.inputs * plan.v_row, g.outputs * plan.m_row);
    let point = g.outputs * inner;
    let parts: Vec<Vec<T>> = x
        .par_chunks(plan.part * g.sample())
        .zip(gradient.par_chunks(plan.part * g.out_sample()))
        .map(|(x, gradient)| {
            let mut sums = vec![T::zero(); POINTS * point];
            let lengths = [POINTS * plan.v_row, POINTS * v_point, POINTS * m_point];
            T::with(lengths, |[planes, v, m]| {
                for block in plan.blocks(x.len() / g.sample()) {
                    plan.domain(x, block, planes, v);
                    let n = plan.columns(block.1);
                    for output in 0..g.outputs {
                        gather::<T, TILE>(&plan, planes, block.1 - plan.halo(), |index| {
                            let (sample, depth) = plan.output_slice(block.0 + index)?;
                            let area = g.out[1] * g.out[2];
                            let start = sample * g.out_sample() + output * g.cells() + depth * area;
                            Some(&gradient[start..start + area])
                        });
                        let m = &mut m[output * plan.m_row..];
                        transform::<T, Spread, TILE, EDGE>(planes, plan.v_row, m, m_point, n);
                    }
                    let operands = v.chunks_exact(v_point).zip(m.chunks_exact(m_point));
                    for ((b, a), c) in operands.zip(sums.chunks_exact_mut(point)) {
                        let (m, c_row, a_row) = (g.outputs, inner, plan.m_row);
                        inner_products(InnerProducts { c, c_row, a, a_row, m, b, rows: &rows, length: n });
                    }
                }
            });
            sums
        })
        .collect();
    let sums = add_in_order(parts);
    let mut result = vec![T::zero(); point * 9];
    // Whole vectors: the planes are copied to rows of their own first.
    let row = row_length(inner);
    T::with([POINTS * row, 9 * row], |[domain, planes]| {
        domain.fill(T::zero());
        for (output, result) in result.chunks_exact_mut(inner * 9).enumerate() {
            for (domain, sums) in domain.chunks_exact_mut(row).zip(sums.chunks_exact(point)) {
                domain[..inner].copy_from_slice(&sums[output * inner..][..inner]);
            }
            transform::<T, FilterGradient, EDGE, 3>(domain, row, planes, row, whole(inner));
            for (index, taps) in result.chunks_exact_mut(9).enumerate() {
                for (tap, value) in taps.iter_mut().enumerate() {
                    *value = planes[tap * row + index];
                }
            }
        }
    });
    result
}
