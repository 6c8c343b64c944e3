//! Acquisitions under one series UID are told apart: by number, by temporal position, by time.
//!
//! Rule: a volume never has slices that come alternately from two acquisitions. Slices are divided where the parts overlap in space and
//! each part alone has equal steps, or where the parts lie one above the other and only each alone has equal steps. Acquisitions that
//! abut (two breath holds, or a scanner that numbers every slice) stay one volume. What is missing contradicts nothing.
//! Evidence, strongest first: a value that returns after another one along the stack; a number or time that grows over the stack more
//! than once. Times that do not divide the slices into regular parts say nothing: some scanners write times of reconstruction.
//! Source of the rule: reports of users, dgobbi/vtk-dicom#220, Slicer/Slicer#4801. Units: mm.

use std::collections::BTreeMap;

use crate::image_header::InstanceHeader;
use crate::limits::DEFAULT_MIN_SLICES;
use crate::series::planes::heights;
use crate::steps::{SAME_HEIGHT_MM, Steps};

/// Most acquisitions whose slices interleave without sharing a place: with more, each has steps that no scan has.
const MAX_INTERLEAVED: usize = 8;

/// What acquisitions are told apart by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Number,
    TemporalPosition,
    Time,
}

impl Mark {
    const ALL: [Mark; 3] = [Mark::Number, Mark::TemporalPosition, Mark::Time];

    fn of(self, slice: &InstanceHeader) -> Option<u64> {
        match self {
            Mark::Number => slice.acquired.number.map(u64::from),
            Mark::TemporalPosition => slice.acquired.temporal_position.map(u64::from),
            Mark::Time => slice.acquired.time.map(|time| time.micros()),
        }
    }
}

/// A slice by its place in the list, and its height.
#[derive(Clone, Copy)]
struct Placed {
    index: usize,
    height: f64,
    mark: u64,
}

/// Divides the slices of one part into its acquisitions; one list where there is one.
///
/// # Errors
/// A sentence, with the slices, where acquisitions interleave and cannot be told apart.
pub(super) fn divide(slices: Vec<InstanceHeader>) -> Result<Vec<Vec<InstanceHeader>>, (Vec<InstanceHeader>, String)> {
    let heights = heights(&slices);
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let stack = |indices: &[usize]| {
        let heights: Vec<f64> = indices.iter().map(|&index| heights[index]).collect();
        Steps::of(&heights, crate::limits::DEFAULT_POSITION_TOLERANCE_MM)
    };
    let whole = stack(&order);
    let has_repeats = whole.repeated().next().is_some();
    let is_whole = Steps::are_regular(heights.iter().copied());
    // One pass over the stack in time is one scan, whatever its numbers do.
    let is_one_pass = !has_repeats && is_whole && {
        let timed = marked(Mark::Time, &slices, &heights, &order);
        timed.is_some_and(|timed| distinct(&timed) > 1 && !returns(&timed) && passes(&timed, false).len() == 1)
    };
    if is_one_pass {
        return Ok(vec![slices]);
    }
    let mut unresolved = false;
    for mark in Mark::ALL {
        let Some(marked) = marked(mark, &slices, &heights, &order) else { continue };
        if distinct(&marked) < 2 {
            continue;
        }
        let by_value = values(&marked);
        let mut candidates = vec![passes(&marked, false), passes(&marked, true)];
        let at = if has_repeats || returns(&marked) { 0 } else { candidates.len() };
        candidates.insert(at, by_value);
        for parts in candidates.iter().filter(|parts| parts.len() > 1) {
            let regular = parts.iter().all(|part| Steps::are_regular(part.iter().map(|placed| placed.height)));
            let divides = if has_repeats {
                regular
            } else if overlap(parts) {
                regular && parts.len() <= MAX_INTERLEAVED
            } else {
                regular && !is_whole
            };
            if divides {
                return Ok(taken(slices, parts));
            }
        }
        // A number that returns along the stack says for certain that two acquisitions alternate; a time does not.
        unresolved |= !has_repeats && mark != Mark::Time && returns(&marked) && distinct(&marked) <= slices.len() / 2;
    }
    if has_repeats && let Some(parts) = by_number_without_repeats(&slices, &heights, &order) {
        return Ok(taken(slices, &parts));
    }
    if unresolved {
        let detail = format!(
            "slices of several acquisitions alternate along the stack, and cannot be told apart: {}; no volume is made of two scans; export \
             each acquisition as a series of its own",
            describe(&slices)
        );
        return Err((slices, detail));
    }
    Ok(vec![slices])
}

