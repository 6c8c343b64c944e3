//! What the augmentation of one sample is drawn from.

use mtids_patch::ViewName;
use mtids_runtime::random::{Rng, rng_for};

/// The view of a dataset of the last layout, whose draws are named as they were before there were views.
const ONLY_VIEW: &str = "patch";

/// A sample in an epoch of a training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AugmentKey<'a> {
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Epoch, from 0.
    pub(crate) epoch: u64,
    /// Key of the sample in the dataset.
    pub(crate) sample: &'a str,
    /// Number among its draws in the epoch: what sampling repeats looks different each time.
    pub(crate) copy: u32,
}

impl AugmentKey<'_> {
    /// A fresh generator for one purpose in one view of the sample. Shift and noise share the purpose `augment`.
    pub(crate) fn random(&self, purpose: &str, view: &ViewName) -> Rng {
        let name = match view.as_str() {
            ONLY_VIEW => format!("{purpose} {}", self.sample),
            view => format!("{purpose} {view} {}", self.sample),
        };
        // The first draw is keyed as it was before copies were told apart.
        match self.copy {
            0 => rng_for(self.seed, &name, &[self.epoch]),
            copy => rng_for(self.seed, &name, &[self.epoch, u64::from(copy)]),
        }
    }
}
