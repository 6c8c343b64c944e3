//! The folder of one training: what it was started with, where it stands, what it logged.
//!
//! Layout: `run.json` (digests of dataset and configuration, program, seed), `config.resolved.toml`, `dataset.json` (what a patch is),
//! `trained-on.json` (whom the run has seen), `training-range.json` (what its rows were like), `measures.json` (units of the measures that it
//! is taught), `calibration.json` (what its probabilities are worth), `losses.jsonl` (one line per step), `epochs.jsonl` (one per epoch), `timings.jsonl` (seconds; the only file that differs between equal runs),
//! `checkpoints/`, `device-changes.jsonl` where the device was changed. Invariants: a folder belongs to one resolved configuration and one dataset for ever; no host, path or time
//! of day is written.

mod checkpoint;
mod differences;
mod identity;
mod keep;
pub(crate) mod log;
mod origin;
mod trained_on;
mod training_range;

use std::path::{Path, PathBuf};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_shards::{DatasetDescription, Split};

pub use checkpoint::{Checkpoint, Checkpoints};
pub(crate) use differences::differences_of;
pub use identity::RunIdentity;
pub use keep::{Best, Keep, TrainingState};
pub use origin::{Origin, OriginKind};
pub use trained_on::TrainedOn;
pub use training_range::{Span, TrainingRange};

use crate::config::{TrainConfig, ValidConfig};
use crate::error::TrainError;
use crate::measure_targets::MeasureTargets;
use differences::differences_of_views;
use identity::RUN;

/// File of a run folder with its settings, defaults written out.
pub const RESOLVED_CONFIGURATION: &str = "config.resolved.toml";
const DATASET: &str = "dataset.json";

/// An opened run folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    identity: RunIdentity,
    config: ValidConfig,
}

impl RunFolder {
    /// Creates the folder of a training, or opens the one of the very same training. The caller holds the folder's lock. Settings outside of
    /// the run's identity are recorded as they were first, until [`RunFolder::record`]. A run that goes on need not name its origin again.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] with every setting that differs; [`TrainError::Io`].
    pub fn create_or_open(
        path: &Path,
        config: &ValidConfig,
        dataset_digest: Digest,
        description: &DatasetDescription,
        trained_on: &TrainedOn,
        measures: &MeasureTargets,
        origin: Option<&Origin>,
    ) -> Result<Self, TrainError> {
        let mut identity = RunIdentity::new(config, dataset_digest, origin.cloned());
        atomic::remove_leftovers(path).map_err(|error| TrainError::io(path, error))?;
        if path.join(RUN).exists() {
            let old = Self::open(path)?;
            identity.origin = identity.origin.or_else(|| old.identity.origin.clone());
            if old.config.identity() == config.identity() {
                // It may be the one of an older program.
                identity.config_digest = old.identity.config_digest;
            }
            if old.identity != identity {
                let differences = differences(&old, config, &identity);
                return Err(TrainError::OtherRun { path: path.to_owned(), differences });
            }
            if old.trained_on()?.is_none() {
                trained_on.write(path)?;
            }
            return Ok(old);
        }
        // The identity is written last: a folder without it is a folder in which nothing was started.
        let write = |name: &str, bytes: &[u8]| {
            let file = path.join(name);
            atomic::write(&file, bytes).map_err(|error| TrainError::io(&file, error))
        };
        write(RESOLVED_CONFIGURATION, mtids_runtime::config::to_toml(&**config)?.as_bytes())?;
        let json = |mut text: Vec<u8>| {
            text.push(b'\n');
            text
        };
        let failed = |error: serde_json::Error| TrainError::io(path, error.into());
        write(DATASET, &json(serde_json::to_vec_pretty(description).map_err(failed)?))?;
        trained_on.write(path)?;
        measures.write(path)?;
        identity.write(path)?;
        Ok(Self { path: path.to_owned(), identity, config: config.clone() })
    }

