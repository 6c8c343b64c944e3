//! The manifest as a file: read with its version first, written last, named by its digest.
//!
//! Invariants: every other file is named by its digest, so that publishing never changes a file that an older manifest names; the
//! manifest replaces the older one atomically; no time of day, host or path outside the dataset. Versions are checked before anything else
//! is read.

use mtids_runtime::digest::Digest;
use mtids_runtime::product::Product;
use mtids_runtime::storage::Storage;
use serde::{Deserialize, Serialize};

use crate::description::{Manifest, RowGroupEntry};
use crate::error::ShardError;
use crate::file::renew_copies;
use crate::previous::PreviousManifest;
use crate::version::{LAYOUT_VERSION, PREVIOUS_LAYOUT, RowsVersion};

/// File name of the manifest.
pub const MANIFEST: &str = Product::Dataset.file();

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
                let of_layout = RowsVersion::ALL.into_iter().filter(|version| u64::from(version.layout()) == layout);
                let read: Vec<&str> = of_layout.map(RowsVersion::name).collect();
                (!read.contains(&rows)).then(|| {
                    format!(
                        "schema version {rows}; of layout {layout} this program reads version {}",
                        read.join(" and ")
                    )
                })
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
        let not_ours = |error: serde_json::Error| match error.is_eof() && !bytes.is_empty() {
            true => fail(format!("the file breaks off ({error}): copy the dataset again from where it is whole")),
            false => fail(format!("not a manifest: {error}")),
        };
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

    /// Publishes the dataset: checks the totals, replaces the manifest atomically, then renews the plain copies of its files. A crash
    /// before the manifest leaves the older dataset as it was; one after it leaves this one, with copies that the next call renews.
    ///
    /// # Errors
    /// [`ShardError::Manifest`] when the totals do not add up or the views are not sorted, or an error of writing. After
    /// [`ShardError::StaleCopies`] this dataset is published.
    pub fn commit(&self, dataset: &dyn Storage) -> Result<(), ShardError> {
        self.check(dataset)?;
        dataset.put(MANIFEST, self.to_json().as_bytes()).map_err(ShardError::io(&dataset.place(MANIFEST)))?;
        self.renew_copies(dataset)
            .map_err(|source| ShardError::StaleCopies { path: dataset.place(""), source: Box::new(source) })
    }

    /// As [`Manifest::commit`], but only if the place still holds the manifest `was`, as its bytes were read; `None` where it held none.
    ///
    /// # Errors
    /// As [`Manifest::commit`]; [`ShardError::Raced`] when another writer has published meanwhile: its dataset stays as it is.
    pub fn commit_over(&self, dataset: &dyn Storage, was: Option<&[u8]>) -> Result<(), ShardError> {
        self.check(dataset)?;
        let path = dataset.place(MANIFEST);
        dataset.put_over(MANIFEST, was, self.to_json().as_bytes()).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => ShardError::Raced { path: dataset.place("") },
            _ => ShardError::io(&path)(error),
        })?;
        self.renew_copies(dataset)
            .map_err(|source| ShardError::StaleCopies { path: dataset.place(""), source: Box::new(source) })
    }

    /// Renews the plain copies of the files, where they differ from what this manifest names.
    ///
    /// # Errors
    /// [`ShardError::DamagedFile`] for a file that is not as published, or an error of writing.
    pub fn renew_copies(&self, dataset: &dyn Storage) -> Result<(), ShardError> {
        renew_copies(dataset, &self.files)
    }

    /// Refuses what contradicts itself.
    fn check(&self, dataset: &dyn Storage) -> Result<(), ShardError> {
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
        Ok(())
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

    /// Digest of the rows alone: their form, and the row groups of each shard in their order. Datasets that share it teach the same, whatever
    /// their cards, reports, settings and program say.
    pub fn rows_digest(&self) -> Digest {
        let description = &self.description;
        let form = [
            description.schema_version.clone(),
            description.taxonomy_version.clone(),
            json(&description.regions),
            json(&description.views),
        ];
        // Not the digest of the file: its end names the program and its settings.
        let shards = self.shards.iter().map(|shard| {
            let group = |group: &RowGroupEntry| format!(" {} {} {}", json(&group.kind), group.rows, group.digest);
            shard.split.name().to_owned() + &shard.row_groups.iter().map(group).collect::<String>()
        });
        Digest::of_parts(form.into_iter().chain(shards))
    }
}

/// A part of a description as text.
fn json(part: &impl Serialize) -> String {
    // Structures of strings, numbers and lists: these always have a JSON form.
    serde_json::to_string(part).unwrap_or_default()
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
        assert!(load(r#"{"other":"#).contains("breaks off"));
    }
}
