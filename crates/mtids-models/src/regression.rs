//! Loss of the task `measures`: regression of numbers of which some are unknown.
//!
//! Half the smooth L1 loss with β = 1, ½ · (½ d² for |d| < 1, else |d| − ½) with d = prediction − target (P: Girshick, ICCV 2015,
//! arXiv 1504.08083; the half is O), as the mean over the known entries of a batch of all ranks, each weighted by its sample. Targets are standardised, so
//! that every measure counts alike. Invariant: an unknown entry has exactly no gradient.

use candle_core::{Device, Tensor};

use mtids_ranks::Ranks;

use crate::error::{ModelError, Result};
use crate::tasks::TargetBatch;

/// The loss of predictions `[B, M]`, a scalar; `None` where no entry is known.
///
/// # Errors
/// [`ModelError::Targets`] for a sample with another number of measures, or one that is not finite.
pub(crate) fn loss(predictions: &Tensor, targets: &TargetBatch, ranks: &Ranks) -> Result<Option<Tensor>> {
    let (batch, measures) = predictions.dims2()?;
    if targets.measures.is_empty() {
        return Ok(None);
    }
    if targets.measures.len() != batch {
        return Err(ModelError::Targets(format!(
            "measures of {} samples for a batch of {batch}",
            targets.measures.len()
        )));
    }
    let (mut values, mut weights) = (vec![0f64; batch * measures], vec![0f64; batch * measures]);
    for (row, sample) in targets.measures.iter().enumerate() {
        if sample.len() != measures {
            return Err(ModelError::Targets(format!(
                "a sample has {} measures, the task predicts {measures}",
                sample.len()
            )));
        }
        let weight = targets.weights.get(row).map_or(1.0, |weight| f64::from(*weight));
        for (place, value) in sample.iter().enumerate() {
            let Some(value) = *value else { continue };
            if !value.is_finite() {
                return Err(ModelError::Targets(format!(
                    "measure {place} of a sample is {value}; leave unknown ones out"
                )));
            }
            values[row * measures + place] = f64::from(value);
            weights[row * measures + place] = weight;
        }
    }
    let total = ranks.sum_of(weights.iter().sum())?;
    if total <= 0.0 {
        return Ok(None);
    }
    weights.iter_mut().for_each(|weight| *weight *= 0.5 / total);
    let constant = |values: Vec<f64>| -> Result<Tensor> {
        let tensor = Tensor::from_vec(values, (batch, measures), &Device::Cpu)?;
        Ok(tensor.to_dtype(predictions.dtype())?.to_device(predictions.device())?)
    };
    let distance = (predictions - constant(values)?)?;
    // With c = clip(d, −1, 1) the loss is c d − ½ c², and its slope in d is c: c is a constant for the gradient.
    let slope = distance.detach().clamp(-1.0, 1.0)?;
    let loss = ((&slope * distance)? - (slope.sqr()? * 0.5)?)?;
    Ok(Some((loss * constant(weights)?)?.sum_all()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    fn targets(measures: Vec<Vec<Option<f32>>>, weights: Vec<f32>) -> TargetBatch {
        TargetBatch { measures, weights, ..TargetBatch::default() }
    }

    fn value(predictions: &Tensor, targets: &TargetBatch) -> f64 {
        loss(predictions, targets, &Ranks::alone()).unwrap().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn known_entries_count_by_the_weight_of_their_sample() {
        let predictions = Tensor::new(&[[0.5, 3.0], [-2.0, 9.0]], &Device::Cpu).unwrap();
        let known = vec![vec![Some(0.0), Some(1.0)], vec![Some(0.0), None]];
        // ½ · 0.25, 2 − ½ and 2 − ½.
        let plain = 0.5 * (0.125 + 1.5 + 1.5) / 3.0;
        assert!((value(&predictions, &targets(known.clone(), vec![])) - plain).abs() < 1e-12);
        let weighted = 0.5 * (0.125 + 1.5 + 3.0 * 1.5) / 5.0;
        assert!((value(&predictions, &targets(known, vec![1.0, 3.0])) - weighted).abs() < 1e-12);
        let nothing = targets(vec![vec![None; 2]; 2], vec![]);
        assert!(loss(&predictions, &nothing, &Ranks::alone()).unwrap().is_none());
        assert!(loss(&predictions, &TargetBatch::default(), &Ranks::alone()).unwrap().is_none());
    }

    #[test]
    fn the_gradient_is_that_of_differences_and_zero_where_nothing_is_known() {
        let start = [0.5, 3.0, -2.0, 9.0];
        let known = targets(vec![vec![Some(0.1), Some(1.0)], vec![Some(0.0), None]], vec![0.5, 2.0]);
        let tensor = |values: [f64; 4]| Tensor::from_vec(values.to_vec(), (2, 2), &Device::Cpu).unwrap();
        let predictions = Var::from_tensor(&tensor(start)).unwrap();
        let store = loss(&predictions, &known, &Ranks::alone()).unwrap().unwrap().backward().unwrap();
        let slopes: Vec<f64> = store.get(&predictions).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(slopes[3], 0.0);
        for at in 0..4 {
            let moved = |by: f64| {
                let mut values = start;
                values[at] += by;
                value(&tensor(values), &known)
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((numeric - slopes[at]).abs() < 1e-8, "{at}: {} {numeric}", slopes[at]);
        }
    }

    #[test]
    fn targets_that_do_not_fit_are_refused() {
        let predictions = Tensor::zeros((2, 2), candle_core::DType::F64, &Device::Cpu).unwrap();
        for measures in [vec![vec![Some(1.0); 2]], vec![vec![Some(1.0)]; 2], vec![vec![Some(f32::NAN), None]; 2]] {
            assert!(matches!(
                loss(&predictions, &targets(measures, vec![]), &Ranks::alone()),
                Err(ModelError::Targets(_))
            ));
        }
    }
}
