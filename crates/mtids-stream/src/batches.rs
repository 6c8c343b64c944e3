//! Which rows of an epoch make up which batch.
//!
//! Invariants: batches are consecutive and hold every row once, but for a smaller last one that is dropped on request; where there are
//! two rows or more and batches of more than one, no batch has one row, because a batch norm needs two.

use std::ops::Range;

/// Number of batches of an epoch of `rows` rows. A last batch of one row is joined to the batch before; with `drop_last` a last batch
/// smaller than `batch_size` is dropped. A batch size of 0 counts as 1.
pub fn batches_per_epoch(rows: u64, batch_size: u64, drop_last: bool) -> u64 {
    let size = batch_size.max(1);
    let (whole, rest) = (rows / size, rows % size);
    let is_joined = rest == 1 && whole > 0;
    whole + u64::from(rest > 0 && !drop_last && !is_joined)
}

/// The rows of a batch by their number in the order of the epoch; empty at the end for a batch behind the last.
pub(crate) fn rows_of_batch(rows: u64, batch_size: u64, drop_last: bool, batch: u64) -> Range<u64> {
    let batches = batches_per_epoch(rows, batch_size, drop_last);
    if batch >= batches {
        return rows..rows;
    }
    // Below the number of batches, so the products stay within the rows.
    let start = batch * batch_size.max(1);
    let is_last = batch + 1 == batches;
    let end = if is_last && !drop_last { rows } else { start + batch_size.max(1) };
    start..end
}

/// One of several processes that train on a batch together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rank {
    pub(crate) number: u64,
    pub(crate) of: u64,
}

impl Rank {
    /// The rank's part of the rows of a batch. Parts of all ranks, one behind the other, are the batch; they differ by one row at most.
    pub(crate) fn part(self, rows: &Range<u64>) -> Range<u64> {
        let length = rows.end - rows.start;
        let bound = |rank: u64| rows.start + length * rank / self.of.max(1);
        bound(self.number)..bound(self.number + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_last_row_alone_joins_the_batch_before() {
        let sizes = |rows, size, drop_last| {
            let length = |batch| rows_of_batch(rows, size, drop_last, batch).count();
            (0..batches_per_epoch(rows, size, drop_last)).map(length).collect::<Vec<_>>()
        };
        assert_eq!(sizes(9, 4, false), [4, 5]);
        assert_eq!(sizes(10, 4, false), [4, 4, 2]);
        assert_eq!(sizes(9, 4, true), [4, 4]);
        assert_eq!(sizes(1, 4, false), [1]);
        assert_eq!(sizes(3, 1, false), [1, 1, 1]);
        assert_eq!(sizes(3, 4, true), [0; 0]);
        assert_eq!(rows_of_batch(9, 4, false, 2), 9..9);
    }

    proptest! {
        #[test]
        fn batches_are_a_partition_without_single_rows(rows in 0u64..400, size in 1u64..50, drop_last: bool, of in 1u64..9) {
            let batches = batches_per_epoch(rows, size, drop_last);
            let mut next = 0;
            for batch in 0..batches {
                let range = rows_of_batch(rows, size, drop_last, batch);
                prop_assert_eq!(range.start, next);
                let length = range.end - range.start;
                prop_assert!(length > 1 || rows == 1 || size == 1, "{:?}", range);
                prop_assert!(length <= size + 1 && length > 0);
                prop_assert!(!drop_last || length == size);
                let parts: Vec<Range<u64>> = (0..of).map(|number| Rank { number, of }.part(&range)).collect();
                prop_assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), range.clone().collect::<Vec<_>>());
                let shortest_and_longest = [length / of, length.div_ceil(of)];
                prop_assert!(parts.iter().all(|part| shortest_and_longest.contains(&(part.end - part.start))));
                next = range.end;
            }
            let kept = if drop_last { rows - rows % size } else { rows };
            prop_assert_eq!(next, kept);
            prop_assert_eq!(rows_of_batch(rows, size, drop_last, batches), rows..rows);
        }
    }
}
