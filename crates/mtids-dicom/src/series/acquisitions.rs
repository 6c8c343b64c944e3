//! Acquisitions under one series UID are told apart: by number, by temporal position, by time; and where the scanner says nothing of them, by
//! other signs ([`crate::series::signs`]).
//!
//! Rule: a volume never has slices that come alternately from two acquisitions. Slices are divided where the parts overlap in space and
//! each part alone has equal steps, or where the parts lie one above the other and only each alone has equal steps. Acquisitions that
//! abut (two breath holds, or a scanner that numbers every slice) stay one volume. What is missing contradicts nothing.
//! Evidence, strongest first: a value that returns after another one along the stack; a number or time that grows over the stack more
//! than once; a number of images that does, where nothing else is said. Times that do not divide the slices into regular parts say nothing: some scanners write times of reconstruction.
//! Source of the rule: reports of users, dgobbi/vtk-dicom#220, Slicer/Slicer#4801. Units: mm.

use std::collections::BTreeMap;

use crate::image_header::InstanceHeader;
use crate::limits::DEFAULT_MIN_SLICES;
use crate::series::interleaved::{MAX_INTERLEAVED, share_a_stretch, span};
use crate::series::planes::heights;
use crate::series::signs;
use crate::steps::{SAME_HEIGHT_MM, Steps};

/// What acquisitions are told apart by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Number,
    TemporalPosition,
    Time,
    /// InstanceNumber: of images, not of acquisitions.
    Image,
}

impl Mark {
    const ALL: [Mark; 4] = [Mark::Number, Mark::TemporalPosition, Mark::Time, Mark::Image];

    fn of(self, slice: &InstanceHeader) -> Option<u64> {
        match self {
            Mark::Number => slice.acquired.number.map(u64::from),
            Mark::TemporalPosition => slice.acquired.temporal_position.map(u64::from),
            Mark::Time => slice.acquired.time.map(|time| time.micros()),
            Mark::Image => slice.acquired.instance_number.map(u64::from),
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

/// The slices of one part, by acquisition.
pub(super) struct Acquisitions {
    /// One list where there is one.
    pub(super) parts: Vec<Vec<InstanceHeader>>,
    /// What an operator may want to know of the division.
    pub(super) warning: Option<String>,
}

impl From<Vec<Vec<InstanceHeader>>> for Acquisitions {
    fn from(parts: Vec<Vec<InstanceHeader>>) -> Self {
        Self { parts, warning: None }
    }
}

/// Divides the slices of one part into its acquisitions.
///
/// # Errors
/// A sentence, with the slices, where acquisitions interleave and cannot be told apart.
pub(super) fn divide(slices: Vec<InstanceHeader>) -> Result<Acquisitions, (Vec<InstanceHeader>, String)> {
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
        return Ok(vec![slices].into());
    }
    // A number that all slices bear tells no more than none: most scanners write 1.
    let is_one_number = slices.iter().all(|one| one.acquired.number == slices[0].acquired.number);
    let has_time = slices.iter().any(|one| one.acquired.time.is_some());
    let says_nothing = !has_repeats && is_one_number && !has_time;
    let mut unresolved = false;
    for mark in Mark::ALL {
        let Some(marked) = marked(mark, &slices, &heights, &order) else { continue };
        // Numbers of images are looked at last: a program may give them in any order.
        let is_of_use = mark != Mark::Image || (says_nothing && distinct(&marked) == marked.len());
        if distinct(&marked) < 2 || !is_of_use {
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
                // Nothing but the order of numbers says that it is not one scan.
                let warning = (mark == Mark::Image).then(|| {
                    format!(
                        "slices of several scans alternate along the stack under one SeriesInstanceUID; they were told apart by InstanceNumber \
                         ({} parts), each is a volume of its own; if it is one scan, number its slices along the stack",
                        parts.len()
                    )
                });
                return Ok(Acquisitions { parts: taken(slices, &indices(parts)), warning });
            }
        }
        // A number that returns along the stack says for certain that two acquisitions alternate; a time does not.
        unresolved |= !has_repeats && mark != Mark::Time && returns(&marked) && distinct(&marked) <= slices.len() / 2;
    }
    if has_repeats && let Some(parts) = by_number_without_repeats(&slices, &heights, &order) {
        return Ok(taken(slices, &indices(&parts)).into());
    }
    if !has_repeats && let Some(told) = signs::tell_apart(&slices, &heights, &order) {
        return Ok(Acquisitions { parts: taken(slices, &told.parts), warning: Some(told.sentence) });
    }
    if says_nothing && let Some(detail) = signs::numbered_anew(&slices, &heights, &order) {
        return Err((slices, detail));
    }
    if unresolved {
        let detail = format!(
            "slices of several acquisitions alternate along the stack, and cannot be told apart: {}; no volume is made of two scans; export \
             each acquisition as a series of its own",
            describe(&slices)
        );
        return Err((slices, detail));
    }
    // One time says one scan, but copies of two may have been given it.
    let is_doubtful = !has_repeats
        && is_one_number
        && has_time
        && (alternates_by_image(&slices, &heights, &order)
            || signs::numbered_anew(&slices, &heights, &order).is_some());
    let warning = is_doubtful.then(|| {
        "InstanceNumbers pass over the stack several times, and AcquisitionTime is one for all slices: they are read as one scan; if they are \
         several, export each as a series of its own"
            .to_owned()
    });
    Ok(Acquisitions { parts: vec![slices], warning })
}

/// Whether the images, in the order of their numbers, pass over one stretch of the stack several times, each time as a regular volume.
fn alternates_by_image(slices: &[InstanceHeader], heights: &[f64], order: &[usize]) -> bool {
    let Some(marked) = marked(Mark::Image, slices, heights, order) else { return false };
    let is_regular = |part: &Vec<Placed>| Steps::are_regular(part.iter().map(|placed| placed.height));
    let alternate = |parts: &Vec<Vec<Placed>>| {
        (2..=MAX_INTERLEAVED).contains(&parts.len()) && overlap(parts) && parts.iter().all(is_regular)
    };
    distinct(&marked) == marked.len() && [passes(&marked, false), passes(&marked, true)].iter().any(alternate)
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
        let (low, high) = span(part.iter().map(|placed| placed.height));
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

/// Whether two parts share a stretch of the stack.
fn overlap(parts: &[Vec<Placed>]) -> bool {
    let heights = |part: &Vec<Placed>| part.iter().map(|placed| placed.height).collect();
    share_a_stretch(&parts.iter().map(heights).collect::<Vec<Vec<f64>>>())
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

/// The places in the list of the slices of each part.
fn indices(parts: &[Vec<Placed>]) -> Vec<Vec<usize>> {
    parts.iter().map(|part| part.iter().map(|placed| placed.index).collect()).collect()
}

/// The slices of each part.
fn taken(slices: Vec<InstanceHeader>, parts: &[Vec<usize>]) -> Vec<Vec<InstanceHeader>> {
    let mut part_of = vec![0; slices.len()];
    for (number, part) in parts.iter().enumerate() {
        part.iter().for_each(|&index| part_of[index] = number);
    }
    let mut taken: Vec<Vec<InstanceHeader>> = parts.iter().map(|_| Vec::new()).collect();
    for (slice, number) in slices.into_iter().zip(part_of) {
        taken[number].push(slice);
    }
    taken
}

#[cfg(test)]
mod tests;
