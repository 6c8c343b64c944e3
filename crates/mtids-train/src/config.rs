//! Settings of a training.
//!
//! Units: HU for windows, voxels (d, h, w) for crops. Every default is the documented one of its part.

use std::collections::BTreeMap;
use std::ops::Deref;

use mtids_balance::BalancerConfig;
use mtids_layers::conv::Algorithms;
use mtids_layers::schedule::ScheduleKind;
use mtids_layers::{OptimizerConfig, Precision, ScheduleConfig};
use mtids_models::{LossConfig, ModelConfig, Scope};
use mtids_patch::ViewName;
use mtids_shards::CrossValidation;
use mtids_stream::StreamConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::TrainError;
use crate::measure_targets::MeasuresConfig;
use crate::transform::{CropConfig, InputConfig, Symmetry, Window};

/// Settings of `mtids-train fit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of initial weights, order and augmentation.
    pub seed: u64,
    /// `cpu`, or `cuda:0` in a build with the feature `cuda`.
    pub device: String,
    /// Precision of convolutions and matrix products: `f32` (the default); on a GPU of compute capability 8.0 or later also `tf32` (convolutions
    /// only) or `bf16`. Weights, norms, gates, losses and the optimiser's state stay in single precision.
    pub precision: Precision,
    /// Algorithms of convolutions on a GPU: `reproducible` (the default), or `quickest-not-reproducible`, which tries all of them once for each
    /// shape. No effect on a CPU. Written out only where it is not the default.
    #[serde(skip_serializing_if = "reproducible")]
    pub gpu_algorithms: Algorithms,
    /// Passes over the training split. Default 30; two views of a node want 60 where time allows.
    pub epochs: u64,
    /// Stop after this many steps; the schedule spans them.
    pub max_steps: Option<u64>,
    /// Rows in a step. Default 32; 64 suits batch norm better.
    pub batch_size: usize,
    /// Batches whose balanced gradients are averaged into one step, for batches that memory does not hold at once. The balancer and batch norm see
    /// each batch by itself. Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate_batches: usize,
    /// One fold of a cross-validation over the patients of the dataset, in the place of its own splits. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidation>,
    /// Steps between checkpoints; each epoch ends with one too. Default 50.
    pub checkpoint_every_steps: u64,
    /// Newest checkpoints that are kept, beside the best one. Default 2.
    pub keep_checkpoints: usize,
    /// Also keep the checkpoint at the end of every so many epochs. Default: none.
    pub keep_every_epochs: Option<u64>,
    /// Epochs between looks at the validation split; the last epoch always has one. Default: under `one-cycle` a tenth of the epochs, for the
    /// last weights are the result there; otherwise 1, for the weights of the best epoch are.
    pub validate_every: Option<u64>,
    /// Symmetries of the views that take such in training, over which evaluation and validation average: 1 (none), 4 (one flip along each
    /// axis), 8 (all flips) or 16 (also rows and columns exchanged). Default 4 where a view takes symmetries, else 1.
    pub test_symmetries: Option<usize>,
    /// Where the tasks' gradients are compared. Default `boundary`.
    pub scope: Scope,
    /// Limit of the global gradient norm. Default 5.
    pub clip_norm: f64,
    /// Resamples of the bootstrap by patient. Default 1000.
    pub bootstrap_resamples: usize,
    /// Grey-value windows, one input channel each. Default: mediastinum (40 ± 200 HU) and lung (−600 ± 750 HU).
    pub windows: Vec<Window>,
    /// Use the PET of a dataset as one more input channel. Default true; no effect without PET.
    pub pet: bool,
    /// SUV of the largest input value. Default 15.
    pub pet_full_suv: f32,
    /// Crop and augmentation of the views that are not named `near` or `wide`.
    pub crop: CropConfig,
    /// Crop, augmentation and windows by view.
    pub inputs: BTreeMap<ViewName, InputConfig>,
    /// Measures of the node as targets.
    pub measures: MeasuresConfig,
    /// The stream of batches.
    pub stream: StreamConfig,
    /// The network; `architecture` selects MT-IDS (the default) or a baseline.
    pub model: ModelConfig,
    /// Losses.
    pub loss: LossConfig,
    /// Gradient balancing. Default DD-GB.
    #[serde(deserialize_with = "BalancerConfig::or_dd_gb")]
    pub balancer: BalancerConfig,
    /// Optimiser; `method` chooses AdamW (the default) or SGD.
    pub optimizer: OptimizerConfig,
    /// Share of the past in a moving average of the weights, which is then validated and evaluated instead; for example 0.999. Default: none.
    pub average_decay: Option<f64>,
    /// Learning rate over time.
    pub schedule: ScheduleConfig,
}

