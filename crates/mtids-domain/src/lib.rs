#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * No file format of images or tables, no thread, no tensor lives here.
//! * Values that must not be mixed have different types: a raw identifier is never a [`pseudonym::PatientKey`], a voxel
//!   index never a [`geometry::PointMm`].
//!
//! # Units
//! Millimetres in the DICOM patient frame (LPS: +x to the patient's left, +y to the back, +z to the head); Hounsfield
//! units as `i16`; voxel indices `(i, j, k)` = (column, row, slice), stored with `i` fastest.

pub mod annotation;
pub mod caliper;
pub mod geometry;
pub mod label;
pub mod nodal;
pub mod person;
pub mod pseudonym;
pub mod repair;
pub mod same_person;
pub mod taxonomy;
pub mod volume;
