//! How often each row comes in an epoch, by systematic sampling.
//!
//! Rows stand in the order of the table, each as long as its expected number in an epoch; a ruler with marks at distance 1 is laid beside them,
//! and each mark is a draw of the row that it falls on. So a row comes the whole number of times below or above its expected number, the
//! length of an epoch is always the same, and neighbours (nodes of one patient) share out what is rounded. The ruler moves by the golden
//! ratio from epoch to epoch, so what one epoch leaves out comes soon after.
//!
//! Invariants: a draw is found in the time of a binary search, and nothing is drawn one after the other; 8 bytes per row, nothing where each
//! row comes once. Unit of lengths: 2⁻³² rows.

use std::ops::Range;

use mtids_runtime::random::rng_for;
use rand::RngExt;

use crate::error::StreamError;

/// 2³² divided by the golden ratio.
const GOLDEN: u32 = 0x9E37_79B9;
/// One row.
const ONE: u64 = 1 << 32;
/// Class of a row that has none.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Expected numbers of rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shares {
    /// Each row comes once.
    Once,
    /// Where each row ends on the ruler.
    Ends(Vec<u64>),
}

impl Shares {
    /// Where a row begins on the ruler, with the ruler moved by `offset`: the number of draws before it.
    pub(crate) fn draws_before(&self, row: u64, offset: u32) -> u64 {
        match self {
            Shares::Once => row,
            Shares::Ends(ends) => (start_of(ends, row) + u64::from(offset)) / ONE,
        }
    }

    /// Most draws of some rows, wherever the ruler lies.
    pub(crate) fn most_draws(&self, rows: Range<u64>) -> u64 {
        match self {
            Shares::Once => rows.end - rows.start,
            Shares::Ends(ends) => (start_of(ends, rows.end) - start_of(ends, rows.start)).div_ceil(ONE),
        }
    }

    /// The row of a draw that falls on one of `rows`.
    pub(crate) fn row_of(&self, draw: u64, rows: Range<u64>, offset: u32) -> u64 {
        match self {
            Shares::Once => draw,
            Shares::Ends(ends) => {
                let within = ends.get(rows.start as usize..rows.end as usize).unwrap_or_default();
                rows.start + within.partition_point(|end| (end + u64::from(offset)) / ONE <= draw) as u64
            }
        }
    }
}

/// Where a row begins on the ruler, by the ends of all.
fn start_of(ends: &[u64], row: u64) -> u64 {
    row.checked_sub(1).and_then(|last| ends.get(last as usize)).copied().unwrap_or(0)
}

/// Where the ruler lies in an epoch.
pub(crate) fn offset_of(seed: u64, epoch: u64) -> u32 {
    // Wrapping is the turn of a circle.
    let first: u32 = rng_for(seed, "offset of sampling", &[]).random();
    first.wrapping_add((epoch as u32).wrapping_mul(GOLDEN))
}

/// Weight and class of each row of one dataset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weighted {
    /// Weight; 0 for a row that takes no part.
    pub(crate) weights: Vec<f32>,
    /// Class, or [`UNKNOWN`]; empty without balance.
    pub(crate) classes: Vec<u32>,
}

impl Weighted {
    /// Rows that take part.
    pub(crate) fn kept(&self) -> u64 {
        self.weights.iter().filter(|weight| **weight > 0.0).count() as u64
    }

    /// Several as one.
    pub(crate) fn joined(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        for part in parts {
            all.weights.extend(part.weights);
            all.classes.extend(part.classes);
        }
        all
    }

    /// Factors of the classes: known classes share what their rows weigh together in equal parts.
    fn factors(&self) -> Vec<f64> {
        let known = || self.classes.iter().zip(&self.weights).filter(|(class, _)| **class != UNKNOWN);
        let mut sums = vec![0.0f64; known().map(|(class, _)| *class as usize + 1).max().unwrap_or(0)];
        known().for_each(|(class, weight)| sums[*class as usize] += f64::from(*weight));
        let all: f64 = sums.iter().sum();
        let classes = sums.iter().filter(|sum| **sum > 0.0).count().max(1) as f64;
        sums.iter().map(|sum| if *sum > 0.0 { all / classes / sum } else { 0.0 }).collect()
    }
}

/// Shares in which each row that takes part comes once.
pub(crate) fn plain(parts: &[Weighted]) -> Shares {
    let weights = || parts.iter().flat_map(|part| &part.weights);
    if weights().all(|weight| *weight > 0.0) {
        return Shares::Once;
    }
    let mut end = 0;
    let ends = weights().map(|weight| {
        end += if *weight > 0.0 { ONE } else { 0 };
        end
    });
    Shares::Ends(ends.collect())
}