fn reproducible(algorithms: &Algorithms) -> bool {
    *algorithms == Algorithms::Reproducible
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            device: "cpu".into(),
            precision: Precision::F32,
            gpu_algorithms: Algorithms::Reproducible,
            epochs: 30,
            max_steps: None,
            batch_size: 32,
            accumulate_batches: 1,
            cross_validation: None,
            checkpoint_every_steps: 50,
            keep_checkpoints: 2,
            keep_every_epochs: None,
            validate_every: None,
            test_symmetries: None,
            scope: Scope::Boundary,
            clip_norm: 5.0,
            bootstrap_resamples: 1000,
            windows: vec![Window { center_hu: 40.0, width_hu: 400.0 }, Window { center_hu: -600.0, width_hu: 1500.0 }],
            pet: true,
            pet_full_suv: 15.0,
            crop: CropConfig::default(),
            inputs: BTreeMap::new(),
            measures: MeasuresConfig::default(),
            stream: StreamConfig::default(),
            model: ModelConfig::default(),
            loss: LossConfig::default(),
            balancer: BalancerConfig::default(),
            optimizer: OptimizerConfig::default(),
            average_decay: None,
            schedule: ScheduleConfig::default(),
        }
    }
}

impl TrainConfig {
    /// Checks the values that serde cannot.
    ///
    /// # Errors
    /// [`TrainError::Setting`] or the error of the part, naming the key.
    pub fn validate(&self) -> Result<(), TrainError> {
        let fail = |key: &'static str, reason: &str| Err(TrainError::setting(key, reason));
        if self.precision == Precision::Bf16 && self.device == "cpu" {
            return fail("precision", "`bf16` needs `device = \"cuda:0\"`; there is no CPU convolution in bf16");
        }
        if self.precision == Precision::Tf32 && self.device == "cpu" {
            return fail("precision", "`tf32` needs `device = \"cuda:0\"`; a CPU has no such units");
        }
        if self.epochs == 0 {
            return fail("epochs", "at least 1");
        }
        if self.max_steps == Some(0) {
            return fail("max_steps", "at least 1");
        }
        if self.batch_size == 0 {
            return fail("batch_size", "at least 1");
        }
        if self.accumulate_batches == 0 {
            return fail("accumulate_batches", "at least 1");
        }
        if self.accumulate_batches > 1 && matches!(self.balancer, BalancerConfig::Famo(_)) {
            return fail(
                "accumulate_batches",
                "1: this balancer looks at the losses of one batch before and after its step",
            );
        }
        if self.cross_validation.is_some_and(|fold| !fold.is_valid()) {
            return fail("cross_validation", "folds from 3 to 1000, and fold from 0 to folds − 1");
        }
        if self.keep_checkpoints == 0 {
            return fail("keep_checkpoints", "at least 1");
        }
        if self.keep_every_epochs == Some(0) {
            return fail("keep_every_epochs", "at least 1");
        }
        if self.checkpoint_every_steps == 0 {
            return fail("checkpoint_every_steps", "at least 1");
        }
        if !(self.clip_norm.is_finite() && self.clip_norm > 0.0) {
            return fail("clip_norm", "a positive number");
        }
        if !(0.1..=300.0).contains(&self.pet_full_suv) {
            return fail("pet_full_suv", "between 0.1 and 300");
        }
        if self.average_decay.is_some_and(|decay| !(0.0..1.0).contains(&decay)) {
            return fail("average_decay", "at least 0 and below 1");
        }
        if self.validate_every == Some(0) {
            return fail("validate_every", "at least 1");
        }
        if self.test_symmetries.is_some_and(|count| !Symmetry::AVERAGED.contains(&count)) {
            return fail("test_symmetries", "1, 4, 8 or 16");
        }
        if self.scope == Scope::Boundary && averages_gradients(&self.balancer) {
            return fail("scope", "this balancer averages gradients over steps, which needs scope = \"exact\"");
        }
        Window::validate_all(&self.windows)?;
        self.crop.validate()?;
        for (view, input) in &self.inputs {
            input.validate(view)?;
        }
        let enlarged: Vec<&ViewName> = self
            .inputs
            .iter()
            .filter(|(_, input)| input.scale.is_some_and(|scale| scale > 0.0))
            .map(|(view, _)| view)
            .collect();
        if let [first, second, ..] = enlarged[..] {
            let reason = format!("0, because inputs.{first}.scale is set: a row is enlarged in one view only");
            return Err(TrainError::setting(format!("inputs.{second}.scale"), reason));
        }
        self.measures.validate()?;
        self.stream.validate()?;
        self.model.validate().map_err(|error| error.within("model"))?;
        self.loss.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        Ok(())
    }
}

