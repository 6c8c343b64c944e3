//! Convolution with a 3 × 3 kernel in the plane and stride 1 by minimal filtering, on interleaved maps.
//!
//! Purpose: such convolutions are most of a residual network, and a quarter of the multiplications suffices. Along depth the
//! taps are part of the inner dimension: the domain of a slice is computed once and read by every depth tap. A tile of a cell
//! is whole vectors, so the transforms read maps and write them in place. The forward pass takes a row of tiles of a bundle
//! at a time, in runs whose domain stays in a core's second cache; the gradient of the input is the same function of the
//! output's gradient and the flipped weights; that of the weights is the exact transpose, and takes tiles of several bundles
//! at a time, because its sums are the quicker the longer. Invariant: runs depend on shapes only.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::filter::{filter_domain, filter_gradient, flipped};
use super::tiles::{Read, Write};
use crate::geometry::Geometry;
use crate::kernels::product::{CELL, Dots, PANEL, Product};
use crate::kernels::winograd::{Data, EDGE, POINTS, Spread, TILE};
use crate::kernels::{LANES, Real};

/// Entries of the domain of one run in the forward pass (1 MiB in single precision).
const RUN: usize = 1 << 18;
/// Entries of both domains of one run in the gradient of the weights.
const GRADIENT_RUN: usize = 1 << 19;
/// Fewest cells of a run in the gradient of the weights.
const SUMMED: usize = 16;

/// Whether this algorithm can compute the convolution, and with clearly fewer multiplications.
pub(super) fn suits(g: &Geometry) -> bool {
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

/// Length of a row of the domain of at least `entries`: an odd number of vectors of [`LANES`], so that rows below each other do
/// not fall into the same few sets of a cache.
fn odd(entries: usize) -> usize {
    ((entries / LANES) | 1) * LANES
}

/// Rows and columns of tiles of a slice.
fn grid(g: &Geometry) -> [usize; 2] {
    [g.out[1].div_ceil(TILE), g.out[2].div_ceil(TILE)]
}

/// Slices whose domain an output sample needs.
fn slices(g: &Geometry) -> usize {
    g.out[0] + g.kernel[0] - 1
}

/// The slice of a channel that depth tap 0 of output slice `index` reads, and further.
fn slice<'x, T>(g: &Geometry, channel: &'x [T], index: usize) -> Option<&'x [T]> {
    let depth = index.checked_sub(g.padding[0]).filter(|depth| *depth < g.size[0])?;
    let area = g.size[1] * g.size[2] * LANES;
    Some(&channel[depth * area..][..area])
}

/// Writes `[bundles][O][cells][LANES]` (or adds to it) from `x`; `g.batch` counts bundles.
pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], result: &mut [T], add: bool) {
    let inner = g.inputs * g.kernel[0];
    let u = filter_domain(weight, g.outputs, inner);
    let [tile_rows, tile_columns] = grid(g);
    let tile = POINTS * LANES * (g.inputs * slices(g) + g.outputs * g.out[0]);
    let run = (RUN / tile).clamp(1, tile_columns);
    // Even runs instead of long ones and a rest.
    let run = tile_columns.div_ceil(tile_columns.div_ceil(run));
    bands(g, result, tile_rows).into_par_iter().for_each(|mut band| {
        let x = &x[band.bundle * g.sample() * LANES..][..g.sample() * LANES];
        let (v_row, m_row) = (slices(g) * run * LANES, g.out[0] * run * LANES);
        let (v_point, m_point) = (odd(g.inputs * v_row), odd(g.outputs * m_row));
        T::with([POINTS * v_point, POINTS * m_point], |[v, m]| {
            for first in (0..tile_columns).step_by(run) {
                let tiles = run.min(tile_columns - first);
                let (v_row, m_row) = (slices(g) * tiles * LANES, g.out[0] * tiles * LANES);
                for (channel, x) in x.chunks_exact(g.plane() * LANES).enumerate() {
                    for index in 0..slices(g) {
                        let to = &mut v[channel * v_row + index * tiles * LANES..];
                        read_input(g, x, index, [band.row, first], tiles, to, v_point);
                    }
                }
                let rows: Vec<usize> = (0..g.inputs)
                    .flat_map(|channel| (0..g.kernel[0]).map(move |tap| channel * v_row + tap * tiles * LANES))
                    .collect();
                for point in 0..POINTS {
                    let product = Product {
                        c: &mut m[point * m_point..],
                        c_row: m_row,
                        c_step: LANES,
                        m: g.outputs,
                        a: &u[point * inner * PANEL..],
                        a_panel: POINTS * inner * PANEL,
                        b: &v[point * v_point..],
                        rows: &rows,
                        b_step: LANES,
                        lines: &[[0, 0]],
                        count: g.out[0] * tiles,
                        add: false,
                    };
                    product.run();
                }
                for (output, slices) in band.lines.chunks_exact_mut(g.out[0]).enumerate() {
                    for (depth, lines) in slices.iter_mut().enumerate() {
                        let from = &m[output * m_row + depth * tiles * LANES..];
                        let (width, column) = (g.out[2], first * TILE);
                        Write { from, point: m_point, tiles, lines, width, column, add }.run();
                    }
                }
            }
        });
    });
}

/// The domain of `tiles` tiles from `tile` (row and column) on, of one slice.
fn read_input<T: Real>(
    g: &Geometry,
    channel: &[T],
    index: usize,
    tile: [usize; 2],
    tiles: usize,
    to: &mut [T],
    point: usize,
) {
    let (corner, padding) = (tile.map(|at| at * TILE), [g.padding[1], g.padding[2]]);
    let size = [g.size[1], g.size[2]];
    Read::<T, Data, EDGE, EDGE>::run(slice(g, channel, index), size, (corner, padding), tiles, to, [point, LANES]);
}

