//! Findings from other people's formats.
//!
//! Purpose: every reader ends in [`mtids_domain::annotation::Annotation`], in LPS mm. Invariant: what a source does not say stays
//! unknown.

pub mod components;
mod labelled;
pub mod mask_file;
mod mask_pixels;
pub mod measure;
mod nifti;
mod nrrd;
pub mod report;
pub mod segmentation;
pub mod structures;
pub mod table;
pub mod voc;

pub use mask_file::{MaskError, MaskFile, is_mask_file, read_mask};
pub use measure::short_axis_mm;
pub use report::{MeasurementGroup, Report, read_report};
pub use segmentation::{Segment, Segmentation, read_segmentation};
pub use structures::{StructureSet, read_structures};
pub use table::{AnnotationError, Table, TablePosition, TableRow, read_table};
pub use voc::{SliceBox, VocError, findings_of_boxes, read_voc};
