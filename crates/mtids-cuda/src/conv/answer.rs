//! cuDNN's answer about an algorithm, in plain numbers, and the offer that it is.
//!
//! Purpose: a newer cuDNN may know algorithms that this crate does not. An enumeration of Rust with an unknown value is undefined
//! behaviour, so answers are read as numbers. Invariant: an algorithm or arithmetic that is not known here is not taken.

use std::ffi::c_int;

use super::choice::Offer;
use super::descriptor::Pass;

/// `cudnnConvolution…AlgoPerf_t`: of the three passes in the same form. `cudnn::plan` compares sizes and places with the library's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) algorithm: u32,
    pub(crate) status: u32,
    pub(crate) time: f32,
    pub(crate) memory: usize,
    pub(crate) determinism: u32,
    pub(crate) math: u32,
    pub(crate) reserved: [c_int; 3],
}

impl Pass {
    /// Algorithms of this pass that are known here: 0 and up to this number.
    pub(crate) fn algorithms(self) -> u32 {
        match self {
            Self::Forward => 8,
            Self::DataGradient => 6,
            Self::FilterGradient => 7,
        }
    }

    /// Whether an algorithm of this pass computes with transformed operands: FFT, FFT in tiles, Winograd, Winograd not fused.
    fn transforms(self, algorithm: u32) -> bool {
        match self {
            Self::Forward => matches!(algorithm, 4..=7),
            Self::DataGradient => matches!(algorithm, 2..=5),
            Self::FilterGradient => matches!(algorithm, 2 | 4..=6),
        }
    }
}

impl Answer {
    /// The algorithm's number and the arithmetic's, with what they are.
    pub(crate) fn offer(&self, pass: Pass) -> Offer<(u32, u32)> {
        let known = self.algorithm < pass.algorithms() && self.math < 4;
        Offer {
            algorithm: (self.algorithm, self.math),
            serves: known && self.status == 0,
            deterministic: self.determinism == 1,
            // The units for products of matrices, with or without a conversion of operands.
            rounds: matches!(self.math, 1 | 2),
            transforms: pass.transforms(self.algorithm),
            memory: self.memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_taken() {
        let answer = Answer { algorithm: 1, determinism: 1, math: 3, memory: 7, ..Answer::default() };
        let offer = answer.offer(Pass::Forward);
        assert!(offer.serves && offer.deterministic && !offer.rounds && !offer.transforms && offer.memory == 7);
        for pass in [Pass::Forward, Pass::DataGradient, Pass::FilterGradient] {
            assert!(Answer { algorithm: pass.algorithms() - 1, ..answer }.offer(pass).serves);
            for unknown in [
                Answer { algorithm: pass.algorithms(), ..answer },
                Answer { algorithm: u32::MAX, ..answer },
                Answer { math: 4, ..answer },
                Answer { status: 9999, ..answer },
            ] {
                assert!(!unknown.offer(pass).serves, "{unknown:?}");
            }
            assert!(!Answer { determinism: 2, ..answer }.offer(pass).deterministic);
            assert!([1, 2].iter().all(|&math| Answer { math, ..answer }.offer(pass).rounds));
        }
    }

    #[test]
    fn transforms_are_those_of_the_headers() {
        let of =
            |pass: Pass| -> Vec<u32> { (0..pass.algorithms()).filter(|&number| pass.transforms(number)).collect() };
        assert_eq!(of(Pass::Forward), [4, 5, 6, 7]);
        assert_eq!(of(Pass::DataGradient), [2, 3, 4, 5]);
        assert_eq!(of(Pass::FilterGradient), [2, 4, 5, 6]);
    }
}
