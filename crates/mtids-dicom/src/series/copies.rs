//! One slice, one SOPInstanceUID: identical copies are dropped, other files under one UID are a conflict.
//!
//! Invariant: which file of several copies is kept does not change any value. A series whose every file bears one UID (an anonymiser wrote
//! one text into all of them) is read by position, if position alone puts it in order; nothing can then be found by the UID of a slice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mtids_runtime::digest::Digest;

use crate::error::ReasonCode;
use crate::image_header::InstanceHeader;
use crate::outcome::Refused;
use crate::series::planes::{heights, is_one_plane};
use crate::series::refusal::{file_name, refuse_all};
use crate::steps::Steps;

/// Slices without copies.
pub(super) struct Unique {
    pub(super) instances: Vec<InstanceHeader>,
    pub(super) copies: BTreeSet<PathBuf>,
    /// A sentence, where slices were told apart by position instead of their UIDs.
    pub(super) warning: Option<String>,
}

/// Drops identical copies from the slices of one series UID, sorted by SOP UID, frame and path.
pub(super) fn without_copies(instances: Vec<InstanceHeader>) -> Result<Unique, Vec<Refused>> {
    let is_same =
        |a: &InstanceHeader, b: &InstanceHeader| (&a.sop_instance_uid, a.frame) == (&b.sop_instance_uid, b.frame);
    let mut digests: BTreeMap<PathBuf, Option<Digest>> = BTreeMap::new();
    let mut copies: BTreeSet<PathBuf> = BTreeSet::new();
    // The first two files that claim one slice with different content.
    let mut conflict: Option<[PathBuf; 2]> = None;
    for claims in instances.chunk_by(is_same).filter(|claims| claims.len() > 1) {
        let mut kept: Vec<(&InstanceHeader, Option<Digest>)> = Vec::new();
        for header in claims {
            // All frames of a file share its fate.
            if copies.contains(&header.path) {
                continue;
            }
            // An unreadable file gives no digest and counts as different.
            let digest = *digests.entry(header.path.clone()).or_insert_with(|| Digest::of_file(&header.path).ok());
            if digest.is_some() && kept.iter().any(|(_, known)| *known == digest) {
                copies.insert(header.path.clone());
                continue;
            }
            kept.push((header, digest));
        }
        if let [(first, _), (second, _), ..] = kept.as_slice() {
            conflict.get_or_insert_with(|| [first.path.clone(), second.path.clone()]);
        }
    }
    let (copied, unique): (Vec<InstanceHeader>, Vec<InstanceHeader>) =
        instances.into_iter().partition(|header| copies.contains(&header.path));
    let Some(conflict) = conflict else { return Ok(Unique { instances: unique, copies, warning: None }) };
    match by_position(&unique, &conflict) {
        Ok(warning) => Ok(Unique { instances: unique, copies, warning: Some(warning) }),
        Err(detail) => {
            let all = unique.into_iter().chain(copied).collect();
            Err(refuse_all(all, ReasonCode::ConflictingInstances, &detail))
        }
    }
}

/// Whether slices can be told apart by position alone: the sentence that says so, or why not.
fn by_position(unique: &[InstanceHeader], [first, second]: &[PathBuf; 2]) -> Result<String, String> {
    let uids: BTreeSet<&str> = unique.iter().map(|header| header.sop_instance_uid.as_str()).collect();
    let files: BTreeSet<&PathBuf> = unique.iter().map(|header| &header.path).collect();
    let named = format!("for example {} and {}", file_name(first), file_name(second));
    let uid = uids.first().copied().unwrap_or_default();
    if uids.len() > 1 {
        let mut claimed: BTreeMap<(&str, u32), usize> = BTreeMap::new();
        for header in unique {
            *claimed.entry((header.sop_instance_uid.as_str(), header.frame)).or_default() += 1;
        }
        let shared = claimed.values().filter(|&&files| files > 1).sum::<usize>();
        return Err(format!(
            "two different files claim SOP instance {}: of {} files, {shared} share a SOPInstanceUID with a file of other content ({named}); \
             remove the wrong ones, or give each its own UID",
            unique.iter().find(|header| header.path == *first).map_or(uid, |header| header.sop_instance_uid.as_str()),
            files.len()
        ));
    }
    if files.len() == 2 {
        return Err(format!(
            "two different files claim SOP instance {uid} ({} and {}); remove the wrong one",
            file_name(first),
            file_name(second)
        ));
    }
    let all = format!(
        "all {} files of the series bear one SOPInstanceUID, {uid}: an anonymiser's fault, each file needs its own",
        files.len()
    );
    let is_single_frame = files.len() == unique.len();
    if is_single_frame && is_one_plane(unique) && Steps::are_regular(heights(unique).into_iter()) {
        return Ok(format!("{all}; they were put in order by position, and no annotation can name one of its slices"));
    }
    Err(format!(
        "{all}; their positions alone do not form one regular volume either ({named}): give each file a UID of its own"
    ))
}
