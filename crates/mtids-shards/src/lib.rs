#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * What is not in the manifest did not happen. Every file appears whole or not at all.
//! * Every file that the manifest names carries its digest in its name, so a rebuild changes nothing that an open reader reads.
//! * Digests are checked before bytes are decoded: Parquet files written from Rust carry no page checksums, and a flipped bit would read as
//!   other voxels without an error.
//! * The same rows give the same bytes. No raw identifier, path or time of day is written.
//!
//! # Units
//! Voxels are little-endian `i16` as [`Channel`] says, one column per view, axes d (towards the head), h (towards the back), w (towards the left), w fastest.

mod columns;
mod corrections;
mod deal;
mod description;
mod error;
mod file;
mod footer;
mod index;
mod manifest;
mod pieces;
mod previous;
mod quarantine;
mod reader;
mod row;
mod schema;
mod verify;
mod version;
mod voxels;
mod writer;

pub use columns::{Coded, IndexColumns, NO_CODE, folded};
pub use corrections::{CorrectionRecord, read_corrections, write_corrections};
pub use deal::{CrossValidation, LabelCounts, part_by_hash, parts_by_labels, split_in_fold};
pub use description::{DatasetDescription, Manifest, RowGroupEntry, ShardEntry, Totals, manifest_json_schema};
pub use error::{DamageKind, ShardError};
pub use file::{FileEntry, META, write_file};
pub use index::{INDEX, IndexRow, Place, write_index};
pub use manifest::{MANIFEST, is_published};
pub use mtids_patch::{Channel, Measure, Measures, NearHash, PatchGeometry, Planes, View, ViewName};
pub use quarantine::{QuarantineRecord, write_quarantine};
pub use reader::{Dataset, RowGroup, ViewVoxels, read_row_group, read_row_group_into};
pub use row::{AuditFacts, PatchRow, RowKind, RowLabels, Split};
pub use schema::{labels_batch, patch_json_schema};
pub use verify::{Damage, stale_copies, verify};
pub use version::{LAYOUT_VERSION, SCHEMA_VERSION};
pub use writer::{DEFAULT_ROW_GROUP_BYTES, ShardOptions, ShardWriter, WriteSeconds};
