//! Which of the algorithms that cuDNN offers is taken: a pure function of its offers.
//!
//! Invariants: with [`Algorithms::Reproducible`] only an algorithm that cuDNN calls deterministic is taken, in the order of its own
//! heuristics, which measure nothing: the same card, library and shape give the same algorithm. With [`Arithmetic::Exact`] no algorithm on units
//! of reduced precision is taken, and none that transforms its operands (Fourier, Winograd) while another serves: products of transformed
//! operands lose digits, so that results are 1e-5 to 1e-4 away.

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
    /// Whether it transforms its operands.
    pub transforms: bool,
    /// Bytes of work space.
    pub memory: usize,
}

/// The first offer, best first, that the settings allow and whose work space is at most `modest` bytes; where none is so small, the one with the
/// least. `exact` is for single precision without loss: nothing that rounds is taken, and what transforms only where nothing else is offered.
pub fn choose<A: Copy>(offers: &[Offer<A>], algorithms: Algorithms, exact: bool, modest: usize) -> Option<Offer<A>> {
    let allowed = |offer: &&Offer<A>| {
        offer.serves
            && (offer.deterministic || algorithms == Algorithms::QuickestNotReproducible)
            && !(exact && offer.rounds)
    };
    let best = |transforming: bool| {
        let these = || offers.iter().filter(allowed).filter(move |offer| transforming || !offer.transforms).copied();
        these().find(|offer| offer.memory <= modest).or_else(|| these().min_by_key(|offer| offer.memory))
    };
    if exact { best(false).or_else(|| best(true)) } else { best(true) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithms::{QuickestNotReproducible, Reproducible};

    /// An offer by its properties: `s`erves, `d`eterministic, `r`ounds, `t`ransforms.
    fn offer(algorithm: u8, properties: &str, memory: usize) -> Offer<u8> {
        let has = |property: char| properties.contains(property);
        let (serves, deterministic, rounds, transforms) = (has('s'), has('d'), has('r'), has('t'));
        Offer { algorithm, serves, deterministic, rounds, transforms, memory }
    }

    #[test]
    fn the_first_that_is_allowed_and_modest_is_taken_or_the_smallest() {
        let offers = [
            offer(0, "d", 0),
            offer(1, "sr", 10),
            offer(2, "s", 10),
            offer(3, "sdr", 10),
            offer(4, "sd", 100),
            offer(5, "sd", 10),
            offer(6, "sd", 20),
        ];
        let found = |algorithms, exact, memory| choose(&offers, algorithms, exact, memory).map(|o| o.algorithm);
        assert_eq!(found(QuickestNotReproducible, false, 1000), Some(1));
        assert_eq!(found(QuickestNotReproducible, true, 1000), Some(2));
        assert_eq!(found(Reproducible, false, 1000), Some(3));
        assert_eq!(found(Reproducible, true, 1000), Some(4));
        assert_eq!(found(Reproducible, true, 50), Some(5));
        assert_eq!(found(Reproducible, true, 9), Some(5));
        assert!(choose(&offers[..2], Reproducible, false, 1000).is_none());
    }

    #[test]
    fn exact_results_come_from_a_transform_only_where_nothing_else_is_offered() {
        // Offers, which algorithms, exact, and what is taken with at most 50 bytes.
        type Offered = &'static [(&'static str, usize)];
        let table: [(Offered, Algorithms, bool, Option<u8>); 9] = [
            (&[("sdt", 10), ("sd", 10)], Reproducible, true, Some(1)),
            (&[("sdt", 10), ("sd", 10)], Reproducible, false, Some(0)),
            (&[("sdt", 10), ("sd", 100)], Reproducible, true, Some(1)),
            (&[("sdt", 10), ("s", 10)], Reproducible, true, Some(0)),
            (&[("sdt", 10), ("s", 10)], QuickestNotReproducible, true, Some(1)),
            (&[("sdt", 10), ("d", 10), ("sdr", 10)], Reproducible, true, Some(0)),
            (&[("sdt", 100), ("sdt", 10)], Reproducible, true, Some(1)),
            (&[("sdrt", 10), ("sdt", 100)], Reproducible, true, Some(1)),
            (&[("sdrt", 10)], Reproducible, true, None),
        ];
        for (offered, algorithms, exact, taken) in table {
            let offers: Vec<_> =
                (0..).zip(offered).map(|(n, &(properties, memory))| offer(n, properties, memory)).collect();
            let found = choose(&offers, algorithms, exact, 50).map(|offer| offer.algorithm);
            assert_eq!(found, taken, "{offered:?} {algorithms:?} exact: {exact}");
        }
    }
}
