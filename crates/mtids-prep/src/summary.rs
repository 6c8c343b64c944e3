//! What a build did, or would do, for people and machines.

use std::collections::BTreeMap;

use mtids_runtime::digest::Digest;
use mtids_runtime::task::Task;
use mtids_shards::{RowKind, RowLabels, Totals, View};
use serde::Serialize;

use crate::clock::StageTime;

/// What a build did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildSummary {
    /// Digest of the manifest: two datasets with the same digest are the same.
    pub dataset_digest: Digest,
    /// Views of a row.
    pub views: Vec<View>,
    /// What became of the input.
    pub totals: Totals,
    /// Shards.
    pub shards: usize,
    /// Shards taken over from an earlier build.
    pub reused_shards: usize,
    /// Files of older datasets that lie here until `prune`.
    pub superseded_files: usize,
    /// Their bytes.
    pub superseded_bytes: u64,
    /// Labels of rows that the table of corrections changed.
    pub corrected_labels: u64,
    /// Labels that sources contradict, which became unknown.
    pub contradicting_labels: u64,
    /// Findings whose sources name stations of several regions, or of another map; station and region are unknown.
    pub unplaced_stations: u64,
    /// Findings whose name has a station, by a class rule, that is not understood; it is unknown.
    pub lost_stations: u64,
    /// Findings that one source gives twice, which were merged.
    pub duplicate_findings: u64,
    /// Entries of annotation sources that gave no finding, by reason.
    pub rejects_by_reason: BTreeMap<String, u64>,
    /// More entries were rejected than the policy allows.
    pub over_reject_limit: bool,
    /// More files were quarantined than the policy allows.
    pub over_quarantine_limit: bool,
    /// Rows by region, status and split.
    pub counts: Vec<(String, String, String, u64)>,
    /// Where the time went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTime>,
}

/// What a share of a build did; nothing is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskSummary {
    /// The share.
    pub task: Task,
    /// Partitions of the whole build.
    pub partitions: usize,
    /// Partitions of this share.
    pub share: usize,
    /// Partitions of this share that were finished before.
    pub reused: usize,
}

/// What a build would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// Files found.
    pub inputs: u64,
    /// Views that each row would have.
    pub views: Vec<View>,
    /// Series whose patches are wanted.
    pub series: usize,
    /// Findings in them.
    pub findings: usize,
    /// Shards that would be taken over as they are.
    pub reused_shards: usize,
    /// Shards that would be written, by split and number, and how many series each holds.
    pub written_shards: Vec<(String, u64, usize)>,
    /// Published shards that would be no longer part of the dataset; they stay until `prune`.
    pub dropped_shards: Vec<String>,
    /// Files that would be skipped, by reason.
    pub skipped_by_reason: BTreeMap<String, u64>,
    /// Files that would be quarantined before their pixels are read, by reason.
    pub quarantined_by_reason: BTreeMap<String, u64>,
    /// Entries of annotation sources that give no finding, by reason.
    pub rejects_by_reason: BTreeMap<String, u64>,
}

/// Views in one line, for the terminal.
pub fn view_words(views: &[View]) -> String {
    let one = |view: &View| {
        let size = view.geometry.size.map(|n| n.to_string()).join(" × ");
        let spacing = view.geometry.spacing_mm.map(|mm| mm.to_string()).join(" × ");
        let channels: Vec<&str> = view.channels.iter().map(|channel| channel.name()).collect();
        format!("{}: {size} voxels of {spacing} mm ({})", view.name, channels.join(", "))
    };
    views.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Number of rows by (region name, status, split), for the card and the summary; rows without finding stand under their own name.
pub(crate) fn count_rows<'a>(rows: impl IntoIterator<Item = &'a RowLabels>) -> BTreeMap<(String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let (region, status) = match row.kind {
            RowKind::Finding => (
                row.region_name.clone().unwrap_or_else(|| "unknown".into()),
                row.metastasis.map_or("unknown", |status| status.name()),
            ),
            RowKind::Negative => ("no finding here".to_owned(), "-"),
        };
        *counts.entry((region, status.to_owned(), row.split.name().to_owned())).or_default() += 1;
    }
    counts
}
