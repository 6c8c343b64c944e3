//! Operations on the voxels of a box: distances, connected parts, smoothing.
//!
//! Invariants: axis 0 runs fastest; results depend on the values alone. Units: mm. On an oblique or skewed grid, distances are those of a
//! straight grid of the same spacing.

/// Squared distance of each set voxel to the nearest voxel that is not set, mm²; 0 where not set, infinite where all are set. What lies
/// outside the box does not count.
///
/// Method: two scans along axis 0, then lower envelopes of parabolas along the others (Felzenszwalb and Huttenlocher, Theory of Computing 8,
/// 2012): exact, and linear in the number of voxels.
pub(super) fn squared_depth(set: &[bool], size: [usize; 3], spacing: [f64; 3]) -> Vec<f32> {
    let mut squared = vec![0.0f32; set.len()];
    for (set, squared) in set.chunks_exact(size[0]).zip(squared.chunks_exact_mut(size[0])) {
        let mut steps = f32::INFINITY;
        for (set, squared) in set.iter().zip(squared.iter_mut()) {
            steps = if *set { steps + 1.0 } else { 0.0 };
            *squared = steps;
        }
        steps = f32::INFINITY;
        for (set, squared) in set.iter().zip(squared.iter_mut()).rev() {
            steps = if *set { steps + 1.0 } else { 0.0 };
            *squared = (squared.min(steps) * spacing[0] as f32).powi(2);
        }
    }
    let mut envelope = Envelope::default();
    for axis in [1, 2] {
        let stride = if axis == 1 { size[0] } else { size[0] * size[1] };
        for line in 0..set.len() / size[axis].max(1) {
            let start = line % stride + line / stride * stride * size[axis];
            envelope.lower(&mut squared, start, stride, size[axis], spacing[axis]);
        }
    }
    squared
}

/// The lower envelope of the parabolas of one line.
#[derive(Default)]
struct Envelope {
    heights: Vec<f64>,
    /// Vertices of the parabolas of the envelope, and from where on each is the lowest.
    vertices: Vec<usize>,
    from: Vec<f64>,
}

impl Envelope {
    fn lower(&mut self, values: &mut [f32], start: usize, stride: usize, length: usize, step: f64) {
        self.heights.clear();
        self.heights.extend((0..length).map(|n| f64::from(values[start + n * stride])));
        self.vertices.clear();
        self.from.clear();
        let scale = step * step;
        for (n, &height) in self.heights.iter().enumerate() {
            if height.is_infinite() {
                continue;
            }
            // Where the parabola of n falls below the last one of the envelope, in voxels.
            let begin = loop {
                let Some(&last) = self.vertices.last() else { break f64::NEG_INFINITY };
                let (a, b) = (last as f64, n as f64);
                let crossing = ((height - self.heights[last]) / scale + b * b - a * a) / (2.0 * (b - a));
                if self.from.last().is_some_and(|from| crossing > *from) {
                    break crossing;
                }
                self.vertices.pop();
                self.from.pop();
            };
            self.vertices.push(n);
            self.from.push(begin);
        }
        if self.vertices.is_empty() {
            return;
        }
        let mut at = 0;
        for n in 0..length {
            while at + 1 < self.vertices.len() && self.from[at + 1] < n as f64 {
                at += 1;
            }
            let vertex = self.vertices[at];
            let away = n.abs_diff(vertex) as f64;
            values[start + n * stride] = (scale * away * away + self.heights[vertex]) as f32;
        }
    }
}

/// A box of voxels, with which of the six neighbours each has: what is walked over.
pub(super) struct Box3 {
    size: [usize; 3],
    /// Bit `2 axis` for the neighbour below along an axis, `2 axis + 1` for the one above.
    has: Vec<u8>,
}

impl Box3 {
    pub(super) fn new(size: [usize; 3]) -> Self {
        let along =
            |axis: usize, at: usize| u8::from(at > 0) << (2 * axis) | u8::from(at + 1 < size[axis]) << (2 * axis + 1);
        let mut has = Vec::with_capacity(size.iter().product());
        for z in 0..size[2] {
            for y in 0..size[1] {
                let row = along(1, y) | along(2, z);
                has.extend((0..size[0]).map(|x| row | along(0, x)));
            }
        }
        Self { size, has }
    }

    /// Whether a voxel lies on the border along one of the axes below `axes`.
    pub(super) fn is_border(&self, n: usize, axes: usize) -> bool {
        let all = (1 << (2 * axes)) - 1;
        self.has[n] & all != all
    }

    /// Calls `visit` with the neighbours of a voxel over its faces.
    fn neighbours(&self, n: usize, mut visit: impl FnMut(usize)) {
        let has = self.has[n];
        for (axis, stride) in [1, self.size[0], self.size[0] * self.size[1]].into_iter().enumerate() {
            if has >> (2 * axis) & 1 == 1 {
                visit(n - stride);
            }
            if has >> (2 * axis + 1) & 1 == 1 {
                visit(n + stride);
            }
        }
    }

    /// Which voxels are reached over faces from the `start` voxels through voxels that `passes` accepts; a start must be accepted too.
    pub(super) fn flood(&self, start: impl IntoIterator<Item = usize>, passes: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut reached = vec![false; self.has.len()];
        let mut open: Vec<usize> = Vec::new();
        for first in start {
            if reached[first] || !passes(first) {
                continue;
            }
            reached[first] = true;
            open.push(first);
            while let Some(n) = open.pop() {
                self.neighbours(n, |neighbour| {
                    if !reached[neighbour] && passes(neighbour) {
                        reached[neighbour] = true;
                        open.push(neighbour);
                    }
                });
            }
        }
        reached
    }