/// The acquisitions of slices in words: `AcquisitionNumber 1 at 10:05:00: 9 slices, 2 at 10:07:30: 9 slices`.
pub(crate) fn describe(slices: &[InstanceHeader]) -> String {
    const SHOWN: usize = 6;
    let mut counts = BTreeMap::new();
    for slice in slices {
        let entry = counts
            .entry((slice.acquired.number, slice.acquired.temporal_position))
            .or_insert((0_usize, slice.acquired.time));
        entry.0 += 1;
        entry.1 = entry.1.min(slice.acquired.time);
    }
    let mut listed: Vec<String> = counts
        .iter()
        .take(SHOWN)
        .map(|((number, position), (count, time))| {
            let number = number.map_or_else(|| "without number".to_owned(), |number| number.to_string());
            let position = position.map_or_else(String::new, |position| format!(" temporal position {position}"));
            let time = time.map_or_else(String::new, |time| format!(" at {time}"));
            format!("{number}{position}{time}: {count} slices")
        })
        .collect();
    if counts.len() > SHOWN {
        listed.push(format!("and {} others", counts.len() - SHOWN));
    }
    format!("AcquisitionNumber {}", listed.join(", "))
}

/// The slices along the stack with their marks, if all bear one.
fn marked(mark: Mark, slices: &[InstanceHeader], heights: &[f64], order: &[usize]) -> Option<Vec<Placed>> {
    order
        .iter()
        .map(|&index| mark.of(&slices[index]).map(|mark| Placed { index, height: heights[index], mark }))
        .collect()
}

/// The different marks along the stack, one after the other.
fn runs(marked: &[Placed]) -> usize {
    marked.chunk_by(|a, b| a.mark == b.mark).count()
}

fn distinct(marked: &[Placed]) -> usize {
    values(marked).len()
}

/// Whether a mark returns after another one, along the stack.
fn returns(marked: &[Placed]) -> bool {
    runs(marked) > distinct(marked)
}

/// The slices by their marks, in the order of the marks.
fn values(marked: &[Placed]) -> Vec<Vec<Placed>> {
    let mut by_value: BTreeMap<u64, Vec<Placed>> = BTreeMap::new();
    for placed in marked {
        by_value.entry(placed.mark).or_default().push(*placed);
    }
    by_value.into_values().collect()
}

/// The slices by passes of the table: in the order of their marks, a pass ends where the next slices lie back over the stack. Where the table
/// turns, the slices at the turn may be the last of one pass or, with `turn_is_first`, the first of the next.
fn passes(marked: &[Placed], turn_is_first: bool) -> Vec<Vec<Placed>> {
    let mut passes: Vec<Vec<Vec<Placed>>> = Vec::new();
    // The direction of the pass: up, down, or not known yet.
    let mut upwards: Option<bool> = None;
    let mut last = (0.0, 0.0);
    for part in values(marked) {
        let (low, high) = span(&part);
        let direction = if low > last.1 + SAME_HEIGHT_MM {
            Some(true)
        } else if high < last.0 - SAME_HEIGHT_MM {
            Some(false)
        } else {
            None
        };
        match (passes.last_mut(), direction) {
            (Some(pass), Some(now)) if upwards.is_none_or(|before| before == now) => {
                upwards = Some(now);
                pass.push(part);
            }
            (Some(pass), Some(now)) if turn_is_first && pass.len() > 1 => {
                let turn = pass.pop();
                upwards = Some(now);
                passes.push(turn.into_iter().chain([part]).collect());
            }
            _ => {
                upwards = None;
                passes.push(vec![part]);
            }
        }
        last = (low, high);
    }
    let passes: Vec<Vec<Placed>> = passes.into_iter().map(|pass| pass.into_iter().flatten().collect()).collect();
    // Two scans that lie one above the other are one stack, whichever way each was scanned.
    if overlap(&passes) { passes } else { vec![passes.into_iter().flatten().collect()] }
}

/// The lowest and the highest slice of a part.
fn span(part: &[Placed]) -> (f64, f64) {
    let heights = part.iter().map(|placed| placed.height);
    heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), height| (low.min(height), high.max(height)))
}

