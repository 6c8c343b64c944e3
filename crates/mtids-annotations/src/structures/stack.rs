//! The planes of a region become slices of a grid, and what lies between drawn planes is filled.
//!
//! Rules: a plane between two slices goes to the nearer one. A drawn piece is continued by the pieces that touch it on the next slice on which
//! any does. The slices between belong to the node where at most one of them is undrawn, or where the pieces lie no farther apart than the
//! planes that were drawn: at most [`MAX_REGULAR_MM`], the smallest distance of the node, found twice or more, or that of the object. Each
//! takes the nearer drawn plane, the middle one both. Wider gaps part nodes. Source: SlicerRt/SlicerRT#303, #304, #334. Units: mm along the
//! stack; voxels `[i, j, k]`.

use std::collections::{BTreeMap, HashSet};

use mtids_dicom::Limits;
use mtids_domain::geometry::{Affine, PointMm};

use super::area::Area;
use crate::components::components;

/// Largest distance of regularly drawn planes that are one node, mm: two slices of the thickest chest CT.
pub(super) const MAX_REGULAR_MM: f64 = 10.0;

/// Undrawn slices that never part a node.
const UNDRAWN: u32 = 1;

/// How far distances of a regular stack may differ: a plane goes to the nearest slice.
const REGULAR: f64 = 1.25;

/// The drawn planes that went to one slice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Slice {
    /// Where they lie, in slices from the first.
    depths: Vec<f64>,
    area: Area,
}

impl Slice {
    pub(super) fn add(&mut self, depth: f64, area: Area) {
        self.depths.push(depth);
        self.area.solid.extend(area.solid);
        self.area.tips.extend(area.tips);
    }

    /// Mean depth of its planes.
    fn depth(&self) -> f64 {
        self.depths.iter().sum::<f64>() / self.depths.len().max(1) as f64
    }
}

/// The voxels of a region `[i, j, k]`, sorted by `(k, j, i)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filled {
    /// All of them.
    pub(super) voxels: Vec<[u32; 3]>,
    /// Those `[k, j, i]` that only tips gave.
    pub(super) tips: HashSet<[u32; 3]>,
}

impl Filled {
    /// Adds the voxels of points that lie at or beside a voxel that is set, and of points beside those; returns the other points.
    pub(super) fn add_points(&mut self, points: Vec<PointMm>, affine: &Affine, dimensions: [usize; 3]) -> Vec<PointMm> {
        if points.is_empty() {
            return points;
        }
        let mut set: HashSet<[u32; 3]> = self.voxels.iter().copied().collect();
        let mut left: BTreeMap<[u32; 3], Vec<PointMm>> = BTreeMap::new();
        let mut alone = Vec::new();
        for point in points {
            match affine.to_voxel(point).nearest(dimensions) {
                Some(voxel) => left.entry(voxel.map(|index| index as u32)).or_default().push(point),
                None => alone.push(point),
            }
        }
        // A voxel that is added may bring those beside it.
        let mut open: Vec<[u32; 3]> =
            left.keys().copied().filter(|voxel| around(*voxel).any(|n| set.contains(&n))).collect();
        while let Some(voxel) = open.pop() {
            if left.remove(&voxel).is_none() {
                continue;
            }
            if set.insert(voxel) {
                let [i, j, k] = voxel;
                self.tips.insert([k, j, i]);
                self.voxels.push(voxel);
            }
            open.extend(around(voxel).filter(|voxel| left.contains_key(voxel)));
        }
        self.voxels.sort_unstable_by_key(|&[i, j, k]| [k, j, i]);
        alone.extend(left.into_values().flatten());
        alone
    }
}

/// A voxel and its 26 neighbours.
fn around([i, j, k]: [u32; 3]) -> impl Iterator<Item = [u32; 3]> {
    let near = |n: u32| n.saturating_sub(1)..=n.saturating_add(1);
    near(k).flat_map(move |k| near(j).flat_map(move |j| near(i).map(move |i| [i, j, k])))
}

/// A connected piece of one slice.
struct Piece {
    slice: u32,
    depth: f64,
    /// Only tips gave it.
    is_tip: bool,
    /// `[j, i]`, sorted.
    pixels: Vec<[u32; 2]>,
    /// Smallest and largest column.
    columns: [u32; 2],
}

