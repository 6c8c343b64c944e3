//! Views of two patients that are copies of one scan: shifted, cut to another window or offset, so that their voxels differ.
//!
//! The column `near_hash` has 16 pieces. Two hashes that share 4 share 2 in one of three parts of the pieces. So rows are sorted by every two pieces
//! of each part, 35 times, and only neighbours are compared: no pair is missed, and nobody compares all pairs. Invariants: rows with the same voxels
//! are the business of `duplicate-voxels`; of more than 64 rows under two equal pieces each is compared with the first 64.

use std::collections::BTreeSet;

use mtids_report::format::counted;
use mtids_shards::{NO_CODE, NearHash};
use rayon::prelude::*;

use super::identity::pairs;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The column.
const HASH: &str = "near_hash";
/// Parts of the pieces.
const PARTS: [std::ops::Range<usize>; 3] = [0..6, 6..11, 11..16];
/// Rows that others under the same two pieces are compared with.
const MOST_COMPARED: usize = 64;

/// Rows of two patients whose hashes share enough pieces.
pub(super) fn found(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(HASH) {
        return Ok(None);
    }
    let hashes = hashes(index)?;
    if hashes.is_empty() {
        return Ok(None);
    }
    let (patients, voxels) = (index.first_rows("patient_key")?, index.first_rows("voxels_digest")?);
    let differ = |of: &[u32], one: u32, other: u32| of.get(one as usize) != of.get(other as usize);
    let fewest = config.near_copy_pieces as usize;
    let mut copies: BTreeSet<(u32, u32)> = BTreeSet::new();
    let twos = PARTS.into_iter().flat_map(|part| {
        let end = part.end;
        part.flat_map(move |first| (first + 1..end).map(move |second| (first, second)))
    });
    let mut order: Vec<u64> = Vec::with_capacity(hashes.len());
    for (first, second) in twos {
        let key = |hash: &NearHash| u64::from(hash.pieces()[first]) << 16 | u64::from(hash.pieces()[second]);
        // The two pieces, then the place among the hashes.
        order.clear();
        order.extend((0_u64..).zip(&hashes).map(|(n, (_, hash))| key(hash) << 32 | n));
        order.par_sort_unstable();
        for same in order.chunk_by(|one, other| one >> 32 == other >> 32) {
            for (n, other) in same.iter().enumerate() {
                for one in &same[..n.min(MOST_COMPARED)] {
                    let ((one, its), (other, others)) = (hashes[*one as u32 as usize], hashes[*other as u32 as usize]);
                    let is_copy = its.equal_pieces(&others) >= fewest
                        && differ(&patients, one, other)
                        && differ(&voxels, one, other);
                    copies.extend(is_copy.then_some((one, other)));
                }
            }
        }
    }
    if copies.is_empty() {
        return Ok(None);
    }
    let rows: BTreeSet<u32> = copies.iter().flat_map(|(one, other)| [*one, *other]).collect();
    let rows: Vec<u32> = rows.into_iter().collect();
    let keys = index.coded()?.index().texts_at("sample_key", &rows)?;
    let people: BTreeSet<(u32, u32)> = copies
        .iter()
        .map(|(one, other)| {
            let of = |row: &u32| patients.get(*row as usize).copied().unwrap_or(NO_CODE);
            (of(one).min(of(other)), of(one).max(of(other)))
        })
        .collect();
    let count = people.len() as u64;
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::NearCopies,
            count,
            format!("views of {} are copies of one scan, shifted or with other values", counted(count, "pair of patients", "pairs of patients")),
            "look at them: a person under two ids leaks between splits; list the ids in identity.same_person, and build again",
        )
        .with_examples(pairs(index, people.into_iter())?)
        .with_rows(keys.into_iter().flatten()),
    ))
}

/// Rows with a hash, in the order of the file.
fn hashes(index: &Index) -> Result<Vec<(u32, NearHash)>, AuditError> {
    let mut found = Vec::new();
    index.coded()?.index().visit_column(HASH, |row, text| {
        found.extend(text.parse().ok().map(|hash| (row, hash)));
    })?;
    Ok(found)
}
