//! Named, seeded parameters, and the running statistics of batch norms beside them.
//!
//! Purpose: one sorted map from name to trainable variable, shared by the model (which creates), the optimiser (which
//! writes) and checkpoints. Running statistics are saved and loaded with them, and never trained: optimisers see [`Parameters::variables`]
//! only. Invariants: the initial value is a pure function of (seed, name, shape, [`Init`]), whatever the
//! order of creation; iteration is sorted by name; a saved file holds exactly these names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use mtids_cuda::conv::Algorithms;
use mtids_cuda::update::{Held, Rule};
use mtids_ranks::Ranks;
use rand_distr::{Distribution, StandardNormal};
use safetensors::SafeTensors;

use crate::device::at_once;
use crate::error::{LayerError, Result};
use crate::precision::Precision;
use crate::stacked::Stacks;
use crate::statistics::RunningStatistics;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All entries equal.
    Constant(f64),
    /// Independent normal values with mean 0 and this standard deviation.
    Normal(f64),
}

/// The parameters of one model; clones share the same variables.
#[derive(Clone, Debug)]
pub struct Parameters {
    variables: Arc<Mutex<BTreeMap<String, Var>>>,
    /// By the name of the norm.
    statistics: Arc<Mutex<BTreeMap<String, RunningStatistics>>>,
    seed: u64,
    dtype: DType,
    device: Device,
    frozen: bool,
    precision: Precision,
    algorithms: Algorithms,
    ranks: Ranks,
    stacks: Stacks,
    at_once: bool,
}

impl Parameters {
    /// An empty set. `dtype` is `F32`, or `F64` for numerical checks.
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Self {
        Self {
            variables: Arc::default(),
            statistics: Arc::default(),
            seed,
            dtype,
            device: device.clone(),
            frozen: false,
            precision: Precision::F32,
            algorithms: Algorithms::Reproducible,
            ranks: Ranks::alone(),
            stacks: Stacks::default(),
            at_once: cfg!(feature = "cuda") && device.is_cuda() && matches!(dtype, DType::F32 | DType::F64),
        }
    }

    /// The same variables, handed out without gradient tracking: layers built from this retain no graph. They see every
    /// later update and every committed running statistic, because the storage is shared; they record none. A rank reads them by itself: where only the
    /// first one looks at the validation patients, nobody answers a sum over ranks.
    pub fn frozen(&self) -> Self {
        Self { frozen: true, ranks: Ranks::alone(), ..self.clone() }
    }

    /// The same variables for layers whose convolutions and matrix products have this precision; the entries keep their type.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }

    /// Precision of convolutions and matrix products in layers built from this.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same variables for layers whose convolutions on a GPU may take these algorithms.
    #[must_use]
    pub fn with_algorithms(&self, algorithms: Algorithms) -> Self {
        Self { algorithms, ..self.clone() }
    }

    /// Which algorithms convolutions on a GPU may take in layers built from this.
    pub fn algorithms(&self) -> Algorithms {
        self.algorithms
    }