/// A piece and those that continue it on a later slice.
struct Link {
    from: usize,
    to: Vec<usize>,
    distance_mm: f64,
}

/// The voxels of drawn slices and of the gaps between them. `step_mm` is the distance of slices, `drawn_mm` that of the planes that the object
/// was drawn on, where it is known.
///
/// # Errors
/// A sentence where there are more pieces or voxels than the limits allow.
pub(super) fn fill(
    mut slices: BTreeMap<u32, Slice>,
    step_mm: f64,
    drawn_mm: Option<f64>,
    limits: &Limits,
) -> Result<Filled, String> {
    for area in slices.values_mut().map(|slice| &mut slice.area) {
        area.tidy();
    }
    let pieces = pieces(&slices, limits)?;
    let mut count: usize = pieces.iter().map(|piece| piece.pixels.len()).sum();
    let links = links(&pieces, step_mm);
    let chains = Chains::new(&pieces, &links);
    for link in &links {
        let from = &pieces[link.from];
        let Some(to_slice) = link.to.first().map(|&to| pieces[to].slice) else { continue };
        if to_slice - from.slice > UNDRAWN + 1 && !chains.is_regular(link, drawn_mm) {
            continue;
        }
        for k in from.slice + 1..to_slice {
            let (below, above) = (k - from.slice, to_slice - k);
            let lower = (below <= above).then_some(link.from);
            let upper = link.to.iter().copied().filter(|_| above <= below);
            for piece in lower.into_iter().chain(upper).map(|n| &pieces[n]) {
                count += piece.pixels.len();
                if count > limits.max_set_voxels {
                    return Err(limits.too_many_set_voxels());
                }
                let area = &mut slices.entry(k).or_default().area;
                let layer = if piece.is_tip { &mut area.tips } else { &mut area.solid };
                layer.extend(&piece.pixels);
            }
        }
    }
    drop(pieces);
    let mut filled = Filled::default();
    for (k, Slice { mut area, .. }) in slices {
        area.tidy();
        filled.tips.extend(area.tips.iter().map(|&[j, i]| [k, j, i]));
        area.solid.extend(area.tips);
        area.solid.sort_unstable();
        filled.voxels.extend(area.solid.into_iter().map(|[j, i]| [i, j, k]));
    }
    Ok(filled)
}

/// The pieces of all slices, lowest slice first.
fn pieces(slices: &BTreeMap<u32, Slice>, limits: &Limits) -> Result<Vec<Piece>, String> {
    let most = limits.max_findings.saturating_mul(4);
    let mut pieces = Vec::new();
    for (&k, slice) in slices {
        let Area { solid, tips } = &slice.area;
        let flat: Vec<[u32; 3]> = solid.iter().chain(tips).map(|&[j, i]| [i, j, 0]).collect();
        let found = components(&flat, most.saturating_sub(pieces.len()));
        let found = found.ok_or("more pieces than a drawn structure has; is this noise?")?;
        pieces.extend(found.into_iter().map(|voxels| {
            let pixels: Vec<[u32; 2]> = voxels.into_iter().map(|[i, j, _]| [j, i]).collect();
            let columns = pixels.iter().fold([u32::MAX, 0], |[low, high], [_, i]| [low.min(*i), high.max(*i)]);
            let is_tip = !pixels.iter().any(|pixel| solid.binary_search(pixel).is_ok());
            Piece { slice: k, depth: slice.depth(), is_tip, pixels, columns }
        }));
    }
    Ok(pieces)
}

/// For each piece those that continue it.
fn links(pieces: &[Piece], step_mm: f64) -> Vec<Link> {
    let mut by_slice: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (n, piece) in pieces.iter().enumerate() {
        by_slice.entry(piece.slice).or_default().push(n);
    }
    // Farther than this nothing is joined.
    let farthest = ((MAX_REGULAR_MM / step_mm).ceil() as u32).max(UNDRAWN + 1);
    let mut links = Vec::new();
    for (from, piece) in pieces.iter().enumerate() {
        for (_, later) in by_slice.range(piece.slice + 1..=piece.slice.saturating_add(farthest)) {
            let to: Vec<usize> = later.iter().copied().filter(|&n| touches(piece, &pieces[n])).collect();
            if let Some(&first) = to.first() {
                let distance_mm = (pieces[first].depth - piece.depth).abs() * step_mm;
                links.push(Link { from, to, distance_mm });
                break;
            }
        }
    }
    links
}