    /// Opens an existing run.
    ///
    /// # Errors
    /// [`TrainError::NoRun`], [`TrainError::Broken`] or [`TrainError::Io`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let file = path.join(RUN);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(TrainError::NoRun { path: path.to_owned() });
            }
            Err(error) => return Err(TrainError::io(&file, error)),
        };
        let identity: RunIdentity =
            serde_json::from_slice(&bytes).map_err(|error| TrainError::broken(&file, error.to_string()))?;
        let config: ValidConfig = mtids_runtime::config::load(Some(&path.join(RESOLVED_CONFIGURATION)), &[])
            .map_err(TrainError::from)
            .and_then(TrainConfig::check)
            .map_err(|error| TrainError::broken(&path.join(RESOLVED_CONFIGURATION), error.to_string()))?;
        if identity.program.version == env!("CARGO_PKG_VERSION") && !identity.is_of(&config) {
            return Err(TrainError::broken(
                &path.join(RESOLVED_CONFIGURATION),
                "its digest differs from run.json (edited, truncated, or written by another version of this program)",
            ));
        }
        Ok(Self { path: path.to_owned(), identity, config })
    }

    /// Records `config`, which has the run's identity, as the settings of the run from now on.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn record(&mut self, config: &ValidConfig) -> Result<(), TrainError> {
        if self.config != *config {
            if !self.identity.is_of(config) {
                // The digest of an older program, over a budget that is another now. Written first, since the new one fits both files.
                self.identity.config_digest =
                    RunIdentity::new(config, self.identity.dataset_digest, None).config_digest;
                self.identity.write(&self.path)?;
            }
            let file = self.path.join(RESOLVED_CONFIGURATION);
            atomic::write(&file, mtids_runtime::config::to_toml(&**config)?.as_bytes())
                .map_err(|error| TrainError::io(&file, error))?;
            self.config = config.clone();
        }
        Ok(())
    }

    /// Refuses a dataset whose patches or classes mean something else than those that were trained on, whatever their shapes.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] naming what differs; [`TrainError::Io`] or [`TrainError::Broken`] for the run's own file.
    pub fn refuse_other_patches(&self, dataset: &Path, description: &DatasetDescription) -> Result<(), TrainError> {
        let Some(different) = self.different_patches(description)? else { return Ok(()) };
        let reason = format!(
            "its {different} differ from those that {} was trained on; evaluate on a dataset built with the same settings",
            self.path.display()
        );
        Err(TrainError::Mismatch { path: dataset.to_owned(), reason })
    }

    /// What of patches or classes means something else than what was trained on, in words; `None` where nothing does.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Broken`] for the run's own file.
    pub fn different_patches(&self, description: &DatasetDescription) -> Result<Option<String>, TrainError> {
        let trained = self.description()?;
        let mut different = differences_of_views(&trained.views, &description.views);
        if trained.regions != description.regions {
            different.push("regions".to_owned());
        }
        Ok((!different.is_empty()).then(|| different.join(" and ")))
    }

    /// The measures that the run is taught, in their units.
    ///
    /// # Errors
    /// [`TrainError::Broken`] or [`TrainError::Io`].
    pub fn measures(&self) -> Result<MeasureTargets, TrainError> {
        MeasureTargets::read(&self.path)
    }

    /// Whom the run was trained on; `None` for a run of a program that did not record it.
    ///
    /// # Errors
    /// [`TrainError::Broken`] or [`TrainError::Io`].
    pub fn trained_on(&self) -> Result<Option<TrainedOn>, TrainError> {
        TrainedOn::read(&self.path)
    }

    /// What the rows that the run was trained on are: views and classes.
    ///
    /// # Errors
    /// [`TrainError::Broken`] or [`TrainError::Io`].
    pub fn description(&self) -> Result<DatasetDescription, TrainError> {
        let file = self.path.join(DATASET);
        let bytes = std::fs::read(&file).map_err(|error| TrainError::io(&file, error))?;
        serde_json::from_slice(&bytes).map_err(|error| TrainError::broken(&file, error.to_string()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What the run belongs to.
    pub fn identity(&self) -> &RunIdentity {
        &self.identity
    }

    /// The resolved configuration.
    pub fn config(&self) -> &ValidConfig {
        &self.config
    }

    /// How far a training came that has not ended, in words; `None` for one that has, or that has no checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Broken`] or [`TrainError::Io`].
    pub fn unfinished(&self) -> Result<Option<String>, TrainError> {
        let Some(state) = self.checkpoints().latest_state()? else { return Ok(None) };
        // The epochs of a segment go on from those of the run before it.
        let origin = self.identity.origin.as_ref().filter(|origin| origin.kind == OriginKind::Segment);
        let done = state.epoch.saturating_sub(origin.map_or(0, |origin| origin.epochs));
        let has_steps = self.config.max_steps.is_some_and(|most| state.step >= most);
        let has_ended = state.next_batch == 0 && (done >= self.config.epochs || has_steps);
        Ok((!has_ended).then(|| format!("{done} of {} epochs are done", self.config.epochs)))
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        let keep = Keep { newest: self.config.keep_checkpoints, every_epochs: self.config.keep_every_epochs };
        Checkpoints::of_run(&self.path, keep)
    }
}

/// Name of a file about a split: `evaluation.json`, `evaluation-validation.json`.
pub(crate) fn file_of_split(name: &str, split: Split) -> String {
    match (split, name.split_once('.')) {
        (Split::Test, _) | (_, None) => name.to_owned(),
        (_, Some((stem, ending))) => format!("{stem}-{}.{ending}", split.name()),
    }
}

fn differences(old: &RunFolder, config: &TrainConfig, identity: &RunIdentity) -> String {
    let mut lines = Vec::new();
    if old.identity.dataset_digest != identity.dataset_digest {
        lines.push(format!(
            "  dataset: {} in the folder, {} now",
            old.identity.dataset_digest.short(),
            identity.dataset_digest.short()
        ));
    }
    if old.identity.program != identity.program {
        lines.push(format!(
            "  program: {} in the folder, {} now",
            old.identity.program.version, identity.program.version
        ));
    }
    if old.identity.origin != identity.origin {
        lines.push("  the run that it begins from".to_owned());
    }
    lines.extend(differences_of(&old.config.identity(), &config.identity()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_counts::LabelCounts;
    use mtids_domain::pseudonym::PatientKey;
    use mtids_domain::taxonomy::{RegionScheme, Zone};
    use mtids_runtime::exit::ExitStatus;
    use mtids_runtime::provenance::Program;
    use mtids_shards::{Channel, PatchGeometry, Planes, View, ViewName};

    fn description() -> DatasetDescription {
        DatasetDescription {
            schema_version: mtids_shards::SCHEMA_VERSION.into(),
            taxonomy_version: String::new(),
            regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
            views: vec![View {
                name: ViewName::try_from("patch".to_owned()).unwrap(),
                geometry: PatchGeometry {
                    size: [3, 8, 8],
                    spacing_mm: [5.0, 1.0, 1.0],
                    planes: Planes::Stack,
                    ..PatchGeometry::default()
                },
                channels: vec![Channel::Ct],
            }],
            config_digest: Digest::of_bytes(b""),
            program: Program::new("test", "1"),
        }
    }

    fn trained_on() -> TrainedOn {
        TrainedOn {
            pseudonym_fingerprint: "key".into(),
            train: [PatientKey::from_stored("a")].into(),
            validation: [PatientKey::from_stored("b")].into(),
            voxels: ["digest".to_owned()].into(),
            validation_voxels: Default::default(),
            voxels_of_another_secret: Default::default(),
            labels: LabelCounts::of(1, [(Some(0), Some(1))]),
            taught: None,
        }
    }

    fn begin(path: &Path, config: &ValidConfig, dataset: Digest) -> Result<RunFolder, TrainError> {
        let measures = MeasureTargets::default();
        RunFolder::create_or_open(path, config, dataset, &description(), &trained_on(), &measures, None)
    }

    #[test]
    fn patches_of_another_meaning_are_refused_whatever_their_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let run = begin(&path, &TrainConfig::default().check().unwrap(), Digest::of_bytes(b"")).unwrap();
        assert!(run.refuse_other_patches(&path, &description()).is_ok());
        let changed = |change: &dyn Fn(&mut View)| {
            let mut other = description();
            change(&mut other.views[0]);
            run.refuse_other_patches(&path, &other).unwrap_err().to_string()
        };
        for (error, word) in [
            (changed(&|view| view.geometry.planes = Planes::Volume), "planes of view `patch`"),
            (changed(&|view| view.geometry.spacing_mm[2] = 2.0), "spacing of view `patch`"),
            (changed(&|view| view.geometry.size = [3, 9, 9]), "size of view `patch`"),
            (changed(&|view| view.channels.push(Channel::Pet)), "channels of view `patch`"),
            (changed(&|view| view.name = ViewName::try_from("near".to_owned()).unwrap()), "patch then, near now"),
        ] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_same_training_opens_and_another_is_refused_by_name() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let config = TrainConfig::default().check().unwrap();
        let dataset = Digest::of_bytes(b"dataset");
        assert!(matches!(RunFolder::open(&path), Err(TrainError::NoRun { .. })));
        begin(&path, &config, dataset).unwrap();
        let again = begin(&path, &config, dataset).unwrap();
        assert_eq!(again.config(), &config);
        assert_eq!(again.trained_on().unwrap(), Some(trained_on()));
        // A run that was begun by a program without this record gets it when it goes on.
        std::fs::remove_file(again.file(trained_on::TRAINED_ON)).unwrap();
        assert_eq!(again.trained_on().unwrap(), None);
        begin(&path, &config, dataset).unwrap();
        assert_eq!(again.trained_on().unwrap(), Some(trained_on()));

        let resumed = TrainConfig { checkpoint_every_steps: 7, ..TrainConfig::default() }.check().unwrap();
        let mut folder = begin(&path, &resumed, dataset).unwrap();
        assert_eq!(folder.config(), &config, "what was recorded stays until it is recorded anew");
        folder.record(&resumed).unwrap();
        assert_eq!(RunFolder::open(&path).unwrap().config(), &resumed);

        let other = TrainConfig { seed: config.seed + 1, ..TrainConfig::default() }.check().unwrap();
        let error = begin(&path, &other, dataset).unwrap_err();
        assert_eq!(error.exit(), mtids_runtime::exit::Exit::Usage);
        assert!(error.to_string().contains("seed: "), "{error}");
        let error = begin(&path, &config, Digest::of_bytes(b"other")).unwrap_err().to_string();
        assert!(error.contains("dataset: "), "{error}");
    }

    #[test]
    fn a_run_of_a_program_whose_digest_held_the_budget_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let dataset = Digest::of_bytes(b"dataset");
        let with = |byte_budget_mib, epochs| {
            let stream = mtids_stream::StreamConfig { byte_budget_mib, ..Default::default() };
            TrainConfig { stream, epochs, ..TrainConfig::default() }.check().unwrap()
        };
        let identity = begin(&path, &with(512, 30), dataset).unwrap().identity().clone();
        let mut settings = with(512, 30).identity();
        settings["stream"]["byte_budget_mib"] = 512.into();
        let older = RunIdentity { config_digest: Digest::of_json(&settings).unwrap(), ..identity.clone() };
        assert_ne!(older, identity);
        older.write(&path).unwrap();
        assert_eq!(RunFolder::open(&path).unwrap().identity(), &older);
        assert!(matches!(begin(&path, &with(512, 31), dataset), Err(TrainError::OtherRun { .. })));
        // Resumed with its budget it keeps its digest; with another one it gets one that holds for any budget.
        for (mib, expected) in [(512, &older), (64, &identity), (512, &identity)] {
            let mut run = begin(&path, &with(mib, 30), dataset).unwrap();
            run.record(&with(mib, 30)).unwrap();
            let run = RunFolder::open(&path).unwrap();
            assert_eq!((run.identity(), run.config().stream.byte_budget_mib), (expected, mib));
        }
        older.write(&path).unwrap();
        std::fs::write(path.join(RESOLVED_CONFIGURATION), mtids_runtime::config::to_toml(&*with(64, 30)).unwrap())
            .unwrap();
        assert!(matches!(RunFolder::open(&path), Err(TrainError::Broken { .. })), "the digest of another budget");
    }

    #[test]
    fn a_changed_configuration_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        begin(&path, &TrainConfig::default().check().unwrap(), Digest::of_bytes(b"")).unwrap();
        let text = std::fs::read_to_string(path.join(RESOLVED_CONFIGURATION)).unwrap();
        assert!(text.contains("\nepochs = "), "{text}");
        let changed: String = text
            .lines()
            .map(|line| if line.starts_with("epochs = ") { "epochs = 77\n".to_owned() } else { format!("{line}\n") })
            .collect();
        std::fs::write(path.join(RESOLVED_CONFIGURATION), changed).unwrap();
        assert!(matches!(RunFolder::open(&path), Err(TrainError::Broken { .. })));
    }
}
