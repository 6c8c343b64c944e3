//! Norm, clipping, optimisers and averages over many tensors at once, in one launch each.
//!
//! Purpose: composed of candle's operations, clipping and an update are some twenty launches for each of some two hundred tensors. Here a table
//! of addresses and lengths goes to the card and one kernel walks over all tensors. The kernels are `kernels/update.cu`: one source for the card and for
//! the host, where tests compare them with the composed form. Invariants: sums are in double precision, in an order that sizes alone decide; every tensor
//! that is written is locked for writing until its work is given to the card.

mod address;
mod launch;
mod read;
mod table;
mod write;

pub use read::{clip, gather, squared_norm};
pub use table::Rule;
pub use write::{Held, update};

#[cfg(test)]
mod tests;
