//! Labels per class in a training split: what the majority class is read from.
//!
//! Invariant: a label outside the classes counts nowhere.

use serde::{Deserialize, Serialize};

/// Labels per class in the training split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelCounts {
    /// Samples per region.
    pub region: Vec<u64>,
    /// Samples per state: benign, metastatic.
    pub metastasis: Vec<u64>,
    /// Samples per joint class y = 2·region + metastasis.
    pub joint: Vec<u64>,
}

impl LabelCounts {
    /// Counts of (region, metastasis) labels among `regions` regions.
    pub fn of(regions: usize, labels: impl IntoIterator<Item = (Option<usize>, Option<usize>)>) -> Self {
        let mut counts = Self { region: vec![0; regions], metastasis: vec![0; 2], joint: vec![0; 2 * regions] };
        for (region, metastasis) in labels {
            let region = region.filter(|&code| code < regions);
            let metastasis = metastasis.filter(|&code| code < 2);
            if let Some(code) = region {
                counts.region[code] += 1;
            }
            if let Some(code) = metastasis {
                counts.metastasis[code] += 1;
            }
            if let (Some(a), Some(b)) = (region, metastasis) {
                counts.joint[2 * a + b] += 1;
            }
        }
        counts
    }

    /// These and others, of the same regions; others of other regions are not known here.
    pub(crate) fn and(mut self, others: &Self) -> Self {
        if self.region.len() == others.region.len() {
            let pairs = [
                (&mut self.region, &others.region),
                (&mut self.metastasis, &others.metastasis),
                (&mut self.joint, &others.joint),
            ];
            for (own, more) in pairs {
                own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
            }
        }
        self
    }

    /// True when no sample has a label in either dimension.
    pub fn is_empty(&self) -> bool {
        self.region.iter().chain(&self.metastasis).all(|&count| count == 0)
    }
}
