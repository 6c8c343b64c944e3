//! The transform of one dataset under one configuration: a batch of stored patches becomes a tensor.

use mtids_layers::{Device, Tensor};
use mtids_models::ModelError;
use mtids_patch::SUV_STEPS;
use mtids_shards::{Channel, DatasetDescription, Views};
use mtids_stream::Batch;

use super::crop::Crop;
use super::window::InputChannels;
use crate::config::ValidConfig;
use crate::error::TrainError;

/// How the patches of one dataset become input under one configuration.
#[derive(Clone, Debug)]
pub(crate) struct InputTransform {
    crop: Crop,
    channels: InputChannels,
    seed: u64,
    patch_len: usize,
}

impl InputTransform {
    /// The transform of a configuration for a dataset.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a crop that the patches do not hold.
    pub(crate) fn new(config: &ValidConfig, description: &DatasetDescription) -> Result<Self, TrainError> {
        let crop = Crop::new(&config.crop, description.patch_size)?;
        if description.patch_views == Views::Orthogonal && crop.size()[0] != 3 {
            let reason =
                "the first side must be 3: this dataset has three orthogonal views, and none can be cropped away"
                    .into();
            return Err(TrainError::Setting { key: "crop.size", reason });
        }
        let has_pet = config.pet && description.channels.get(1) == Some(&Channel::Pet);
        let channels = InputChannels {
            windows: config.windows.clone(),
            pet_full: has_pet.then_some(config.pet_full_suv * SUV_STEPS as f32),
            stored: description.channels.len(),
        };
        Ok(Self { crop, channels, seed: config.seed, patch_len: description.patch_len() })
    }

    /// Shape of the input of one patch: channels, slices, rows, columns.
    pub(crate) fn shape(&self) -> [usize; 4] {
        let [d, h, w] = self.crop.size();
        [self.channels.count(), d, h, w]
    }

    /// Input of a batch `[B, C, d, h, w]`; `epoch` is given while training, for the keyed augmentation.
    pub(crate) fn tensor(&self, batch: &Batch, epoch: Option<u64>, device: &Device) -> Result<Tensor, TrainError> {
        let [count, d, h, w] = self.shape();
        let mut cropped = Vec::with_capacity(batch.labels.len() * self.channels.stored * d * h * w);
        for (labels, voxels) in batch.labels.iter().zip(batch.voxels.chunks_exact(self.patch_len)) {
            let key = epoch.map(|epoch| (self.seed, epoch, labels.sample_key.as_str()));
            self.crop.append(voxels, key, &mut cropped);
        }
        let mut input = Vec::new();
        self.channels.fill(&cropped, d * h * w, &mut input);
        let shape = (batch.labels.len(), count, d, h, w);
        Ok(Tensor::from_vec(input, shape, device).map_err(ModelError::from)?)
    }
}
