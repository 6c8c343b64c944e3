//! `mtids-train predict`.

use std::path::PathBuf;

use crate::error::TrainError;
use crate::folds::runs_in;
use crate::study::{PredictOptions, output, predict_studies, send};
use clap::Args;
use mtids_annotations::ClassFile;
use mtids_dicomweb::{Client, Connection, Credentials};
use mtids_domain::nodal::{Edition, Side};
use mtids_prep::config::BuildConfig;
use mtids_report::format::counted;
use mtids_report::terminal::tell;
use mtids_runtime::config;
use mtids_runtime::exit::Exit;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::lock::FolderLock;
use mtids_runtime::product::Product;

use super::common::{print, refuse_other};

/// Say of candidates in DICOM studies in which region they lie and whether they are metastatic
///
/// Candidates come from a table of points, masks, SEG, RTSTRUCT or SR, by the rules of `mtids-prep build`; this program does not look for nodes itself. Writes prediction.json, nodes.csv, report.html, and for each series a SEG and an SR. What could not be read is named (exit code 1). Research software, not for diagnosis.
///
/// Example: mtids-train predict --run run --data study --annotations points.csv --out answer --primary-side right
#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// Folder of a run, or of all folds of a cross-validation; several runs answer as an ensemble. Repeatable
    #[arg(long = "run", value_name = "DIR", required_unless_present = "measure_only")]
    runs: Vec<PathBuf>,
    /// Folder with DICOM files, of one study or of many, in any layout
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Candidates: a table (CSV, TSV, Excel or Parquet, see schemas/annotation-table.json), a mask (NIfTI, NRRD), or a folder of masks or PASCAL VOC
    /// boxes; repeatable. SEG, RTSTRUCT and SR are found in the data folder
    #[arg(long, value_name = "FILE")]
    annotations: Vec<PathBuf>,
    /// Rules that map names and codes of segments and structures (TOML, [[class]])
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Folder of the answer
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Side of the primary tumour, for the N category
    #[arg(long, value_name = "right|left", value_parser = side)]
    primary_side: Option<Side>,
    /// Edition of the TNM classification, 8 or 9
    #[arg(long, value_name = "N", default_value = "9", value_parser = edition)]
    edition: Edition,
    /// Measure candidates in mm and HU without asking a network
    #[arg(long, conflicts_with_all = ["runs", "primary_side"])]
    measure_only: bool,
    /// Candidates per pass; answers differ by rounding alone [default: the run's]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Device to compute on [default: the run's, or the CPU where this machine lacks it]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Write no DICOM objects
    #[arg(long)]
    no_dicom: bool,
    /// Send SEG and SR to the DICOMweb server at this address (STOW-RS), which must have the studies. Credentials as in `mtids-prep fetch`
    #[arg(long, value_name = "URL", conflicts_with = "no_dicom")]
    send: Option<String>,
    /// Certificates (PEM) to trust in --send instead of those of public authorities
    #[arg(long, value_name = "FILE", requires = "send")]
    ca_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    /// Configuration of a build (TOML): how studies and candidates are read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting of it, for example --set reading.repair=true; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

fn side(text: &str) -> Result<Side, &'static str> {
    text.parse().map_err(|_| "write right or left")
}

fn edition(text: &str) -> Result<Edition, &'static str> {
    text.parse().map_err(|_| "write 8 or 9")
}

impl Predict {
    fn settings(&self) -> anyhow::Result<BuildConfig> {
        let mut settings: BuildConfig = config::load(self.config.as_deref(), &self.sets)?;
        if self.data.is_some() {
            settings.data = self.data.clone();
        }
        settings.annotations.extend(self.annotations.iter().cloned());
        if let Some(path) = &self.classes {
            let rules: ClassFile = config::load(Some(path), &[])?;
            settings.classes.splice(0..0, rules.classes);
        }
        Ok(settings)
    }

    /// The server that gets the objects. An address that cannot be one is said before anything is computed.
    fn server(&self, interrupt: &Interrupt) -> Result<Option<Client>, TrainError> {
        let Some(address) = &self.send else { return Ok(None) };
        let connection = Connection {
            credentials: Credentials::from_environment()?,
            trusted: self.ca_file.clone(),
            interrupt: interrupt.clone(),
            ..Connection::default()
        };
        Ok(Some(Client::new(address, connection)?))
    }

    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        refuse_other(Product::Answer, "--out", &self.out)?;
        let _lock = FolderLock::exclusive(&self.out, "mtids-train predict").map_err(TrainError::from)?;
        let interrupt = Interrupt::install()?;
        let server = self.server(&interrupt)?;
        let objects = self.out.join("dicom");
        let options = PredictOptions {
            device: self.device.as_deref(),
            batch_size: self.batch_size,
            primary_side: self.primary_side,
            edition: self.edition,
            out: Some(&self.out),
            objects: Some(&objects),
            no_objects: self.no_dicom,
            pictures: true,
            show_progress: true,
        };
        let runs = self.runs.iter().map(|run| runs_in(run)).collect::<Result<Vec<_>, _>>()?.concat();
        let answer = predict_studies(&runs, self.settings()?, &options, &interrupt)?;
        let paths = output::write(&answer, &self.out)?;
        if self.json {
            print(&output::json(&answer)?)?;
        } else {
            print(&output::text(&answer))?;
            paths.iter().try_for_each(|path| print(&format!("  {}\n", path.display())))?;
            let written: usize = answer.patients.iter().map(|patient| patient.objects.len()).sum();
            if written > 0 {
                print(&format!("  {}: {written} DICOM objects\n", objects.display()))?;
            }
        }
        if let Some(client) = server {
            let sent = send(&answer, &objects, &client)?;
            let before = if sent.before > 0 { format!(", {} were there before", sent.before) } else { String::new() };
            tell(&format!("  {}: {} stored{before}", client.server(), counted(sent.stored, "object", "objects")));
        }
        Ok(if answer.is_incomplete() { Exit::Findings } else { Exit::Done })
    }
}
