//! Views of two patients that may be copies of one scan: shifted, cut to another window or offset, so that their voxels differ.
//!
//! The column `near_hash` has 16 pieces. Two hashes that share 4 share 2 in one of three parts of the pieces. So rows are laid out by one piece, those
//! with an equal one are sorted by each later piece of the part, and only neighbours are compared: no pair is missed, and nobody compares all pairs.
//! Invariants: rows with the same voxels are the business of `duplicate-voxels`; of more than 64 rows under two equal pieces each is compared with
//! the first 64, and then the count of pairs is a least one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use mtids_report::format::counted;
use mtids_shards::{NO_CODE, NearHash};
use rayon::prelude::*;

use super::identity::pairs;
use super::nobody::Nobody;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The column.
const HASH: &str = "near_hash";
/// Pieces of a hash, and the values of one.
const PIECES: usize = 16;
const VALUES: usize = 1 << 16;
/// Parts of the pieces.
const PARTS: [std::ops::Range<usize>; 3] = [0..6, 6..11, 11..16];
/// Rows that others under the same two pieces are compared with.
const MOST_COMPARED: usize = 64;

/// Two rows, and the pieces that they share.
type Pair = ((u32, u32), usize);

/// Rows of two patients whose hashes share enough pieces. That is likeness and no proof, so the message says how many they share.
pub(super) fn found(index: &Index, config: &AuditConfig, nobody: &Nobody) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(HASH) {
        return Ok(None);
    }
    let hashes = hashes(index)?;
    if hashes.is_empty() {
        return Ok(None);
    }
    let (patients, voxels) = (index.first_rows("patient_key")?, index.first_rows("voxels_digest")?);
    let patient = |row: u32| patients.get(row as usize).copied().unwrap_or(NO_CODE);
    let are_two = |one: u32, other: u32| one != other && !nobody.is(one) && !nobody.is(other);
    let fewest = config.near_copy_pieces as usize;
    // Pairs of rows, and the pieces that they share.
    let mut copies: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    // Whether some pairs were not compared.
    let is_cut = AtomicBool::new(false);
    for part in PARTS {
        for first in part.start..part.end - 1 {
            let rows = ByPiece::of(&hashes, first);
            let compared = |(mut found, mut values): (Vec<Pair>, Values), piece: usize| {
                let others = first + 1..part.end;
                let is_cut_here = rows.compare(&hashes, piece, others, &mut values, |one, other, shared| {
                    let is_copy = shared >= fewest
                        && are_two(patient(one), patient(other))
                        && voxels.get(one as usize) != voxels.get(other as usize);
                    found.extend(is_copy.then_some(((one, other), shared)));
                });
                is_cut.fetch_or(is_cut_here, Ordering::Relaxed);
                (found, values)
            };
            let pieces = (0..VALUES).into_par_iter().with_min_len(VALUES / 64);
            let found: Vec<_> =
                pieces.fold(|| (Vec::new(), Values::none()), compared).map(|(found, _)| found).collect();
            copies.extend(found.into_iter().flatten());
        }
    }
    if copies.is_empty() {
        return Ok(None);
    }
    let rows: BTreeSet<u32> = copies.keys().flat_map(|(one, other)| [*one, *other]).collect();
    let rows: Vec<u32> = rows.into_iter().collect();
    let keys = index.coded()?.index().texts_at("sample_key", &rows)?;
    // By two patients, the pieces that their likest views share.
    let mut people: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for ((one, other), shared) in copies {
        let (one, other) = (patient(one), patient(other));
        let most = people.entry((one.min(other), one.max(other))).or_default();
        *most = shared.max(*most);
    }
    let count = people.len() as u64;
    let most = people.values().max().copied().unwrap_or(fewest);
    let names = pairs(index, people.keys().copied())?;
    let examples =
        names.into_iter().zip(people.values()).map(|(names, shared)| format!("{names}: {shared} of {PIECES} pieces"));
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::NearCopies,
            count,
            format!(
                "views of {}{} may be copies of one scan, shifted or with other values: their hashes share up to {most} of {PIECES} pieces",
                if is_cut.into_inner() { "at least " } else { "" },
                counted(count, "pair of patients", "pairs of patients")
            ),
            "look at them: if two ids are one person, it leaks between splits; list the ids in identity.same_person, and build again",
        )
        .with_examples(examples)
        .with_rows(keys.into_iter().flatten()),
    ))
}

