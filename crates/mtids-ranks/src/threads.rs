//! Ranks within one process, one for each thread that works: for tests, and to try a training without MPI.
//!
//! Invariant: when a rank is dropped the others hear of it at their next call.

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::error::{RanksError, Result};
use crate::ranks::Ranks;
use crate::transport::Transport;

/// One rank: a channel to each and from each.
#[derive(Debug)]
struct Thread {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// So many ranks that know each other.
pub fn room(size: usize) -> Vec<Ranks> {
    let mut senders: Vec<Vec<Sender<Vec<u8>>>> = (0..size).map(|_| Vec::new()).collect();
    let mut receivers: Vec<Vec<Receiver<Vec<u8>>>> = (0..size).map(|_| Vec::new()).collect();
    for from in &mut senders {
        for to in &mut receivers {
            let (sender, receiver) = unbounded();
            from.push(sender);
            to.push(receiver);
        }
    }
    let ranks = senders.into_iter().zip(receivers).enumerate();
    ranks.map(|(rank, (to, from))| Ranks::over(Box::new(Thread { rank, to, from }))).collect()
}

/// Runs `work` as each of `size` ranks at once, on threads with large stacks, and answers what they answered. A rank ends with its thread.
///
/// # Panics
/// When a rank panics.
pub fn run<T: Send>(size: usize, work: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = room(size)
            .into_iter()
            .map(|ranks| std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, move || work(&ranks)))
            .collect();
        let join = |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, T>>| {
            let ended = thread.unwrap_or_else(|error| panic!("no thread for a rank: {error}")).join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

impl Thread {
    fn send(&self, rank: usize, bytes: &[u8]) -> Result<()> {
        let lost = || RanksError::Lost { rank };
        self.to.get(rank).ok_or_else(lost)?.send(bytes.to_vec()).map_err(|_| lost())
    }

    fn receive(&self, rank: usize, into: &mut [u8]) -> Result<()> {
        let lost = || RanksError::Lost { rank };
        let bytes = self.from.get(rank).ok_or_else(lost)?.recv().map_err(|_| lost())?;
        if bytes.len() != into.len() {
            return Err(RanksError::Length { rank, found: bytes.len(), expected: into.len() });
        }
        into.copy_from_slice(&bytes);
        Ok(())
    }
}

impl Transport for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn gather(&self, own: &[u8], lengths: &[usize], mut all: &mut [u8]) -> Result<()> {
        (0..self.size()).try_for_each(|rank| self.send(rank, own))?;
        for (rank, &length) in lengths.iter().enumerate() {
            let (into, rest) = std::mem::take(&mut all).split_at_mut(length);
            self.receive(rank, into)?;
            all = rest;
        }
        Ok(())
    }

    fn exchange(&self, outgoing: &[&[u8]], length: usize, incoming: &mut [u8]) -> Result<()> {
        outgoing.iter().enumerate().try_for_each(|(rank, bytes)| self.send(rank, bytes))?;
        for rank in 0..self.size() {
            self.receive(rank, &mut incoming[rank * length..(rank + 1) * length])?;
        }
        Ok(())
    }

    /// The others hear of it when this rank is dropped.
    fn abort(&self, _code: u8) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f64> {
        (0..count).map(|n| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0).collect()
    }

    #[test]
    fn sums_of_any_length_are_those_in_the_order_of_the_ranks_on_every_rank() {
        for size in [1, 2, 3, 5] {
            // The last two are added part by part, one of them in several pieces.
            for count in [0, 1, 4, 1000, 8 << 10, (2 << 20) + 5] {
                let expected: Vec<f64> = (0..size).fold(vec![0.0; count], |sums, rank| {
                    sums.iter().zip(numbers(count, rank)).map(|(sum, value)| sum + value).collect()
                });
                for sums in run(size, |ranks| {
                    let mut values = numbers(count, ranks.rank());
                    ranks.sum(&mut values).unwrap();
                    values
                }) {
                    assert!(sums.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{size} {count}");
                }
            }
        }
    }

    #[test]
    fn single_precision_is_rounded_once() {
        // In single precision 1e8 + 1 − 1e8 is 0.
        for (count, size) in [(1, 3), (20_000, 3)] {
            let sums = run(size, |ranks| {
                let mut values = vec![[1e8f32, 1.0, -1e8][ranks.rank()]; count];
                ranks.sum(&mut values).unwrap();
                values
            });
            assert!(sums.concat().iter().all(|sum| *sum == 1.0));
        }
    }

    #[test]
    fn bytes_of_the_first_reach_all_and_differences_are_named() {
        for answer in run(3, |ranks| {
            let long = vec![7u8; (1 << 24) + 3];
            let own = if ranks.is_first() { long.clone() } else { Vec::new() };
            assert!(ranks.broadcast(own).unwrap() == long);
            assert_eq!(ranks.broadcast(Vec::new()).unwrap(), []);
            ranks.same("nothing", &[1, 2]).unwrap();
            let gathered = ranks.gather(&vec![ranks.rank() as f32; ranks.rank()], &[0, 1, 2]).unwrap();
            assert_eq!(gathered, [1.0, 2.0, 2.0]);
            ranks.same("the last rank", &[u8::from(ranks.rank() == 2), 2]).unwrap_err().to_string()
        }) {
            assert!(answer.contains("rank 2 differs from rank 0 in the last rank"), "{answer}");
        }
    }

    #[test]
    fn parts_lie_one_behind_the_other() {
        let parts = run(3, |ranks| {
            ranks.take_rows([2, 0, 3][ranks.rank()]).unwrap();
            let part = ranks.part().unwrap();
            assert_eq!((part.total(), part.of_ranks(), ranks.first_row()), (5, &[2, 0, 3][..], part.first()));
            (part.range(), ranks.is_empty())
        });
        assert_eq!(parts, [(0..2, false), (2..2, true), (2..5, false)]);
        let alone = Ranks::alone();
        alone.take_rows(0).unwrap();
        assert!(alone.part().is_none() && !alone.is_empty() && alone.is_first());
    }

    #[test]
    fn a_rank_that_ends_is_named_by_the_others() {
        for (rank, answer) in run(3, |ranks| {
            let answer = if ranks.rank() == 1 { Ok(()) } else { ranks.wait().and_then(|()| ranks.wait()) };
            (ranks.rank(), answer)
        })
        .into_iter()
        .enumerate()
        .map(|(at, (rank, answer))| {
            assert_eq!(at, rank);
            (rank, answer)
        }) {
            match answer {
                Ok(()) => assert_eq!(rank, 1),
                // A rank that heard of it ends too, and may be named by the other.
                Err(RanksError::Lost { rank: lost }) => assert_ne!(lost, rank),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
