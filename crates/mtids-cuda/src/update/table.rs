//! What the kernels are called with: the table of tensors and the rules' numbers, as pure functions.
//!
//! Invariant: a table says of each tensor as many entries as its addresses were taken for, and has a block for each chunk of them.

/// Threads of a block; `kernels/kernel.h` has the same number.
#[cfg(feature = "cuda")]
pub(super) const THREADS: u32 = 256;
/// Entries that a block works on; `kernels/update.cu` has the same number.
pub(super) const CHUNK: usize = 4096;
/// Words of a tensor; `kernels/update.cu` has the same number.
pub(super) const WORDS: usize = 7;
/// The flag of Nesterov's look-ahead; `kernels/update.cu` has the same number.
const NESTEROV: u32 = 1;

/// An update of values by what is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Adam with decoupled decay: m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; p ← factor p − rate m / (√(v / correction) + ε). Two states.
    AdamW {
        /// Decays of the two moments.
        betas: [f64; 2],
        /// Learning rate over the first moment's correction.
        rate: f64,
        /// The second moment's correction.
        correction: f64,
        /// Added to the root.
        epsilon: f64,
    },
    /// Gradient descent: g ← g + factor p; b ← μ b + g; p ← p − rate b, or p ← p − rate (g + μ b) with look-ahead. One state, none where μ is 0.
    Sgd {
        /// μ.
        momentum: f64,
        /// Whether the step looks ahead.
        nesterov: bool,
        /// Learning rate.
        rate: f64,
    },
    /// p ← factor p + g. No state.
    Fold,
    /// p ← p + (1 − decay) (g − p), an average that follows g. No state.
    Average {
        /// Share of the past.
        decay: f64,
    },
}

/// The kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kernel {
    SquareParts,
    SquareJoin,
    Gather,
    Clip { limit: f64 },
    Update(Rule),
}

impl Rule {
    /// States of each tensor.
    pub(super) fn states(self) -> usize {
        match self {
            Self::AdamW { .. } => 2,
            Self::Sgd { momentum, .. } => usize::from(momentum > 0.0),
            Self::Fold | Self::Average { .. } => 0,
        }
    }
}

impl Kernel {
    /// Name in single and in double precision.
    pub(super) fn names(self) -> [&'static str; 2] {
        match self {
            Self::SquareParts => ["square_parts_f32", "square_parts_f64"],
            Self::SquareJoin => ["square_join_f32", "square_join_f64"],
            Self::Gather => ["gather_f32", "gather_f64"],
            Self::Clip { .. } => ["clip_f32", "clip_f64"],
            Self::Update(Rule::AdamW { .. }) => ["adamw_f32", "adamw_f64"],
            Self::Update(Rule::Sgd { .. }) => ["sgd_f32", "sgd_f64"],
            Self::Update(Rule::Fold) => ["fold_f32", "fold_f64"],
            Self::Update(Rule::Average { .. }) => ["average_f32", "average_f64"],
        }
    }

    /// Its numbers `a` to `e`, and flags.
    pub(super) fn numbers(self) -> ([f64; 5], u32) {
        match self {
            Self::SquareParts | Self::SquareJoin | Self::Gather | Self::Update(Rule::Fold) => ([0.0; 5], 0),
            Self::Clip { limit } => ([limit, 0.0, 0.0, 0.0, 0.0], 0),
            Self::Update(Rule::Average { decay }) => ([decay, 0.0, 0.0, 0.0, 0.0], 0),
            Self::Update(Rule::AdamW { betas: [first, second], rate, correction, epsilon }) => {
                ([first, second, rate, correction, epsilon], 0)
            }
            Self::Update(Rule::Sgd { momentum, nesterov, rate }) => {
                ([momentum, rate, 0.0, 0.0, 0.0], if nesterov { NESTEROV } else { 0 })
            }
        }
    }
}

/// A table under construction.
#[derive(Debug, Default)]
pub(super) struct Table {
    words: Vec<u64>,
    blocks: usize,
}

impl Table {
    /// Adds a tensor of this many entries: the addresses of what is read, of the values and of two states (0 where there is none).
    pub(super) fn push(&mut self, addresses: [u64; 4], entries: usize, factor: f64) {
        self.words.extend(addresses);
        self.words.extend([entries as u64, self.blocks as u64, factor.to_bits()]);
        self.blocks += entries.div_ceil(CHUNK);
    }

    /// The words; [`WORDS`] of each tensor.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Tensors.
    pub(super) fn tensors(&self) -> u32 {
        (self.words.len() / WORDS) as u32
    }

    /// Blocks of all tensors.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_each_tensor_by_itself() {
        let mut table = Table::default();
        for (entries, factor) in [(1, 0.5), (CHUNK, 1.0), (CHUNK + 1, 0.0)] {
            table.push([8, 16, 24, 0], entries, factor);
        }
        assert_eq!((table.tensors(), table.blocks()), (3, 4));
        let first: Vec<u64> = table.words().chunks(WORDS).map(|words| words[5]).collect();
        assert_eq!(first, [0, 1, 2]);
        assert_eq!(f64::from_bits(table.words()[6]), 0.5);
    }
}
