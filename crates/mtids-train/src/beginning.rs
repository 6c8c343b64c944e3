//! Weights of an earlier run that a new one begins with.
//!
//! Purpose: [`Beginning::From`] takes over the weights that an evaluation of the run uses, as far as names and shapes agree, for other data or another
//! network. [`Beginning::Extend`] trains the same network further on the same data, with weights, averages, moments and balancer as they are at the
//! last checkpoint, under a schedule of its own; its epochs are numbered on, so that rows come in an order of their own. Either is a new run in a new folder
//! and is recorded as what it is ([`crate::run_folder::Origin`]); neither is a resume. Invariant: the earlier run is only read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mtids_balance::AnyBalancer;
use mtids_layers::{Optimizer, WeightAverage};
use mtids_runtime::digest::Digest;
use serde_json::Value;

use crate::config::{TrainConfig, ValidConfig};
use crate::error::TrainError;
use crate::network::{Network, Trained, choose_device};
use crate::run_folder::{Checkpoint, Origin, OriginKind, RunFolder, TrainedOn, TrainingState, differences_of};

/// What a training begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// Initial weights of the seed.
    #[default]
    Initial,
    /// Weights of another run.
    From(PathBuf),
    /// Everything of another run.
    Extend(PathBuf),
}

/// Settings that may differ between the segments of a training.
const OF_A_SEGMENT: [&str; 6] =
    ["epochs", "max_steps", "batch_size", "accumulate_batches", "validate_every", "schedule"];

/// An earlier run, read.
pub(crate) struct Earlier {
    pub(crate) origin: Origin,
    pub(crate) trained_on: Option<TrainedOn>,
    path: PathBuf,
    content: Content,
}

enum Content {
    /// Weights in safetensors form.
    Weights(Vec<u8>),
    Everything(Box<Checkpoint>),
}

impl Earlier {
    /// Reads what a training with `config` on a dataset begins with; `None` for initial weights.
    ///
    /// # Errors
    /// A missing or damaged run; for a segment [`TrainError::Argument`] with every setting that must not differ and does.
    pub(crate) fn read(
        beginning: &Beginning,
        config: &ValidConfig,
        dataset: Digest,
    ) -> Result<Option<Self>, TrainError> {
        let (kind, path) = match beginning {
            Beginning::Initial => return Ok(None),
            Beginning::From(path) => (OriginKind::Weights, path),
            Beginning::Extend(path) => (OriginKind::Segment, path),
        };
        let folder = RunFolder::open(path)?;
        let latest =
            folder.checkpoints().latest()?.ok_or_else(|| TrainError::NoCheckpoint { path: path.to_owned() })?;
        let epochs = latest.state.epoch;
        let (weights, step, content) = match kind {
            OriginKind::Weights => {
                let used = Trained::load(&folder, &folder.description()?, path, choose_device(Some("cpu"), "cpu")?)?;
                (used.weights, used.step, Content::Weights(used.network.parameters.to_bytes()?))
            }
            OriginKind::Segment => {
                refuse_other_training(&folder, config, dataset)?;
                if latest.state.next_batch > 0 {
                    // Only epochs are taken over: the first rows of this one would be seen twice.
                    let reason = format!(
                        "{} was interrupted within an epoch; finish it by the fit that began it",
                        path.display()
                    );
                    return Err(TrainError::argument("--extend", reason));
                }
                let step = latest.state.step;
                (Digest::of_bytes(&latest.weights), step, Content::Everything(Box::new(latest)))
            }
        };
        let identity = folder.identity();
        let origin = Origin {
            kind,
            weights,
            dataset_digest: identity.dataset_digest,
            config_digest: identity.config_digest,
            step,
            epochs,
        };
        Ok(Some(Self { origin, trained_on: folder.trained_on()?, path: path.clone(), content }))
    }

    /// Puts what was read in place of the initial values, and says where the training begins.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] where nothing of the weights fits, or for a segment not all of them.
    pub(crate) fn apply(
        &self,
        network: &Network,
        optimizer: &mut Optimizer,
        balancer: &mut AnyBalancer,
        average: &mut Option<WeightAverage>,
        state: &mut TrainingState,
    ) -> Result<(), TrainError> {
        let mismatch = |reason: String| TrainError::Mismatch { path: self.path.clone(), reason };
        match &self.content {
            Content::Weights(bytes) => {
                let taken = network.parameters.load_matching(bytes)?;
                if taken.loaded == 0 {
                    return Err(mismatch(
                        "none of its weights has the name and shape of one of this network".to_owned(),
                    ));
                }
                if !taken.initial.is_empty() {
                    let parts: BTreeSet<String> = taken.initial.iter().map(|name| part(name)).collect();
                    let parts: Vec<String> = parts.into_iter().collect();
                    tracing::warn!(
                        "not in {} and left at their initial values: {}",
                        self.path.display(),
                        parts.join(", ")
                    );
                }
                if let Some(average) = average {
                    // Averages begin at the weights that they follow.
                    *average = WeightAverage::new(average.decay(), &network.parameters)?;
                }
            }
            Content::Everything(checkpoint) => {
                let fits = |error: mtids_layers::LayerError| mismatch(format!("its checkpoint does not fit ({error})"));
                network.parameters.load_bytes(&checkpoint.weights).map_err(fits)?;
                optimizer.load_bytes(&checkpoint.optimizer, &network.parameters).map_err(fits)?;
                balancer.restore(&checkpoint.state.balancer)?;
                if let Some(average) = average {
                    average.load_bytes(checkpoint.averages()?, &network.parameters).map_err(fits)?;
                }
                state.epoch = checkpoint.state.epoch;
            }
        }
        Ok(())
    }

