//! Batch normalisation (Ioffe and Szegedy, ICML 2015): the statistics of a channel run over all samples and cells of a batch.
//!
//! In training: `y = weight (x − mean) / √(variance + ε) + bias` with the mean and the biased variance of the batch, which are recorded with
//! the running statistics. In evaluation the running ones take their place. On the CPU it is one operation with its own gradient
//! (`batch_op`), on interleaved maps another (`interleaved::batch_norm`); on a GPU it is the kernels of `mtids-cuda`, which take an addition behind
//! the norm too; else it is composed here.

use candle_core::{DType, Tensor};
use mtids_ranks::Ranks;

use super::batch_op::{BatchNormOp, moments};
use super::{EPSILON, Phase, added, values_of_channel};
use crate::error::{LayerError, Result};
use crate::parameters::{Init, Parameters};
use crate::statistics::RunningStatistics;

/// Batch normalisation over `[B, C, ..]`, then `max(0, ·)` if asked for.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    statistics: RunningStatistics,
    relu: bool,
    ranks: Ranks,
}

impl BatchNorm {
    /// Creates `<name>.scale` (ones) and `<name>.shift` (zeros), `[channels]`, and the running statistics `<name>.running_mean` (zeros) and
    /// `<name>.running_variance` (ones).
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, channels: usize, relu: bool, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            weight: parameters.get_or_init(&format!("{name}.scale"), &[channels], Init::Constant(1.0))?,
            bias: parameters.get_or_init(&format!("{name}.shift"), &[channels], Init::Constant(0.0))?,
            statistics: parameters.running_statistics(name, channels)?,
            relu,
            ranks: parameters.ranks().clone(),
        })
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// Whether a rectifier follows.
    pub(crate) fn relu(&self) -> bool {
        self.relu
    }

    /// The processes over whose samples its statistics run.
    pub(crate) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// The running statistics.
    pub(crate) fn statistics(&self) -> &RunningStatistics {
        &self.statistics
    }

    /// Applies the layer.
    ///
    /// # Errors
    /// When the shape does not fit; [`LayerError::TooFewValues`] in training when a channel has fewer than two values.
    pub fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let channels = self.statistics.channels();
        let found = || x.dims().to_vec();
        let expected = || format!("a batch, {channels} channels and at least one more axis");
        if x.dims().len() < 3 || x.dim(1)? != channels || x.elem_count() == 0 {
            return Err(LayerError::Shape { what: "feature map", found: found(), expected: expected() });
        }
        let count = values_of_channel(x.elem_count() / channels, phase, &self.ranks)?;
        self.refuse_device_of_ranks(x)?;
        if by_kernels(x) {
            self.by_kernels(x, count, phase, None)
        } else if x.device().is_cpu() {
            self.on_cpu(x, phase)
        } else {
            self.composed(x, count, phase)
        }
    }

    /// The layer of `x` plus `base` of the same shape, rectified behind the addition if `relu`.
    ///
    /// # Errors
    /// As [`BatchNorm::forward`].
    pub(crate) fn forward_added(&self, x: &Tensor, phase: Phase, base: &Tensor, relu: bool) -> Result<Tensor> {
        if by_kernels(x) && !self.relu {
            let channels = self.statistics.channels();
            if x.dims().len() < 3 || x.dim(1)? != channels || x.elem_count() == 0 {
                return self.forward(x, phase);
            }
            let count = values_of_channel(x.elem_count() / channels, phase, &self.ranks)?;
            self.refuse_device_of_ranks(x)?;
            return self.by_kernels(x, count, phase, Some((base, relu)));
        }
        added(base, &self.forward(x, phase)?, relu)
    }

    /// Three kernels in training, one in evaluation, with the addition where there is one.
    fn by_kernels(&self, x: &Tensor, count: usize, phase: Phase, base: Option<(&Tensor, bool)>) -> Result<Tensor> {
        let x = x.contiguous()?;
        let moments = match phase {
            Phase::Train => mtids_cuda::norm::moments(&x)?,
            Phase::Evaluate => mtids_cuda::norm::Moments {
                mean: self.statistics.mean().as_detached_tensor(),
                variance: self.statistics.variance().as_detached_tensor(),
                follows: false,
            },
        };
        if phase == Phase::Train {
            self.statistics.record(&moments.mean, &moments.variance, count)?;
        }
        let affine = [&self.weight, &self.bias];
        Ok(match base {
            Some((base, relu)) => mtids_cuda::norm::batch_norm_of_sum(&x, affine, &moments, base, relu)?,
            None => mtids_cuda::norm::batch_norm(&x, affine[0], affine[1], &moments, self.relu)?,
        })
    }

    /// Sums over several processes are taken on the CPU alone.
    fn refuse_device_of_ranks(&self, x: &Tensor) -> Result<()> {
        if x.device().is_cpu() || self.ranks.is_alone() {
            return Ok(());
        }
        Err(LayerError::Device {
            name: "cuda".to_owned(),
            reason: "several processes train together on the CPU only".to_owned(),
        })
    }

    fn on_cpu(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let x = x.contiguous()?;
        let moments = match phase {
            Phase::Train => moments(&x)?.over(&self.ranks)?,
            Phase::Evaluate => self.statistics.moments()?,
        };
        if phase == Phase::Train {
            self.statistics.record_moments(&moments)?;
        }
        let op = BatchNormOp { moments, follows: phase == Phase::Train, relu: self.relu, ranks: self.ranks.clone() };
        Ok(x.apply_op3(&self.weight.contiguous()?, &self.bias.contiguous()?, op)?)
    }

    /// The same function of candle's operations.
    fn composed(&self, x: &Tensor, count: usize, phase: Phase) -> Result<Tensor> {
        let (batch, channels) = (x.dim(0)?, x.dim(1)?);
        let rows = x.reshape((batch, channels, ()))?;
        let shape = (1, channels, 1);
        let y = match phase {
            Phase::Train => {
                // Cells first, then samples: enough sums side by side for a GPU. Sums of single precision at least.
                let wide = if matches!(x.dtype(), DType::BF16 | DType::F16) { DType::F32 } else { x.dtype() };
                let rows = rows.to_dtype(wide)?;
                let mean = |rows: &Tensor| rows.mean_keepdim(2)?.mean_keepdim(0);
                let of_batch = mean(&rows)?;
                let centred = rows.broadcast_sub(&of_batch)?;
                let variance = mean(&centred.sqr()?)?;
                self.statistics.record(&of_batch.flatten_all()?, &variance.flatten_all()?, count)?;
                let factor =
                    self.weight.to_dtype(wide)?.reshape(shape)?.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
                let bias = self.bias.to_dtype(wide)?.reshape(shape)?;
                centred.broadcast_mul(&factor)?.broadcast_add(&bias)?.to_dtype(x.dtype())?
            }
            Phase::Evaluate => {
                let deviation = (self.statistics.variance().as_detached_tensor() + EPSILON)?.sqrt()?;
                let factor = (&self.weight / deviation)?;
                let offset = (&self.bias - (self.statistics.mean().as_detached_tensor() * &factor)?)?;
                let [factor, offset] = [factor, offset].map(|values| values.to_dtype(x.dtype())?.reshape(shape));
                rows.broadcast_mul(&factor?)?.broadcast_add(&offset?)?
            }
        };
        let y = y.reshape(x.shape())?;
        Ok(if self.relu { y.relu()? } else { y })
    }
}

/// Whether the kernels take a map.
fn by_kernels(x: &Tensor) -> bool {
    cfg!(feature = "cuda") && x.device().is_cuda() && matches!(x.dtype(), DType::F32 | DType::F64)
}

#[cfg(test)]
mod tests;
