//! The vocabulary of mtids, used by every other crate.
//!
//! # Purpose
//! Labels ([`taxonomy`], [`label`]), places ([`geometry`], [`volume`]), findings ([`annotation`]), identities
//! ([`pseudonym`], [`digest`]), settings ([`config`]), randomness ([`random`]), and the manners that all programs share
//! ([`exit`], [`atomic`], [`interrupt`]).
//!
//! # Invariants
//! * No file format of images or tables, no thread, no tensor lives here.
//! * Values that must not be mixed have different types: a raw identifier is never a [`pseudonym::PatientKey`], a voxel
//!   index never a [`geometry::PointMm`].
//! * Everything random is a pure function of a seed, a purpose and indices.
//!
//! # Units
//! Millimetres in the DICOM patient frame (LPS: +x to the patient's left, +y to the back, +z to the head); Hounsfield
//! units as `i16`; voxel indices `(i, j, k)` = (column, row, slice), stored with `i` fastest.

pub mod annotation;
pub mod atomic;
pub mod budget;
pub mod config;
pub mod digest;
pub mod exit;
pub mod failpoint;
pub mod geometry;
pub mod interrupt;
pub mod label;
pub mod provenance;
pub mod pseudonym;
pub mod random;
pub mod storage;
pub mod taxonomy;
pub mod volume;
