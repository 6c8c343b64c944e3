//! Convolution from its definition on interleaved maps: any kernel, stride, padding and dilation.
//!
//! Purpose: strided convolutions (the stem, the first of a stage, shortcuts) and maps too small for minimal filtering.
//! Method: the input is copied into a frame of zeros where taps reach beyond it; then a tap is an offset, a stride is a
//! distance, and no tap needs a check. The gradient of the input treats each phase of the stride on its own: its cells
//! see a fixed subset of the taps, at neighbouring cells of the output's gradient.

use rayon::prelude::*;

use super::buffer::Buffer;
use crate::geometry::Geometry;
use crate::kernels::product::{CELL, Dots, PANEL, Product, pack, packed_length};
use crate::kernels::{LANES, Real};

/// Cells over which the gradient of the weights is summed in registers: eight rows of them fit into the first cache.
const SUMMED: usize = 48;

/// A map that may stand in a frame of zeros.
enum Framed<'a, T: Real> {
    Bare(&'a [T]),
    Copy(Buffer<T>),
}

/// The map and its sizes within the frame.
struct Frame<'a, T: Real> {
    map: Framed<'a, T>,
    size: [usize; 3],
}

impl<'a, T: Real> Frame<'a, T> {
    /// `x` `[channels of all bundles][size]` with `before` zeros in front, cut or continued to `total` cells.
    fn new(x: &'a [T], size: [usize; 3], before: [usize; 3], total: [usize; 3]) -> Self {
        if before == [0; 3] && (0..3).all(|axis| total[axis] <= size[axis]) {
            return Self { map: Framed::Bare(x), size };
        }
        let plane = size.iter().product::<usize>() * LANES;
        let framed = total.iter().product::<usize>() * LANES;
        let mut copy = Buffer::new(x.len() / plane * framed);
        copy.par_chunks_mut(framed).zip(x.par_chunks(plane)).for_each(|(copy, x)| {
            let kept = [0, 1, 2].map(|axis| size[axis].min(total[axis].saturating_sub(before[axis])));
            for (index, line) in copy.chunks_exact_mut(total[2] * LANES).enumerate() {
                let (z, y) = ((index / total[1]).wrapping_sub(before[0]), (index % total[1]).wrapping_sub(before[1]));
                if z >= kept[0] || y >= kept[1] {
                    line.fill(T::zero());
                    continue;
                }
                let (front, rest) = line.split_at_mut(before[2].min(total[2]) * LANES);
                let (middle, behind) = rest.split_at_mut(kept[2] * LANES);
                front.fill(T::zero());
                middle.copy_from_slice(&x[(z * size[1] + y) * size[2] * LANES..][..kept[2] * LANES]);
                behind.fill(T::zero());
            }
        });
        Self { map: Framed::Copy(copy), size: total }
    }

    fn map(&self) -> &[T] {
        match &self.map {
            Framed::Bare(map) => map,
            Framed::Copy(map) => map,
        }
    }

    /// Entries of a channel.
    fn plane(&self) -> usize {
        self.size.iter().product::<usize>() * LANES
    }

    /// Where a cell of a channel starts.
    fn at(&self, [z, y, x]: [usize; 3]) -> usize {
        ((z * self.size[1] + y) * self.size[2] + x) * LANES
    }
}

/// Starts in `size` cells of one channel.
fn cell(size: [usize; 3], [z, y, x]: [usize; 3]) -> usize {
    ((z * size[1] + y) * size[2] + x) * LANES
}

/// All `[z, y, x]` below these counts, in order.
fn cells([depth, height, width]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..depth).flat_map(move |z| (0..height).flat_map(move |y| (0..width).map(move |x| [z, y, x])))
}

/// The input as the taps read it.
fn input_frame<'a, T: Real>(g: &Geometry, x: &'a [T]) -> Frame<'a, T> {
    let span = g.span();
    let read = [0, 1, 2].map(|axis| (g.out[axis] - 1) * g.stride[axis] + span[axis] + 1);
    Frame::new(x, g.size, g.padding, read)
}

/// One line of a map: of one bundle, in all channels.
struct Band<'a, T> {
    bundle: usize,
    /// Slice and row.
    at: [usize; 2],
    lines: Vec<&'a mut [T]>,
}

