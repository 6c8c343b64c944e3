//! Everything that this crate writes to disk: cohorts, studies, series with inserted nodes.
//!
//! Invariants: a file is written whole or not at all; everything says that it is synthetic.

mod cohort;
mod inserted;
mod json;
mod study;
mod table;

pub use cohort::generate;
pub use inserted::insert;