/// Shares in an epoch of `length` rows, of which each dataset gives the part in `mix`; the parts add up to 1.
///
/// # Errors
/// [`StreamError::Config`] for more rows than fit the ruler.
pub(crate) fn weighted(parts: &[Weighted], mix: &[f64], length: u64) -> Result<Shares, StreamError> {
    if length > u64::from(u32::MAX) {
        return Err(StreamError::config("sampling.epoch_rows", "at most 4294967295"));
    }
    let scale = length as f64 * ONE as f64;
    let mut ends = Vec::with_capacity(parts.iter().map(|part| part.weights.len()).sum());
    let mut before = 0.0;
    for (part, share) in parts.iter().zip(mix) {
        let factors = part.factors();
        let factor = |row: usize| match part.classes.get(row) {
            Some(&class) if class != UNKNOWN => factors.get(class as usize).copied().unwrap_or(0.0),
            _ => 1.0,
        };
        let weight = |(row, weight): (usize, &f32)| f64::from(*weight) * factor(row);
        let sum: f64 = part.weights.iter().enumerate().map(weight).sum();
        let mut reached = 0.0;
        for item in part.weights.iter().enumerate() {
            reached += weight(item);
            // Sums in the same order, so the last one is the whole.
            let within = if sum > 0.0 { (reached / sum).min(1.0) } else { 0.0 };
            ends.push(((before + share * within) * scale).round() as u64);
        }
        before += share;
    }
    // The epoch has exactly its length, whatever the parts' last digits are; rows without weight behind the last end there too.
    let (last, whole) = (ends.last().copied().unwrap_or(0), length * ONE);
    ends.iter_mut().rev().take_while(|end| **end == last).for_each(|end| *end = whole);
    ends.iter_mut().for_each(|end| *end = (*end).min(whole));
    Ok(Shares::Ends(ends))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(shares: &Shares, rows: u64, offset: u32) -> Vec<u64> {
        (shares.draws_before(0, offset)..shares.draws_before(rows, offset))
            .map(|draw| shares.row_of(draw, 0..rows, offset))
            .collect()
    }

    proptest! {
        #[test]
        fn every_epoch_has_its_length_and_a_row_its_number(
            rows in prop::collection::vec((0.0f32..4.0, 0u32..4), 1..60), length in 1u64..200, seed: u64, balance: bool,
        ) {
            prop_assume!(rows.iter().any(|(weight, _)| *weight > 0.0));
            let weights: Vec<f32> = rows.iter().map(|row| row.0).collect();
            let classes = rows.iter().map(|row| if row.1 == 3 { UNKNOWN } else { row.1 });
            let part = Weighted { weights: weights.clone(), classes: if balance { classes.collect() } else { Vec::new() } };
            let shares = weighted(&[part], &[1.0], length).unwrap();
            let Shares::Ends(ends) = &shares else { unreachable!() };
            let mut counts = vec![0u64; rows.len()];
            for epoch in 0..40 {
                let epoch = drawn(&shares, rows.len() as u64, offset_of(seed, epoch));
                prop_assert_eq!(epoch.len() as u64, length);
                let (middle, all) = (rows.len() as u64 / 2, rows.len() as u64);
                for part in [0..middle, middle..all] {
                    let draws = epoch.iter().filter(|row| part.contains(row)).count() as u64;
                    prop_assert!((draws..=draws + 1).contains(&shares.most_draws(part)));
                }
                let mut of_epoch = vec![0u64; rows.len()];
                epoch.into_iter().for_each(|row| of_epoch[row as usize] += 1);
                let mut before = 0;
                for (row, count) in of_epoch.into_iter().enumerate() {
                    let expected = (ends[row] - before) as f64 / ONE as f64;
                    before = ends[row];
                    prop_assert!((count as f64 - expected).abs() < 1.0, "{count} draws of {expected}");
                    prop_assert!(weights[row] > 0.0 || count == 0);
                    counts[row] += count;
                }
            }
            // The golden ratio shares out what is rounded: over 40 epochs no row is off by more than three draws.
            let mut before = 0;
            for (row, count) in counts.into_iter().enumerate() {
                let expected = 40.0 * (ends[row] - before) as f64 / ONE as f64;
                before = ends[row];
                prop_assert!((count as f64 - expected).abs() < 4.0, "{count} draws of {expected}");
            }
        }

        #[test]
        fn a_filter_alone_gives_each_row_once(kept in prop::collection::vec(any::<bool>(), 1..80), offset: u32) {
            let part = Weighted { weights: kept.iter().map(|kept| f32::from(*kept)).collect(), classes: Vec::new() };
            let rows: Vec<u64> = (0u64..).zip(&kept).filter(|(_, kept)| **kept).map(|(row, _)| row).collect();
            prop_assert_eq!(part.kept(), rows.len() as u64);
            prop_assert_eq!(drawn(&plain(&[part]), kept.len() as u64, offset), rows);
        }
    }

    #[test]
    fn classes_share_equally_and_unknown_rows_keep_their_number() {
        // Nine of class 0, one of class 1, two unknown: five expected of each class, one of each unknown row.
        let classes: Vec<u32> = [vec![0; 9], vec![1], vec![UNKNOWN; 2]].concat();
        let shares = weighted(&[Weighted { weights: vec![1.0; 12], classes }], &[1.0], 12).unwrap();
        let rows = drawn(&shares, 12, 77);
        let count = |range: Range<u64>| rows.iter().filter(|row| range.contains(row)).count();
        assert_eq!((rows.len(), count(9..10)), (12, 5));
        assert!((4..=6).contains(&count(0..9)) && count(10..12) >= 1, "{rows:?}");
    }

    #[test]
    fn datasets_are_mixed_by_their_parts() {
        let part = |rows| Weighted { weights: vec![1.0; rows], classes: Vec::new() };
        let shares = weighted(&[part(30), part(10)], &[0.25, 0.75], 40).unwrap();
        assert_eq!((shares.draws_before(30, 0), shares.draws_before(40, 0)), (10, 40));
        assert!(weighted(&[part(1)], &[1.0], 1 << 32).is_err());
    }
}