/// Neighbouring tiles of one row of a bundle.
struct Strip {
    bundle: usize,
    /// Row and column of the first.
    tile: [usize; 2],
    tiles: usize,
    /// Number of the first in its run.
    item: usize,
}

/// The tiles `first..first + count` of all bundles, row by row.
fn strips(first: usize, count: usize, [rows, columns]: [usize; 2]) -> Vec<Strip> {
    let mut strips = Vec::new();
    let mut item = 0;
    while item < count {
        let (row, column) = ((first + item) / columns, (first + item) % columns);
        let tiles = (columns - column).min(count - item);
        strips.push(Strip { bundle: row / rows, tile: [row % rows, column], tiles, item });
        item += tiles;
    }
    strips
}

/// One row of tiles of one bundle: the lines of all output channels and slices.
struct Band<'a, T> {
    bundle: usize,
    row: usize,
    lines: Vec<&'a mut [T]>,
}

fn bands<'a, T: Real>(g: &Geometry, result: &'a mut [T], tile_rows: usize) -> Vec<Band<'a, T>> {
    let mut bands = Vec::with_capacity(g.batch * tile_rows);
    for (bundle, sample) in result.chunks_exact_mut(g.out_sample() * LANES).enumerate() {
        let first = bands.len();
        let slices = g.outputs * g.out[0];
        bands.extend((0..tile_rows).map(|row| Band { bundle, row, lines: Vec::with_capacity(slices) }));
        for slice in sample.chunks_exact_mut(g.out[1] * g.out[2] * LANES) {
            for (band, lines) in bands[first..].iter_mut().zip(slice.chunks_mut(TILE * g.out[2] * LANES)) {
                band.lines.push(lines);
            }
        }
    }
    bands
}

/// Adds the gradient of the input to `input` (or writes it).
pub(super) fn backward_input<T: Real>(g: &Geometry, weight: &[T], gradient: &[T], input: &mut [T], add: bool) {
    let padding = [0, 1, 2].map(|axis| g.kernel[axis] - 1 - g.padding[axis]);
    let back = Geometry { inputs: g.outputs, outputs: g.inputs, size: g.out, out: g.size, padding, ..*g };
    forward(&back, gradient, &flipped(g, weight), input, add);
}

/// Writes the gradient of the weight.
pub(super) fn backward_weight<T: Real>(g: &Geometry, x: &[T], gradient: &[T], weight: &mut [T]) {
    let inner = g.inputs * g.kernel[0];
    let [tile_rows, tile_columns] = grid(g);
    let (per_bundle, slices, depth) = (tile_rows * tile_columns, slices(g), g.out[0]);
    let items = g.batch * per_bundle;
    let item = POINTS * LANES * (g.inputs * slices + g.outputs * depth);
    let run = (GRADIENT_RUN / item).max(SUMMED.div_ceil(depth)).min(items);
    let run = items.div_ceil(items.div_ceil(run));
    let mut sums = Buffer::new(POINTS * g.outputs * inner);
    sums.par_chunks_mut(g.outputs * inner).for_each(|point| point.fill(T::zero()));
    let (v_row, m_point) = (odd(slices * run * LANES), odd(depth * run * CELL));
    // One row more than there are points: an odd distance of channels.
    let (v_channel, m_panel) = ((POINTS + 1) * v_row, POINTS * m_point);
    let mut v = Buffer::new(g.inputs * v_channel);
    let mut m = Buffer::new(g.outputs.div_ceil(PANEL) * m_panel);
    for first in (0..items).step_by(run) {
        let taken = run.min(items - first);
        let strips = strips(first, taken, [tile_rows, tile_columns]);
        v.par_chunks_mut(v_channel).enumerate().for_each(|(channel, v)| {
            for strip in &strips {
                let x = &x[(strip.bundle * g.inputs + channel) * g.plane() * LANES..][..g.plane() * LANES];
                for index in 0..slices {
                    let to = &mut v[(index * taken + strip.item) * LANES..];
                    read_input(g, x, index, strip.tile, strip.tiles, to, v_row);
                }
            }
        });
        m.par_chunks_mut(m_panel).enumerate().for_each(|(panel, m)| {
            let (area, size) = (g.out[1] * g.out[2] * LANES, [g.out[1], g.out[2]]);
            for output in panel * PANEL..g.outputs.min((panel + 1) * PANEL) {
                for strip in &strips {
                    let corner = (strip.tile.map(|at| at * TILE), [0; 2]);
                    let start = (strip.bundle * g.outputs + output) * g.cells() * LANES;
                    for (index, slice) in gradient[start..start + g.cells() * LANES].chunks_exact(area).enumerate() {
                        let to = &mut m[(index * taken + strip.item) * CELL + output % PANEL * LANES..];
                        Read::<T, Spread, TILE, EDGE>::run(Some(slice), size, corner, strip.tiles, to, [m_point, CELL]);
                    }
                }
            }
        });
        let cells: Vec<usize> = (0..depth * taken).map(|cell| cell * LANES).collect();
        let rows: Vec<usize> = (0..g.inputs)
            .flat_map(|channel| (0..g.kernel[0]).map(move |tap| channel * v_channel + tap * taken * LANES))
            .collect();
        sums.par_chunks_mut(g.outputs * inner).enumerate().for_each(|(point, c)| {
            let (a, b) = (&m[point * m_point..], &v[point * v_row..]);
            let (rows, cells) = (&rows, &cells);
            Dots { c, c_row: inner, m: g.outputs, a, a_panel: m_panel, b, rows, cells }.run();
        });
    }
    filter_gradient(&sums, inner, weight);
}
