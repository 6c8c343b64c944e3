//! The audit as a value, and how it is made.

use std::path::Path;

use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_shards::{Totals, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agreement::{SourceAgreement, agreement};
use crate::checks;
use crate::config::AuditConfig;
use crate::count::{Count, Group};
use crate::distribution::{self, Sizes};
use crate::error::AuditError;
use crate::issue::AuditIssue;
use crate::measures::{Labels, Measured, measures};
use crate::opened::Opened;

/// What an audit found: `audit.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// The program that made it.
    pub program: Program,
    /// Digest of the dataset's manifest.
    pub dataset_digest: Digest,
    /// Settings.
    pub config: AuditConfig,
    /// Names of the regions, in the order of their codes.
    pub regions: Vec<String>,
    /// Views of a row, by name.
    pub views: Vec<View>,
    /// Outcome of the input files.
    pub input: Totals,
    /// Issues, the gravest first.
    pub issues: Vec<AuditIssue>,
    /// All rows.
    pub overall: Count,
    /// By split.
    pub by_split: Vec<Group>,
    /// By region.
    pub by_region: Vec<Group>,
    /// By region and split.
    pub by_region_and_split: Vec<Group>,
    /// By station.
    pub by_station: Vec<Group>,
    /// By evidence and level.
    pub by_evidence: Vec<Group>,
    /// By manufacturer, model and kernel.
    pub by_scanner: Vec<Group>,
    /// By use of contrast agent.
    pub by_contrast: Vec<Group>,
    /// By site; none where no row has one, as in a dataset of an older layout. So for the next two.
    #[serde(default)]
    pub by_site: Vec<Group>,
    /// By region and site.
    #[serde(default)]
    pub by_region_and_site: Vec<Group>,
    /// By sex of the patient.
    #[serde(default)]
    pub by_sex: Vec<Group>,
    /// By age of the patient, in bands of ten years.
    #[serde(default)]
    pub by_age_band: Vec<Group>,
    /// Rows of each patient, sorted.
    pub rows_per_patient: Vec<u64>,
    /// Short axes by status.
    pub sizes: Vec<Sizes>,
    /// Measures by status; none in a dataset of an older layout.
    pub measures: Vec<Measured>,
    /// Agreement of forms of source that speak of one place; none where no two do.
    pub agreement: Vec<SourceAgreement>,
}

impl Audit {
    /// Number of issues that count for the exit code.
    pub fn counted_issues(&self) -> usize {
        self.issues.iter().filter(|issue| self.config.fail_on.counts(issue.severity)).count()
    }
}

/// Audits a dataset.
///
/// # Errors
/// [`AuditError`] when there is no dataset, its index cannot be read, or a setting makes no sense.
pub fn audit(dataset: &Path, config: &AuditConfig) -> Result<Audit, AuditError> {
    audit_opened(&Opened::new(dataset)?, config)
}

/// Audits a dataset that is open.
///
/// # Errors
/// [`AuditError`] when its index cannot be read, or a setting makes no sense.
pub fn audit_opened(Opened { dataset, index }: &Opened, config: &AuditConfig) -> Result<Audit, AuditError> {
    config.validate()?;
    let manifest = dataset.manifest();
    let by_site = distribution::by_known(index, "site")?;
    let labels = Labels::of(index)?;
    let description = &manifest.description;
    let mut audit = Audit {
        program: Program::new("mtids-audit", env!("CARGO_PKG_VERSION")),
        dataset_digest: manifest.digest(),
        config: config.clone(),
        regions: description.regions.regions().iter().map(|region| region.name.clone()).collect(),
        views: description.views.clone(),
        input: manifest.totals.clone(),
        issues: checks::issues(index, &labels, manifest, config)?,
        overall: distribution::overall(index)?,
        by_split: distribution::by(index, ["split"])?,
        by_region: distribution::by(index, ["region_name"])?,
        by_region_and_split: distribution::by(index, ["region_name", "split"])?,
        by_station: distribution::by(index, ["station"])?,
        by_evidence: distribution::by(index, ["evidence", "level"])?,
        by_scanner: distribution::by(index, ["manufacturer", "model", "kernel"])?,
        by_contrast: distribution::by(index, ["contrast"])?,
        by_region_and_site: match by_site.is_empty() {
            true => Vec::new(),
            false => distribution::by(index, ["region_name", "site"])?,
        },
        by_site,
        by_sex: distribution::by_known(index, "sex")?,
        by_age_band: distribution::by_known(index, "age_band")?,
        rows_per_patient: distribution::rows_per_patient(index)?,
        sizes: distribution::sizes(index)?,
        measures: measures(index, &labels)?,
        agreement: agreement(index, config.same_place_mm)?,
    };
    // The order of codes, head to foot, is the order people read; polars sorts by name.
    let place = |name: Option<&str>| audit.regions.iter().position(|region| Some(region.as_str()) == name);
    let region = |group: &Group| place(group.names[0].as_deref()).unwrap_or(usize::MAX);
    let split = |name: &str| distribution::SPLITS.iter().position(|split| *split == name);
    audit.by_region.sort_by_key(region);
    audit.by_region_and_split.sort_by_key(|group| (region(group), split(group.name(1))));
    audit.by_region_and_site.sort_by_key(region);
    audit.by_split.sort_by_key(|group| split(group.name(0)));
    Ok(audit)
}
