//! The outline of a set of pixels: closed polygons along the edges of the pixels.
//!
//! Invariants: the even-odd rule over all polygons gives the pixels back; corners lie half a pixel beside centres, so no centre is ever on a
//! polygon; pixels that touch at a corner alone are apart, and a polygon never crosses itself. Units: pixels, whole numbers at centres.

use std::collections::{BTreeMap, BTreeSet};

/// Right, down, left, up.
const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/// The outline of pixels `[i, j]` (column, row): each polygon as its corners, without those that lie on a straight line.
pub(crate) fn outline(pixels: &BTreeSet<[u32; 2]>) -> Vec<Vec<[f64; 2]>> {
    // Edges by the corner that they leave, as a bit for each direction; pixel (i, j) has corners (i, j) to (i + 1, j + 1). Its inside lies to
    // the right of every edge, so holes run the other way round. The key is (row, column).
    let mut leaving: BTreeMap<[i64; 2], u8> = BTreeMap::new();
    for &[i, j] in pixels {
        let (i, j) = (i64::from(i), i64::from(j));
        let set = |di: i64, dj: i64| {
            let neighbour = [u32::try_from(i + di), u32::try_from(j + dj)];
            matches!(neighbour, [Ok(i), Ok(j)] if pixels.contains(&[i, j]))
        };
        let edges = [
            ([j, i], 0, set(0, -1)),
            ([j, i + 1], 1, set(1, 0)),
            ([j + 1, i + 1], 2, set(0, 1)),
            ([j + 1, i], 3, set(-1, 0)),
        ];
        for (corner, direction, shared) in edges {
            if !shared {
                *leaving.entry(corner).or_default() |= 1 << direction;
            }
        }
    }
    let mut polygons = Vec::new();
    // The first corner in reading order is always a bend, and only one edge leaves it.
    while let Some((&start, &edges)) = leaving.first_key_value() {
        let mut polygon = Vec::new();
        let (mut at, mut direction) = (start, edges.trailing_zeros() as usize % 4);
        polygon.push(place(at));
        loop {
            take(&mut leaving, at, direction);
            let [right, down] = STEPS[direction];
            at = [at[0] + down, at[1] + right];
            if at == start {
                break;
            }
            let edges = leaving.get(&at).copied().unwrap_or_default();
            // Where two edges leave, the sharp turn stays with its own pixel.
            let turns = [direction + 1, direction, direction + 3].map(|turn| turn % 4);
            let Some(next) = turns.into_iter().find(|turn| edges >> turn & 1 == 1) else { break };
            if next != direction {
                polygon.push(place(at));
            }
            direction = next;
        }
        polygons.push(polygon);
    }
    polygons
}

fn place([row, column]: [i64; 2]) -> [f64; 2] {
    [column as f64 - 0.5, row as f64 - 0.5]
}

fn take(leaving: &mut BTreeMap<[i64; 2], u8>, at: [i64; 2], direction: usize) {
    if let Some(edges) = leaving.get_mut(&at) {
        *edges &= !(1 << direction);
        if *edges == 0 {
            leaving.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(rows: &[&str]) -> BTreeSet<[u32; 2]> {
        let row = |(j, row): (usize, &&str)| {
            let set = row.bytes().enumerate().filter(|(_, byte)| *byte == b'#');
            set.map(|(i, _)| [i as u32, j as u32]).collect::<Vec<_>>()
        };
        rows.iter().enumerate().flat_map(row).collect()
    }

    /// Even-odd by a ray to the right.
    fn filled(polygons: &[Vec<[f64; 2]>], [i, j]: [u32; 2]) -> bool {
        let (x, y) = (f64::from(i), f64::from(j));
        let crosses = |[[ax, ay], [_, by]]: [[f64; 2]; 2]| (ay > y) != (by > y) && ax > x;
        let edges = polygons
            .iter()
            .flat_map(|polygon| (0..polygon.len()).map(|n| [polygon[n], polygon[(n + 1) % polygon.len()]]));
        edges.filter(|edge| crosses(*edge)).count() % 2 == 1
    }

    #[test]
    fn a_rectangle_has_four_corners() {
        let polygons = outline(&of(&["", " ###", " ###"]));
        assert_eq!(polygons, [[[0.5, 0.5], [3.5, 0.5], [3.5, 2.5], [0.5, 2.5]]]);
    }

    #[test]
    fn holes_are_polygons_of_their_own_and_corners_do_not_join() {
        assert_eq!(outline(&of(&["###", "# #", "###"])).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(outline(&of(&["# ", " #"])).len(), 2);
        assert_eq!(outline(&of(&[" #", "# "])).len(), 2);
        // Two holes that touch at a corner are one: the pixels between them are apart there.
        let polygons = outline(&of(&["####", "# ##", "## #", "####"]));
        assert_eq!(polygons.iter().map(Vec::len).collect::<Vec<_>>(), [4, 8]);
        assert!(outline(&BTreeSet::new()).is_empty());
    }

    proptest! {
        #[test]
        fn any_pixels_come_back(pixels in prop::collection::btree_set(prop::array::uniform2(0u32..9), 0..70)) {
            let polygons = outline(&pixels);
            for pixel in (0..10).flat_map(|j| (0..10).map(move |i| [i, j])) {
                prop_assert_eq!(filled(&polygons, pixel), pixels.contains(&pixel), "{:?}", pixel);
            }
            for polygon in &polygons {
                prop_assert!(polygon.len() >= 4 && polygon.len() % 2 == 0);
            }
        }
    }
}
