//! `mtids-train track`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mtids_runtime::interrupt::Interrupt;
use mtids_train::tracking::tensorboard;

use super::common::print;

/// How often a signal is looked for while waiting.
const TICK: Duration = Duration::from_millis(200);

/// Show the logs of a run in TensorBoard
///
/// Writes an event file from the logs of a run, finished or not, and changes nothing of the run. With --follow it writes again every few seconds, until it is
/// interrupted. Then `tensorboard --logdir DIR` shows it; keep one folder per run below DIR to see several.
///
/// Example: mtids-train track --run run --tensorboard out/tensorboard/run
#[derive(Debug, Args)]
pub(crate) struct Track {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder of the event file
    #[arg(long, value_name = "DIR")]
    tensorboard: PathBuf,
    /// Write again every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    follow: Option<u64>,
}

impl Track {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let interrupt = Interrupt::install()?;
        loop {
            let tracked = tensorboard(&self.run, &self.tensorboard)?;
            print(&format!("{}: {} steps\n", tracked.path.display(), tracked.steps))?;
            let Some(seconds) = self.follow else { return Ok(()) };
            let ticks = u128::from(seconds) * 1000 / TICK.as_millis();
            for _ in 0..ticks {
                if interrupt.is_raised() {
                    return Ok(());
                }
                std::thread::sleep(TICK);
            }
        }
    }
}
