//! DICOM files become typed volumes and findings, or a reason why not; phantom studies are written.
//!
//! # Purpose
//! [`header::read_header`] judges a file by its content, [`series::group`] gathers headers into series,
//! [`volume::load_volume`] decodes one series into a [`mtids_core::volume::Volume`]; [`annotation`] reads findings from tables
//! and DICOM SEG; [`mod@write`] makes CT series and SEG objects.
//!
//! # Invariants
//! * Geometry comes from position and orientation of every slice, never from file order, instance number or slice thickness.
//! * A file that cannot be used ends in a typed error with a stable [`error::ReasonCode`]; never a guess, never a panic.
//! * The parser runs only on files whose declared lengths and nesting passed [`prescan`].
//!
//! # Units
//! LPS millimetres, Hounsfield units as `i16`, voxels `(i fastest, j, k)`.

pub mod annotation;
mod element;
pub mod error;
pub mod header;
mod jpeg_ls;
pub mod limits;
mod pixels;
pub mod prescan;
pub mod series;
mod source;
pub mod uid;
pub mod volume;
pub mod write;

pub use error::{DicomError, ReasonCode};
pub use header::{AcquisitionFacts, FileKind, InstanceHeader, read_header};
pub use limits::Limits;
pub use series::{GroupingOutcome, Refused, Series, group};
pub use volume::{LoadedVolume, load_volume};
