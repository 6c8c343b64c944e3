//! Batches become tensors, and a model's answers become predictions.
//!
//! Shapes: input `[B, C, D, H, W]` with C windows, and PET where there is one. Invariant: evaluation crops the centre and adds nothing, so a patch always gives the same
//! prediction.

use std::sync::Arc;

use crossbeam::channel::Receiver;
use mtids_layers::{Device, Tensor};
use mtids_models::Model;
use mtids_models::decoding::probabilities;
use mtids_patch::SUV_STEPS;
use mtids_shards::{Channel, Dataset, DatasetDescription, RowLabels, Split};
use mtids_stream::{Batch, BatchStream, InputChannels, crop};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::prediction::Prediction;
use crate::staging::{Staged, stage};

/// Region and status codes of a row.
pub(crate) fn codes(labels: &RowLabels, regions: usize) -> (Option<usize>, Option<usize>) {
    let region = labels.region.and_then(|code| usize::try_from(code).ok()).filter(|&code| code < regions);
    let metastasis = labels.metastasis.map(|status| usize::from(status.code() == 1));
    (region, metastasis)
}

/// How the patches of a dataset become input under a configuration.
pub(crate) fn input_channels<'a>(description: &DatasetDescription, config: &'a TrainConfig) -> InputChannels<'a> {
    let has_pet = config.pet && description.channels.get(1) == Some(&Channel::Pet);
    InputChannels {
        windows: &config.windows,
        pet_full: has_pet.then_some(config.pet_full_suv * SUV_STEPS as f32),
        stored: description.channels.len(),
    }
}

/// Input of a batch; `epoch` is given while training, for the keyed augmentation.
pub(crate) fn tensor(
    batch: &Batch,
    description: &DatasetDescription,
    config: &TrainConfig,
    epoch: Option<u64>,
    device: &Device,
) -> Result<Tensor, TrainError> {
    let stored = description.patch_size;
    let [d, h, w] = config.crop.output(stored);
    let channels = input_channels(description, config);
    let mut cropped = Vec::with_capacity(batch.labels.len() * channels.stored * d * h * w);
    for (labels, voxels) in batch.labels.iter().zip(batch.voxels.chunks_exact(description.patch_len())) {
        let keyed = epoch.map(|epoch| (config.seed, epoch, labels.sample_key.as_str()));
        crop(voxels, stored, &config.crop, keyed, &mut cropped);
    }
    let mut input = Vec::new();
    channels.fill(&cropped, d * h * w, &mut input);
    let shape = (batch.labels.len(), channels.count(), d, h, w);
    Ok(Tensor::from_vec(input, shape, device).map_err(mtids_models::ModelError::from)?)
}

/// Predictions for every row of a split, in dataset order.
pub(crate) fn predict(
    model: &Model,
    dataset: &Arc<Dataset>,
    split: Split,
    config: &TrainConfig,
    device: &Device,
) -> Result<Vec<Prediction>, TrainError> {
    let description = &dataset.manifest().description;
    let regions = description.regions.len();
    let stream = BatchStream::start(
        Arc::clone(dataset),
        split,
        &mtids_stream::StreamConfig { drop_last: false, ..config.stream.clone() },
        config.batch_size,
        config.seed,
        0,
        false,
        0,
    )?;
    let prepare = |batch: Batch| Staged::new(batch, description, config, None, device);
    stage(stream, prepare, |batches| predictions(model, regions, batches))
}

/// What the model answers to staged batches.
fn predictions(
    model: &Model,
    regions: usize,
    batches: Receiver<Result<Staged, TrainError>>,
) -> Result<Vec<Prediction>, TrainError> {
    let rows = |tensor: &Tensor| -> Result<Vec<Vec<f64>>, TrainError> {
        let rows: Vec<Vec<f32>> = tensor.to_vec2().map_err(mtids_models::ModelError::from)?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect())
    };
    let mut predictions = Vec::new();
    for batch in batches {
        let batch = batch?;
        let outputs = model.evaluate(&batch.input)?;
        let read = |read_out| probabilities(model.tasks(), &outputs, model.eta(), read_out);
        let pooled = rows(&read(mtids_models::PredictionHead::Pooled)?)?;
        // A model without joint head, or without the two others, has no such read-out.
        let joint = read(mtids_models::PredictionHead::Joint).ok().map(|tensor| rows(&tensor)).transpose()?;
        let product = read(mtids_models::PredictionHead::Product).ok().map(|tensor| rows(&tensor)).transpose()?;
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
    Ok(predictions)
}
