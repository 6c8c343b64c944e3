//! A model's answers to a split become predictions.
//!
//! Invariant: evaluation crops the centre and adds nothing; where views take symmetries, probabilities are means over some of them. Rows come
//! in the order of the dataset. A label of a dimension that no task of the model tells is left out: there is no answer that it could judge. What
//! "the same prediction" means is said in the documentation of this crate.

use std::sync::Arc;

use mtids_layers::Tensor;
use mtids_models::decoding::probabilities;
use mtids_models::{Model, PredictionHead};
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};
use mtids_stream::{Batch, BatchStream};

use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::labels::codes;
use crate::measured::Dimension;
use crate::network::Network;
use crate::prediction::{Prediction, Scan, Untold};
use crate::staging::{EvaluationBatch, stage};

/// Predictions for every row of a split, in dataset order; `None` when `interrupt` was raised before the last batch.
pub(crate) fn predict(
    network: &Network,
    dataset: &Arc<Dataset>,
    split: Split,
    config: &ValidConfig,
    interrupt: &Interrupt,
) -> Result<Option<Vec<Prediction>>, TrainError> {
    let regions = dataset.manifest().description.regions.len();
    let stream = BatchStream::builder(Arc::clone(dataset), split)
        .config(&config.stream)
        .every_row()
        .at_least_needed()
        .batch_size(config.batch_size)
        .start()?;
    let prepare = |batch: Batch| EvaluationBatch::new(batch, &network.transform, &network.device);
    let advice = "compute on the CPU with --device cpu (fit: --set device=cpu)";
    stage(stream, prepare, |batches| predictions(&network.model, regions, batches, interrupt))
        .map_err(|error| error.without_room_to_read(&network.device, config.batch_size, advice))
}

/// Probabilities of a batch, one row per sample, as means over the symmetries.
struct Answers {
    pooled: Vec<Vec<f64>>,
    /// `None` for a model without joint head.
    joint: Option<Vec<Vec<f64>>>,
    /// `None` for a model without the two other heads.
    product: Option<Vec<Vec<f64>>>,
    /// Per task with a gate.
    branches: Vec<Vec<Vec<f64>>>,
}

fn rows_of(tensor: &Tensor) -> Result<Vec<Vec<f64>>, TrainError> {
    let rows: Vec<Vec<f32>> = tensor.to_vec2().map_err(mtids_models::ModelError::from)?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect())
}

/// Means over equally long tables, added in their order.
fn mean(tables: Vec<Vec<Vec<f64>>>) -> Vec<Vec<f64>> {
    let count = tables.len() as f64;
    let mut tables = tables.into_iter();
    let Some(mut sum) = tables.next() else { return Vec::new() };
    for table in tables {
        for (row, other) in sum.iter_mut().zip(table) {
            row.iter_mut().zip(other).for_each(|(value, other)| *value += other);
        }
    }
    sum.iter_mut().flatten().for_each(|value| *value /= count);
    sum
}

impl Answers {
    fn of(model: &Model, symmetries: &[Vec<Tensor>]) -> Result<Self, TrainError> {
        let (mut pooled, mut joint, mut product) = (Vec::new(), Vec::new(), Vec::new());
        let mut branches: Vec<Vec<Vec<Vec<f64>>>> = Vec::new();
        for inputs in symmetries {
            let outputs = model.evaluate(inputs)?;
            let read = |head| probabilities(model.tasks(), &outputs, model.eta(), head);
            pooled.push(rows_of(&read(PredictionHead::Pooled)?)?);
            // A model without joint head, or without the two others, has no such read-out.
            joint.extend(read(PredictionHead::Joint).ok().map(|tensor| rows_of(&tensor)).transpose()?);
            product.extend(read(PredictionHead::Product).ok().map(|tensor| rows_of(&tensor)).transpose()?);
            branches.resize_with(outputs.gates.len(), Vec::new);
            for (all, gate) in branches.iter_mut().zip(&outputs.gates) {
                all.push(rows_of(&gate.branch)?);
            }
        }
        let mean_of_some = |tables: Vec<Vec<Vec<f64>>>| (!tables.is_empty()).then(|| mean(tables));
        Ok(Self {
            pooled: mean(pooled),
            joint: mean_of_some(joint),
            product: mean_of_some(product),
            branches: branches.into_iter().map(mean).collect(),
        })
    }
}

/// What the model answers to batches; `None` when `interrupt` was raised before the last.
///
/// # Errors
/// Those of the batches and of the network.
pub(crate) fn predictions(
    model: &Model,
    regions: usize,
    batches: impl IntoIterator<Item = Result<EvaluationBatch, TrainError>>,
    interrupt: &Interrupt,
) -> Result<Option<Vec<Prediction>>, TrainError> {
    let mut predictions = Vec::new();
    let untold = Dimension::untold(model.tasks());
    let is_told = |dimension: Dimension| !untold.contains(&dimension);
    for batch in batches {
        if interrupt.is_raised() {
            return Ok(None);
        }
        let batch = batch?;
        let Answers { pooled, joint, product, branches } = Answers::of(model, &batch.symmetries)?;
        for (n, (labels, pooled)) in batch.labels.into_iter().zip(pooled).enumerate() {
            let (region, metastasis) = codes(&labels, regions);
            predictions.push(Prediction {
                region: region.filter(|_| is_told(Dimension::Region)),
                metastasis: metastasis.filter(|_| is_told(Dimension::Metastasis)),
                joint: joint.as_ref().and_then(|rows| rows.get(n).cloned()),
                product: product.as_ref().and_then(|rows| rows.get(n).cloned()),
                pooled,
                untold: Untold { region: !is_told(Dimension::Region), metastasis: !is_told(Dimension::Metastasis) },
                branches: branches.iter().filter_map(|task| task.get(n).cloned()).collect(),
                short_axis_mm: labels.short_axis_mm.map(f64::from),
                grown: labels.grown,
                scan: Scan {
                    manufacturer: labels.manufacturer,
                    model: labels.model,
                    kernel: labels.kernel,
                    slice_thickness_mm: labels.slice_thickness_mm.map(f64::from),
                },
                patient_key: labels.patient_key.as_str().to_owned(),
                sample_key: labels.sample_key,
            });
        }
    }
    Ok(Some(predictions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_one_table_is_itself_to_the_bit() {
        let table = vec![vec![0.1, 0.9], vec![1.0 / 3.0, 2.0 / 3.0]];
        assert_eq!(mean(vec![table.clone()]), table);
        assert_eq!(mean(vec![vec![vec![0.0, 1.0]], vec![vec![0.5, 0.5]]]), [[0.25, 0.75]]);
        assert!(mean(Vec::new()).is_empty());
    }
}
