#![doc = include_str!("../README.md")]
//!
//! # Modules
//! [`header::read_header`] judges a file by its content, [`series::group`] gathers headers into series,
//! [`volume::load_volume`] decodes a CT series into a [`mtids_domain::volume::Volume`] of HU, [`volume::load_pet`] a PET series into SUV.
//! [`deidentify`] rewrites an object by an allowlist, without the person in it.
//! [`dataset`], [`element`], [`functional`] and [`mask_pixels`] open other objects for readers outside this crate.
//!
//! # Invariants
//! * Geometry comes from position and orientation of every slice, never from file order, instance number or slice thickness.
//! * A file that cannot be used ends in a typed error with a stable [`error::ReasonCode`]; never a guess, never a panic.
//! * The parser runs only on files whose declared lengths and nesting passed [`prescan`]; a codec runs only on a codestream that claims the
//!   sides of its image module.
//!
//! # Units
//! LPS millimetres, Hounsfield units as `i16`, SUV by body weight as `f32`, voxels `(i fastest, j, k)`.

pub mod acquisition;
pub mod answer;
pub mod concepts;
pub mod dataset;
pub mod date;
pub mod deidentify;
pub mod element;
mod enhanced;
pub mod error;
pub mod functional;
pub mod grid;
pub mod header;
mod header_parts;
mod header_tags;
pub mod identity;
pub mod image_header;
mod image_type;
pub mod invented;
pub mod limits;
pub mod mask_pixels;
pub mod origin;
mod outcome;
pub mod pet;
mod pixels;
pub mod prescan;
pub mod rejection;
mod repair;
mod resample;
mod scout;
pub mod series;
pub mod shared_facts;
pub mod skip_reason;
mod steps;
mod tally;
pub mod uid;
pub mod volume;
#[cfg(feature = "write")]
pub mod write;

pub use error::{DicomError, ReasonCode};
pub use header::{FileKind, read_header};
pub use identity::{ObjectIdentity, PersonFacts, read_identity, read_person};
pub use image_header::{AcquisitionFacts, InstanceHeader, SliceFacts};
pub use limits::Limits;
pub use origin::Origin;
pub use outcome::{FileOutcome, Refused};
pub use rejection::{RejectionNote, read_rejection};
pub use series::{GroupingOutcome, Series, group};
pub use shared_facts::SharedFacts;
pub use skip_reason::SkipReason;
pub use volume::{LoadedPet, LoadedVolume, check_series, decode_image, load_pet, load_volume};
