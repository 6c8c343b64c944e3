//! Whether chance explains an association of groups with a status or a split: by permutation, which holds for few patients too.
//!
//! Cramér's V of a dozen patients from four scanners is often large without any association, and χ² is no distribution of so few. So the columns
//! are dealt anew among the same entries. Invariant: a pure function of the table.

use std::iter;

use mtids_metrics::cramers_v;
use mtids_runtime::random::rng_for;
use rand::seq::SliceRandom;

/// Deals of the columns; the smallest p-value is one in a thousand.
const DEALS: usize = 999;
/// With more entries an association that is called strong is never chance.
const MOST_ENTRIES: u64 = 5000;

/// Chance of an association at least as strong as that of the table, whose rows are groups and whose columns are statuses or splits.
pub(super) fn of_association(table: &[Vec<u64>]) -> f64 {
    let Some(found) = cramers_v(table) else { return 1.0 };
    if table.iter().flatten().sum::<u64>() > MOST_ENTRIES {
        return 0.0;
    }
    let sizes: Vec<usize> = table.iter().map(|row| row.iter().sum::<u64>() as usize).collect();
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let of_column = |column: usize| table.iter().filter_map(|row| row.get(column)).sum::<u64>() as usize;
    let mut entries: Vec<usize> = (0..columns).flat_map(|column| iter::repeat_n(column, of_column(column))).collect();
    let mut random = rng_for(1, "chance of an association", &[]);
    let mut as_strong = 1;
    for _ in 0..DEALS {
        entries.shuffle(&mut random);
        let mut rest = entries.as_slice();
        let dealt: Vec<Vec<u64>> = sizes
            .iter()
            .map(|&size| {
                let (own, others) = rest.split_at(size);
                rest = others;
                let mut row = vec![0; columns];
                own.iter().for_each(|column| row[*column] += 1);
                row
            })
            .collect();
        as_strong += usize::from(cramers_v(&dealt).is_some_and(|v| v >= found));
    }
    as_strong as f64 / (DEALS + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_for_each_status_is_no_chance_and_a_few_patients_of_many_scanners_are() {
        assert_eq!(of_association(&[vec![18, 0], vec![0, 18]]), 0.001);
        let few = [vec![2, 1], vec![0, 3], vec![3, 0], vec![1, 2]];
        assert!(cramers_v(&few).unwrap() > 0.4 && of_association(&few) > 0.05);
        assert_eq!(of_association(&[vec![3, 4]]), 1.0);
        assert_eq!(of_association(&[vec![12, 0, 0], vec![0, 6, 6]]), 0.001);
        assert!(of_association(&[vec![8, 2, 3], vec![7, 3, 2]]) > 0.2);
        assert_eq!(of_association(&[vec![6000, 0], vec![0, 6000]]), 0.0);
    }
}