    /// The same variables for layers of one of several processes that train together: what they draw and take means of belongs to the batch of
    /// all of them.
    #[must_use]
    pub fn with_ranks(&self, ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..self.clone() }
    }

    /// The processes that train together.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// The same variables for layers of one shape that are computed by one product, or one by one. By one product is the default on a card alone, since
    /// sums are added in another order then.
    #[must_use]
    pub fn with_layers_at_once(&self, at_once: bool) -> Self {
        Self { at_once, ..self.clone() }
    }

    /// Whether layers of one shape are computed by one product.
    pub fn layers_at_once(&self) -> bool {
        self.at_once
    }

    /// The copies that such layers make of their weights, which hold their gradients.
    pub fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// Type of the entries.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the entries live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // The map is only ever extended by one finished entry, so a panic elsewhere leaves it valid.
        self.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parameter `name`, created on first use.
    ///
    /// # Errors
    /// [`LayerError::Parameter`] when it exists with another shape.
    pub fn get_or_init(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let mut variables = self.lock();
        let variable = match variables.get(name) {
            Some(variable) if variable.dims() == shape => variable.clone(),
            Some(variable) => {
                return Err(LayerError::Parameter {
                    name: name.to_owned(),
                    reason: format!("exists with shape {:?}, asked for as {shape:?}", variable.dims()),
                });
            }
            None => {
                let variable = Var::from_tensor(&self.initial(name, shape, init)?)?;
                variables.insert(name.to_owned(), variable.clone());
                variable
            }
        };
        Ok(if self.frozen { variable.as_detached_tensor() } else { variable.as_tensor().clone() })
    }

    fn initial(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let count = shape.iter().product();
        let values: Vec<f64> = match init {
            Init::Constant(value) => vec![value; count],
            Init::Normal(deviation) => {
                let mut stream = mtids_runtime::random::rng_for(self.seed, &format!("parameter {name}"), &[]);
                (0..count)
                    .map(|_| {
                        let unit: f64 = StandardNormal.sample(&mut stream);
                        unit * deviation
                    })
                    .collect()
            }
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    fn lock_statistics(&self) -> MutexGuard<'_, BTreeMap<String, RunningStatistics>> {
        // As for the variables.
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running statistics of the norm `name`, created on first use: mean 0, variance 1.
    ///
    /// # Errors
    /// [`LayerError::Parameter`] when they exist with another number of channels.
    pub fn running_statistics(&self, name: &str, channels: usize) -> Result<RunningStatistics> {
        let mut all = self.lock_statistics();
        let found = match all.get(name) {
            Some(found) if found.channels() == channels => found.clone(),
            Some(found) => {
                let reason = format!("exists with {} channels, asked for with {channels}", found.channels());
                return Err(LayerError::Parameter { name: format!("{name}.running_mean"), reason });
            }
            None => {
                let created = RunningStatistics::new(channels, self.dtype, &self.device)?;
                all.insert(name.to_owned(), created.clone());
                created
            }
        };
        Ok(if self.frozen { found.without_recording() } else { found })
    }

    /// Folds the batch statistics that forward passes recorded into the running ones: once a training step, after the optimiser.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn commit_statistics(&self) -> Result<()> {
        self.stacks.clear();
        let all = self.lock_statistics();
        if all.values().all(|statistics| at_once(statistics.mean())) {
            let pending: Vec<Held> = all.values().flat_map(RunningStatistics::pending).collect();
            return Ok(mtids_cuda::update::update(Rule::Fold, &pending)?);
        }
        all.values().try_for_each(RunningStatistics::commit)
    }

    /// Drops what forward passes recorded since the last commit: behind passes that belong to no step.
    pub fn discard_statistics(&self) {
        self.stacks.clear();
        self.lock_statistics().values().for_each(RunningStatistics::discard);
    }

    /// All running statistics, sorted by name: `<norm>.running_mean` and `<norm>.running_variance` of each batch norm.
    pub fn statistics(&self) -> Vec<(String, Var)> {
        let all = self.lock_statistics();
        let mut list = Vec::with_capacity(2 * all.len());
        for (norm, statistics) in all.iter() {
            list.push((format!("{norm}.running_mean"), statistics.mean().clone()));
            list.push((format!("{norm}.running_variance"), statistics.variance().clone()));
        }
        list.sort_by(|(a, _), (b, _)| a.cmp(b));
        list
    }

    /// Everything that is saved: the variables, then the running statistics.
    pub fn state(&self) -> Vec<(String, Var)> {
        let mut state = self.variables();
        state.extend(self.statistics());
        state
    }

    /// All variables, sorted by name.
    pub fn variables(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, variable)| (name.clone(), variable.clone())).collect()
    }

    /// Number of scalar entries of all parameters, running statistics not among them.
    pub fn count(&self) -> usize {
        self.lock().values().map(|variable| variable.elem_count()).sum()
    }

    /// All values and running statistics as the bytes of a safetensors file; equal values give equal bytes.
    ///
    /// # Errors
    /// [`LayerError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let tensors: Vec<(String, Tensor)> =
            self.state().into_iter().map(|(name, variable)| (name, variable.as_detached_tensor())).collect();
        serialize(&tensors)
    }

    /// Sets every parameter and running statistic from the bytes of [`Parameters::to_bytes`], and drops recorded batch statistics. The
    /// model must have been built before.
    ///
    /// # Errors
    /// [`LayerError::State`] for bytes that are no safetensors file; [`LayerError::Parameter`] for a missing or surplus name or a
    /// different shape, in which case nothing is changed.
    pub fn load_bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut saved = deserialize(bytes, &self.device)?;
        let mut pairs = Vec::new();
        for (name, variable) in self.state() {
            let tensor = saved.remove(&name).ok_or_else(|| LayerError::Parameter {
                name: name.clone(),
                reason: "is not in the saved file".into(),
            })?;
            if tensor.dims() != variable.dims() || tensor.dtype() != variable.dtype() {
                let reason = format!(
                    "saved as {:?} {:?}, the model has {:?} {:?}",
                    tensor.dtype(),
                    tensor.dims(),
                    variable.dtype(),
                    variable.dims()
                );
                return Err(LayerError::Parameter { name, reason });
            }
            pairs.push((variable, tensor));
        }
        if let Some(name) = saved.into_keys().min() {
            return Err(LayerError::Parameter { name, reason: "is in the saved file but not in this model".into() });
        }
        for (variable, tensor) in pairs {
            variable.set(&tensor)?;
        }
        self.discard_statistics();
        Ok(())
    }

    /// Sets what has a tensor of the same name, shape and type in the bytes of [`Parameters::to_bytes`], perhaps of another model. The rest stays as
    /// it is; recorded batch statistics are dropped.
    ///
    /// # Errors
    /// [`LayerError::State`] for bytes that are no safetensors file.
    pub fn load_matching(&self, bytes: &[u8]) -> Result<Matching> {
        let saved = deserialize(bytes, &self.device)?;
        let mut matching = Matching::default();
        for (name, variable) in self.state() {
            match saved.get(&name) {
                Some(tensor) if tensor.dims() == variable.dims() && tensor.dtype() == variable.dtype() => {
                    variable.set(tensor)?;
                    matching.loaded += 1;
                }
                _ => matching.initial.push(name),
            }
        }
        self.discard_statistics();
        Ok(matching)
    }

    /// Writes [`Parameters::to_bytes`] to a file, whole or not at all.
    ///
    /// # Errors
    /// [`LayerError::File`] and the errors of `to_bytes`.
    pub fn save(&self, path: &Path) -> Result<()> {
        mtids_runtime::atomic::write(path, &self.to_bytes()?)
            .map_err(|source| LayerError::File { path: path.display().to_string(), source })
    }

    /// Reads a file written by [`Parameters::save`].
    ///
    /// # Errors
    /// [`LayerError::File`] and the errors of [`Parameters::load_bytes`].
    pub fn load(&self, path: &Path) -> Result<()> {
        let bytes =
            std::fs::read(path).map_err(|source| LayerError::File { path: path.display().to_string(), source })?;
        self.load_bytes(&bytes)
    }
}

