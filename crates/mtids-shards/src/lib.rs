//! The data contract on disk: one patch, one row.
//!
//! # Purpose
//! Rows become Parquet shards ([`write_shard`]); a manifest ([`Manifest`]) publishes them; a reader ([`Dataset`], [`read_row_group`])
//! gives them back, or says which byte range is damaged.
//!
//! # Invariants
//! * What is not in the manifest did not happen. Every file appears whole or not at all.
//! * The digest of a row group's bytes is checked before they are decoded: Parquet files written from Rust carry no page checksums, and a
//!   flipped bit would read as other voxels without an error.
//! * The same rows give the same bytes. No raw identifier, path or time of day is written.
//!
//! # Units
//! Voxels are little-endian `i16` HU, axes d (towards the head), h (towards the back), w (towards the left), w fastest.

mod error;
mod index;
mod manifest;
mod quarantine;
mod reader;
mod row;
mod schema;
mod writer;

pub use error::ShardError;
pub use index::{IndexRow, read_index, write_index};
pub use manifest::{
    Channel, DatasetDescription, FileEntry, Manifest, RowGroupEntry, SCHEMA_VERSION, ShardEntry, Totals,
    manifest_json_schema,
};
pub use mtids_patch::Views;
pub use quarantine::{QuarantineRecord, write_quarantine};
pub use reader::{Damage, Dataset, RowGroup, read_row_group, verify};
pub use row::{PatchRow, RowKind, RowLabels, Split};
pub use schema::patch_json_schema;
pub use writer::{DEFAULT_ROW_GROUP_BYTES, ShardOptions, WriteSeconds, write_shard};
