//! What the kernels of batch norm are called with: sizes, flags, grids and lengths, as pure functions.
//!
//! Invariant: [`Kernel::check`] accepts only lengths that the kernel stays within; `kernels/norm.h` says what each reads.

/// Threads of a block; `kernels/norm.cu` has the same number.
pub(super) const THREADS: usize = 256;
/// Values that a block should have to work on.
const RUN: usize = 16 * THREADS;
/// Blocks that fill a card several times over.
const BLOCKS: usize = 1024;

/// A rectifier follows.
pub(super) const RECTIFY: u32 = 1;
/// A second map is added.
pub(super) const ADD: u32 = 2;
/// The moments are those of the map, so that the gradient passes through them.
pub(super) const FOLLOW: u32 = 4;

/// Places of the inputs in the list of arguments.
pub(super) mod input {
    pub(crate) const FIRST: usize = 0;
    pub(crate) const SECOND: usize = 1;
    pub(crate) const THIRD: usize = 2;
    pub(crate) const WEIGHT: usize = 3;
    pub(crate) const BIAS: usize = 4;
    pub(crate) const MEAN: usize = 5;
    pub(crate) const VARIANCE: usize = 6;
    pub(crate) const SUMS: usize = 7;
    /// How many there are.
    pub(crate) const COUNT: usize = 8;
}

/// The sizes of a map `[batch, channels, cells]`, and into how many runs the values of a channel are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) batch: u32,
    pub(super) channels: u32,
    pub(super) cells: u32,
    pub(super) splits: u32,
}

impl Sizes {
    /// Of a map with at least three axes; none where it is empty or a channel has more values than a kernel counts.
    pub(super) fn new(dims: &[usize]) -> Option<Self> {
        let [batch, channels, axes @ ..] = dims else { return None };
        let cells = axes.iter().try_fold(1_usize, |all, &size| all.checked_mul(size))?;
        let values = batch.checked_mul(cells)?;
        if axes.is_empty()
            || values == 0
            || *channels == 0
            || values > i32::MAX as usize
            || *channels > i32::MAX as usize
        {
            return None;
        }
        let splits = (values / RUN).clamp(1, (BLOCKS / channels).max(1));
        let number = |value: usize| u32::try_from(value).ok();
        Some(Self {
            batch: number(*batch)?,
            channels: number(*channels)?,
            cells: number(cells)?,
            splits: number(splits)?,
        })
    }

    /// Entries of a map.
    pub(super) fn map(self) -> usize {
        self.batch as usize * self.channels as usize * self.cells as usize
    }

    /// Sums that blocks leave for the next kernel, two of each.
    pub(super) fn parts(self) -> usize {
        self.channels as usize * self.splits as usize * 2
    }
}

/// The kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    MomentsParts,
    MomentsJoin,
    Normalise,
    GradientParts,
    GradientJoin,
    InputGradient,
    OpenGradient,
}

impl Kernel {
    /// Name in single and in double precision.
    pub(super) fn names(self) -> [&'static str; 2] {
        match self {
            Self::MomentsParts => ["moments_parts_f32", "moments_parts_f64"],
            Self::MomentsJoin => ["moments_join_f32", "moments_join_f64"],
            Self::Normalise => ["normalise_f32", "normalise_f64"],
            Self::GradientParts => ["gradient_parts_f32", "gradient_parts_f64"],
            Self::GradientJoin => ["gradient_join_f32", "gradient_join_f64"],
            Self::InputGradient => ["input_gradient_f32", "input_gradient_f64"],
            Self::OpenGradient => ["open_gradient_f32", "open_gradient_f64"],
        }
    }

    /// Blocks in the two directions.
    pub(super) fn grid(self, sizes: Sizes) -> [u32; 2] {
        match self {
            Self::MomentsJoin | Self::GradientJoin => [sizes.channels.div_ceil(THREADS as u32), 1],
            _ => [sizes.channels, sizes.splits],
        }
    }

