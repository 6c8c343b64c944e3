//! `mtids-train track`.

use std::path::PathBuf;
use std::time::Duration;

use crate::tracking::{Mlflow, mlflow, tensorboard};
use clap::{ArgGroup, Args};
use mtids_runtime::interrupt::Interrupt;

use super::common::{print, refuse_product};

/// How often a signal is looked for while waiting.
const TICK: Duration = Duration::from_millis(200);

/// Show the logs of a run in TensorBoard or MLflow
///
/// Reads the logs of a run, finished or not, and changes nothing of it. With --follow it looks again every few seconds, until it is interrupted.
///
/// For TensorBoard it writes an event file; `tensorboard --logdir DIR` shows all runs below DIR. To a tracking server of MLflow it sends settings and
/// values; a later call sends what has come since. Credentials come from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
/// MLFLOW_TRACKING_PASSWORD.
///
/// Example: mtids-train track --run run --tensorboard out/tensorboard/run
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).multiple(true).args(["tensorboard", "mlflow"])))]
pub(crate) struct Track {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder of the event file
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    /// Address of a tracking server, for example http://127.0.0.1:5000
    #[arg(long, value_name = "URL")]
    mlflow: Option<String>,
    /// Experiment on that server; made where there is none
    #[arg(long, value_name = "NAME", default_value = "mtids", requires = "mlflow")]
    experiment: String,
    /// Name of the run on that server [default: name of its folder]
    #[arg(long, value_name = "NAME", requires = "mlflow")]
    name: Option<String>,
    /// Look again every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    follow: Option<u64>,
}

impl Track {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        self.tensorboard.as_ref().map_or(Ok(()), |folder| refuse_product("--tensorboard", folder))?;
        let interrupt = Interrupt::install()?;
        self.once()?;
        let Some(seconds) = self.follow else { return Ok(()) };
        loop {
            let ticks = u128::from(seconds) * 1000 / TICK.as_millis();
            for _ in 0..ticks {
                if interrupt.is_raised() {
                    return Ok(());
                }
                std::thread::sleep(TICK);
            }
            // A server may be away for a while; what it missed is sent when it is back.
            if let Err(error) = self.once() {
                tracing::warn!("{error:#}");
            }
        }
    }

    fn once(&self) -> anyhow::Result<()> {
        let of_event_file = self.tensorboard.as_ref().map(|folder| tensorboard(&self.run, folder));
        let of_server = self.mlflow.as_ref().map(|server| mlflow(&self.run, &self.place(server)));
        for tracked in of_event_file.into_iter().chain(of_server) {
            let tracked = tracked?;
            print(&format!("{}: {} steps\n", tracked.place, tracked.steps))?;
        }
        Ok(())
    }

    fn place(&self, server: &str) -> Mlflow {
        let of_folder = || {
            let folder = self.run.canonicalize().unwrap_or_else(|_| self.run.clone());
            folder.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
        };
        Mlflow {
            server: server.to_owned(),
            experiment: self.experiment.clone(),
            name: self.name.clone().unwrap_or_else(of_folder),
            goes_on: self.follow.is_some(),
        }
    }
}
