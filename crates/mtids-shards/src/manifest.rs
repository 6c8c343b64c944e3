//! The manifest: what a dataset consists of, with the digest of every part.
//!
//! Invariants: written last and atomically; no time of day, host or path outside the dataset; totals add up:
//! inputs = used + skipped + quarantined, in files.

use mtids_domain::taxonomy::RegionScheme;
use mtids_patch::Views;
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ShardError;
use crate::row::{RowKind, Split};

/// Version of this layout.
pub const SCHEMA_VERSION: &str = "3";
/// File name of the manifest.
pub(crate) const MANIFEST: &str = "manifest.json";

/// What a channel of a patch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// CT in HU.
    Ct,
    /// PET in hundredths of an SUV by body weight; 0 where there is none, which the column `pet` tells from no uptake.
    Pet,
}

impl Channel {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Ct => "ct",
            Channel::Pet => "pet",
        }
    }
}

/// What every shard of a dataset has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetDescription {
    /// Version of the layout.
    pub schema_version: String,
    /// Version of the taxonomy.
    pub taxonomy_version: String,
    /// Classes of the region dimension.
    pub regions: RegionScheme,
    /// Channels of a patch, in the order of its voxels.
    pub channels: Vec<Channel>,
    /// What d runs over: a volume, thin slices, or three views.
    pub patch_views: Views,
    /// Patch size (d, h, w) in voxels.
    pub patch_size: [usize; 3],
    /// Patch spacing (z, y, x) in mm.
    pub patch_spacing_mm: [f64; 3],
    /// Digest of the resolved build configuration.
    pub config_digest: Digest,
    /// The program that built it.
    pub program: Program,
}

impl DatasetDescription {
    /// Voxels of a patch, over all channels.
    pub fn patch_len(&self) -> usize {
        self.channels.len() * self.patch_size.iter().product::<usize>()
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

/// Any other file of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path relative to the dataset.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Digest.
    pub digest: Digest,
}

/// What became of the input files.
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
    /// Findings left out because more of their patch lies outside the scanned field than `max_pad_fraction` allows.
    pub findings_at_border: u64,
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
    /// What all shards have in common.
    pub description: DatasetDescription,
    /// Fingerprint of the pseudonym secret, to tell datasets of one project.
    pub pseudonym_fingerprint: String,
    /// What became of the input.
    pub totals: Totals,
    /// Shards, sorted by path.
    pub shards: Vec<ShardEntry>,
    /// Index, quarantine, card and configuration, sorted by path.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Reads the manifest of a dataset.
    ///
    /// # Errors
    /// [`ShardError::NoManifest`], or [`ShardError::Manifest`] with what is wrong.
    pub fn load(dataset: &dyn Storage) -> Result<Self, ShardError> {
        let path = dataset.place(MANIFEST);
        let bytes = match dataset.get(MANIFEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ShardError::NoManifest { path: dataset.place("") });
            }
            Err(error) => return Err(ShardError::io(&path)(error)),
        };
        let fail = |detail: String| ShardError::Manifest { path: path.clone(), detail };
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| fail(format!("not a manifest: {error}")))?;
        if manifest.description.schema_version != SCHEMA_VERSION {
            let version = &manifest.description.schema_version;
            return Err(fail(format!("layout version {version}; this program reads version {SCHEMA_VERSION}")));
        }
        Ok(manifest)
    }

    /// Publishes the dataset: checks the totals and writes the manifest atomically.
    ///
    /// # Errors
    /// [`ShardError::Manifest`] when the totals do not add up, or an error of writing.
    pub fn commit(&self, dataset: &dyn Storage) -> Result<(), ShardError> {
        let path = dataset.place(MANIFEST);
        if let Some(detail) = self.totals.contradiction() {
            return Err(ShardError::Manifest { path, detail: format!("the accounts do not add up: {detail}") });
        }
        let rows: u64 = self.shards.iter().map(|shard| shard.rows).sum();
        if rows != self.totals.rows {
            let detail = format!("{} rows are counted, the shards hold {rows}", self.totals.rows);
            return Err(ShardError::Manifest { path, detail });
        }
        dataset.put(MANIFEST, self.to_json().as_bytes()).map_err(ShardError::io(&path))
    }

    /// The manifest as the text that is written.
    fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys: this always has a JSON form.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value.sort_all_objects();
        format!("{value:#}\n")
    }

    /// Digest that stands for the whole dataset.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.to_json().as_bytes())
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
