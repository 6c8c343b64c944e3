//! The network of a configuration for a dataset, with the device it lies on and the way to its inputs and targets.

use mtids_layers::{DType, Device, Parameters, Precision};
use mtids_models::{Model, Problem};
use mtids_shards::DatasetDescription;

use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::measure_targets::MeasureTargets;
use crate::transform::input::InputTransform;

/// A model with everything that belongs to it.
pub(crate) struct Network {
    pub(crate) model: Model,
    pub(crate) parameters: Parameters,
    pub(crate) device: Device,
    pub(crate) transform: InputTransform,
}

impl Network {
    /// Builds the network with its initial weights on `device`. A CPU computes in single precision whatever the configuration says, since
    /// it has no other.
    ///
    /// # Errors
    /// A setting that does not fit the dataset.
    pub(crate) fn new(
        config: &ValidConfig,
        description: &DatasetDescription,
        measures: &MeasureTargets,
        device: Device,
    ) -> Result<Self, TrainError> {
        let transform = InputTransform::new(config, description)?;
        let precision = if device.is_cpu() { Precision::F32 } else { config.precision };
        let parameters = Parameters::new(config.seed, DType::F32, &device).with_precision(precision);
        let problem =
            Problem { regions: description.regions.len(), measures: measures.len(), views: transform.inputs() };
        let model = Model::new(&config.model, &problem, &parameters)?;
        Ok(Self { model, parameters, device, transform })
    }
}
