//! What a way between ranks has to do: move bytes.

use std::fmt::Debug;

use crate::error::Result;

/// The way between the ranks of one training. All ranks make the same calls in the same order; one thread of a rank makes them.
pub trait Transport: Debug + Send + Sync {
    /// Number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// The bytes of every rank one behind the other, in the order of the ranks. `lengths` says how many each sends; `all` has their sum.
    ///
    /// # Errors
    /// [`crate::RanksError::Lost`] where the transport survives the end of a rank.
    fn gather(&self, own: &[u8], lengths: &[usize], all: &mut [u8]) -> Result<()>;

    /// Sends `outgoing[r]` to rank r, and fills `incoming` with what every rank sent here, `length` bytes from each, in the order of the ranks.
    ///
    /// # Errors
    /// As [`Transport::gather`].
    fn exchange(&self, outgoing: &[&[u8]], length: usize, incoming: &mut [u8]) -> Result<()>;

    /// Ends all ranks, with this exit code where the transport can. May return.
    fn abort(&self, code: u8);
}
