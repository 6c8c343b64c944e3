//! Answers for studies, from Python.

use std::path::PathBuf;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};
use mtids_domain::nodal::{Edition, Side};
use mtids_prep::config::BuildConfig;
use mtids_runtime::config;
use mtids_runtime::interrupt::Interrupt;
use mtids_train::error::TrainError;
use mtids_train::study::{PredictOptions, StudyAnswer, output, predict_studies};
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;

use crate::error::{data, exception};

/// How often a signal is looked for.
const WATCH: Duration = Duration::from_millis(50);

/// As `mtids-train predict`; returns prediction.json as text. With `out` the files are written, with `dicom` the DICOM objects too.
#[pyfunction]
// One parameter per keyword of Python.
#[allow(clippy::too_many_arguments)]
pub(crate) fn predict(
    py: Python<'_>,
    runs: Vec<PathBuf>,
    studies: PathBuf,
    annotations: Vec<PathBuf>,
    out: Option<PathBuf>,
    primary_side: Option<&str>,
    edition: &str,
    dicom: bool,
    batch_size: Option<usize>,
    settings: Vec<String>,
) -> PyResult<String> {
    let wrong = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let side: Option<Side> = primary_side.map(str::parse).transpose().map_err(|error| wrong(&error))?;
    let edition: Edition = edition.parse().map_err(|error| wrong(&error))?;
    let mut config: BuildConfig = config::load(None, &settings).map_err(|error| exception(&error))?;
    config.data = Some(studies);
    config.annotations.extend(annotations);
    let work = |interrupt: &Interrupt| -> Result<StudyAnswer, TrainError> {
        let objects = out.as_ref().map(|out| out.join("dicom"));
        let options = PredictOptions {
            batch_size,
            primary_side: side,
            edition,
            out: out.as_deref(),
            objects: objects.as_deref(),
            no_objects: !dicom,
            pictures: out.is_some(),
            ..PredictOptions::default()
        };
        let answer = predict_studies(&runs, config, &options, interrupt)?;
        if let Some(out) = &out {
            output::write(&answer, out)?;
        }
        Ok(answer)
    };
    let answer = watched(py, work)?.map_err(|error| exception(&error))?;
    output::json(&answer).map_err(|error| data(&error))
}

/// Does work beside the interpreter, which looks for signals meanwhile: Ctrl-C raises the flag and `KeyboardInterrupt`.
fn watched<T: Send>(py: Python<'_>, work: impl FnOnce(&Interrupt) -> T + Send) -> PyResult<T> {
    let interrupt = Interrupt::new();
    let (sender, receiver) = bounded(1);
    let (done, signal) = std::thread::scope(|scope| {
        let flag = interrupt.clone();
        scope.spawn(move || _ = sender.send(work(&flag)));
        let mut signal = None;
        loop {
            match py.detach(|| receiver.recv_timeout(WATCH)) {
                Ok(done) => return (Some(done), signal),
                Err(RecvTimeoutError::Timeout) => {}
                // The work has panicked; the scope says so when it ends.
                Err(RecvTimeoutError::Disconnected) => return (None, signal),
            }
            if let Err(error) = py.check_signals() {
                interrupt.raise();
                signal = Some(error);
            }
        }
    });
    match (signal, done) {
        (Some(error), _) => Err(error),
        (None, Some(done)) => Ok(done),
        (None, None) => Err(PyKeyboardInterrupt::new_err("the work ended without an answer")),
    }
}