/// The lines of a map `[bundles][channels][size]`. A line is a task with all channels, so that the cells that it reads stay in a cache while
/// the weights of all of them run over them.
fn bands<T>(map: &mut [T], channels: usize, size: [usize; 3]) -> Vec<Band<'_, T>> {
    let plane = size.iter().product::<usize>() * LANES;
    let mut bands = Vec::with_capacity(map.len() / (channels * size[2] * LANES));
    for (bundle, sample) in map.chunks_exact_mut(channels * plane).enumerate() {
        let first = bands.len();
        bands.extend(cells([size[0], size[1], 1]).map(|[z, y, _]| Band {
            bundle,
            at: [z, y],
            lines: Vec::with_capacity(channels),
        }));
        for channel in sample.chunks_exact_mut(plane) {
            for (band, line) in bands[first..].iter_mut().zip(channel.chunks_exact_mut(size[2] * LANES)) {
                band.lines.push(line);
            }
        }
    }
    bands
}

/// `[bundles][O][cells][LANES]` from `x`; `g.batch` counts bundles.
pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Buffer<T> {
    let frame = input_frame(g, x);
    let inner = g.inputs * g.taps();
    let mut packed = vec![T::zero(); packed_length(g.outputs, inner)];
    pack(&mut packed, weight, [g.outputs, inner], [inner, 1]);
    let rows: Vec<usize> = (0..g.inputs)
        .flat_map(|channel| cells(g.kernel).map(move |tap| (channel, tap)))
        .map(|(channel, tap)| channel * frame.plane() + frame.at(g.reach(tap)))
        .collect();
    let mut result = Buffer::new(g.batch * g.out_sample() * LANES);
    bands(&mut result, g.outputs, g.out).into_par_iter().for_each(|band| {
        let sample = g.inputs * frame.plane();
        let [z, y] = band.at;
        let c_row = g.out[2] * LANES;
        T::with([g.outputs * c_row], |[c]| {
            let product = Product {
                c: &mut *c,
                c_row,
                c_step: LANES,
                m: g.outputs,
                a: &packed,
                a_panel: PANEL * inner,
                b: &frame.map()[band.bundle * sample..][..sample],
                rows: &rows,
                b_step: g.stride[2] * LANES,
                lines: &[[frame.at([z * g.stride[0], y * g.stride[1], 0]), 0]],
                count: g.out[2],
                add: false,
            };
            product.run();
            for (line, c) in band.lines.into_iter().zip(c.chunks_exact(c_row)) {
                line.copy_from_slice(c);
            }
        });
    });
    result
}

/// One phase of the stride: the inputs `first, first + stride, …` along each axis and the taps that reach them.
struct Phase<T> {
    packed: Vec<T>,
    rows: Vec<usize>,
    first: [usize; 3],
    count: [usize; 3],
}

/// Adds the gradient of the input to `input` (or writes it).
pub(super) fn backward_input<T: Real>(g: &Geometry, weight: &[T], gradient: &[T], input: &mut [T], add: bool) {
    // How far taps reach before the first and behind the last output.
    let span = g.span();
    let before = [0, 1, 2].map(|axis| span[axis].saturating_sub(g.padding[axis]).div_ceil(g.stride[axis]));
    let total =
        [0, 1, 2].map(|axis| before[axis] + g.out[axis].max((g.size[axis] - 1 + g.padding[axis]) / g.stride[axis] + 1));
    let frame = Frame::new(gradient, g.out, before, total);
    let phases: Vec<Phase<T>> = cells(g.stride).map(|phase| Phase::new(g, weight, &frame, before, phase)).collect();
    let untouched = phases.iter().any(|phase| phase.rows.is_empty());
    bands(input, g.inputs, g.size).into_par_iter().for_each(|band| {
        let sample = g.outputs * frame.plane();
        let c_row = g.size[2] * LANES;
        T::with([g.inputs * c_row], |[c]| {
            if untouched {
                c.fill(T::zero());
            }
            for phase in phases.iter().filter(|phase| !phase.rows.is_empty() && phase.count[2] > 0) {
                let Some(line) = phase.line(g, band.at) else { continue };
                let product = Product {
                    c: &mut *c,
                    c_row,
                    c_step: g.stride[2] * LANES,
                    m: g.inputs,
                    a: &phase.packed,
                    a_panel: PANEL * phase.rows.len(),
                    b: &frame.map()[band.bundle * sample..][..sample],
                    rows: &phase.rows,
                    b_step: LANES,
                    lines: &[[frame.at([line[0], line[1], 0]), phase.first[2] * LANES]],
                    count: phase.count[2],
                    add: false,
                };
                product.run();
            }
            for (line, c) in band.lines.into_iter().zip(c.chunks_exact(c_row)) {
                if add {
                    line.iter_mut().zip(c).for_each(|(value, c)| *value += *c);
                } else {
                    line.copy_from_slice(c);
                }
            }
        });
    });
}

