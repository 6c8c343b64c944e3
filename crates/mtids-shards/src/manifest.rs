//! The manifest: what a dataset consists of, with the digest of every part.
//!
//! Invariants: every other file is named by its digest, so that publishing never changes a file that an older manifest names; the
//! manifest replaces the older one atomically; no time of day, host or path outside the dataset; totals add up:
//! inputs = used + skipped + quarantined, in files. Versions are checked before anything else is read; one layout back is read too
//! (`previous.rs`).

use mtids_domain::taxonomy::RegionScheme;
use mtids_patch::View;
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ShardError;
use crate::file::{FileEntry, renew_copies};
use crate::previous::{PREVIOUS_LAYOUT, PREVIOUS_SCHEMA, PreviousManifest};
use crate::row::{RowKind, Split};

/// Version of the layout: which files a dataset has, and what the manifest says of them. 6: a row has named views.
pub const LAYOUT_VERSION: u32 = 6;
/// Version of the rows: columns and voxels. 5: one voxel column per view, and columns of measures.
pub const SCHEMA_VERSION: &str = "5";
/// File name of the manifest.
pub(crate) const MANIFEST: &str = "manifest.json";

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
    fn contradiction(&self) -> Option<String> {
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
    /// Version of the layout: [`LAYOUT_VERSION`], or the one before it for a dataset that an older program wrote.
    pub layout: u32,
    /// What all shards have in common.
    pub description: DatasetDescription,
    /// Fingerprint of the pseudonym secret, to tell datasets of one project.
    pub pseudonym_fingerprint: String,
    /// What became of the input.
    pub totals: Totals,
    /// Shards, sorted by path.
    pub shards: Vec<ShardEntry>,
    /// Index, quarantine, card and configuration, sorted by name.
    pub files: Vec<FileEntry>,
}

/// The versions of a manifest, read before anything whose form depends on them.
#[derive(Deserialize)]
struct Versions {
    layout: Option<u64>,
    #[serde(default)]
    description: RowVersion,
}

#[derive(Default, Deserialize)]
struct RowVersion {
    schema_version: Option<String>,
}

impl Versions {
    /// Says which version this program does not read, if there is one.
    fn unreadable(&self) -> Option<String> {
        let ours = u64::from(LAYOUT_VERSION);
        let previous = u64::from(PREVIOUS_LAYOUT);
        let rows = self.description.schema_version.as_deref();
        let reads = format!("this program reads versions {previous} and {ours}");
        // Up to layout 3 there was one version for both.
        match (self.layout, rows) {
            (None, None) => None,
            (None, Some(old)) => Some(format!("layout version {old}; {reads}")),
            (Some(layout), _) if layout != ours && layout != previous => {
                Some(format!("layout version {layout}; {reads}"))
            }
            (Some(layout), Some(rows)) => {
                let expected = if layout == previous { PREVIOUS_SCHEMA } else { SCHEMA_VERSION };
                (rows != expected)
                    .then(|| format!("schema version {rows}; of layout {layout} this program reads version {expected}"))
            }
            (Some(_), None) => None,
        }
    }
}

/// Whether a storage holds a published dataset, of whatever version.
pub fn is_published(dataset: &dyn Storage) -> bool {
    let versions = dataset.get(MANIFEST).ok().and_then(|bytes| serde_json::from_slice::<Versions>(&bytes).ok());
    versions.is_some_and(|versions| versions.layout.is_some() || versions.description.schema_version.is_some())
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
        let not_ours = |error: serde_json::Error| fail(format!("not a manifest: {error}"));
        let versions: Versions = serde_json::from_slice(&bytes).map_err(not_ours)?;
        if let Some(detail) = versions.unreadable() {
            return Err(fail(format!(
                "{detail}. Build the dataset again with this program, or read it with the program that wrote it"
            )));
        }
        let manifest: Self = match versions.layout {
            Some(layout) if layout == u64::from(PREVIOUS_LAYOUT) => {
                serde_json::from_slice::<PreviousManifest>(&bytes).map_err(not_ours)?.into()
            }
            _ => serde_json::from_slice(&bytes).map_err(not_ours)?,
        };
        match manifest.description.contradiction() {
            Some(detail) => Err(fail(format!("not a manifest: {detail}"))),
            None => Ok(manifest),
        }
    }

    /// The file with this plain name, such as `index.parquet`.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Paths of everything that the manifest names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let shards = self.shards.iter().map(|shard| shard.path.as_str());
        shards.chain(self.files.iter().map(|file| file.path.as_str()))
    }

    /// Publishes the dataset: checks the totals, replaces the manifest atomically, then renews the plain copies of its files. A crash
    /// before the manifest leaves the older dataset as it was; one after it leaves this one, with copies that the next call renews.
    ///
    /// # Errors
    /// [`ShardError::Manifest`] when the totals do not add up or the views are not sorted, or an error of writing.
    pub fn commit(&self, dataset: &dyn Storage) -> Result<(), ShardError> {
        let path = dataset.place(MANIFEST);
        if let Some(detail) = self.totals.contradiction() {
            return Err(ShardError::Manifest { path, detail: format!("totals do not add up: {detail}") });
        }
        if let Some(detail) = self.description.contradiction() {
            return Err(ShardError::Manifest { path, detail });
        }
        let rows: u64 = self.shards.iter().map(|shard| shard.rows).sum();
        if rows != self.totals.rows {
            let detail = format!("{} rows are counted, the shards hold {rows}", self.totals.rows);
            return Err(ShardError::Manifest { path, detail });
        }
        dataset.put(MANIFEST, self.to_json().as_bytes()).map_err(ShardError::io(&path))?;
        renew_copies(dataset, &self.files)
    }

    /// The manifest as the text that is written.
    fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys: this always has a JSON form.
        let mut value = match PreviousManifest::of(self) {
            // As it was written, so that its digest stays what runs and reports have noted.
            Some(previous) => serde_json::to_value(previous),
            None => serde_json::to_value(self),
        }
        .unwrap_or_default();
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
    fn a_version_is_named_before_the_form_is_judged() {
        use mtids_runtime::storage::Memory;
        let load = |text: &str| {
            let storage = Memory::default();
            storage.put(MANIFEST, text.as_bytes()).unwrap();
            Manifest::load(&storage).unwrap_err().to_string()
        };
        let later = load(r#"{"layout":7,"new":[1],"description":{}}"#);
        assert!(later.contains("layout version 7; this program reads versions 5 and 6"), "{later}");
        assert!(load(r#"{"layout":4,"description":{"schema_version":"3"}}"#).contains("layout version 4"));
        assert!(load(r#"{"description":{"schema_version":"3","old":1}}"#).contains("layout version 3"));
        for (layout, schema) in [(6, "9"), (6, "4"), (5, "5")] {
            let rows =
                load(&format!(r#"{{"layout":{layout},"description":{{"schema_version":"{schema}","more":1}}}}"#));
            assert!(
                rows.contains(&format!("schema version {schema}")) && rows.contains("Build the dataset again"),
                "{rows}"
            );
        }
        for layout in [5, 6] {
            assert!(load(&format!(r#"{{"layout":{layout},"description":{{}}}}"#)).contains("missing field"));
        }
        assert!(load(r#"{"other":"program"}"#).contains("not a manifest"));
    }

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
