//! Candidates of studies for a prediction: read, joined and cut as a build does it, without split, shard or dataset.
//!
//! Purpose: a trained network must see the very voxels that it was trained on, so the same functions cut them. Invariants: a candidate gives one
//! row at its own place or a reason why it does not; every file has an outcome; series are decoded one at a time, so memory holds one CT with
//! its PET. Units: LPS mm, HU, voxels as [`PatchRow`] says.

use std::path::Path;

use mtids_annotations::{AnnotationFiles, Reject};
use mtids_dicom::{DicomError, FileOutcome, InstanceHeader, LoadedVolume, Refused, Series, load_pet, load_volume};
use mtids_domain::geometry::PointMm;
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_patch::Channel;
use mtids_report::progress::Progress;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{DatasetDescription, PatchRow, Split};
use strum::{Display, IntoStaticStr};

use crate::accounts::{Accounts, refuse_series};
use crate::build::explain_nothing;
use crate::config::{BuildConfig, CheckedConfig, PseudonymConfig};
use crate::context::Cutting;
use crate::error::PrepError;
use crate::measure::Measurer;
pub use crate::measure::Outline;
use crate::partition::PlannedSeries;
use crate::plan::{Gathered, gather};
use crate::rejects;
use crate::rows::{CutRows, Loaded, cut_rows};
use crate::scan::{ScanOptions, scan};
use crate::secret::read_secret;
use crate::views::ViewConfig;

/// Why a candidate has no row. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum LeftOut {
    /// More of a view lies outside the scanned field than `max_pad_fraction` allows.
    AtBorder,
    /// A view touches voxels that nobody measured: a repaired series has them.
    NotMeasured,
    /// The pixels of its series cannot be read.
    SeriesRefused,
}

/// Studies with their candidates; pixels are not read yet.
#[derive(Debug)]
pub struct Candidates {
    config: CheckedConfig,
    description: DatasetDescription,
    secret: PseudonymSecret,
    series: Vec<PlannedSeries>,
    outcomes: Vec<FileOutcome>,
    rejects: Vec<Reject>,
    without_candidate: Vec<String>,
}

/// One series, cut.
#[derive(Debug)]
pub struct CutSeries {
    /// The decoded CT; `None` where it was refused.
    pub volume: Option<LoadedVolume>,
    /// What became of each candidate, in their order.
    pub rows: Vec<Result<PatchRow, LeftOut>>,
    /// The voxels of each candidate, in the same order; none where the series was refused.
    pub outlines: Vec<Option<Outline>>,
    /// Files of the series, or of its PET, that were refused when their pixels were read.
    pub refused: Vec<Refused>,
}

/// The slice that lies nearest to a point, with its number in the series from 0.
pub fn nearest_slice(series: &Series, point: PointMm) -> Option<(usize, &InstanceHeader)> {
    crate::rows::nearest_slice(series, point)
}

impl BuildConfig {
    /// These settings for candidates of a network that was trained on rows of `description`: its views, one row at each candidate's place,
    /// and no pseudonym that anybody keeps.
    ///
    /// # Errors
    /// As [`BuildConfig::check`].
    pub fn for_candidates(mut self, description: &DatasetDescription) -> Result<CheckedConfig, PrepError> {
        let views = description.views.iter().map(|view| (view.name.clone(), ViewConfig::of(view)));
        self.views = Some(views.collect());
        self.patch = None;
        self.pet |= description.views.iter().any(|view| view.channels.contains(&Channel::Pet));
        self.samples_per_finding = 1;
        self.negatives.per_series = 0;
        self.pseudonym = PseudonymConfig { key_file: None, demo: true };
        self.check()
    }
}

