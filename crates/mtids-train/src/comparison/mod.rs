//! `mtids-train compare`: rows of one grid beside each other, trained, recorded and judged.
//!
//! # Way of the data
//! [`grid`] (what is compared) → [`cells`] (one training each) → [`run`] (trains what is missing, alone or beside other processes) →
//! [`record`] (one small file a cell: predictions, digests) → [`results`] ([`figures`] with intervals, from records alone) → [`output`] (JSON,
//! Markdown and a page).
//!
//! # Invariants
//! * A record is a pure function of its cell's settings and dataset; what a training cost stands in a file of its own. So the results are the
//!   same bytes however often a comparison was interrupted and by how many processes it was done.
//! * Settings are chosen on the tuning dataset; no test row of a reported dataset chooses anything.
//! * A record whose settings or dataset are not those of its cell is not used.

pub mod cells;
mod contenders;
mod crossed;
pub mod dataset;
mod field;
pub mod figures;
pub mod grid;
pub mod nodes;
pub mod output;
mod overlap;
mod places;
pub mod record;
pub mod results;
pub mod run;
mod sheets;
mod standing;
mod test_sets;
mod tuning;