    /// Which inputs it reads.
    fn reads(self, flags: u32) -> Vec<usize> {
        use input::{BIAS, FIRST, MEAN, SECOND, SUMS, THIRD, VARIANCE, WEIGHT};
        let mut reads = match self {
            Self::MomentsParts | Self::MomentsJoin => vec![FIRST],
            Self::Normalise => vec![FIRST, WEIGHT, BIAS, MEAN, VARIANCE],
            Self::GradientParts => vec![FIRST, THIRD, MEAN],
            Self::GradientJoin => vec![VARIANCE],
            Self::InputGradient => vec![FIRST, THIRD, WEIGHT, MEAN, VARIANCE],
            Self::OpenGradient => vec![THIRD],
        };
        let gated = matches!(self, Self::GradientParts | Self::InputGradient | Self::OpenGradient);
        if (gated && flags & RECTIFY != 0) || (self == Self::Normalise && flags & ADD != 0) {
            reads.push(SECOND);
        }
        if self == Self::InputGradient && flags & FOLLOW != 0 {
            reads.push(SUMS);
        }
        reads
    }

    /// Entries of the result; none where the kernel writes sums for the next.
    fn result(self, sizes: Sizes) -> usize {
        match self {
            Self::MomentsParts | Self::GradientParts => 0,
            Self::MomentsJoin | Self::GradientJoin => 2 * sizes.channels as usize,
            _ => sizes.map(),
        }
    }

    /// Whether inputs, result and sums of these lengths hold all that the kernel touches.
    pub(super) fn check(
        self,
        sizes: Sizes,
        flags: u32,
        inputs: [usize; input::COUNT],
        result: usize,
        parts: usize,
    ) -> bool {
        let length = |which: usize| match which {
            input::FIRST..=input::THIRD => sizes.map(),
            input::SUMS => 2 * sizes.channels as usize,
            _ => sizes.channels as usize,
        };
        let sums = matches!(self, Self::MomentsParts | Self::MomentsJoin | Self::GradientParts | Self::GradientJoin);
        self.reads(flags).into_iter().all(|which| inputs[which] >= length(which))
            && result >= self.result(sizes)
            && (!sums || parts >= sizes.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_the_values_and_blocks_fill_a_card() {
        let splits = |dims: &[usize]| Sizes::new(dims).unwrap().splits;
        assert_eq!(splits(&[2, 8, 5]), 1);
        assert_eq!(splits(&[64, 16, 12, 44, 44]), 64, "at most as many as fill a card");
        assert_eq!(splits(&[64, 128, 6, 6, 6]), 3);
        assert_eq!(splits(&[64, 4096, 44, 44]), 1);
        for wrong in [&[2, 8][..], &[0, 8, 5], &[2, 0, 5], &[2, 8, 0], &[1 << 20, 1, 1 << 20]] {
            assert!(Sizes::new(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn short_memory_is_refused() {
        let sizes = Sizes::new(&[2, 3, 5]).unwrap();
        let whole = [30, 30, 30, 3, 3, 3, 3, 6];
        for flags in 0..8 {
            assert!(Kernel::InputGradient.check(sizes, flags, whole, 30, 0));
            assert!(!Kernel::InputGradient.check(sizes, flags, whole, 29, 0));
            for which in 0..whole.len() {
                let mut short = whole;
                short[which] -= 1;
                let read = Kernel::InputGradient.reads(flags).contains(&which);
                assert_eq!(Kernel::InputGradient.check(sizes, flags, short, 30, 0), !read);
            }
        }
        assert!(Kernel::MomentsParts.check(sizes, 0, whole, 0, 6));
        assert!(!Kernel::MomentsParts.check(sizes, 0, whole, 0, 5));
        assert!(!Kernel::GradientJoin.check(sizes, 0, whole, 5, 6));
    }
}
