//! Connected components of a sparse mask: one component, one finding.
//!
//! Method: voxels become runs along a row; runs that touch are joined in a forest. The work grows with the number of runs, not with the
//! size of the image. Invariant: 26-neighbourhood; components come in the order of their first voxel by (k, j, i).

use std::collections::BTreeMap;

/// Splits voxels `[i, j, k]` into connected components, each sorted by `(k, j, i)`, without repeats; `None` where there are more than `most`.
pub fn components(voxels: &[[u32; 3]], most: usize) -> Option<Vec<Vec<[u32; 3]>>> {
    let mut sorted = voxels.to_vec();
    sorted.sort_unstable_by_key(|&[i, j, k]| [k, j, i]);
    sorted.dedup();
    let runs = runs(&sorted);
    let mut forest = Forest::new(runs.len());
    // Rows are in the order of (k, j); a row's earlier neighbours are four rows, each a stretch of runs.
    let rows = rows(&runs);
    for (&[k, j], &(start, end)) in &rows {
        let before = [(0, 1), (1, 1), (1, 0), (1, -1)].into_iter().filter_map(|(up, back)| {
            let row = [k.checked_sub(up)?, u32::try_from(i64::from(j) - back).ok()?];
            rows.get(&row)
        });
        for &(other_start, other_end) in before {
            join(&runs, start..end, other_start..other_end, &mut forest);
        }
    }
    let mut parts: BTreeMap<usize, Vec<[u32; 3]>> = BTreeMap::new();
    if (0..runs.len()).filter(|&n| forest.root(n) == n).count() > most {
        return None;
    }
    for (n, run) in runs.iter().enumerate() {
        // The root is the smallest run of its tree, so parts come in the order of their first voxel.
        parts.entry(forest.root(n)).or_default().extend((run.first..=run.last).map(|i| [i, run.row[1], run.row[0]]));
    }
    Some(parts.into_values().collect())
}

/// Neighbouring voxels of a row: `row` is (k, j).
struct Run {
    row: [u32; 2],
    first: u32,
    last: u32,
}

fn runs(sorted: &[[u32; 3]]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &[i, j, k] in sorted {
        match runs.last_mut() {
            Some(run) if run.row == [k, j] && run.last.checked_add(1) == Some(i) => run.last = i,
            _ => runs.push(Run { row: [k, j], first: i, last: i }),
        }
    }
    runs
}

/// For each row the stretch of its runs.
fn rows(runs: &[Run]) -> BTreeMap<[u32; 2], (usize, usize)> {
    let mut rows: BTreeMap<[u32; 2], (usize, usize)> = BTreeMap::new();
    for (n, run) in runs.iter().enumerate() {
        rows.entry(run.row).or_insert((n, n)).1 = n + 1;
    }
    rows
}

/// Joins the runs of two neighbouring rows that touch, also at a corner; both stretches are in the order of i.
fn join(runs: &[Run], a: std::ops::Range<usize>, b: std::ops::Range<usize>, forest: &mut Forest) {
    let (mut m, mut n) = (a.start, b.start);
    while m < a.end && n < b.end {
        let (x, y) = (&runs[m], &runs[n]);
        if x.first <= y.last.saturating_add(1) && y.first <= x.last.saturating_add(1) {
            forest.join(m, n);
        }
        if x.last < y.last {
            m += 1;
        } else {
            n += 1;
        }
    }
}

/// Disjoint sets; the root of each is its smallest member.
struct Forest(Vec<usize>);

impl Forest {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn diagonal_voxels_belong_together_and_distant_ones_do_not() {
        let voxels = [[5, 5, 5], [0, 0, 0], [1, 1, 1], [5, 5, 6]];
        let parts = components(&voxels, 2).unwrap();
        assert_eq!(components(&voxels, 1), None);
        assert_eq!(parts, vec![vec![[0, 0, 0], [1, 1, 1]], vec![[5, 5, 5], [5, 5, 6]]]);
        assert!(components(&[], 0).unwrap().is_empty());
    }

    /// The definition, without any thought for speed.
    fn flooded(voxels: &BTreeSet<[u32; 3]>) -> Vec<Vec<[u32; 3]>> {
        let mut open = voxels.clone();
        let mut parts = Vec::new();
        while let Some(seed) = open.pop_first() {
            let (mut part, mut edge) = (BTreeSet::from([seed]), vec![seed]);
            while let Some(at) = edge.pop() {
                let near: Vec<_> = open
                    .iter()
                    .filter(|other| (0..3).all(|axis| at[axis].abs_diff(other[axis]) <= 1))
                    .copied()
                    .collect();
                for voxel in near {
                    open.remove(&voxel);
                    part.insert(voxel);
                    edge.push(voxel);
                }
            }
            parts.push(part.into_iter().map(|[k, j, i]| [i, j, k]).collect());
        }
        parts
    }

    proptest! {
        #[test]
        fn runs_find_what_flooding_finds(voxels in prop::collection::vec([0u32..9, 0u32..7, 0u32..5], 0..90)) {
            let set = voxels.iter().map(|&[i, j, k]| [k, j, i]).collect();
            prop_assert_eq!(components(&voxels, 90), Some(flooded(&set)));
        }
    }
}