/// Whether two pieces have pixels at or beside one another, as seen along the stack.
fn touches(a: &Piece, b: &Piece) -> bool {
    let rows = |piece: &Piece| Some([piece.pixels.first()?[0], piece.pixels.last()?[0]]);
    let (Some(of_a), Some(of_b)) = (rows(a), rows(b)) else { return false };
    let near = |a: [u32; 2], b: [u32; 2]| a[0] <= b[1].saturating_add(1) && b[0] <= a[1].saturating_add(1);
    if !near(of_a, of_b) || !near(a.columns, b.columns) {
        return false;
    }
    let (fewer, more) = if a.pixels.len() <= b.pixels.len() { (a, b) } else { (b, a) };
    fewer.pixels.iter().any(|&[j, i]| {
        (j.saturating_sub(1)..=j.saturating_add(1)).any(|row| {
            let at = more.pixels.partition_point(|pixel| *pixel < [row, i.saturating_sub(1)]);
            more.pixels.get(at).is_some_and(|pixel| *pixel <= [row, i.saturating_add(1)])
        })
    })
}

/// Pieces that links put together, with the distances in each chain.
struct Chains {
    of_piece: Vec<usize>,
    distances: BTreeMap<usize, Vec<f64>>,
}

impl Chains {
    fn new(pieces: &[Piece], links: &[Link]) -> Self {
        let mut chains = Self { of_piece: (0..pieces.len()).collect(), distances: BTreeMap::new() };
        for link in links {
            for &to in &link.to {
                let (a, b) = (chains.root(link.from), chains.root(to));
                chains.of_piece[a.max(b)] = a.min(b);
            }
        }
        for link in links {
            let chain = chains.root(link.from);
            chains.distances.entry(chain).or_default().push(link.distance_mm);
        }
        chains
    }

    fn root(&self, mut at: usize) -> usize {
        while self.of_piece[at] != at {
            at = self.of_piece[at];
        }
        at
    }

