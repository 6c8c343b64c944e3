//! The network of a configuration for a dataset, with the device it lies on and the way to its inputs and targets.

use std::path::Path;

use mtids_layers::conv::Algorithms;
use mtids_layers::device::HAS_CUDNN;
use mtids_layers::{DType, Device, Parameters, Precision, WeightAverage};
use mtids_models::{Model, Problem};
use mtids_ranks::Ranks;
use mtids_runtime::digest::Digest;
use mtids_shards::DatasetDescription;

use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::measure_targets::MeasureTargets;
use crate::run_folder::RunFolder;
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
        Self::among(&Ranks::alone(), config, description, measures, device)
    }

    /// The same as one of several ranks.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub(crate) fn among(
        ranks: &Ranks,
        config: &ValidConfig,
        description: &DatasetDescription,
        measures: &MeasureTargets,
        device: Device,
    ) -> Result<Self, TrainError> {
        if device.is_cuda()
            && !HAS_CUDNN
            && (config.precision == Precision::Tf32 || config.gpu_algorithms != Algorithms::default())
        {
            let key = if config.precision == Precision::Tf32 { "precision" } else { "gpu_algorithms" };
            return Err(TrainError::setting(
                key,
                "needs a program built with `--features cuda`; `cuda-basic` has no cuDNN",
            ));
        }
        let transform = InputTransform::new(config, description)?;
        let precision = if device.is_cpu() { Precision::F32 } else { config.precision };
        let parameters = Parameters::new(config.seed, DType::F32, &device)
            .with_precision(precision)
            .with_algorithms(config.gpu_algorithms)
            .with_ranks(ranks);
        let problem =
            Problem { regions: description.regions.len(), measures: measures.len(), views: transform.inputs() };
        let model = Model::new(&config.model, &problem, &parameters)?;
        Ok(Self { model, parameters, device, transform })
    }
}

/// The network of a run with the weights that the run ended with.
pub(crate) struct Trained {
    pub(crate) network: Network,
    /// Step of the weights.
    pub(crate) step: u64,
    /// Whether they are those of the best epoch on the validation split.
    pub(crate) best_on_validation: bool,
    /// Digest of the weights as they are used.
    pub(crate) weights: Digest,
}

impl Trained {
    /// Loads the best weights of a run, or its last ones where it chose none; where it keeps averages, those.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`], a damaged checkpoint, or [`TrainError::Mismatch`] where the weights do not fit `described`, the dataset
    /// or folder that the description comes from.
    pub(crate) fn load(
        folder: &RunFolder,
        description: &DatasetDescription,
        described: &Path,
        device: Device,
    ) -> Result<Self, TrainError> {
        let (run, config, checkpoints) = (folder.path(), folder.config(), folder.checkpoints());
        if let Some(done) = folder.unfinished()? {
            tracing::warn!(
                "the training of {} has not ended ({done}); the same `mtids-train fit` finishes it",
                run.display()
            );
        }
        let best = checkpoints.best()?;
        let best_on_validation = best.is_some();
        let checkpoint = match best {
            Some(checkpoint) => checkpoint,
            None => checkpoints.latest()?.ok_or_else(|| TrainError::NoCheckpoint { path: run.to_owned() })?,
        };
        let network = Network::new(config, description, &folder.measures()?, device)?;
        network.parameters.load_bytes(&checkpoint.weights).map_err(|error| TrainError::Mismatch {
            path: described.to_owned(),
            reason: format!(
                "the weights of {} do not fit it ({error}); evaluate on a dataset with the same regions and patch size",
                run.display()
            ),
        })?;
        if let Some(decay) = config.average_decay {
            let mut average = WeightAverage::new(decay, &network.parameters)?;
            average.load_bytes(checkpoint.averages()?, &network.parameters)?;
            average.swap(&network.parameters)?;
        }
        let weights = Digest::of_bytes(&network.parameters.to_bytes()?);
        Ok(Self { network, step: checkpoint.state.step, best_on_validation, weights })
    }
}

/// The device to compute on: the chosen one, or the one on record, or the CPU on a machine that has no such device.
///
/// # Errors
/// A chosen device that this machine lacks.
pub(crate) fn choose_device(chosen: Option<&str>, recorded: &str) -> Result<Device, TrainError> {
    if let Some(name) = chosen {
        return Ok(mtids_layers::device(name)?);
    }
    Ok(mtids_layers::device(recorded).or_else(|error| {
        tracing::warn!("{error}; computing on the CPU, which may differ in the last digits");
        mtids_layers::device("cpu")
    })?)
}
