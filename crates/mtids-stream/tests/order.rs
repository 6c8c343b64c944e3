//! The order of an epoch, without reading a row.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mtids_shards::Split;
use mtids_stream::{Cursor, Drawn, EpochOrder, SampleTable};
use proptest::prelude::*;
use support::paper;

fn table(rows: &[u64]) -> Arc<SampleTable> {
    Arc::new(SampleTable::every_row(paper(rows, 2), Split::Train).unwrap())
}

fn walked(order: &Arc<EpochOrder>) -> Vec<Drawn> {
    let mut cursor = Cursor::new(Arc::clone(order), 0);
    (0..order.rows()).map(|position| cursor.at(position).expect("each position has a row")).collect()
}

#[test]
fn epochs_and_seeds_differ_and_repeat() {
    let table = table(&[10, 10, 10, 10]);
    let rows = |seed, epoch| {
        let order = Arc::new(EpochOrder::new(Arc::clone(&table), seed, epoch, true, 2));
        let place = |drawn: Drawn| (order.group(drawn.group).shard, order.group(drawn.group).row_group, drawn.row);
        walked(&order).into_iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(rows(1, 0), rows(1, 0));
    assert_ne!(rows(1, 0), rows(1, 1));
    assert_ne!(rows(1, 0), rows(2, 0));
}

#[test]
fn the_order_is_pinned_across_releases() {
    // A change here would silently change every training; it needs another version of the order in `table.rs`.
    let order = Arc::new(EpochOrder::new(table(&[3, 2, 4]), 1, 0, true, 2));
    let rows: Vec<(usize, usize)> = walked(&order)
        .into_iter()
        .map(|drawn| (2 * order.group(drawn.group).shard + order.group(drawn.group).row_group, drawn.row))
        .collect();
    assert_eq!(rows, PINNED);
}

/// Row group and row.
const PINNED: [(usize, usize); 9] = [(2, 0), (2, 1), (2, 3), (2, 2), (0, 2), (1, 1), (1, 0), (0, 0), (0, 1)];

proptest! {
    #[test]
    fn every_row_comes_once_from_few_groups_and_any_place_can_be_entered(
        rows in prop::collection::vec(0u64..9, 0..14), pool in 0usize..6, seed in 0u64..99, shuffle: bool,
    ) {
        let order = Arc::new(EpochOrder::new(table(&rows), seed, 3, shuffle, pool));
        let whole = walked(&order);
        prop_assert_eq!(whole.len() as u64, rows.iter().sum::<u64>());
        let distinct: BTreeSet<_> = whole.iter().copied().collect();
        prop_assert_eq!(distinct.len(), whole.len());
        if !shuffle {
            prop_assert!(whole.is_sorted());
        }
        // From the first row of a group to its last, no more than `pool` groups are needed at a time.
        let mut last = BTreeMap::new();
        whole.iter().enumerate().for_each(|(at, drawn)| _ = last.insert(drawn.group, at));
        for (at, drawn) in whole.iter().enumerate() {
            let unfinished = last.iter().filter(|(group, end)| **group < drawn.group && **end > at).count();
            prop_assert!(unfinished < pool.max(1), "{unfinished} groups before {drawn:?}");
        }
        for start in 0..=whole.len() {
            let mut cursor = Cursor::new(Arc::clone(&order), start as u64);
            // Rows may be passed over, as those of other ranks are.
            for at in (start..whole.len()).step_by(1 + start % 3) {
                prop_assert_eq!(cursor.at(at as u64), Some(whole[at]));
            }
            prop_assert_eq!(cursor.at(whole.len() as u64), None);
        }
    }
}
