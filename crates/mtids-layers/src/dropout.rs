//! Dropout whose masks are a function of seed, step and layer.
//!
//! Purpose: candle draws its masks from a generator that cannot be seeded on the CPU, so a run could not be repeated or resumed.
//! Entries are zeroed with probability p and the others divided by 1 − p (Srivastava et al., JMLR 2014). Invariant: the mask
//! depends on (seed, step, name of the layer, place in the batch of all ranks) only, on every device.

use candle_core::Tensor;
use mtids_ranks::Ranks;
use mtids_runtime::random::rng_for;
use rand_distr::{Bernoulli, Distribution};

use crate::error::{Result, config_error};

/// A dropout layer.
#[derive(Clone, Debug)]
pub struct Dropout {
    name: String,
    probability: f64,
    ranks: Ranks,
}

impl Dropout {
    /// Zeroes entries with `probability`; `name` tells layers of one model apart, and `ranks` which rows are here.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] for a probability outside `[0, 1)`.
    pub fn new(name: &str, probability: f64, ranks: &Ranks) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            return Err(config_error("dropout", "must lie in [0, 1)"));
        }
        Ok(Self { name: name.to_owned(), probability, ranks: ranks.clone() })
    }

    /// Applies the layer to `[B, ..]` in training step `(seed, step)`; without one, in evaluation, it is the identity.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub fn forward(&self, x: &Tensor, at: Option<(u64, u64)>) -> Result<Tensor> {
        let rows = x.dim(0)?;
        match self.mask(rows, x.elem_count() / rows.max(1), at)? {
            Some(mask) => Ok((x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?),
            None => Ok(x.clone()),
        }
    }

    /// The factor of each entry of `[rows, width]`, where there are others than 1.
    ///
    /// # Errors
    /// None that a layer which could be made gives.
    pub fn mask(&self, rows: usize, width: usize, at: Option<(u64, u64)>) -> Result<Option<Vec<f32>>> {
        let (Some((seed, step)), true) = (at, self.probability > 0.0) else { return Ok(None) };
        let kept =
            Bernoulli::new(1.0 - self.probability).map_err(|error| config_error("dropout", error.to_string()))?;
        let mut stream = rng_for(seed, &format!("dropout {}", self.name), &[step]);
        // What belongs to the rows of the ranks before is drawn and passed over.
        (0..self.ranks.first_row() * width).for_each(|_| _ = kept.sample(&mut stream));
        let scale = 1.0 / (1.0 - self.probability);
        let draw = |_| if kept.sample(&mut stream) { scale as f32 } else { 0.0 };
        Ok(Some((0..rows * width).map(draw).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn after(layer: &Dropout, at: Option<(u64, u64)>) -> Vec<f32> {
        let ones = Tensor::ones((50, 40), DType::F32, &Device::Cpu).unwrap();
        layer.forward(&ones, at).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn masks_belong_to_seed_step_and_layer() {
        let layer = Dropout::new("a", 0.25, &Ranks::alone()).unwrap();
        let mask = after(&layer, Some((1, 2)));
        assert_eq!(mask, after(&layer, Some((1, 2))));
        for other in [after(&layer, Some((2, 2))), after(&layer, Some((1, 3)))] {
            assert_ne!(mask, other);
        }
        assert_ne!(mask, after(&Dropout::new("b", 0.25, &Ranks::alone()).unwrap(), Some((1, 2))));
        assert!(mask.iter().all(|value| [0.0, 1.0 / 0.75].contains(value)));
        let mean = mask.iter().sum::<f32>() / 2000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert_eq!(after(&layer, None), vec![1.0; 2000]);
        assert!(Dropout::new("a", 1.0, &Ranks::alone()).is_err());
    }

    #[test]
    fn the_gradient_passes_where_the_value_did() {
        let x = Var::ones((3, 100), DType::F64, &Device::Cpu).unwrap();
        let y = Dropout::new("a", 0.5, &Ranks::alone()).unwrap().forward(&x, Some((7, 0))).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(gradient, y.to_vec2::<f64>().unwrap());
        assert!(gradient.concat().contains(&0.0));
    }
}
