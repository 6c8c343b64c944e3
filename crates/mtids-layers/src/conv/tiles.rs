//! How a convolution by minimal filtering is cut into blocks of tiles, and how tiles are read and written.
//!
//! Purpose: a block is a band of tile rows of consecutive slices, small enough for a cache. Slices are listed sample by
//! sample, each with the halo of zeros or neighbours that the depth taps read; outputs of the last `kd - 1` slices of a sample
//! do not exist and are left out when writing. Invariant: blocks depend on shapes only.

use super::geometry::Geometry;
use crate::kernels::winograd::{EDGE, TILE};
use crate::kernels::{Loop, Real, row_length, vectorised, whole};

/// How a convolution is cut.
pub(super) struct Plan<'a> {
    pub g: &'a Geometry,
    /// Tiles of a slice: rows, columns.
    grid: [usize; 2],
    /// Tile rows of a band.
    band: usize,
    /// Slices of a block whose outputs are computed.
    slices: usize,
    /// Samples of one part.
    pub part: usize,
    /// Row lengths for the tiles read and the tiles written.
    pub v_row: usize,
    pub m_row: usize,
}

/// Some tile rows of some slices.
pub(super) struct Block {
    rows: std::ops::Range<usize>,
    columns: usize,
    /// First slice, and number of slices read without the halo.
    first: usize,
    slices: usize,
}

impl Block {
    /// Tiles of one slice.
    pub(super) fn per_slice(&self) -> usize {
        self.rows.len() * self.columns
    }

    /// Tiles of all slices and of `halo` more.
    pub(super) fn tiles(&self, halo: usize) -> usize {
        (self.slices + halo) * self.per_slice()
    }
}

impl<'a> Plan<'a> {
    /// Blocks of about `aim` tiles; at least `parts` parts where there are as many samples, each of up to `aim` tiles or more.
    pub(super) fn new(g: &'a Geometry, aim: usize, parts: usize) -> Self {
        let grid = [g.out[1].div_ceil(TILE), g.out[2].div_ceil(TILE)];
        let halo = g.kernel[0] - 1;
        // With a halo, several slices share what they read.
        let together = (4 * halo + 1).min(g.out[0]);
        let band = aim.div_ceil(together * grid[1]).clamp(1, grid[0]);
        let per_sample = grid[0] * grid[1] * g.out[0];
        let part = g.part(per_sample, aim.min(per_sample * g.batch / parts));
        let slices = aim.div_ceil(band * grid[1]).clamp(together, part * (g.out[0] + halo));
        let (columns, read) = (whole(slices * band * grid[1]), halo * band * grid[1]);
        Self { g, grid, band, slices, part, v_row: row_length(read + columns), m_row: row_length(columns) }
    }

    /// Slices that depth taps read beyond a block's own.
    pub(super) fn halo(&self) -> usize {
        self.g.kernel[0] - 1
    }

    /// Slices listed for each sample.
    fn list(&self) -> usize {
        self.g.out[0] + self.halo()
    }

    /// The blocks of a part.
    pub(super) fn blocks(&self, samples: usize) -> impl Iterator<Item = Block> {
        let [rows, columns] = self.grid;
        let (slices, band, end) = (self.slices, self.band, samples * self.list() - self.halo());
        (0..end).step_by(slices).flat_map(move |first| {
            (0..rows).step_by(band).map(move |row| Block {
                rows: row..(row + band).min(rows),
                columns,
                first,
                slices: slices.min(end - first),
            })
        })
    }

    /// Sample and depth of a listed slice of the input; `None` outside.
    pub(super) fn input_slice(&self, index: usize) -> Option<(usize, usize)> {
        let depth = (index % self.list()).checked_sub(self.g.padding[0])?;
        (depth < self.g.size[0]).then_some((index / self.list(), depth))
    }

    /// Sample and depth of a listed slice of the output; `None` where there is none.
    pub(super) fn output_slice(&self, index: usize) -> Option<(usize, usize)> {
        let depth = index % self.list();
        (depth < self.g.out[0]).then_some((index / self.list(), depth))
    }
}

