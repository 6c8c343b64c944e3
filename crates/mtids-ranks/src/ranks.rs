//! What layers, models and the trainer hold: one process, or one of several.
//!
//! Purpose: arithmetic over a [`Transport`], and the parts of the batch at hand. Invariant: see the crate.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{RanksError, Result};
use crate::number::Number;
use crate::part::Part;
use crate::transport::Transport;

/// Bytes from which on each rank adds a part of a sum and hands it on, so that every number travels about twice whatever the number of ranks.
const LARGE: usize = 1 << 15;

/// Bytes of a piece of a long message: what MPI counts with has 31 bits, and it counts those of all ranks.
const PIECE: usize = 1 << 24;

/// One process, or one of several that train together. Clones are the same rank.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    room: Option<Arc<Room>>,
}

#[derive(Debug)]
struct Room {
    transport: Box<dyn Transport>,
    /// Rows of every rank in the batch at hand.
    rows: Mutex<Arc<[usize]>>,
}

impl Ranks {
    /// One process by itself.
    pub fn alone() -> Self {
        Self::default()
    }

    /// A rank of a transport; one that has no others is alone.
    pub fn over(transport: Box<dyn Transport>) -> Self {
        let room = Room { transport, rows: Mutex::default() };
        Self { room: (room.transport.size() > 1).then(|| Arc::new(room)) }
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        self.room.is_none()
    }

    /// Number of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.room.as_ref().map_or(0, |room| room.transport.rank())
    }

    /// How many there are, at least one.
    pub fn size(&self) -> usize {
        self.room.as_ref().map_or(1, |room| room.transport.size())
    }

    /// Whether this is the rank that writes.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Ends the other ranks, where the transport can do so; for a rank that has failed alone.
    pub fn abort(&self, code: u8) {
        if let Some(room) = &self.room {
            room.transport.abort(code);
        }
    }

    /// Replaces values by their sums over the ranks: added in double precision in the order of the ranks, rounded once.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn sum<T: Number>(&self, values: &mut [T]) -> Result<()> {
        let Some(room) = &self.room else { return Ok(()) };
        let transport = &*room.transport;
        let piece = (PIECE / size_of::<T>()).max(1);
        values.chunks_mut(piece).try_for_each(|values| {
            if size_of_val(values) < LARGE { sum_whole(transport, values) } else { sum_parts(transport, values) }
        })
    }

    /// The sum of one number over the ranks.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn sum_of(&self, value: f64) -> Result<f64> {
        let mut values = [value];
        self.sum(&mut values)?;
        let [sum] = values;
        Ok(sum)
    }

    /// Values of every rank one behind the other. `counts` says how many each has, and is the same on all ranks.
    ///
    /// # Errors
    /// Those of the transport; [`RanksError::Length`] for another number of own values.
    pub fn gather<T: Number>(&self, own: &[T], counts: &[usize]) -> Result<Vec<T>> {
        let Some(room) = &self.room else { return Ok(own.to_vec()) };
        let expected = counts.get(self.rank()).copied().unwrap_or(0);
        if own.len() != expected || counts.len() != self.size() {
            let [found, expected] = [own.len(), expected].map(|count| count * size_of::<T>());
            return Err(RanksError::Length { rank: self.rank(), found, expected });
        }
        let mut all = vec![T::narrow(0.0); counts.iter().sum()];
        let lengths: Vec<usize> = counts.iter().map(|count| count * size_of::<T>()).collect();
        room.transport.gather(bytemuck::cast_slice(own), &lengths, bytemuck::cast_slice_mut(&mut all))?;
        Ok(all)
    }

    /// The bytes of rank 0, which alone need give any.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        let Some(room) = &self.room else { return Ok(own) };
        let count = if self.is_first() { own.len() as f64 } else { 0.0 };
        let count = self.sum_of(count)? as usize;
        let mut bytes = if self.is_first() { own } else { vec![0; count] };
        let mut lengths = vec![0; self.size()];
        for piece in bytes.chunks_mut(PIECE) {
            if let Some(first) = lengths.first_mut() {
                *first = piece.len();
            }
            let own = if self.is_first() { piece.to_vec() } else { Vec::new() };
            room.transport.gather(&own, &lengths, piece)?;
        }
        Ok(bytes)
    }

    /// Refuses ranks that differ in `what`, of which `digest` is a digest of as many bytes on all ranks.
    ///
    /// # Errors
    /// [`RanksError::Differs`] on every rank; those of the transport.
    pub fn same(&self, what: &str, digest: &[u8]) -> Result<()> {
        let Some(room) = &self.room else { return Ok(()) };
        let mut all = vec![0; digest.len() * self.size()];
        room.transport.gather(digest, &vec![digest.len(); self.size()], &mut all)?;
        let mut digests = all.chunks_exact(digest.len().max(1));
        let first = digests.next();
        match digests.position(|digest| Some(digest) != first) {
            Some(at) => Err(RanksError::Differs { rank: at + 1, what: what.to_owned() }),
            None => Ok(()),
        }
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn wait(&self) -> Result<()> {
        self.sum_of(0.0).map(drop)
    }

    /// Announces how many rows of the next batch this rank has, and hears it of the others.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn take_rows(&self, rows: usize) -> Result<()> {
        let Some(room) = &self.room else { return Ok(()) };
        let rows = self.gather(&[rows as f64], &vec![1; self.size()])?;
        *room.rows.lock().unwrap_or_else(PoisonError::into_inner) =
            rows.into_iter().map(|rows| rows as usize).collect();
        Ok(())
    }

    /// The parts of the batch that was announced; `None` for a rank that is alone, which has all rows.
    pub fn part(&self) -> Option<Part> {
        let room = self.room.as_ref()?;
        let rows = Arc::clone(&room.rows.lock().unwrap_or_else(PoisonError::into_inner));
        Some(Part::new(self.rank(), rows))
    }

    /// Number of the first row that is here in its batch, on all ranks.
    pub fn first_row(&self) -> usize {
        self.part().map_or(0, |part| part.first())
    }

    /// Whether this rank has no row of the batch, and works on a row of zeros that counts for nothing, so that it makes the calls of the others.
    pub fn is_empty(&self) -> bool {
        self.part().is_some_and(|part| part.rows() == 0)
    }
}