/// Settings that say how and where a training is computed and watched. They are no part of a run's identity: they may change when it is
/// resumed, as the stream's budget may. All others may not. The device may only change on request, since its last digits differ.
pub(crate) const OPERATIONAL: [&str; 6] = [
    "device",
    "stream.readers",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "keep_every_epochs",
    "bootstrap_resamples",
];

impl TrainConfig {
    /// Checks the settings, once, before anything is started.
    ///
    /// # Errors
    /// As [`TrainConfig::validate`].
    pub fn check(self) -> Result<ValidConfig, TrainError> {
        self.validate()?;
        Ok(ValidConfig(self))
    }

    /// Whether the weights of the best epoch are the result. One-cycle ends with its best weights by design: its learning rate falls to the end, and
    /// a score on few patients chooses worse than that.
    pub(crate) fn selects_best(&self) -> bool {
        self.schedule.kind != ScheduleKind::OneCycle
    }

    /// Epochs between looks at the validation split in a training of so many.
    pub(crate) fn validation_interval(&self, epochs: u64) -> u64 {
        let default = if self.selects_best() { 1 } else { epochs / 10 };
        self.validate_every.unwrap_or(default).max(1)
    }

    /// The settings that make a run what it is: all but the [`OPERATIONAL`] ones.
    pub(crate) fn identity(&self) -> Value {
        // A configuration always has a JSON form: it has been read from text.
        let mut identity = serde_json::to_value(self).unwrap_or_default();
        // It once bounded the pool of row groups, and stands here as its default, so that runs from then keep their digest.
        if let Some(budget) = identity.pointer_mut("/stream/byte_budget_mib") {
            *budget = StreamConfig::default().byte_budget_mib.into();
        }
        for path in OPERATIONAL {
            let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
            let table = if table.is_empty() { Some(&mut identity) } else { identity.get_mut(table) };
            if let Some(table) = table.and_then(Value::as_object_mut) {
                table.remove(key);
            }
        }
        identity
    }
}

/// A setting that is as it is where it is not named, so that runs from before it keep their digest.
fn is_one(value: &usize) -> bool {
    *value == 1
}

/// Settings that [`TrainConfig::check`] has accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidConfig(TrainConfig);

impl Deref for ValidConfig {
    type Target = TrainConfig;

    fn deref(&self) -> &TrainConfig {
        &self.0
    }
}

