#![doc = include_str!("../README.md")]
//!
//! # Purpose
//! The room for the card. Operations on [`candle_core::Tensor`] that candle does not have, or has too slowly, on NVIDIA GPUs: [`conv`], [`norm`], [`rows`],
//! [`update`]; and the card's [`memory`].
//!
//! # Invariants
//! * This crate alone calls CUDA libraries itself, and so is the only one with `unsafe` for a card: each block says why it holds, and
//!   what is public checks shapes first.
//! * What can be wrong without a card being there is a pure function, tested on the host. Without the feature `cuda` nothing else is
//!   compiled.
//! * With default settings the same card, driver and libraries give the same bits each time.
//!
//! # Units
//! Sizes in entries, work space in bytes.

pub mod conv;
#[cfg(feature = "cuda")]
mod cudnn;
pub mod error;
pub mod host;
pub mod log;
pub mod memory;
pub mod norm;
pub mod rows;
pub mod update;

pub use error::CudaError;
