#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * What a source does not say stays unknown; a name or a code becomes a label only where a rule says so.
//! * Two sources that contradict each other make a label unknown, and are counted.
//! * No pixels of an image are read; a DICOM object passes the bounded scan of mtids-dicom before it is parsed.
//!
//! # Units
//! LPS millimetres; voxels `(i fastest, j, k)` = (column, row, slice).

pub mod assign;
pub mod classes;
pub mod components;
pub mod error;
pub mod files;
pub mod geometry;
mod ignored_nodes;
pub mod join;
mod label_grid;
mod labelled;
pub mod load;
mod lost_stations;
mod mask_doubts;
mod mask_file;
pub mod measure;
mod merge;
mod names_without_rule;
mod nifti;
mod nrrd;
mod other_structures;
mod overlap;
mod plausible;
pub mod reject;
pub mod report;
mod said;
pub mod segmentation;
mod status_sign;
mod statuses_in_names;
pub mod structures;
mod surface;
pub mod table;
pub mod voc;
#[cfg(feature = "write")]
pub mod write;

pub use classes::{ClassFile, ClassRule, Classes, Verdict};
pub use error::{AnnotationError, CellFault};
pub use files::AnnotationFiles;
pub use geometry::{Images, InPlane, RefusedImage, SeriesGeometry, SliceUids};
pub use ignored_nodes::IgnoredNodes;
pub use join::Finding;
pub use label_grid::{MaskFile, MaskLabel};
pub use load::{EntryOutcome, NamedFile, Resolved, Rules, Sources, load};
pub use lost_stations::LostStations;
pub use mask_doubts::MaskDoubts;
pub use mask_file::{is_mask_file, read_mask};
pub use measure::short_axis_mm;
pub use names_without_rule::NamesWithoutRule;
pub use reject::{Reject, RejectPlace, RejectReason};
pub use report::{Coordinates, MeasurementGroup, Report, ReportContext, Shape, Space, read_report};
pub use segmentation::{PlacedSegment, PlacedSegmentation, Segment, Segmentation, read_segmentation};
pub use statuses_in_names::StatusesInNames;
pub use structures::{Contour, ContourKind, Observed, RegionOfInterest, StructureSet, read_structures};
pub use table::row::{Table, TablePosition, TableRow, UnplacedCell};
pub use table::{read_table, read_table_file};
pub use voc::{SliceBox, findings_of_boxes, read_voc};