/// Whether a rule remembers whole gradients.
pub(crate) fn averages_gradients(balancer: &BalancerConfig) -> bool {
    matches!(balancer, BalancerConfig::ExcessMtl(_) | BalancerConfig::DbMtl(_) | BalancerConfig::MoCo(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_balance::DdGbConfig;
    use mtids_runtime::exit::ExitStatus;

    #[test]
    fn the_optimiser_may_be_named_or_not() {
        let parse = |text: &str| mtids_runtime::config::parse::<TrainConfig>(text);
        let old = parse("[optimizer]\nweight_decay = 0.5").unwrap().optimizer;
        assert!(matches!(&old, OptimizerConfig::AdamW(config) if config.weight_decay == 0.5), "{old:?}");
        let named = parse("[optimizer]\nmethod = \"sgd\"\nmomentum = 0.5").unwrap().optimizer;
        assert!(matches!(named, OptimizerConfig::Sgd(_)));
        for (text, word) in
            [("lr = 1.0", "lr"), ("method = \"lion\"", "lion"), ("method = \"sgd\"\nbeta1 = 0.9", "beta1")]
        {
            let error = parse(&format!("[optimizer]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let config = parse("[balancer]\nmethod = \"moco\"").unwrap();
        assert!(config.validate().unwrap_err().to_string().contains("scope"));
        assert!(parse("scope = \"exact\"\n[balancer]\nmethod = \"moco\"").unwrap().validate().is_ok());
        let of_dd_gb = parse("[balancer]\ngamma = 0.25").unwrap().balancer;
        assert!(matches!(of_dd_gb, BalancerConfig::DdGb(DdGbConfig { gamma: 0.25, .. })), "{of_dd_gb:?}");
        assert!(parse("[balancer]\nmode = \"avg\"").is_err(), "the key of another method");
    }

    #[test]
    fn operational_settings_are_no_part_of_the_identity() {
        let config = TrainConfig::default();
        let whole = serde_json::to_value(&config).unwrap();
        for path in OPERATIONAL {
            let pointer = format!("/{}", path.replace('.', "/"));
            assert!(whole.pointer(&pointer).is_some(), "{path} is a setting");
            assert!(config.identity().pointer(&pointer).is_none(), "{path}");
        }
        let stream = StreamConfig { readers: 7, ..Default::default() };
        let same = TrainConfig { stream, device: "cuda:0".into(), bootstrap_resamples: 3, ..config.clone() };
        assert_eq!(same.identity(), config.identity());
        let stream = StreamConfig { byte_budget_mib: 7, ..Default::default() };
        assert_eq!(TrainConfig { stream, ..config.clone() }.identity(), config.identity());
        assert_eq!(config.identity()["stream"]["byte_budget_mib"], 256, "as in runs of older programs");
        let stream = StreamConfig { shuffle_row_groups: 7, ..Default::default() };
        assert_ne!(TrainConfig { stream, ..config.clone() }.identity(), config.identity());
    }

    #[test]
    fn settings_out_of_range_are_wrong_use() {
        let parse = |text: &str| mtids_runtime::config::parse::<TrainConfig>(text).unwrap().check();
        for (text, key) in [
            ("[optimizer]\nbeta1 = 2.0", "beta1"),
            ("[stream]\nreaders = 0", "stream.readers"),
            ("[crop]\nsize = [0, 8, 8]", "crop.size"),
            ("[[windows]]\ncenter_hu = nan\nwidth_hu = 400.0", "windows"),
            ("[schedule]\npeak = -1.0", "peak"),
            ("validate_every = 0", "validate_every"),
            ("keep_checkpoints = 0", "keep_checkpoints"),
            ("keep_every_epochs = 0", "keep_every_epochs"),
            ("accumulate_batches = 0", "accumulate_batches"),
            ("accumulate_batches = 2\n[balancer]\nmethod = \"famo\"", "accumulate_batches"),
            ("test_symmetries = 2", "test_symmetries"),
            ("[cross_validation]\nfolds = 2", "cross_validation"),
            ("[cross_validation]\nfold = 5", "cross_validation"),
            ("[inputs.near]\nnoise_hu = -1.0", "inputs.near.noise_hu"),
            ("[inputs.near]\nscale = 0.1\n[inputs.wide]\nscale = 0.1", "inputs.wide.scale"),
            ("[measures]\ntargets = [\"mean_hu\", \"mean_hu\"]", "measures.targets"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
            assert_eq!(error.exit(), mtids_runtime::exit::Exit::Usage, "{text}");
        }
        assert!(parse("").is_ok());
    }

    #[test]
    fn one_cycle_is_looked_at_ten_times_and_other_schedules_every_epoch() {
        let parse = |text: &str| mtids_runtime::config::parse::<TrainConfig>(text).unwrap();
        let one_cycle = parse("");
        assert!(!one_cycle.selects_best());
        assert_eq!([5, 30, 64].map(|epochs| one_cycle.validation_interval(epochs)), [1, 3, 6]);
        let cosine = parse("[schedule]\nkind = \"cosine\"");
        assert!(cosine.selects_best());
        assert_eq!(cosine.validation_interval(30), 1);
        assert_eq!(parse("validate_every = 7").validation_interval(30), 7);
    }

    #[test]
    fn half_the_bits_are_for_gpus() {
        let parse = |text: &str| mtids_runtime::config::parse::<TrainConfig>(text).unwrap().validate();
        let error = parse("precision = \"bf16\"").unwrap_err().to_string();
        assert!(error.contains("`precision`") && error.contains("cuda:0"), "{error}");
        assert!(parse("precision = \"bf16\"\ndevice = \"cuda:0\"").is_ok());
        assert!(parse("precision = \"tf32\"").unwrap_err().to_string().contains("precision"));
        assert!(parse("precision = \"tf32\"\ndevice = \"cuda:0\"").is_ok());
        assert!(parse("gpu_algorithms = \"quickest-not-reproducible\"").is_ok());
        assert!(parse("precision = \"f32\"").is_ok());
    }

    #[test]
    fn the_resolved_form_reads_back() {
        let mut config = TrainConfig { max_steps: Some(3), test_symmetries: Some(8), ..Default::default() };
        let near =
            InputConfig { size: Some([8, 32, 32]), windows: Some(config.windows.clone()), ..InputConfig::default() };
        config.inputs.insert(ViewName::try_from("near".to_owned()).unwrap(), near);
        config.measures = mtids_runtime::config::parse("targets = [\"volume_mm3\"]").unwrap();
        let text = mtids_runtime::config::to_toml(&config).unwrap();
        assert_eq!(toml_back(&text), config);
        assert!(TrainConfig::default().validate().is_ok());
        let error = TrainConfig { batch_size: 0, ..Default::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("batch_size"));
    }

    #[test]
    fn the_model_table_chooses_the_architecture_and_names_a_bad_key() {
        let parse = |text: &str| mtids_runtime::config::parse::<TrainConfig>(text);
        let old = parse("[model.dbr]\nshared_experts = 4\n[model.backbone]\nstem_stride = 1").unwrap();
        assert_eq!(old.model.architecture().key(), "mt-ids");
        let baseline = parse("[model]\narchitecture = \"ple\"\nlayers = 3\n[model.experts]\nshared = 1").unwrap();
        assert_eq!(baseline.model.architecture().key(), "ple");
        assert!(baseline.validate().is_ok());
        let error = parse("[model]\narchitecture = \"ple\"\n[model.dbr]\nlayers = 3").unwrap_err().to_string();
        assert!(error.contains("`model.dbr`"), "{error}");
        let error = parse("[model.dbr]\nsharde_experts = 3").unwrap_err().to_string();
        assert!(error.contains("`model.dbr.sharde_experts`"), "{error}");
    }

    fn toml_back(text: &str) -> TrainConfig {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        mtids_runtime::config::load(Some(&path), &[]).unwrap()
    }
}
