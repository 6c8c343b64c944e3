//! Running statistics of batch norm: what a network has seen, beside its trained parameters.
//!
//! Purpose: mean and variance of each channel as exponential averages over training steps. A forward pass only *records* the statistics of its
//! batch; the training step folds them in or drops them ([`crate::Parameters::commit_statistics`], [`crate::Parameters::discard_statistics`]).
//! Invariants: recorded values stay on their device; several passes before one commit count one after the other, as if committed each;
//! clones share their values. Convention (that of PyTorch): running ← 0.9 running + 0.1 batch, with the unbiased variance of the batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use mtids_cuda::update::Held;

use mtids_ranks::Ranks;

use crate::error::{LayerError, Result};

/// Share of one batch.
const MOMENTUM: f64 = 0.1;

/// Mean and biased variance of every channel over a batch, on the CPU.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Means.
    pub mean: Vec<f64>,
    /// Biased variances.
    pub variance: Vec<f64>,
    /// Values of each channel that they are taken over; 0 for running ones.
    pub count: usize,
}

impl Moments {
    /// Those over the values of all ranks, on every rank. A rank without rows gives nothing to them.
    ///
    /// # Errors
    /// [`LayerError::TooFewValues`] where all ranks together have fewer than two values; those of the transport.
    pub(crate) fn over(self, ranks: &Ranks) -> Result<Self> {
        if ranks.is_alone() {
            return Ok(self);
        }
        let channels = self.mean.len();
        let own = if ranks.is_empty() { 0.0 } else { self.count as f64 };
        let record: Vec<f64> = [own].into_iter().chain(self.mean).chain(self.variance).collect();
        let all = ranks.gather(&record, &vec![record.len(); ranks.size()])?;
        // A part without values may have means that are no numbers.
        let parts: Vec<_> = all
            .chunks_exact(record.len())
            .filter_map(|part| {
                let (count, moments) = part.split_first()?;
                (*count > 0.0).then(|| (*count, moments.split_at(channels)))
            })
            .collect();
        let count: f64 = parts.iter().map(|(count, _)| count).sum();
        if count < 2.0 {
            return Err(LayerError::TooFewValues { found: count as usize });
        }
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        for (part, (means, _)) in &parts {
            mean.iter_mut().zip(*means).for_each(|(mean, of_part)| *mean += part / count * of_part);
        }
        // The spread within the parts and that of their means add up to the whole (Chan et al. 1983).
        for (part, (means, variances)) in &parts {
            for (((variance, mean), of_part), within) in variance.iter_mut().zip(&mean).zip(*means).zip(*variances) {
                *variance += part / count * (within + (of_part - mean) * (of_part - mean));
            }
        }
        Ok(Self { mean, variance, count: count as usize })
    }
}

/// Recorded passes: committing gives `kept · running + recorded`.
#[derive(Debug)]
struct Recorded {
    kept: f64,
    mean: Tensor,
    variance: Tensor,
}

/// The running statistics `[channels]` of one norm; clones share them.
#[derive(Clone, Debug)]
pub struct RunningStatistics {
    mean: Var,
    variance: Var,
    recorded: Arc<Mutex<Option<Recorded>>>,
    records: bool,
}

impl RunningStatistics {
    /// Mean 0, variance 1.
    pub(crate) fn new(channels: usize, dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self {
            mean: Var::zeros(channels, dtype, device)?,
            variance: Var::ones(channels, dtype, device)?,
            recorded: Arc::default(),
            records: true,
        })
    }

    /// The same statistics for a layer that records nothing.
    pub(crate) fn without_recording(&self) -> Self {
        Self { records: false, ..self.clone() }
    }

    /// Running means.
    pub fn mean(&self) -> &Var {
        &self.mean
    }

    /// Running variances.
    pub fn variance(&self) -> &Var {
        &self.variance
    }

    /// Number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.mean.elem_count()
    }

    /// The running statistics on the CPU.
    pub(crate) fn moments(&self) -> Result<Moments> {
        let read = |values: &Var| -> Result<Vec<f64>> { Ok(values.to_dtype(DType::F64)?.to_vec1()?) };
        Ok(Moments { mean: read(&self.mean)?, variance: read(&self.variance)?, count: 0 })
    }

    /// Records means and *biased* variances `[channels]` over `count` values of each channel, at least two.
    pub(crate) fn record(&self, mean: &Tensor, variance: &Tensor, count: usize) -> Result<()> {
        if !self.records {
            return Ok(());
        }
        let unbiased = count as f64 / (count as f64 - 1.0);
        let mean = (mean.detach() * MOMENTUM)?;
        let variance = (variance.detach() * (MOMENTUM * unbiased))?;
        let mut recorded = self.lock();
        let next = match &*recorded {
            None => Recorded { kept: 1.0 - MOMENTUM, mean, variance },
            Some(before) => Recorded {
                kept: before.kept * (1.0 - MOMENTUM),
                mean: ((&before.mean * (1.0 - MOMENTUM))? + mean)?,
                variance: ((&before.variance * (1.0 - MOMENTUM))? + variance)?,
            },
        };
        *recorded = Some(next);
        Ok(())
    }

    /// [`RunningStatistics::record`] from values on the CPU.
    pub(crate) fn record_moments(&self, moments: &Moments) -> Result<()> {
        let tensor = |values: &[f64]| -> Result<Tensor> {
            let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu)?;
            Ok(tensor.to_dtype(self.mean.dtype())?.to_device(self.mean.device())?)
        };
        self.record(&tensor(&moments.mean)?, &tensor(&moments.variance)?, moments.count)
    }

    /// Folds in what was recorded.
    pub(crate) fn commit(&self) -> Result<()> {
        if let Some(Recorded { kept, mean, variance }) = self.lock().take() {
            let mean = ((self.mean.as_detached_tensor() * kept)? + mean)?;
            let variance = ((self.variance.as_detached_tensor() * kept)? + variance)?;
            self.mean.set(&mean)?;
            self.variance.set(&variance)?;
        }
        Ok(())
    }

    /// What was recorded, as an update of the running statistics that is still to be done.
    pub(crate) fn pending(&self) -> Vec<Held> {
        let Some(Recorded { kept, mean, variance }) = self.lock().take() else { return Vec::new() };
        let held = |source, values: &Var| Held {
            source,
            values: values.as_tensor().clone(),
            states: Vec::new(),
            factor: kept,
        };
        vec![held(mean, &self.mean), held(variance, &self.variance)]
    }

    /// Drops what was recorded.
    pub(crate) fn discard(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recorded>> {
        // It is only ever replaced as a whole, so a panic elsewhere leaves it valid.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