/// Places of hashes by their value in one piece, each value's in the order of the file.
struct ByPiece {
    /// Where the places of each value begin, and behind the last all.
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl ByPiece {
    fn of(hashes: &[(u32, NearHash)], piece: usize) -> Self {
        let value = |hash: &NearHash| usize::from(hash.pieces()[piece]);
        let mut starts = vec![0u32; VALUES + 1];
        hashes.iter().for_each(|(_, hash)| starts[value(hash) + 1] += 1);
        for value in 0..VALUES {
            starts[value + 1] += starts[value];
        }
        let (mut next, mut places) = (starts.clone(), vec![0u32; hashes.len()]);
        for (place, (_, hash)) in (0u32..).zip(hashes) {
            let next = &mut next[value(hash)];
            places[*next as usize] = place;
            *next += 1;
        }
        Self { starts, places }
    }

    /// Calls `each` with the rows of every two hashes of one value that share one of the pieces `others` too, and with how many they share. True
    /// where that would have been too many, and some were left out.
    fn compare(
        &self,
        hashes: &[(u32, NearHash)],
        value: usize,
        others: std::ops::Range<usize>,
        values: &mut Values,
        mut each: impl FnMut(u32, u32, usize),
    ) -> bool {
        let mut is_cut = false;
        let places = &self.places[self.starts[value] as usize..self.starts[value + 1] as usize];
        // Gathered once: in the memory of all hashes they lie far apart.
        let own: Vec<(u32, NearHash)> = places.iter().map(|&place| hashes[place as usize]).collect();
        let mut order: Vec<u64> = Vec::with_capacity(own.len());
        for piece in others {
            // Most values of the piece occur once: only the others are sorted.
            own.iter().for_each(|(_, hash)| values.see(hash.pieces()[piece]));
            order.clear();
            let shared = (0u64..).zip(&own).map(|(n, (_, hash))| (n, hash.pieces()[piece]));
            order.extend(
                shared.filter(|(_, value)| values.is_shared(*value)).map(|(n, value)| u64::from(value) << 32 | n),
            );
            own.iter().for_each(|(_, hash)| values.forget(hash.pieces()[piece]));
            order.sort_unstable();
            for same in order.chunk_by(|one, other| one >> 32 == other >> 32) {
                is_cut |= same.len() > MOST_COMPARED + 1;
                for (n, other) in same.iter().enumerate() {
                    for one in &same[..n.min(MOST_COMPARED)] {
                        let ((one, its), (other, others)) = (own[*one as u32 as usize], own[*other as u32 as usize]);
                        each(one, other, its.equal_pieces(&others));
                    }
                }
            }
        }
        is_cut
    }
}

/// Which values of a piece were seen, and which of them more than once: a bit each.
struct Values {
    seen: Vec<u64>,
    shared: Vec<u64>,
}

impl Values {
    fn none() -> Self {
        Self { seen: vec![0; VALUES / 64], shared: vec![0; VALUES / 64] }
    }

    fn at(value: u16) -> (usize, u64) {
        (usize::from(value) / 64, 1 << (value % 64))
    }

    fn see(&mut self, value: u16) {
        let (at, bit) = Self::at(value);
        self.shared[at] |= self.seen[at] & bit;
        self.seen[at] |= bit;
    }

    fn is_shared(&self, value: u16) -> bool {
        let (at, bit) = Self::at(value);
        self.shared[at] & bit != 0
    }

    fn forget(&mut self, value: u16) {
        let (at, _) = Self::at(value);
        (self.seen[at], self.shared[at]) = (0, 0);
    }
}

/// Rows with a hash, in the order of the file.
fn hashes(index: &Index) -> Result<Vec<(u32, NearHash)>, AuditError> {
    let mut found = Vec::new();
    index.coded()?.index().visit_column(HASH, |row, text| {
        found.extend(text.parse().ok().map(|hash| (row, hash)));
    })?;
    Ok(found)
}
