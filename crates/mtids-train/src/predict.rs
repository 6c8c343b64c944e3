//! A model's answers to a split become predictions.
//!
//! Invariant: evaluation crops the centre and adds nothing, and rows come in the order of the dataset. What "the same prediction" means
//! is said in the documentation of this crate.

use std::sync::Arc;

use crossbeam::channel::Receiver;
use mtids_layers::Tensor;
use mtids_models::Model;
use mtids_models::PredictionHead;
use mtids_models::decoding::probabilities;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};
use mtids_stream::{Batch, BatchStream};

use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::labels::codes;
use crate::network::Network;
use crate::prediction::Prediction;
use crate::staging::{Staged, stage};

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
        .drop_last(false)
        .batch_size(config.batch_size)
        .start()?;
    let prepare = |batch: Batch| Staged::new(batch, &network.transform, None, &network.device);
    stage(stream, prepare, |batches| predictions(&network.model, regions, batches, interrupt))
}

/// What the model answers to staged batches.
fn predictions(
    model: &Model,
    regions: usize,
    batches: Receiver<Result<Staged, TrainError>>,
    interrupt: &Interrupt,
) -> Result<Option<Vec<Prediction>>, TrainError> {
    let rows = |tensor: &Tensor| -> Result<Vec<Vec<f64>>, TrainError> {
        let rows: Vec<Vec<f32>> = tensor.to_vec2().map_err(mtids_models::ModelError::from)?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect())
    };
    let mut predictions = Vec::new();
    for batch in batches {
        if interrupt.is_raised() {
            return Ok(None);
        }
        let batch = batch?;
        let outputs = model.evaluate(&batch.input)?;
        let read = |head| probabilities(model.tasks(), &outputs, model.eta(), head);
        let pooled = rows(&read(PredictionHead::Pooled)?)?;
        // A model without joint head, or without the two others, has no such read-out.
        let joint = read(PredictionHead::Joint).ok().map(|tensor| rows(&tensor)).transpose()?;
        let product = read(PredictionHead::Product).ok().map(|tensor| rows(&tensor)).transpose()?;
        let branches: Vec<Vec<Vec<f64>>> =
            outputs.gates.iter().map(|gate| rows(&gate.branch)).collect::<Result<_, _>>()?;
        for (n, (labels, pooled)) in batch.labels.iter().zip(pooled).enumerate() {
            let (region, metastasis) = codes(labels, regions);
            predictions.push(Prediction {
                sample_key: labels.sample_key.clone(),
                patient_key: labels.patient_key.as_str().to_owned(),
                region,
                metastasis,
                joint: joint.as_ref().and_then(|rows| rows.get(n).cloned()),
                product: product.as_ref().and_then(|rows| rows.get(n).cloned()),
                pooled,
                shared_share: branches.iter().filter_map(|task| task.get(n)?.first().copied()).collect(),
            });
        }
    }
    Ok(Some(predictions))
}