    /// The parts of `chosen` that are connected over faces: voxel numbers, in the order of their first voxel.
    pub(super) fn parts(&self, chosen: &[bool]) -> Vec<Vec<usize>> {
        let mut seen = vec![false; chosen.len()];
        let mut found = Vec::new();
        for first in 0..chosen.len() {
            if !chosen[first] || seen[first] {
                continue;
            }
            seen[first] = true;
            let mut part = vec![first];
            let mut next = 0;
            while let Some(&n) = part.get(next) {
                next += 1;
                self.neighbours(n, |neighbour| {
                    if chosen[neighbour] && !seen[neighbour] {
                        seen[neighbour] = true;
                        part.push(neighbour);
                    }
                });
            }
            found.push(part);
        }
        found
    }
}

/// Sets what the set voxels enclose: in space, and on each plane of the axes 0 and 1.
pub(super) fn fill_holes(set: &mut [bool], size: [usize; 3]) {
    let space = Box3::new(size);
    let border = (0..set.len()).filter(|&n| space.is_border(n, 3));
    let outside = space.flood(border, |n| !set[n]);
    set.iter_mut().zip(outside).for_each(|(set, outside)| *set = !outside);
    let plane = Box3::new([size[0], size[1], 1]);
    for slice in set.chunks_exact_mut((size[0] * size[1]).max(1)) {
        let border = (0..slice.len()).filter(|&n| plane.is_border(n, 2));
        let outside = plane.flood(border, |n| !slice[n]);
        slice.iter_mut().zip(outside).for_each(|(set, outside)| *set = !outside);
    }
}

/// Smooths by a Gaussian of `sigma_mm`; an axis whose step is longer than three deviations is left alone. At the border of the box the
/// weights inside count.
pub(super) fn smooth(values: &mut Vec<f32>, size: [usize; 3], spacing: [f64; 3], sigma_mm: f64) {
    for axis in 0..3 {
        let sigma = sigma_mm / spacing[axis];
        if sigma < 1.0 / 3.0 {
            continue;
        }
        let reach = (3.0 * sigma).ceil() as usize;
        let weights: Vec<f32> = (0..=reach).map(|n| (-0.5 * (n as f64 / sigma).powi(2)).exp() as f32).collect();
        let stride = [1, size[0], size[0] * size[1]][axis];
        let source = std::mem::take(values);
        *values = (0..source.len())
            .map(|n| {
                let at = n / stride % size[axis];
                let (mut sum, mut total) = (weights[0] * source[n], weights[0]);
                for (away, &weight) in weights.iter().enumerate().skip(1) {
                    // Pairs are added first, so that mirroring changes nothing.
                    let before = (at >= away).then(|| source[n - away * stride]);
                    let after = (at + away < size[axis]).then(|| source[n + away * stride]);
                    sum += weight * (before.unwrap_or(0.0) + after.unwrap_or(0.0));
                    total += weight * (f32::from(before.is_some()) + f32::from(after.is_some()));
                }
                sum / total
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn depths_are_those_of_the_definition(
            set in prop::collection::vec(prop::bool::weighted(0.8), 5 * 4 * 3),
            spacing in prop::array::uniform3(0.5..3.0f64),
        ) {
            let size = [5, 4, 3];
            let found = squared_depth(&set, size, spacing);
            let place = |n: usize| [n % 5, n / 5 % 4, n / 20];
            for (n, found) in found.into_iter().enumerate() {
                let found = f64::from(found);
                let expected = (0..set.len()).filter(|&other| !set[other]).map(|other| {
                    (0..3).map(|axis| (place(n)[axis].abs_diff(place(other)[axis]) as f64 * spacing[axis]).powi(2)).sum::<f64>()
                }).fold(f64::INFINITY, f64::min);
                prop_assert!(expected == found || (expected - found).abs() < 1e-4 * expected);
            }
        }
    }

    #[test]
    fn holes_in_space_and_on_a_plane_are_filled_and_bays_are_not() {
        let size = [7, 7, 3];
        let at = |x: usize, y: usize, z: usize| (z * 7 + y) * 7 + x;
        // A ring on the middle plane; its hole is open above and below.
        let mut set = vec![false; 147];
        for y in 1..6 {
            for x in 1..6 {
                set[at(x, y, 1)] = x == 1 || x == 5 || y == 1 || y == 5;
            }
        }
        let mut broken = set.clone();
        broken[at(1, 3, 1)] = false;
        fill_holes(&mut set, size);
        assert_eq!(set.iter().filter(|&&set| set).count(), 25);
        fill_holes(&mut broken, size);
        assert_eq!(broken.iter().filter(|&&set| set).count(), 15);
    }

    #[test]
    fn parts_are_connected_over_faces() {
        let chosen = [true, true, false, false, true, true, false, true];
        assert_eq!(Box3::new([4, 2, 1]).parts(&chosen), [vec![0, 1, 4, 5], vec![7]]);
    }

    #[test]
    fn smoothing_keeps_a_constant_and_spreads_a_peak_alike() {
        let mut flat = vec![7.0; 60];
        smooth(&mut flat, [5, 4, 3], [1.0, 1.0, 2.0], 0.8);
        assert!(flat.iter().all(|x| (x - 7.0).abs() < 1e-5));
        let mut peak = vec![0.0; 9];
        peak[4] = 1.0;
        smooth(&mut peak, [9, 1, 1], [1.0; 3], 1.0);
        assert_eq!(peak[3], peak[5]);
        assert!((peak.iter().sum::<f32>() - 1.0).abs() < 0.01 && peak[4] < 0.45, "{peak:?}");
    }
}