/// Every rank adds everything.
fn sum_whole<T: Number>(transport: &dyn Transport, values: &mut [T]) -> Result<()> {
    let (size, count) = (transport.size(), values.len());
    let mut all = vec![T::narrow(0.0); count * size];
    let lengths = vec![size_of_val(values); size];
    transport.gather(bytemuck::cast_slice(values), &lengths, bytemuck::cast_slice_mut(&mut all))?;
    add(values, &all);
    Ok(())
}

/// Rank r adds part r.
fn sum_parts<T: Number>(transport: &dyn Transport, values: &mut [T]) -> Result<()> {
    let (size, rank, count) = (transport.size(), transport.rank(), values.len());
    let bound = |rank: usize| count * rank / size;
    let part = |rank: usize| bound(rank)..bound(rank + 1);
    let outgoing: Vec<&[u8]> = (0..size).map(|rank| bytemuck::cast_slice(&values[part(rank)])).collect();
    let mut own = vec![T::narrow(0.0); part(rank).len()];
    let mut incoming = vec![T::narrow(0.0); own.len() * size];
    transport.exchange(&outgoing, size_of_val(&own[..]), bytemuck::cast_slice_mut(&mut incoming))?;
    add(&mut own, &incoming);
    let lengths: Vec<usize> = (0..size).map(|rank| part(rank).len() * size_of::<T>()).collect();
    transport.gather(bytemuck::cast_slice(&own), &lengths, bytemuck::cast_slice_mut(values))
}

/// Sets `sums` to the sums of as many values of each rank, which lie one rank behind the other.
fn add<T: Number>(sums: &mut [T], all: &[T]) {
    let count = sums.len();
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = T::narrow(all.iter().skip(at).step_by(count.max(1)).fold(0.0, |total, value| total + value.widen()));
    }
}
