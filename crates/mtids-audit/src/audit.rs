//! The audit as a value, and how it is made.

use std::path::Path;

use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_shards::{Totals, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agreement::{SourceAgreement, agreement};
use crate::association::Association;
use crate::checks::{self, Checked};
use crate::config::AuditConfig;
use crate::count::{Count, Group};
use crate::distribution::{self, Sizes};
use crate::error::AuditError;
use crate::issue::AuditIssue;
use crate::measures::{Labels, Measured, measures};
use crate::opened::Opened;
use crate::per_patient::{Patients, Studies};
use crate::within::tables;

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
    /// By form of source.
    #[serde(default)]
    pub by_source: Vec<Group>,
    /// By region and manufacturer.
    #[serde(default)]
    pub by_region_and_manufacturer: Vec<Group>,
    /// By region and kernel.
    #[serde(default)]
    pub by_region_and_kernel: Vec<Group>,
    /// By region and slice thickness, to the next half mm.
    #[serde(default)]
    pub by_region_and_slice_thickness: Vec<Group>,
    /// By region and use of contrast agent.
    #[serde(default)]
    pub by_region_and_contrast: Vec<Group>,
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
    /// How much columns tell of labels: the region of the status, then the acquisition and the patient of both.
    #[serde(default)]
    pub associations: Vec<Association>,
    /// Rows of each patient, sorted.
    pub rows_per_patient: Vec<u64>,
    /// Patients by their nodes.
    #[serde(default)]
    pub patients: Patients,
    /// Patches of studies; none without any.
    #[serde(default)]
    pub studies: Option<Studies>,
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
    let labels = Labels::of(index)?;
    let Checked { issues, mut associations, findings } = checks::issues(index, &labels, manifest, config)?;
    let columns: [&[&str]; 16] = [
        &["split"],
        &["region_name"],
        &["region_name", "split"],
        &["station"],
        &["evidence", "level"],
        &["label_source"],
        &["manufacturer", "model", "kernel"],
        &["contrast"],
        &["region_name", "manufacturer"],
        &["region_name", "kernel"],
        &["region_name", "slice_thickness_mm"],
        &["region_name", "contrast"],
        &["site"],
        &["region_name", "site"],
        &["sex"],
        &["age_band"],
    ];
    let [
        by_split,
        by_region,
        by_region_and_split,
        by_station,
        by_evidence,
        by_source,
        by_scanner,
        by_contrast,
        by_region_and_manufacturer,
        by_region_and_kernel,
        by_region_and_slice_thickness,
        by_region_and_contrast,
        by_site,
        mut by_region_and_site,
        by_sex,
        by_age_band,
    ] = tables(index, &findings, columns)?;
    if by_site.is_empty() {
        by_region_and_site.clear();
    }
    associations.splice(0..0, Association::of_dimensions(&by_region));
    let patients = Patients::of(&findings);
    // Four bytes a row and more, beside the measures.
    drop(findings);
    let description = &manifest.description;
    let mut audit = Audit {
        program: Program::new("mtids-audit", env!("CARGO_PKG_VERSION")),
        dataset_digest: manifest.digest(),
        config: config.clone(),
        regions: description.regions.regions().iter().map(|region| region.name.clone()).collect(),
        views: description.views.clone(),
        input: manifest.totals.clone(),
        issues,
        overall: distribution::overall(index)?,
        by_split,
        by_region,
        by_region_and_split,
        by_station,
        by_evidence,
        by_scanner,
        by_contrast,
        by_source,
        by_region_and_manufacturer,
        by_region_and_kernel,
        by_region_and_slice_thickness,
        by_region_and_contrast,
        by_site,
        by_region_and_site,
        by_sex,
        by_age_band,
        associations,
        rows_per_patient: distribution::rows_per_patient(index)?,
        patients,
        studies: Studies::of(distribution::rows_per_key(index, "study_key")?),
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
    for groups in [
        &mut audit.by_region_and_manufacturer,
        &mut audit.by_region_and_kernel,
        &mut audit.by_region_and_slice_thickness,
        &mut audit.by_region_and_contrast,
        &mut audit.by_region_and_site,
    ] {
        groups.sort_by_key(region);
    }
    audit.by_split.sort_by_key(|group| split(group.name(0)));
    Ok(audit)
}
