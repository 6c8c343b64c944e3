//! What a manifest says: the views and regions of a dataset, its shards, its files, and what became of the input.
//!
//! Invariants: totals add up: inputs = used + skipped + quarantined, in files; views are sorted by name. Units: voxels and mm as [`View`].

use mtids_domain::taxonomy::RegionScheme;
use mtids_patch::View;
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::FileEntry;
use crate::row::{RowKind, Split};
use crate::version::RowsVersion;

/// What every shard of a dataset has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetDescription {
    /// Version of the rows: columns and voxels.
    pub schema_version: String,
    /// Version of the taxonomy.
    pub taxonomy_version: String,
    /// Classes of the region dimension.
    pub regions: RegionScheme,
    /// Views of a row, sorted by name.
    pub views: Vec<View>,
    /// Digest of the resolved build configuration.
    pub config_digest: Digest,
    /// The program that built it.
    pub program: Program,
}

impl DatasetDescription {
    /// Voxels of a row, over all views and channels.
    pub fn row_len(&self) -> usize {
        self.views.iter().map(View::voxels).sum()
    }

    /// The view with this name, and its number.
    pub fn view(&self, name: &str) -> Option<(usize, &View)> {
        self.views.iter().enumerate().find(|(_, view)| view.name.as_str() == name)
    }

    /// Says what no list of views can be, if something is.
    pub(crate) fn contradiction(&self) -> Option<String> {
        if self.views.is_empty() {
            return Some("its description has no view".into());
        }
        let unsorted = self.views.windows(2).find(|pair| pair[0].name >= pair[1].name)?;
        Some(format!("its views are not sorted by name: `{}` before `{}`", unsorted[0].name, unsorted[1].name))
    }
}

/// A row group of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowGroupEntry {
    /// What its rows are; all of one kind.
    pub kind: RowKind,
    /// Rows.
    pub rows: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Digest of those bytes.
    pub digest: Digest,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Path relative to the dataset.
    pub path: String,
    /// Split of all its rows.
    pub split: Split,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Digest of the whole file.
    pub digest: Digest,
    /// Digest of the file's end, behind the last row group.
    pub footer_digest: Digest,
    /// Row groups in file order.
    pub row_groups: Vec<RowGroupEntry>,
}

/// Outcome of the input files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Files found.
    pub inputs: u64,
    /// Files whose content is in the dataset.
    pub used: u64,
    /// Files left out for a stated reason that is no fault (other objects, images without finding, copies).
    pub skipped: u64,
    /// Files set aside as unusable.
    pub quarantined: u64,
    /// Skipped files by reason.
    pub skipped_by_reason: std::collections::BTreeMap<String, u64>,
    /// Quarantined files by reason code.
    pub quarantined_by_reason: std::collections::BTreeMap<String, u64>,
    /// Patients with rows.
    pub patients: u64,
    /// Rows, negatives among them.
    pub rows: u64,
    /// Rows at places without finding.
    pub negatives: u64,
    /// Annotations left out because more of a view is outside the scanned field than `max_pad_fraction` allows.
    pub findings_at_border: u64,
    /// Annotations left out because a view of theirs touches voxels of a repaired series that nobody measured.
    pub findings_at_invented: u64,
    /// Findings that no image could be found for, or that lie outside it.
    pub unmatched_findings: u64,
}

impl Totals {
    /// Says what does not add up, if something does not.
    pub fn contradiction(&self) -> Option<String> {
        let sum = self.used + self.skipped + self.quarantined;
        if sum != self.inputs {
            return Some(format!(
                "{} inputs are not {} used + {} skipped + {} quarantined",
                self.inputs, self.used, self.skipped, self.quarantined
            ));
        }
        for (name, total, parts) in [
            ("skipped", self.skipped, &self.skipped_by_reason),
            ("quarantined", self.quarantined, &self.quarantined_by_reason),
        ] {
            let sum: u64 = parts.values().sum();
            if sum != total {
                return Some(format!("{total} files {name}, but {sum} by reason"));
            }
        }
        None
    }
}

/// The manifest of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout: `LAYOUT_VERSION`, or the one before it for a dataset that an older program wrote.
    pub layout: u32,
    /// What all shards have in common.
    pub description: DatasetDescription,
    /// Fingerprint of the pseudonym secret, to tell datasets of one project.
    pub pseudonym_fingerprint: String,
    /// What became of the input.
    pub totals: Totals,
    /// Shards, sorted by path.
    pub shards: Vec<ShardEntry>,
    /// Index, quarantine, card, Croissant metadata and configuration, sorted by name.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// The file with this plain name, such as `index.parquet`.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Which columns its rows have.
    pub(crate) fn rows_version(&self) -> RowsVersion {
        let is_it = |version: &RowsVersion| {
            version.layout() == self.layout && version.name() == self.description.schema_version
        };
        // A manifest that is read has one of them.
        RowsVersion::ALL.into_iter().find(is_it).unwrap_or(RowsVersion::Audited)
    }

    /// Paths of everything that the manifest names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let shards = self.shards.iter().map(|shard| shard.path.as_str());
        shards.chain(self.files.iter().map(|file| file.path.as_str()))
    }
}

/// JSON Schema of the manifest.
pub fn manifest_json_schema() -> serde_json::Value {
    schemars::schema_for!(Manifest).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_that_do_not_add_up_are_told() {
        let mut totals = Totals { inputs: 5, used: 3, skipped: 1, quarantined: 1, ..Default::default() };
        assert!(totals.contradiction().unwrap().contains("by reason"));
        totals.skipped_by_reason.insert("a".into(), 1);
        totals.quarantined_by_reason.insert("b".into(), 1);
        assert_eq!(totals.contradiction(), None);
        totals.inputs = 6;
        assert!(totals.contradiction().unwrap().contains("6 inputs"));
    }
}
