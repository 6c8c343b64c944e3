//! `mtids-train calibrate`.

use std::path::PathBuf;

use crate::calibration::{Calibration, calibrate};
use clap::Args;
use mtids_runtime::exit::Exit;
use mtids_runtime::interrupt::Interrupt;

use super::common::print;

/// Find out on validation patients what a run's probabilities are worth
///
/// Writes calibration.json into the run folder, for `predict`. `fit` does it at its end; this is for runs of older versions, also for those calibrated without measures. The dataset must be the one that the run was trained on.
///
/// Example: mtids-train calibrate --run run --dataset dataset
#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder or URL of the dataset that the run was trained on
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Device to compute on [default: the run's, or the CPU where this machine lacks it]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print the calibration as JSON
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match calibrate(&self.run, &self.dataset, self.device.as_deref(), &Interrupt::install()?)? {
            Ok(calibration) if self.json => print(&format!("{}\n", serde_json::to_string_pretty(&calibration)?))?,
            Ok(calibration) => print(&text(&calibration))?,
            Err(reason) => {
                print(&format!("{}: not calibrated: {reason}\n", self.run.display()))?;
                return Ok(Exit::Findings);
            }
        }
        Ok(Exit::Done)
    }
}

fn text(calibration: &Calibration) -> String {
    let Calibration { nodes, patients, slope, intercept, level, least_probability, chose_epoch, .. } = calibration;
    let mut text = format!(
        "  calibrated on {nodes} nodes of {patients} validation patients\n  {}\n",
        calibration.answer_in_words()
    );
    if let Some(fusion) = &calibration.fusion {
        text.push_str(&format!("  measures weighed on {} training rows\n", fusion.reader.samples));
    }
    text.push_str(&format!(
        "  network alone: calibrated logit = {slope:.3} · logit {intercept:+.3}\n  sets of {:.0} %: joint classes with a probability of at \
         least {least_probability:.3}\n",
        100.0 * level
    ));
    if *chose_epoch {
        text.push_str("  the same patients chose the epoch, so both are a little too good\n");
    }
    text
}
