//! `mtids-prep fetch`.

use std::path::PathBuf;

use crate::error::PrepError;
use crate::fetch::{FetchOptions, FetchRequest, Pseudonyms, days_of, fetch, uids_of};
use crate::secret::fetch_secret;
use clap::Args;
use mtids_dicom::Limits;
use mtids_dicomweb::{Client, Connection, Credentials, Retry, Uid};
use mtids_runtime::exit::Exit;
use mtids_runtime::interrupt::Interrupt;

use super::common::{pool, print};

/// Download studies from a DICOMweb server (QIDO-RS, WADO-RS)
///
/// Run again, it goes on, takes what was added on the server, and names what was removed there. Files are kept as the server stores them, identifiers included, unless --pseudonymise is given. Credentials come from MTIDS_DICOMWEB_TOKEN, or MTIDS_DICOMWEB_USER and MTIDS_DICOMWEB_PASSWORD. Exit code 1 if something was refused, removed or missing.
///
/// Example: mtids-prep fetch --server https://pacs:8042/dicom-web --patient LUNG-001 --out studies
#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// Address of the server, such as https://host:port/dicom-web
    #[arg(long, value_name = "URL")]
    server: String,
    /// Folder to write: dicom/ (for `build --data`), listed/, fetch.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// PatientID, in which * and ? stand for any letters; repeatable
    #[arg(long, value_name = "ID")]
    patient: Vec<String>,
    /// StudyInstanceUID; repeatable
    #[arg(long, value_name = "UID", value_parser = uid)]
    study: Vec<Uid>,
    /// File with StudyInstanceUIDs, one per line
    #[arg(long, value_name = "FILE")]
    uids: Option<PathBuf>,
    /// Modality of the series to fetch, such as CT; repeatable [default: all, SEG and SR too]
    #[arg(long, value_name = "NAME")]
    modality: Vec<String>,
    /// Days of the studies: YYYYMMDD-YYYYMMDD, or open at one end
    #[arg(long, value_name = "FROM-TO", value_parser = days_of, allow_hyphen_values = true)]
    date: Option<(String, String)>,
    /// Download what the folder has as well, and replace what has other bytes on the server
    #[arg(long)]
    reverify: bool,
    /// Write CT, PET, SEG and RTSTRUCT only, pseudonymised by an allowlist of attributes; needs the key of the project
    #[arg(long)]
    pseudonymise: bool,
    /// File with the pseudonym key, the same as `pseudonym.key_file` of the build [default: the environment variable MTIDS_PSEUDONYM_KEY]
    #[arg(long, value_name = "FILE", requires = "pseudonymise")]
    key_file: Option<PathBuf>,
    /// File outside of --out to which original UIDs are appended, for the operator; --prune needs it
    #[arg(long, value_name = "FILE", requires = "pseudonymise")]
    map: Option<PathBuf>,
    /// Remove from the folder what the server does not have any more
    #[arg(long)]
    prune: bool,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Requests in all where the server is busy or cannot be reached, with growing waits
    #[arg(long, value_name = "N", default_value_t = Retry::default().attempts, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: u32,
    /// Certificates (PEM) to trust instead of those of public authorities
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Fetch {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut studies = self.study;
        if let Some(path) = &self.uids {
            studies.extend(uids_of(path)?);
        }
        let request = FetchRequest { patients: self.patient, studies, modalities: self.modality, days: self.date };
        request.check()?;
        let pseudonyms = match self.pseudonymise {
            true => {
                if self.map.as_ref().is_some_and(|map| map.starts_with(&self.out)) {
                    let reason = "it leads back to the patients; put it outside of --out".into();
                    return Err(PrepError::Config { key: "--map".into(), reason }.into());
                }
                Some(Pseudonyms::new(fetch_secret(self.key_file.as_deref())?, self.map.as_deref())?)
            }
            false => None,
        };
        let interrupt = Interrupt::install()?;
        let connection = Connection {
            credentials: Credentials::from_environment()?,
            trusted: self.ca_file,
            retry: Retry { attempts: self.attempts, ..Retry::default() },
            interrupt: interrupt.clone(),
        };
        let client = Client::new(&self.server, connection)?;
        let limits = Limits::default();
        let options = FetchOptions {
            reverify: self.reverify,
            prune: self.prune,
            pseudonyms: pseudonyms.as_ref(),
            limits: &limits,
            interrupt: &interrupt,
            show_progress: true,
        };
        let pool = pool(Some(usize::from(self.parallel)))?;
        let summary = pool.install(|| fetch(&client, &request, &self.out, &options))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
        } else {
            print(&summary.text())?;
        }
        Ok(if summary.has_issues() { Exit::Findings } else { Exit::Done })
    }
}

fn uid(text: &str) -> Result<Uid, String> {
    Uid::parse(text).ok_or_else(|| "a UID has digits and dots, and at most 64 letters".to_owned())
}