impl<T: Real> Phase<T> {
    fn new(g: &Geometry, weight: &[T], frame: &Frame<'_, T>, before: [usize; 3], phase: [usize; 3]) -> Self {
        // Along each axis: the first input whose distance to the padded border leaves this rest, and how many there are.
        let first = [0, 1, 2].map(|axis| {
            let (rest, stride, padding) = (phase[axis], g.stride[axis], g.padding[axis] % g.stride[axis]);
            (rest + stride - padding) % stride
        });
        let count = [0, 1, 2].map(|axis| g.size[axis].saturating_sub(first[axis]).div_ceil(g.stride[axis]));
        let reached = |tap: &[usize; 3]| {
            let reach = g.reach(*tap);
            (0..3).all(|axis| reach[axis] % g.stride[axis] == phase[axis])
        };
        let taps: Vec<[usize; 3]> = cells(g.kernel).filter(reached).collect();
        // Input `first + i * stride` reads output `(first + padding - reach) / stride + i`, which lies `before` in the frame.
        let offset = |tap: &[usize; 3]| {
            let reach = g.reach(*tap);
            frame.at([0, 1, 2].map(|axis| {
                (first[axis] + g.padding[axis] + before[axis] * g.stride[axis] - reach[axis]) / g.stride[axis]
            }))
        };
        let mut rows = Vec::with_capacity(g.outputs * taps.len());
        let mut matrix = Vec::with_capacity(g.inputs * g.outputs * taps.len());
        for output in 0..g.outputs {
            for tap in &taps {
                rows.push(output * frame.plane() + offset(tap));
                let tap = (tap[0] * g.kernel[1] + tap[1]) * g.kernel[2] + tap[2];
                matrix.extend((0..g.inputs).map(|input| weight[(output * g.inputs + input) * g.taps() + tap]));
            }
        }
        let mut packed = vec![T::zero(); packed_length(g.inputs, rows.len())];
        if !rows.is_empty() {
            pack(&mut packed, &matrix, [g.inputs, rows.len()], [1, g.inputs]);
        }
        Self { packed, rows, first, count }
    }

    /// Which of the phase's slices and rows the input's slice and row are, if they are of this phase.
    fn line(&self, g: &Geometry, at: [usize; 2]) -> Option<[usize; 2]> {
        let mut line = [0; 2];
        for axis in 0..2 {
            let distance = at[axis].checked_sub(self.first[axis])?;
            if !distance.is_multiple_of(g.stride[axis]) {
                return None;
            }
            line[axis] = distance / g.stride[axis];
        }
        Some(line)
    }
}

/// Writes the gradient of the weight.
pub(super) fn backward_weight<T: Real>(g: &Geometry, x: &[T], gradient: &[T], weight: &mut [T]) {
    let frame = input_frame(g, x);
    let inner = g.inputs * g.taps();
    let (x_sample, out_sample) = (g.inputs * frame.plane(), g.out_sample() * LANES);
    let taps: Vec<usize> = cells(g.kernel).map(|tap| frame.at(g.reach(tap))).collect();
    // Where each output cell starts in the gradient and in the input's frame.
    let places: Vec<[usize; 2]> = (0..g.batch)
        .flat_map(|bundle| cells(g.out).map(move |at| (bundle, at)))
        .map(|(bundle, at)| {
            let input = frame.at([0, 1, 2].map(|axis| at[axis] * g.stride[axis]));
            [bundle * out_sample + cell(g.out, at), bundle * x_sample + input]
        })
        .collect();
    let x = frame.map();
    weight.par_chunks_mut(PANEL * inner).enumerate().for_each(|(panel, c)| {
        c.fill(T::zero());
        let m = c.len() / inner;
        T::with([SUMMED * CELL], |[packed]| {
            for places in places.chunks(SUMMED) {
                for (cell, place) in packed.chunks_exact_mut(CELL).zip(places) {
                    for (output, cell) in cell.chunks_exact_mut(LANES).enumerate().take(m) {
                        let from = place[0] + (panel * PANEL + output) * g.cells() * LANES;
                        cell.copy_from_slice(&gradient[from..from + LANES]);
                    }
                }
                let cells: Vec<usize> = places.iter().map(|place| place[1]).collect();
                for channel in 0..g.inputs {
                    let dots = Dots {
                        c: &mut c[channel * g.taps()..],
                        c_row: inner,
                        m,
                        a: packed,
                        a_panel: 0,
                        b: &x[channel * frame.plane()..],
                        rows: &taps,
                        cells: &cells,
                    };
                    dots.run();
                }
            }
        });
    });
}
