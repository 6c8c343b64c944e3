//! Checkpoints: everything that is needed to go on, bit for bit.
//!
//! Layout below `checkpoints/`: one folder `step-XXXXXXXX` per checkpoint with `weights.safetensors`, `optimizer.safetensors`, where
//! asked for `average.safetensors`, and `state.json` (which holds the digests of the others); `latest` and `best` are text files that name one of them.
//! Invariants: a checkpoint folder appears and disappears whole (written, and removed, under a hidden name); `latest` is moved only after
//! that; the newest regular checkpoints and the best one are kept ([`Keep`]). A checkpoint made because of a signal is irregular: it
//! disappears with the next regular one, so that an interrupted run ends with the same files as an unbroken one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::failpoint;
use serde::{Deserialize, Serialize};

use super::keep::{Keep, TrainingState};
use crate::error::TrainError;

const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const AVERAGE: &str = "average.safetensors";
const STATE: &str = "state.json";
/// What the name of a folder begins with while it is written, and while it is removed.
const WRITING: &str = ".writing-";
const REMOVING: &str = ".removing-";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    weights_digest: Digest,
    optimizer_digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    average_digest: Option<Digest>,
    state: TrainingState,
}

/// A checkpoint read back.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder it came from.
    pub folder: PathBuf,
    /// Weights, in safetensors form.
    pub weights: Vec<u8>,
    /// Optimiser moments, in safetensors form.
    pub optimizer: Vec<u8>,
    /// Averages of the weights, in safetensors form, where the run keeps such.
    pub average: Option<Vec<u8>>,
    /// The rest.
    pub state: TrainingState,
}

impl Checkpoint {
    /// The averages of a run that keeps such.
    ///
    /// # Errors
    /// [`TrainError::Broken`] when they are missing.
    pub fn averages(&self) -> Result<&[u8], TrainError> {
        self.average.as_deref().ok_or_else(|| {
            TrainError::broken(&self.folder.join(STATE), "it has no averages, and the run has average_decay")
        })
    }
}

/// The folder `checkpoints/` of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: Keep,
}

fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.parse().ok()
}

impl Checkpoints {
    /// The checkpoints of a run folder.
    pub fn of_run(run: &Path, keep: Keep) -> Self {
        Self { folder: run.join("checkpoints"), keep }
    }

