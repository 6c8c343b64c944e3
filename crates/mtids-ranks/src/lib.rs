#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * A sum is added in double precision in the order of the ranks, and rounded once. It has the same bits on every rank, for every transport, in every
//!   run with as many ranks.
//! * A transport moves bytes and does no arithmetic.
//! * All ranks make the same calls in the same order; who asks for something alone waits for ever, or is told that the others have ended.
//! * One rank alone never waits, copies or adds.

pub mod error;
mod launch;
#[cfg(feature = "mpi")]
mod mpi_world;
mod number;
mod part;
mod ranks;
pub mod threads;
pub mod transport;

pub use error::{RanksError, Result};
pub use launch::{Joined, join};
pub use number::Number;
pub use part::Part;
pub use ranks::Ranks;
pub use transport::Transport;
