//! Findings from other people's formats.
//!
//! Purpose: every reader ends in [`mtids_core::annotation::Annotation`], in LPS mm. Invariant: what a source does not say stays
//! unknown.

pub mod components;
pub mod measure;
pub mod segmentation;
pub mod table;

pub use measure::short_axis_mm;
pub use segmentation::read_segmentation;
pub use table::{AnnotationError, Table, TablePosition, TableRow, read_table};