    /// Writes a checkpoint, moves `latest` (and `best`) to it, removes what is no longer kept.
    ///
    /// # Errors
    /// [`TrainError::Io`] naming the file.
    pub fn save(
        &self,
        weights: &[u8],
        optimizer: &[u8],
        average: Option<&[u8]>,
        state: &TrainingState,
    ) -> Result<PathBuf, TrainError> {
        atomic::create_folders(&self.folder).map_err(|error| TrainError::io(&self.folder, error))?;
        let target = self.folder.join(folder_name(state.step));
        let temporary = self.folder.join(format!("{WRITING}{}", folder_name(state.step)));
        remove_folder(&temporary)?;
        fs::create_dir(&temporary).map_err(|error| TrainError::io(&temporary, error))?;
        let file = StateFile {
            weights_digest: Digest::of_bytes(weights),
            optimizer_digest: Digest::of_bytes(optimizer),
            average_digest: average.map(Digest::of_bytes),
            state: state.clone(),
        };
        let text = serde_json::to_vec_pretty(&file).map_err(|error| TrainError::io(&target, error.into()))?;
        let fixed = [(WEIGHTS, weights), (OPTIMIZER, optimizer), (STATE, text.as_slice())];
        for (name, bytes) in fixed.into_iter().chain(average.map(|bytes| (AVERAGE, bytes))) {
            let path = temporary.join(name);
            let write = || {
                failpoint::reach()?;
                let mut file = fs::File::create(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|error| TrainError::io(&path, error))?;
        }
        atomic::sync_folder(&temporary).map_err(|error| TrainError::io(&temporary, error))?;
        if target.exists() {
            // Left from a run that was cut back before it, or the checkpoint of an interrupted validation, to which `latest` points.
            self.retreat(state.step)?;
            self.discard(&target)?;
        }
        failpoint::reach().map_err(|error| TrainError::io(&target, error))?;
        fs::rename(&temporary, &target).map_err(|error| TrainError::io(&target, error))?;
        atomic::sync_folder(&self.folder).map_err(|error| TrainError::io(&self.folder, error))?;
        failpoint::reach().map_err(|error| TrainError::io(&target, error))?;
        self.point("latest", state.step)?;
        failpoint::reach().map_err(|error| TrainError::io(&target, error))?;
        self.tidy(state)?;
        Ok(target)
    }

    /// The newest published checkpoint, or `None` before the first one.
    ///
    /// # Errors
    /// [`TrainError::Broken`] when its digest differs from the one that was written; [`TrainError::Io`].
    pub fn latest(&self) -> Result<Option<Checkpoint>, TrainError> {
        self.pointed("latest")
    }

    /// The newest checkpoint that is whole, for a training that goes on: where the one of `latest` is damaged or `latest` is lost, an older one, with a
    /// warning. `None` before the first one.
    ///
    /// # Errors
    /// Those of [`Checkpoints::latest`], where none is whole.
    pub fn resumable(&self) -> Result<Option<Checkpoint>, TrainError> {
        let is_lost = |error: &TrainError| match error {
            TrainError::Broken { .. } => true,
            TrainError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        };
        let mut fault = match self.latest() {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => None,
            Err(error) if is_lost(&error) => Some(error),
            Err(error) => return Err(error),
        };
        let mut folders: Vec<(u64, PathBuf)> =
            self.entries()?.into_iter().filter_map(|(name, path)| Some((step_of(&name)?, path))).collect();
        folders.sort();
        for (step, folder) in folders.into_iter().rev() {
            match self.read(&folder) {
                Ok(found) => {
                    let why = fault.map_or_else(
                        || "no file names the latest checkpoint".to_owned(),
                        |fault| match fault {
                            TrainError::Broken { path, reason } => format!("{} is damaged: {reason}", path.display()),
                            other => other.to_string(),
                        },
                    );
                    tracing::warn!("{why}; the training goes on from the checkpoint of step {step}");
                    self.point("latest", step)?;
                    return Ok(Some(found));
                }
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        fault.map_or(Ok(None), Err)
    }

    /// Where the training stood at the newest checkpoint, without its weights.
    ///
    /// # Errors
    /// As [`Checkpoints::latest`].
    pub fn latest_state(&self) -> Result<Option<TrainingState>, TrainError> {
        let folder = self.folder_of("latest")?;
        folder.map(|folder| Ok(self.read_state(&folder)?.state)).transpose()
    }

    /// The checkpoint with the best validation score, or `None` where none was chosen.
    ///
    /// # Errors
    /// As [`Checkpoints::latest`].
    pub fn best(&self) -> Result<Option<Checkpoint>, TrainError> {
        self.pointed("best")
    }

    /// Removes everything after `state` and half-written folders, and brings `best` in line with it.
    ///
    /// # Errors
    /// [`TrainError::Io`] naming the file.
    pub fn tidy(&self, state: &TrainingState) -> Result<(), TrainError> {
        match state.best {
            // After a damaged checkpoint the best one before it may be gone.
            Some(best) if self.folder.join(folder_name(best.step)).exists() => self.point("best", best.step)?,
            _ => remove_file(&self.folder.join("best"))?,
        }
        let mut regular = Vec::new();
        for (name, path) in self.entries()? {
            match step_of(&name) {
                Some(step) if step > state.step => self.discard(&path)?,
                Some(step) if step < state.step && !self.read_state(&path)?.state.regular => self.discard(&path)?,
                Some(step) if step < state.step || state.regular => regular.push((step, path)),
                Some(_) => {}
                None if [WRITING, REMOVING].iter().any(|prefix| name.starts_with(prefix)) => {
                    if path.is_dir() {
                        remove_folder(&path)?;
                    } else {
                        remove_file(&path)?;
                    }
                }
                None => {}
            }
        }
        regular.sort();
        for (step, path) in regular.iter().rev().skip(self.keep.newest) {
            let is_best = state.best.is_some_and(|best| best.step == *step);
            if !is_best && !self.keep.keeps(&self.read_state(path)?.state) {
                self.discard(path)?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint. It loses its name first: half a checkpoint under its own name would look like a whole one.
    fn discard(&self, path: &Path) -> Result<(), TrainError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = self.folder.join(format!("{REMOVING}{name}"));
        remove_folder(&hidden)?;
        failpoint::reach().map_err(|error| TrainError::io(path, error))?;
        fs::rename(path, &hidden).map_err(|error| TrainError::io(path, error))?;
        failpoint::reach().map_err(|error| TrainError::io(path, error))?;
        remove_folder(&hidden)
    }

    /// Moves `latest` off the checkpoint of `step`, to the one before it or to none, so that it never names a folder that is gone.
    fn retreat(&self, step: u64) -> Result<(), TrainError> {
        let before = self.entries()?.iter().filter_map(|(name, _)| step_of(name)).filter(|&other| other < step).max();
        match before {
            Some(before) => self.point("latest", before),
            None => remove_file(&self.folder.join("latest")),
        }
    }

    fn entries(&self) -> Result<Vec<(String, PathBuf)>, TrainError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TrainError::io(&self.folder, error)),
        };
        entries
            .map(|entry| {
                let entry = entry.map_err(|error| TrainError::io(&self.folder, error))?;
                Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
            })
            .collect()
    }

    fn point(&self, name: &str, step: u64) -> Result<(), TrainError> {
        let path = self.folder.join(name);
        let text = format!("{}\n", folder_name(step));
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        atomic::write(&path, text.as_bytes()).map_err(|error| TrainError::io(&path, error))
    }

    fn pointed(&self, name: &str) -> Result<Option<Checkpoint>, TrainError> {
        self.folder_of(name)?.map(|folder| self.read(&folder)).transpose()
    }

    /// The folder that a pointer names.
    fn folder_of(&self, name: &str) -> Result<Option<PathBuf>, TrainError> {
        let path = self.folder.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::io(&path, error)),
        };
        let name = text.trim();
        if step_of(name).is_none() {
            return Err(TrainError::broken(&path, format!("`{name}` names no checkpoint")));
        }
        Ok(Some(self.folder.join(name)))
    }

    fn read_state(&self, folder: &Path) -> Result<StateFile, TrainError> {
        let path = folder.join(STATE);
        let bytes = fs::read(&path).map_err(|error| TrainError::io(&path, error))?;
        let broken = |error: serde_json::Error| TrainError::broken(&path, error.to_string());
        serde_json::from_slice(&bytes).map_err(broken)
    }

    fn read(&self, folder: &Path) -> Result<Checkpoint, TrainError> {
        let file = self.read_state(folder)?;
        let bytes = |name: &str, digest: Digest| {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(|error| TrainError::io(&path, error))?;
            if Digest::of_bytes(&bytes) != digest {
                return Err(TrainError::broken(&path, "its digest differs from the one that was written"));
            }
            Ok(bytes)
        };
        Ok(Checkpoint {
            folder: folder.to_owned(),
            weights: bytes(WEIGHTS, file.weights_digest)?,
            optimizer: bytes(OPTIMIZER, file.optimizer_digest)?,
            average: file.average_digest.map(|digest| bytes(AVERAGE, digest)).transpose()?,
            state: file.state,
        })
    }
}

fn remove_folder(path: &Path) -> Result<(), TrainError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io(path, error)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