    /// Warns of patients of a validation split whom the earlier run was trained on: looks at that split then say nothing.
    pub(crate) fn warn_of_known_validation(&self, now: &TrainedOn) {
        let Some(then) = &self.trained_on else {
            tracing::warn!(
                "{} has no record of its patients, so nobody knows whom the new run has seen",
                self.path.display()
            );
            return;
        };
        if then.pseudonym_fingerprint != now.pseudonym_fingerprint {
            tracing::warn!(
                "the pseudonyms of {} are of another secret: patients whom it was trained on are known by equal voxels only",
                self.path.display()
            );
        }
        let known = now.validation.intersection(&then.train).count();
        if known > 0 {
            tracing::warn!(
                "{known} of {} validation patients were in the training of {}: figures on them are too good",
                now.validation.len(),
                self.path.display()
            );
        }
    }
}

/// The first two words of a parameter's name.
fn part(name: &str) -> String {
    name.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// A segment goes on with the same network, data and seed.
fn refuse_other_training(folder: &RunFolder, config: &ValidConfig, dataset: Digest) -> Result<(), TrainError> {
    let fixed = |config: &TrainConfig| {
        let mut identity = config.identity();
        if let Value::Object(identity) = &mut identity {
            OF_A_SEGMENT.iter().for_each(|key| drop(identity.remove(*key)));
        }
        identity
    };
    let mut lines = Vec::new();
    if folder.identity().dataset_digest != dataset {
        lines.push("  dataset".to_owned());
    }
    lines.extend(differences_of(&fixed(folder.config()), &fixed(config)));
    if lines.is_empty() {
        return Ok(());
    }
    Err(TrainError::argument(
        "--extend",
        format!(
            "{} was another training:\n{}\nonly {} may differ; begin with its weights alone by --from",
            folder.path().display(),
            lines.join("\n"),
            OF_A_SEGMENT.join(", ")
        ),
    ))
}

/// What a run with an origin has seen: the patients of both.
pub(crate) fn seen_by_both(now: TrainedOn, earlier: Option<&Earlier>) -> TrainedOn {
    match earlier.and_then(|earlier| earlier.trained_on.as_ref()) {
        Some(then) => now.and(then),
        None => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::pseudonym::PatientKey;

    use crate::label_counts::LabelCounts;

    fn seen(secret: &str, train: &str, validation: &str) -> TrainedOn {
        TrainedOn {
            pseudonym_fingerprint: secret.into(),
            train: [PatientKey::from_stored(train)].into(),
            validation: [PatientKey::from_stored(validation)].into(),
            voxels: [format!("voxels of {train}")].into(),
            validation_voxels: Default::default(),
            voxels_of_another_secret: BTreeSet::new(),
            labels: LabelCounts::of(1, [(Some(0), Some(1))]),
            taught: None,
        }
    }

    #[test]
    fn a_run_has_seen_whom_its_origin_has_seen() {
        let both = seen("secret", "a", "b").and(&seen("secret", "c", "a"));
        assert_eq!(both.train, ["a", "c"].map(PatientKey::from_stored).into());
        assert_eq!(both.validation, ["a", "b"].map(PatientKey::from_stored).into());
        assert_eq!(both.labels, seen("secret", "a", "b").labels, "the labels stay those of its own training");
        let strange = seen("secret", "a", "b").and(&seen("another", "c", "d"));
        assert_eq!(strange.train, [PatientKey::from_stored("a")].into(), "keys of another secret mean nothing here");
        assert_eq!(strange.voxels.len(), 2);
        let later = seen("secret", "e", "f").and(&strange);
        assert_eq!(
            later.voxels_of_another_secret,
            ["voxels of c".to_owned()].into(),
            "also where it is a run before the last"
        );
    }

    #[test]
    fn the_settings_of_a_segment_are_settings() {
        let whole = serde_json::to_value(TrainConfig { accumulate_batches: 2, ..TrainConfig::default() }).unwrap();
        for key in OF_A_SEGMENT {
            assert!(whole.get(key).is_some(), "{key}");
        }
    }
}
