#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * No file format of images or tables, no thread of its own, no tensor.
//! * A file appears under its name complete or not at all.
//! * Everything random is a pure function of a seed, a purpose and indices.

pub mod atomic;
pub mod budget;
pub mod config;
pub mod digest;
pub mod exit;
pub mod failpoint;
pub mod interrupt;
pub mod lock;
pub mod memory;
pub mod nearest;
pub mod product;
pub mod protobuf;
pub mod provenance;
pub mod random;
pub mod storage;
pub mod task;
pub mod text;