/// Whether two parts share a stretch of the stack.
fn overlap(parts: &[Vec<Placed>]) -> bool {
    let mut spans: Vec<(f64, f64)> = parts.iter().map(|part| span(part)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    spans.windows(2).any(|pair| pair[1].0 < pair[0].1 + SAME_HEIGHT_MM)
}

/// Where positions repeat: the numbers, if no place repeats under any of them and one is a volume. The others are then refused for what they
/// lack.
fn by_number_without_repeats(slices: &[InstanceHeader], heights: &[f64], order: &[usize]) -> Option<Vec<Vec<Placed>>> {
    let placed = |&index: &usize| Placed {
        index,
        height: heights[index],
        // A slice without number is one of those without.
        mark: slices[index].acquired.number.map_or(0, |number| u64::from(number) + 1),
    };
    let parts = values(&order.iter().map(placed).collect::<Vec<_>>());
    let repeats = |part: &[Placed]| part.windows(2).any(|pair| pair[1].height - pair[0].height < SAME_HEIGHT_MM);
    let is_told_apart = parts.len() > 1 && parts.iter().all(|part| !repeats(part));
    (is_told_apart && parts.iter().any(|part| part.len() >= DEFAULT_MIN_SLICES)).then_some(parts)
}

/// The slices of each part.
fn taken(slices: Vec<InstanceHeader>, parts: &[Vec<Placed>]) -> Vec<Vec<InstanceHeader>> {
    let mut part_of = vec![0; slices.len()];
    for (number, part) in parts.iter().enumerate() {
        part.iter().for_each(|placed| part_of[placed.index] = number);
    }
    let mut taken: Vec<Vec<InstanceHeader>> = parts.iter().map(|_| Vec::new()).collect();
    for (slice, number) in slices.into_iter().zip(part_of) {
        taken[number].push(slice);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquisition::AcquisitionTime;
    use proptest::prelude::*;

    /// A slice at a height, of an acquisition and a second after noon.
    fn slice(z: f64, number: Option<u32>, second: Option<u32>) -> InstanceHeader {
        let mut header = InstanceHeader::for_tests();
        header.sop_instance_uid = format!("1.{z}.{number:?}.{second:?}");
        header.position.0[2] = z;
        header.acquired.number = number;
        let time = |second: u32| AcquisitionTime::of_time(&format!("12{:02}{:02}", second / 60, second % 60));
        header.acquired.time = second.and_then(time);
        header
    }

    /// Sizes of the parts and the usual step of each, or the sentence.
    fn divided(slices: Vec<InstanceHeader>) -> Result<Vec<(usize, f64)>, String> {
        let parts = divide(slices).map_err(|(_, detail)| detail)?;
        let step = |part: &[InstanceHeader]| {
            let mut sorted = heights(part);
            sorted.sort_by(f64::total_cmp);
            (Steps::of(&sorted, 0.02).usual() * 1e6).round() / 1e6
        };
        Ok(parts.iter().map(|part| (part.len(), step(part))).collect())
    }

    /// `count` slices from `start` on; number and second as functions of the slice.
    fn scan(
        start: f64,
        step: f64,
        count: u32,
        number: impl Fn(u32) -> Option<u32>,
        second: impl Fn(u32) -> Option<u32>,
    ) -> Vec<InstanceHeader> {
        (0..count).map(|n| slice(start + step * f64::from(n), number(n), second(n))).collect()
    }

    fn both(mut a: Vec<InstanceHeader>, b: Vec<InstanceHeader>) -> Vec<InstanceHeader> {
        a.extend(b);
        a
    }

    #[test]
    fn interleaved_acquisitions_are_told_apart_by_number_or_by_time() {
        for (one, two) in [
            // By both, by number alone, by times of acquisitions, by times of slices, by a number for each slice.
            (scan(0.0, 2.5, 9, |_| Some(1), |_| Some(0)), scan(1.25, 2.5, 9, |_| Some(2), |_| Some(150))),
            (scan(0.0, 2.5, 9, |_| Some(1), |_| None), scan(1.25, 2.5, 9, |_| Some(2), |_| None)),
            (scan(0.0, 2.5, 9, |_| Some(1), |_| Some(0)), scan(1.25, 2.5, 9, |_| Some(1), |_| Some(150))),
            (scan(0.0, 2.5, 9, |_| None, Some), scan(1.25, 2.5, 9, |_| None, |n| Some(60 + n))),
            (scan(0.0, 2.5, 9, Some, |_| None), scan(1.25, 2.5, 9, |n| Some(9 + n), |_| None)),
            // The second one scanned downwards.
            (scan(0.0, 2.5, 9, |_| None, Some), scan(21.25, -2.5, 9, |_| None, |n| Some(60 + n))),
        ] {
            assert_eq!(divided(both(one, two)), Ok(vec![(9, 2.5), (9, 2.5)]));
        }
    }

    #[test]
    fn acquisitions_that_abut_and_a_number_for_each_slice_are_one_volume() {
        let whole = |number: fn(u32) -> Option<u32>, second: fn(u32) -> Option<u32>| {
            assert_eq!(divided(scan(0.0, 2.5, 20, number, second)), Ok(vec![(20, 2.5)]));
        };
        whole(|_| None, |_| None);
        whole(Some, |_| None);
        whole(|n| Some(n / 4), |n| Some(n / 4));
        // Two breath holds, the second scanned downwards.
        whole(|n| Some(1 + n / 10), |n| Some(if n < 10 { n } else { 100 - n }));
        // A number that wraps, in one pass of the table by time.
        whole(|n| Some(n % 4), Some);
        // Times in no order: those of a reconstruction.
        whole(|_| Some(1), |n| Some(n * n * 7 % 101));
    }

    #[test]
    fn acquisitions_that_overlap_or_leave_a_gap_are_volumes_of_their_own() {
        let (one, two) = (|_| Some(1), |_| Some(2));
        let none = |_| None;
        let overlap = both(scan(0.0, 2.5, 10, one, none), scan(20.0, 2.5, 10, two, none));
        assert_eq!(divided(overlap), Ok(vec![(10, 2.5), (10, 2.5)]), "they share two places");
        let shifted = both(scan(0.0, 2.5, 10, one, none), scan(21.0, 2.5, 10, two, none));
        assert_eq!(divided(shifted), Ok(vec![(10, 2.5), (10, 2.5)]));
        let gap = both(scan(0.0, 2.5, 10, one, none), scan(60.0, 5.0, 6, two, none));
        assert_eq!(divided(gap), Ok(vec![(10, 2.5), (6, 5.0)]));
        // Without numbers a gap is a gap.
        assert_eq!(
            divided(both(scan(0.0, 2.5, 10, none, none), scan(60.0, 2.5, 6, none, none))).map(|parts| parts.len()),
            Ok(1)
        );
    }

    #[test]
    fn a_stray_slice_does_not_take_the_volume_with_it() {
        let stray = both(scan(0.0, 2.5, 10, |_| Some(2), |_| None), scan(5.0, 2.5, 1, |_| Some(1), |_| None));
        assert_eq!(divided(stray), Ok(vec![(1, 0.0), (10, 2.5)]));
    }

    #[test]
    fn acquisitions_that_cannot_be_told_apart_are_refused_by_their_counts() {
        // Slice 4 of the first is missing, so neither number nor time gives two regular stacks.
        let slices = both(
            scan(0.0, 2.5, 9, |_| Some(1), |_| Some(0))
                .into_iter()
                .filter(|slice| slice.position.0[2] != 10.0)
                .collect(),
            scan(1.25, 2.5, 9, |_| Some(2), |_| Some(150)),
        );
        let detail = divided(slices).unwrap_err();
        assert!(detail.contains("1 at 12:00:00: 8 slices, 2 at 12:02:30: 9 slices"), "{detail}");
    }

    proptest! {
        #[test]
        fn interleaved_acquisitions_are_divided_for_any_number_of_slices(
            first in 3..40u32,
            second in 3..40u32,
            shift in 0.2..0.8f64,
            acquisitions in 2..4u32,
            shuffle in any::<u64>(),
        ) {
            let step = 2.5;
            let mut slices = scan(0.0, step, first, |_| Some(1), |_| None);
            for n in 1..acquisitions {
                let start = step * shift * f64::from(n) / f64::from(acquisitions);
                slices.extend(scan(start, step, second, move |_| Some(1 + n), |_| None));
            }
            let expected: Vec<_> = (0..acquisitions).map(|n| (if n == 0 { first } else { second } as usize, step)).collect();
            // Any order of the files.
            let count = slices.len();
            slices.rotate_left(shuffle as usize % count);
            prop_assert_eq!(divided(slices), Ok(expected));
        }

        #[test]
        fn a_single_scan_is_never_divided(count in 3..60u32, per_number in 1..8u32, down in any::<bool>()) {
            let step = if down { -1.25 } else { 1.25 };
            let slices = scan(0.0, step, count, |n| Some(n / per_number), |n| Some(n / 3));
            prop_assert_eq!(divided(slices), Ok(vec![(count as usize, 1.25)]));
        }
    }
}
