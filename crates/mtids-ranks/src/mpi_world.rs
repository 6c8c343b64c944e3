//! Ranks over MPI.
//!
//! Purpose: [`Transport`] by two collective operations on bytes. MPI is started for calls of several threads that never call at once: the training
//! thread is not the one that starts and ends it. A rank that dies is the starter's to see: `mpirun` and `srun` name it and end the others.

use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe as World;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;

use crate::error::{RanksError, Result};
use crate::transport::Transport;

/// MPI, until it is dropped.
pub(crate) struct Universe(#[expect(dead_code, reason = "ends MPI when it is dropped")] World);

impl std::fmt::Debug for Universe {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Universe")
    }
}

/// All processes that were started together. MPI's handle of them is asked for at each call, since it belongs to no thread.
#[derive(Debug)]
pub(crate) struct AllProcesses {
    rank: usize,
    size: usize,
}

/// Starts MPI.
pub(crate) fn start() -> Result<(Universe, AllProcesses)> {
    let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
        .ok_or(RanksError::Start("it was started twice in this process"))?;
    if threading < Threading::Serialized {
        return Err(RanksError::Start("it does not let threads take turns (MPI_THREAD_SERIALIZED)"));
    }
    let world = universe.world();
    let not_negative = |number: i32| usize::try_from(number).unwrap_or(0);
    let all = AllProcesses { rank: not_negative(world.rank()), size: not_negative(world.size()) };
    Ok((Universe(universe), all))
}

/// Counts and places of consecutive parts, as MPI counts.
fn counts(lengths: impl Iterator<Item = usize>) -> Result<(Vec<i32>, Vec<i32>)> {
    let (mut counts, mut places, mut place) = (Vec::new(), Vec::new(), 0usize);
    for length in lengths {
        let end = place + length;
        let fits = |bytes: usize| i32::try_from(bytes).map_err(|_| RanksError::TooLarge { bytes: end });
        counts.push(fits(length)?);
        places.push(fits(place)?);
        fits(end)?;
        place = end;
    }
    Ok((counts, places))
}

impl Transport for AllProcesses {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, own: &[u8], lengths: &[usize], all: &mut [u8]) -> Result<()> {
        let (counts, places) = counts(lengths.iter().copied())?;
        SimpleCommunicator::world().all_gather_varcount_into(own, &mut PartitionMut::new(all, counts, places));
        Ok(())
    }

    fn exchange(&self, outgoing: &[&[u8]], length: usize, incoming: &mut [u8]) -> Result<()> {
        let (out_counts, out_places) = counts(outgoing.iter().map(|bytes| bytes.len()))?;
        let (in_counts, in_places) = counts(std::iter::repeat_n(length, self.size))?;
        let outgoing = outgoing.concat();
        SimpleCommunicator::world().all_to_all_varcount_into(
            &Partition::new(&outgoing[..], out_counts, out_places),
            &mut PartitionMut::new(incoming, in_counts, in_places),
        );
        Ok(())
    }

    fn abort(&self, code: u8) {
        SimpleCommunicator::world().abort(i32::from(code));
    }
}
