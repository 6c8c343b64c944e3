//! Connected components of a sparse mask: one component, one finding.
//!
//! Invariant: 26-neighbourhood; components come in the order of their first voxel by (k, j, i).

use std::collections::{BTreeMap, BTreeSet};

/// Splits voxels `[i, j, k]` into connected components, each sorted by `(k, j, i)`.
pub fn components(voxels: &[[u32; 3]]) -> Vec<Vec<[u32; 3]>> {
    // Keyed by (k, j, i), so that iteration order is the documented one.
    let mut open: BTreeSet<[u32; 3]> = voxels.iter().map(|&[i, j, k]| [k, j, i]).collect();
    let mut parts = Vec::new();
    while let Some(seed) = open.pop_first() {
        let mut part: BTreeMap<[u32; 3], ()> = BTreeMap::from([(seed, ())]);
        let mut edge = vec![seed];
        while let Some(at) = edge.pop() {
            for neighbour in neighbours(at) {
                if open.remove(&neighbour) {
                    part.insert(neighbour, ());
                    edge.push(neighbour);
                }
            }
        }
        parts.push(part.into_keys().map(|[k, j, i]| [i, j, k]).collect());
    }
    parts
}

fn neighbours([a, b, c]: [u32; 3]) -> impl Iterator<Item = [u32; 3]> {
    let around = |x: u32| x.saturating_sub(1)..=x.saturating_add(1);
    around(a).flat_map(move |a| around(b).flat_map(move |b| around(c).map(move |c| [a, b, c])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonal_voxels_belong_together_and_distant_ones_do_not() {
        let parts = components(&[[5, 5, 5], [0, 0, 0], [1, 1, 1], [5, 5, 6]]);
        assert_eq!(parts, vec![vec![[0, 0, 0], [1, 1, 1]], vec![[5, 5, 5], [5, 5, 6]]]);
        assert!(components(&[]).is_empty());
    }
}