impl Candidates {
    /// Reads headers and annotations, and joins them. `out` is a folder inside the studies that is not read.
    ///
    /// # Errors
    /// [`PrepError`]; [`PrepError::Nothing`] where no series has a candidate.
    pub fn read(
        config: CheckedConfig,
        description: DatasetDescription,
        out: Option<&Path>,
        interrupt: &Interrupt,
        show_progress: bool,
    ) -> Result<Self, PrepError> {
        let secret = read_secret(&config.pseudonym)?;
        let limits = config.limits();
        let files = AnnotationFiles::read(&config.annotations, &limits, config.station_map)?;
        let progress = Progress::new("reading headers", None, show_progress);
        let options = ScanOptions { tables: files.paths(), out, limits: &limits };
        let (scanned, mut outcomes) = scan(config.studies(), &options, &|| progress.inc(1), interrupt)?;
        progress.finish();
        let inputs = scanned.files;
        let (gathered, gathered_outcomes) = gather(scanned, &files, &config, &secret, interrupt)?;
        outcomes.extend(gathered_outcomes);
        let Gathered { series, unmatched_findings, rejects, without_finding, .. } = gathered;
        rejects::report(&rejects);
        let accounts = Accounts::of(&outcomes);
        accounts.report_refused();
        if series.is_empty() {
            let detail = explain_nothing(inputs, &accounts, unmatched_findings);
            return Err(PrepError::Nothing { path: config.studies().to_owned(), detail });
        }
        let has_candidate = |id: &str| series.iter().any(|planned| *planned.series.patient_id == *id);
        let without = without_finding.iter().filter(|id| !has_candidate(id));
        let without_candidate = without.map(|id| id.to_string()).collect();
        Ok(Self { config, description, secret, series, outcomes, rejects, without_candidate })
    }

    /// Series with candidates, sorted by patient, study and series.
    pub fn series(&self) -> &[PlannedSeries] {
        &self.series
    }

    /// What became of the files that are in no series with candidates.
    pub fn outcomes(&self) -> &[FileOutcome] {
        &self.outcomes
    }

    /// Entries of annotation sources that gave no candidate.
    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// PatientIDs of usable scans without any candidate, sorted.
    pub fn without_candidate(&self) -> &[String] {
        &self.without_candidate
    }

    /// The settings.
    pub fn config(&self) -> &CheckedConfig {
        &self.config
    }

    /// Decodes a series and cuts its candidates. A series or PET whose pixels cannot be read is refused and stops nothing.
    ///
    /// # Errors
    /// [`PrepError::Interrupted`] after a signal.
    pub fn cut(&self, planned: &PlannedSeries, interrupt: &Interrupt) -> Result<CutSeries, PrepError> {
        let Self { config, description, secret, .. } = self;
        let limits = config.limits();
        let mut refused = Vec::new();
        let mut refuse = |series, error: &DicomError| {
            for outcome in refuse_series(series, error) {
                if let FileOutcome::Refused(one) = outcome {
                    refused.push(one);
                }
            }
            tracing::warn!(series = &*series.series_uid, reason = error.reason().as_str(), "{error}");
        };
        let pet = planned
            .pet
            .as_ref()
            .and_then(|pet| load_pet(&pet.series, &limits).inspect_err(|error| refuse(&pet.series, error)).ok());
        let loaded = match load_volume(&planned.series, &limits) {
            Ok(loaded) => loaded,
            Err(error) => {
                refuse(&planned.series, &error);
                let rows = planned.findings.iter().map(|_| Err(LeftOut::SeriesRefused)).collect();
                let outlines = vec![None; planned.findings.len()];
                return Ok(CutSeries { volume: None, rows, outlines, refused });
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!(series = &*planned.series.series_uid, "{warning}");
        }
        let cutting = Cutting { config, description, secret, interrupt };
        let volumes = Loaded { ct: &loaded, pet: pet.as_ref().map(|pet| &pet.volume) };
        let CutRows { rows, at_border, at_invented } = cut_rows(Split::Test, planned, volumes, cutting)?;
        // A finding that is not left out has its one row, in the order of the findings.
        let mut rows = rows.into_iter();
        let mut outcome_of = |number: usize| match () {
            () if at_border.contains(&number) => Err(LeftOut::AtBorder),
            () if at_invented.contains(&number) => Err(LeftOut::NotMeasured),
            () => rows.next().ok_or(LeftOut::NotMeasured),
        };
        let rows = (0..planned.findings.len()).map(&mut outcome_of).collect();
        let measurer = Measurer::new(&loaded.volume, None);
        let outlines = planned.findings.iter().map(|finding| measurer.outline(finding)).collect();
        Ok(CutSeries { rows, outlines, volume: Some(loaded), refused })
    }
}
