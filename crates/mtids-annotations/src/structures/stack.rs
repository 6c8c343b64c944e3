//! The planes of a region become slices of a grid, and what lies between drawn planes is filled.
//!
//! Rules: a plane between two slices goes to the nearer one. A drawn piece is continued by the pieces that touch it on the next slice on which
//! any does. The slices between belong to the node where at most one of them is undrawn, or where the pieces lie no farther apart than the
//! planes that were drawn: at most [`MAX_REGULAR_MM`], the smallest distance of the node, found twice or more, or that of the object. Each
//! takes the nearer drawn plane, the middle one both. Wider gaps part nodes. A plane stands for a slab as thick as the distance of planes, so the
//! first and the last of a node reach half of it farther. Source: SlicerRt/SlicerRT#303, #304, #334. Units: mm along the
//! stack; voxels `[i, j, k]`.

use std::collections::{BTreeMap, HashSet};

use mtids_dicom::Limits;
use mtids_domain::geometry::{Affine, PointMm};

use super::area::Area;
use super::chains::{Chains, MAX_REGULAR_MM, Piece, SAME_PLANE_MM, UNDRAWN, links};
use crate::components::components;

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

/// The voxels of drawn slices and of the gaps between them. `step_mm` is the distance of slices, `drawn_mm` that of the planes that the object
/// was drawn on, where it is known; the grid has `slice_count` slices.
///
/// # Errors
/// A sentence where there are more pieces or voxels than the limits allow.
pub(super) fn fill(
    mut slices: BTreeMap<u32, Slice>,
    slice_count: u32,
    step_mm: f64,
    drawn_mm: Option<f64>,
    limits: &Limits,
) -> Result<Filled, String> {
    for area in slices.values_mut().map(|slice| &mut slice.area) {
        area.tidy();
    }
    let pieces = pieces(&slices, limits)?;
    let count: usize = pieces.iter().map(|piece| piece.pixels.len()).sum();
    let links = links(&pieces, step_mm);
    let chains = Chains::new(&pieces, &links);
    let mut found = Grown { slices, count, most: limits.max_set_voxels };
    // Whether a piece goes on below and above.
    let mut goes_on = vec![[false; 2]; pieces.len()];
    for link in &links {
        let from = &pieces[link.from];
        let Some(to_slice) = link.to.first().map(|&to| pieces[to].slice) else { continue };
        if to_slice - from.slice > UNDRAWN + 1 && !chains.is_regular(link, drawn_mm) {
            continue;
        }
        goes_on[link.from][1] = true;
        link.to.iter().for_each(|&to| goes_on[to][0] = true);
        for k in from.slice + 1..to_slice {
            let (below, above) = (k - from.slice, to_slice - k);
            let lower = (below <= above).then_some(link.from);
            let upper = link.to.iter().copied().filter(|_| above <= below);
            for n in lower.into_iter().chain(upper) {
                found.add(k, &pieces[n]).ok_or_else(|| limits.too_many_set_voxels())?;
            }
        }
    }
    for (n, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_tip) {
        let Some(apart_mm) = chains.regular_mm(n).or(drawn_mm).filter(|mm| *mm <= MAX_REGULAR_MM) else { continue };
        // Strictly inside the slab: a slice between two slabs is filled from both, and here there is one.
        let is_in_slab = |k: u32| (f64::from(k) - piece.depth).abs() * step_mm < 0.5 * apart_mm - SAME_PLANE_MM;
        let [below, above] = goes_on[n].map(|goes_on| !goes_on);
        let lower = (0..piece.slice).rev().take_while(|k| below && is_in_slab(*k));
        let upper = (piece.slice + 1..slice_count).take_while(|k| above && is_in_slab(*k));
        for k in lower.chain(upper) {
            found.add(k, piece).ok_or_else(|| limits.too_many_set_voxels())?;
        }
    }
    let slices = found.slices;
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

/// Drawn slices, and those that are filled.
struct Grown {
    slices: BTreeMap<u32, Slice>,
    /// Pixels so far, those of other pieces on the same place included.
    count: usize,
    most: usize,
}

impl Grown {
    /// Adds a piece to a slice; `None` where these are too many pixels.
    fn add(&mut self, k: u32, piece: &Piece) -> Option<()> {
        self.count += piece.pixels.len();
        if self.count > self.most {
            return None;
        }
        let area = &mut self.slices.entry(k).or_default().area;
        let layer = if piece.is_tip { &mut area.tips } else { &mut area.solid };
        layer.extend(&piece.pixels);
        Some(())
    }
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
        let filled = fill(slices, 40, step_mm, None, &Limits::default()).unwrap();
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
            let filled = fill(drawn_on(slices), 40, 1.0, drawn, &Limits::default()).unwrap();
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
        let filled = fill(slices, 40, 1.0, None, &Limits::default()).unwrap();
        assert_eq!(filled.voxels.iter().filter(|voxel| voxel[2] == 1).count(), 4);
        let mut slices = drawn(&[0, 6], 1, 1);
        slices.extend(drawn(&[3], 1, 2));
        let filled = fill(slices, 40, 1.0, None, &Limits::default()).unwrap();
        let sizes: Vec<usize> = (0..9).map(|k| filled.voxels.iter().filter(|voxel| voxel[2] == k).count()).collect();
        assert_eq!(sizes, [1, 1, 4, 4, 4, 1, 1, 1, 0], "the last plane reaches half of the distance farther");
    }

    #[test]
    fn a_plane_stands_for_a_slab_as_thick_as_the_distance_of_planes() {
        let slices = |drawn: BTreeMap<u32, Slice>, step_mm: f64, drawn_mm: Option<f64>| {
            let filled = fill(drawn, 23, step_mm, drawn_mm, &Limits::default()).unwrap();
            let mut slices: Vec<u32> = filled.voxels.iter().map(|voxel| voxel[2]).collect();
            slices.dedup();
            slices
        };
        assert_eq!(slices(drawn(&[5, 10, 15], 1, 1), 1.0, None), (3..18).collect::<Vec<_>>(), "three slabs of 5 mm");
        assert_eq!(slices(drawn(&[1, 6, 11, 16, 21], 1, 1), 1.0, None), (0..23).collect::<Vec<_>>(), "up to the ends");
        assert_eq!(
            slices(drawn(&[5], 1, 1), 1.0, Some(3.0)),
            [4, 5, 6],
            "one plane of an object that was drawn on slices of 3 mm"
        );
        assert_eq!(slices(drawn(&[5], 1, 1), 1.0, None), [5]);
        assert_eq!(slices(drawn(&[5, 6, 7, 9], 1, 1), 1.0, None), [5, 6, 7, 8, 9], "one slice was forgotten");
        assert_eq!(slices(drawn(&[5, 7, 9], 1, 1), 1.0, None), [5, 6, 7, 8, 9], "a slice between two slabs needs both");
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
            let filled = fill(slices.collect(), 12, 2.5, None, &Limits::default()).unwrap();
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