    /// Whether a link is as long as the distance of drawn planes: that of the object, or the regular one of its chain.
    fn is_regular(&self, link: &Link, drawn_mm: Option<f64>) -> bool {
        if drawn_mm.is_some_and(|drawn| drawn <= MAX_REGULAR_MM && link.distance_mm <= REGULAR * drawn) {
            return true;
        }
        let Some(distances) = self.distances.get(&self.root(link.from)) else { return false };
        let smallest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let alike = |distance: f64| distance <= REGULAR * smallest;
        smallest <= MAX_REGULAR_MM
            && alike(link.distance_mm)
            && distances.iter().filter(|distance| alike(**distance)).count() >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Squares of `side` pixels from `(at, at)` on these slices.
    fn drawn(slices: &[u32], at: u32, side: u32) -> BTreeMap<u32, Slice> {
        let square: Vec<[u32; 2]> = (at..at + side).flat_map(|j| (at..at + side).map(move |i| [j, i])).collect();
        let slice = |&k: &u32| {
            let mut slice = Slice::default();
            slice.add(f64::from(k), Area { solid: square.clone(), tips: Vec::new() });
            (k, slice)
        };
        slices.iter().map(slice).collect()
    }

    fn nodes(slices: BTreeMap<u32, Slice>, step_mm: f64) -> usize {
        let filled = fill(slices, step_mm, None, &Limits::default()).unwrap();
        components(&filled.voxels, 100).unwrap().len()
    }

    #[test]
    fn gaps_up_to_the_stated_limit_are_filled_and_wider_ones_part_nodes() {
        assert_eq!(nodes(drawn(&[2, 4, 6], 1, 3), 5.0), 1, "every second slice");
        assert_eq!(nodes(drawn(&[2, 4], 1, 3), 5.0), 1, "one undrawn slice");
        assert_eq!(nodes(drawn(&[2, 3, 4, 6, 7], 1, 3), 2.5), 1, "one slice was forgotten");
        assert_eq!(nodes(drawn(&[2, 5, 8], 1, 3), 2.5), 1, "regularly drawn, 7.5 mm apart");
        assert_eq!(nodes(drawn(&[2, 5], 1, 3), 2.5), 2, "two planes are no regular stack");
        assert_eq!(nodes(drawn(&[2, 3, 4, 7, 8, 9], 1, 3), 2.5), 2, "two nodes");
        assert_eq!(nodes(drawn(&[2, 7, 12], 1, 3), 2.5), 3, "12.5 mm apart");
        assert_eq!(nodes(drawn(&[0, 5, 10, 20, 25, 30], 1, 3), 1.0), 2, "two regular nodes");
    }

    #[test]
    fn planes_as_far_apart_as_those_of_the_object_are_one_node() {
        let count = |slices: &[u32], drawn: Option<f64>| {
            let filled = fill(drawn_on(slices), 1.0, drawn, &Limits::default()).unwrap();
            components(&filled.voxels, 100).unwrap().len()
        };
        assert_eq!(count(&[2, 7], None), 2);
        assert_eq!(count(&[2, 7], Some(5.0)), 1, "two planes of an object that was drawn on slices of 5 mm");
        assert_eq!(count(&[2, 12], Some(5.0)), 2);
        assert_eq!(count(&[2, 14], Some(12.0)), 2, "farther than any slices");
    }

    fn drawn_on(slices: &[u32]) -> BTreeMap<u32, Slice> {
        drawn(slices, 1, 3)
    }

    #[test]
    fn what_does_not_touch_is_not_joined() {
        let mut slices = drawn(&[2], 1, 3);
        slices.extend(drawn(&[4], 5, 3));
        assert_eq!(nodes(slices, 2.5), 2);
        let mut slices = drawn(&[2], 1, 3);
        slices.extend(drawn(&[4], 4, 3));
        assert_eq!(nodes(slices, 2.5), 1, "beside one another at a corner");
    }

    #[test]
    fn a_gap_takes_the_nearer_plane_and_both_in_the_middle() {
        let mut slices = drawn(&[0], 1, 1);
        slices.extend(drawn(&[2], 1, 2));
        let filled = fill(slices, 1.0, None, &Limits::default()).unwrap();
        assert_eq!(filled.voxels.iter().filter(|voxel| voxel[2] == 1).count(), 4);
        let mut slices = drawn(&[0, 6], 1, 1);
        slices.extend(drawn(&[3], 1, 2));
        let filled = fill(slices, 1.0, None, &Limits::default()).unwrap();
        let sizes: Vec<usize> = (0..7).map(|k| filled.voxels.iter().filter(|voxel| voxel[2] == k).count()).collect();
        assert_eq!(sizes, [1, 1, 4, 4, 4, 1, 1]);
    }

    proptest! {
        #[test]
        fn drawn_voxels_stay_and_new_ones_lie_between_them(
            drawn in prop::collection::btree_map(0u32..12, prop::collection::btree_set([0u32..6, 0u32..6], 1..20), 1..6),
        ) {
            let slices = drawn.iter().map(|(&k, pixels)| {
                let mut slice = Slice::default();
                slice.add(f64::from(k), Area { solid: pixels.iter().copied().collect(), tips: Vec::new() });
                (k, slice)
            });
            let filled = fill(slices.collect(), 2.5, None, &Limits::default()).unwrap();
            prop_assert!(filled.tips.is_empty() && filled.voxels.is_sorted_by_key(|&[i, j, k]| [k, j, i]));
            for (k, pixels) in &drawn {
                for [j, i] in pixels {
                    prop_assert!(filled.voxels.contains(&[*i, *j, *k]));
                }
            }
            for &[i, j, k] in &filled.voxels {
                let is = |k: u32| drawn.get(&k).is_some_and(|pixels| pixels.contains(&[j, i]));
                prop_assert!(is(k) || ((0..k).any(is) || (k + 1..12).any(is)), "every pixel was drawn on some slice");
            }
        }
    }
}
