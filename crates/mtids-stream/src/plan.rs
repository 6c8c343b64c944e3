//! The order of rows in an epoch, as a pure function.
//!
//! Row groups come in a keyed random order; rows are drawn at random from a pool of the next few row groups, so that neighbours in a shard
//! part, while reading stays sequential within a row group. Invariant: every row comes exactly once.

use std::collections::VecDeque;

use mtids_runtime::random::rng_for;
use rand::RngExt;

/// A row group of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupId {
    /// Shard, by its number in the manifest.
    pub shard: usize,
    /// Row group in the shard.
    pub row_group: usize,
    /// Rows in it.
    pub rows: usize,
}

/// The order of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Row groups in the order in which they are needed.
    pub groups: Vec<RowGroupId>,
    /// Rows in order: (position in `groups`, row in the group).
    pub rows: Vec<(usize, usize)>,
}

/// Plans an epoch. `pool` is the number of row groups that rows are drawn from at a time; at least 1.
pub fn epoch_plan(row_groups: &[RowGroupId], seed: u64, epoch: u64, shuffle: bool, pool: usize) -> Plan {
    let mut groups = row_groups.to_vec();
    if !shuffle {
        let rows = groups.iter().enumerate().flat_map(|(n, group)| (0..group.rows).map(move |row| (n, row))).collect();
        return Plan { groups, rows };
    }
    let mut random = rng_for(seed, "epoch order", &[epoch]);
    // Fisher–Yates, spelt out: the order is part of the contract and must not change with a library.
    for n in (1..groups.len()).rev() {
        groups.swap(n, random.random_range(0..=n));
    }
    let mut rows = Vec::with_capacity(groups.iter().map(|group| group.rows).sum());
    let mut waiting: VecDeque<usize> = (0..groups.len()).collect();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut live_groups = 0usize;
    let mut left = vec![0usize; groups.len()];
    loop {
        while live_groups < pool.max(1) {
            let Some(next) = waiting.pop_front() else { break };
            open.extend((0..groups[next].rows).map(|row| (next, row)));
            left[next] = groups[next].rows;
            live_groups += usize::from(groups[next].rows > 0);
        }
        if open.is_empty() {
            break;
        }
        let row = open.swap_remove(random.random_range(0..open.len()));
        left[row.0] -= 1;
        live_groups -= usize::from(left[row.0] == 0);
        rows.push(row);
    }
    Plan { groups, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn groups(rows: &[usize]) -> Vec<RowGroupId> {
        rows.iter().enumerate().map(|(n, &rows)| RowGroupId { shard: n / 2, row_group: n % 2, rows }).collect()
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat() {
        let groups = groups(&[10, 10, 10]);
        let plan = epoch_plan(&groups, 1, 0, true, 2);
        assert_eq!(plan, epoch_plan(&groups, 1, 0, true, 2));
        assert_ne!(plan, epoch_plan(&groups, 1, 1, true, 2));
        assert_ne!(plan, epoch_plan(&groups, 2, 0, true, 2));
    }

    proptest! {
        #[test]
        fn every_row_comes_once_and_the_pool_is_kept(rows in prop::collection::vec(0usize..9, 0..12), pool in 1usize..5, seed in 0u64..99) {
            for shuffle in [false, true] {
                let plan = epoch_plan(&groups(&rows), seed, 3, shuffle, pool);
                let distinct: BTreeSet<_> = plan.rows.iter().map(|&(n, row)| (plan.groups[n].shard, plan.groups[n].row_group, row)).collect();
                prop_assert_eq!(distinct.len(), rows.iter().sum::<usize>());
                prop_assert_eq!(plan.rows.len(), distinct.len());
                if shuffle {
                    // A row of group n is never drawn before all but `pool` of the earlier groups are used up.
                    for (at, &(n, _)) in plan.rows.iter().enumerate() {
                        let unfinished = (0..n).filter(|&m| plan.rows[at..].iter().any(|&(later, _)| later == m)).count();
                        prop_assert!(unfinished < pool.max(1));
                    }
                }
            }
        }
    }
}