/// Tiles of one channel as planes `[N * N][v_row]`, zero outside the input and behind the last tile up to whole vectors. With
/// `N` = 6 a tile starts one padding before its outputs and overlaps its neighbours; with `N` = 4 it is its outputs.
pub(super) fn gather<'x, T: Real, const N: usize>(
    plan: &Plan<'_>,
    block: &Block,
    planes: &mut [T],
    slice: impl Fn(usize) -> Option<&'x [T]>,
) {
    let read = N == EDGE;
    let (size, padding) = if read { (plan.g.size, plan.g.padding) } else { (plan.g.out, [0; 3]) };
    let [_, height, width] = size;
    let slices = block.slices + if read { plan.halo() } else { 0 };
    let end = slices * block.per_slice();
    for plane in planes.chunks_mut(plan.v_row).take(N * N) {
        plane[end..whole(end)].fill(T::zero());
    }
    // Short rows of tiles are copied by code that knows their length; long ones need no help.
    macro_rules! by_length {
        ($($length:literal)*) => {
            match block.columns {
                $($length => lines::<T, N, $length>(plan, block, planes, slices, [height, width], padding, slice),)*
                _ => lines::<T, N, 0>(plan, block, planes, slices, [height, width], padding, slice),
            }
        };
    }
    by_length!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// [`gather`] line by line; `COLUMNS` is the number of tiles of a row, or 0 for any.
fn lines<'x, T: Real, const N: usize, const COLUMNS: usize>(
    plan: &Plan<'_>,
    block: &Block,
    planes: &mut [T],
    slices: usize,
    [height, width]: [usize; 2],
    padding: [usize; 3],
    slice: impl Fn(usize) -> Option<&'x [T]>,
) {
    // Four phases of a line, with a margin on both sides for tiles that begin before it or end behind.
    let columns = if COLUMNS > 0 { COLUMNS } else { block.columns };
    let phase = columns + 2;
    T::with([4 * phase], |[phases]| {
        phases.fill(T::zero());
        for index in 0..slices {
            let x = slice(block.first + index);
            let start = index * block.per_slice();
            let first = block.rows.start * TILE;
            for line in 0..(block.rows.len() - 1) * TILE + N {
                let y = (first + line).wrapping_sub(padding[1]);
                let line_of_x = x.filter(|_| y < height).map(|x| &x[y * width..(y + 1) * width]);
                if let Some(x) = line_of_x {
                    vectorised(Split { line: x, phases, phase });
                }
                // A line belongs to the tile row that begins with it or before, and to the one above if that reaches it.
                let last = (line / TILE).min(block.rows.len() - 1);
                for row in (line.saturating_sub(N - 1).div_ceil(TILE)..=last).rev() {
                    let i = line - row * TILE;
                    for j in 0..N {
                        let target = &mut planes[(i * N + j) * plan.v_row + start + row * columns..][..columns];
                        if line_of_x.is_some() {
                            // Entry j of tile t is cell 4 t + j - padding; 4 more keep it positive.
                            let from = j + TILE - padding[2];
                            let from = &phases[from % TILE * phase + from / TILE..][..columns];
                            match (target.first_chunk_mut::<COLUMNS>(), from.first_chunk::<COLUMNS>()) {
                                (Some(target), Some(from)) if COLUMNS > 0 => *target = *from,
                                _ => target.copy_from_slice(from),
                            }
                        } else {
                            target.fill(T::zero());
                        }
                    }
                }
            }
        }
    });
}

/// Cells `f`, `f + 4`, … of a line to phase `f`, behind a margin of one; what lies behind the line is left as it is (zero).
struct Split<'a, T> {
    line: &'a [T],
    phases: &'a mut [T],
    phase: usize,
}

impl<T: Real> Loop for Split<'_, T> {
    #[inline(always)]
    fn run(self) {
        let count = self.line.len() / TILE;
        let (a, rest) = self.phases.split_at_mut(self.phase);
        let (b, rest) = rest.split_at_mut(self.phase);
        let (c, d) = rest.split_at_mut(self.phase);
        let (chunks, left) = self.line.as_chunks::<TILE>();
        let pairs = (a[1..=count].iter_mut().zip(&mut b[1..=count]), c[1..=count].iter_mut().zip(&mut d[1..=count]));
        for (chunk, ((a, b), (c, d))) in chunks.iter().zip(pairs.0.zip(pairs.1)) {
            [*a, *b, *c, *d] = *chunk;
        }
        for (value, target) in left.iter().zip([a, b, c]) {
            target[count + 1] = *value;
        }
    }
}

/// Writes the tiles of one output channel from planes `[16][v_row]`.
pub(super) fn scatter<T: Real>(plan: &Plan<'_>, block: &Block, planes: &[T], output: usize, result: &mut [T]) {
    let g = plan.g;
    let [_, height, width] = g.out;
    for index in 0..block.slices {
        let Some((sample, depth)) = plan.output_slice(block.first + index) else { continue };
        let start = sample * g.out_sample() + output * g.cells() + depth * height * width;
        let (first, end) = (block.rows.start * TILE, (block.rows.end * TILE).min(height));
        let lines = result[start + first * width..start + end * width].chunks_exact_mut(width);
        for (y, line) in lines.enumerate() {
            let tile = index * block.per_slice() + y / TILE * block.columns;
            let plane = |j: usize| &planes[(y % TILE * TILE + j) * plan.v_row + tile..][..block.columns];
            let planes = [plane(0), plane(1), plane(2), plane(3)];
            vectorised(Join { line, planes });
        }
    }
}

/// The inverse of [`Split`], without margins.
struct Join<'a, T> {
    line: &'a mut [T],
    planes: [&'a [T]; 4],
}

impl<T: Real> Loop for Join<'_, T> {
    #[inline(always)]
    fn run(self) {
        let [a, b, c, d] = self.planes;
        let (chunks, left) = self.line.as_chunks_mut::<TILE>();
        for (chunk, ((a, b), (c, d))) in chunks.iter_mut().zip(a.iter().zip(b).zip(c.iter().zip(d))) {
            *chunk = [*a, *b, *c, *d];
        }
        for (value, plane) in left.iter_mut().zip([a, b, c]) {
            if let Some(last) = plane.last() {
                *value = *last;
            }
        }
    }
}