/// What [`Parameters::load_matching`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Tensors that were set.
    pub loaded: usize,
    /// Names of those that stayed as they were.
    pub initial: Vec<String>,
}

/// Tensors as safetensors bytes; the format sorts by type and name, so equal content gives equal bytes.
pub(crate) fn serialize(tensors: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let views: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    safetensors::serialize(views, None).map_err(|error| LayerError::State(error.to_string()))
}

/// The tensors of safetensors bytes.
pub(crate) fn deserialize(bytes: &[u8], device: &Device) -> Result<HashMap<String, Tensor>> {
    // Parsed once by the format's own crate, whose errors name what is wrong with the header.
    SafeTensors::deserialize(bytes).map_err(|error| LayerError::State(error.to_string()))?;
    Ok(candle_core::safetensors::load_buffer(bytes, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(seed: u64, names: &[&str]) -> Parameters {
        let parameters = Parameters::new(seed, DType::F32, &Device::Cpu);
        for name in names {
            parameters.get_or_init(name, &[2, 3], Init::Normal(1.0)).unwrap();
        }
        parameters
    }

    #[test]
    fn values_depend_on_seed_and_name_but_not_on_order() {
        assert_eq!(filled(1, &["a", "b"]).to_bytes().unwrap(), filled(1, &["b", "a"]).to_bytes().unwrap());
        assert_ne!(filled(1, &["a", "b"]).to_bytes().unwrap(), filled(2, &["a", "b"]).to_bytes().unwrap());
    }

    #[test]
    fn a_saved_file_restores_every_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let (one, two) = (filled(1, &["a", "b"]), filled(2, &["a", "b"]));
        one.save(&path).unwrap();
        two.load(&path).unwrap();
        assert_eq!(one.to_bytes().unwrap(), two.to_bytes().unwrap());
    }

    #[test]
    fn other_models_and_damaged_files_are_refused() {
        let one = filled(1, &["a", "b"]);
        let before = one.to_bytes().unwrap();
        let missing = one.load_bytes(&filled(2, &["a"]).to_bytes().unwrap()).unwrap_err().to_string();
        assert!(missing.contains("`b`"), "{missing}");
        let surplus = one.load_bytes(&filled(2, &["a", "b", "c"]).to_bytes().unwrap()).unwrap_err().to_string();
        assert!(surplus.contains("`c`"), "{surplus}");
        assert!(matches!(one.load_bytes(&before[..before.len() / 2]), Err(LayerError::State(_))));
        assert_eq!(one.to_bytes().unwrap(), before);
        assert!(one.get_or_init("a", &[3, 2], Init::Constant(0.0)).is_err());
    }

    #[test]
    fn of_another_model_only_what_fits_is_taken() {
        let (from, into) = (filled(1, &["a", "b"]), filled(2, &["b", "c"]));
        into.get_or_init("a", &[3], Init::Normal(1.0)).unwrap();
        let untouched = into.get_or_init("c", &[2, 3], Init::Normal(1.0)).unwrap().to_vec2::<f32>().unwrap();
        let matching = into.load_matching(&from.to_bytes().unwrap()).unwrap();
        assert_eq!(matching, Matching { loaded: 1, initial: vec!["a".into(), "c".into()] });
        let values = |of: &Parameters, name| of.get_or_init(name, &[2, 3], Init::Normal(1.0)).unwrap().to_vec2::<f32>();
        assert_eq!(values(&into, "b").unwrap(), values(&from, "b").unwrap());
        assert_eq!(values(&into, "c").unwrap(), untouched);
        assert!(into.load_matching(b"no tensors").is_err());
    }

    #[test]
    fn frozen_parameters_follow_updates_and_track_nothing() {
        let parameters = filled(1, &["a"]);
        let frozen = parameters.frozen().get_or_init("a", &[2, 3], Init::Constant(0.0)).unwrap();
        assert!(!frozen.track_op());
        let (_, variable) = parameters.variables().remove(0);
        variable.set(&variable.ones_like().unwrap()).unwrap();
        assert_eq!(frozen.to_vec2::<f32>().unwrap(), vec![vec![1.0; 3]; 2]);
    }
}
