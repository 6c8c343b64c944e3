//! Which of the algorithms that cuDNN offers is taken: a pure function of its offers.
//!
//! Invariants: with [`Algorithms::Reproducible`] only an algorithm that cuDNN calls deterministic is taken, in the order of its own
//! heuristics, which measure nothing: the same card, library and shape give the same algorithm. With [`Arithmetic::Exact`] no algorithm on units
//! of reduced precision is taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which algorithms may compute a convolution on a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithms {
    /// Deterministic ones, chosen by the heuristics of cuDNN.
    #[default]
    Reproducible,
    /// The quickest of a trial of all at the first call of a shape. Two runs may take different ones, and some add in an order that
    /// changes: results are not reproducible.
    QuickestNotReproducible,
}

/// How products of single precision are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// In the type of the tensors.
    #[default]
    Exact,
    /// Operands of `f32` may be rounded to TF32 (ten bits behind the point), sums stay in single precision.
    Tf32,
}

/// How cuDNN may compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Computation {
    /// Which algorithms.
    pub algorithms: Algorithms,
    /// How products of single precision.
    pub arithmetic: Arithmetic,
}

/// What cuDNN says of one algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<A> {
    /// Which one.
    pub algorithm: A,
    /// Whether it serves this convolution.
    pub serves: bool,
    /// Whether it gives the same bits each time.
    pub deterministic: bool,
    /// Whether it rounds operands of single precision.
    pub rounds: bool,
    /// Bytes of work space.
    pub memory: usize,
}

/// The first offer, best first, that the settings allow and whose work space is at most `modest` bytes; where none is so small, the one with the
/// least.
pub fn choose<A: Copy>(offers: &[Offer<A>], algorithms: Algorithms, rounding: bool, modest: usize) -> Option<Offer<A>> {
    let allowed = |offer: &&Offer<A>| {
        offer.serves
            && (offer.deterministic || algorithms == Algorithms::QuickestNotReproducible)
            && (rounding || !offer.rounds)
    };
    let allowed = || offers.iter().filter(allowed).copied();
    allowed().find(|offer| offer.memory <= modest).or_else(|| allowed().min_by_key(|offer| offer.memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(algorithm: u8, serves: bool, deterministic: bool, rounds: bool, memory: usize) -> Offer<u8> {
        Offer { algorithm, serves, deterministic, rounds, memory }
    }

    #[test]
    fn the_first_that_is_allowed_and_modest_is_taken_or_the_smallest() {
        let offers = [
            offer(0, false, true, false, 0),
            offer(1, true, false, true, 10),
            offer(2, true, false, false, 10),
            offer(3, true, true, true, 10),
            offer(4, true, true, false, 100),
            offer(5, true, true, false, 10),
            offer(6, true, true, false, 20),
        ];
        let found = |algorithms, rounding, memory| choose(&offers, algorithms, rounding, memory).map(|o| o.algorithm);
        use Algorithms::{QuickestNotReproducible, Reproducible};
        assert_eq!(found(QuickestNotReproducible, true, 1000), Some(1));
        assert_eq!(found(QuickestNotReproducible, false, 1000), Some(2));
        assert_eq!(found(Reproducible, true, 1000), Some(3));
        assert_eq!(found(Reproducible, false, 1000), Some(4));
        assert_eq!(found(Reproducible, false, 50), Some(5));
        assert_eq!(found(Reproducible, false, 9), Some(5));
        assert!(choose(&offers[..2], Reproducible, true, 1000).is_none());
    }
}
