//! Settings of a build.
//!
//! Units: mm, voxels in (d, h, w). Invariant: paths, the secret, raw ids and the memory budget are no part of what a dataset
//! is; [`BuildConfig::published`] leaves them out. So the published configuration alone does not reproduce a dataset: the studies, the
//! annotations, the secret, and the tables of splits and corrections and `identity.same_person`, if there are any, belong to it. Its digest identifies
//! the settings, not the input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mtids_annotations::{ClassRule, Classes, Rules};
use mtids_dicom::Limits;
use mtids_domain::same_person::SamePerson;
use mtids_domain::taxonomy::{RegionScheme, StationMap, Zone};
use mtids_patch::{PatchGeometry, View, ViewName};
use mtids_runtime::digest::Digest;
use mtids_shards::ShardOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PrepError;
use crate::negatives::NegativesConfig;
use crate::origin::SiteConfig;
use crate::publication::Publication;
use crate::split::SplitConfig;
use crate::views::{ViewConfig, resolve};

const DEFAULT_MEMORY_MIB: u64 = 4096;

/// Settings of `mtids-prep build`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BuildConfig {
    /// Folder with DICOM files; `--data` sets it.
    pub data: Option<PathBuf>,
    /// Annotation tables, mask files (NIfTI, NRRD) and folders of PASCAL VOC boxes; `--annotations` adds to them.
    pub annotations: Vec<PathBuf>,
    /// Table of corrected labels (finding, dimension, old, new, by, why); `--corrections` sets it. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<PathBuf>,
    /// Read the DICOM SEG objects found in the data folder. Default true.
    pub read_segmentations: bool,
    /// Read the PET of the same study and frame of reference: views get it as a second channel, in hundredths of an SUV, and nodes their
    /// largest SUV. Default false.
    pub pet: bool,
    /// Read the structured reports (TID 1500) found in the data folder: those that refer to segments there, or place nodes by coordinates. Default
    /// true.
    pub read_reports: bool,
    /// Rules that map names and codes to labels, first match wins; `--classes` adds rules of a file before these. Default: none; then SEG and
    /// masks give annotations without labels, and RTSTRUCT is skipped, because most structures are organs.
    pub classes: Vec<ClassRule>,
    /// Map that the numbers of stations in tables and names belong to: `iaslc`, `naruke`, or `neck` (levels of the neck). Numbers without a
    /// counterpart on the IASLC map give no station and no region. Default iaslc.
    pub station_map: StationMap,
    /// Zones that form the classes of the region dimension, in the order of their codes. Default: all seven.
    pub regions: Vec<Zone>,
    /// Samples per annotation; the first at its centre, the others shifted. Default 1.
    pub samples_per_finding: u32,
    /// Largest shift of the other patches along each axis, mm. Default 4.
    pub jitter_mm: f64,
    /// Annotations of different sources closer than this are merged, mm. Default 5.
    pub join_tolerance_mm: f64,
    /// Patients in a shard, about. Default 8.
    pub patients_per_shard: u32,
    /// Raw voxel bytes of a row group over all views, MiB. Default 4.
    pub row_group_mib: u32,
    /// ZSTD level, 1 to 22. Default 3.
    pub zstd_level: i32,
    /// Limit of decoded voxels and rows of all workers together, MiB; a larger study is read alone. No influence on the output. Default 4096.
    pub memory_mib: u64,
    /// Share of input files that may be quarantined before the program ends with exit code 1. Default 0.
    pub max_quarantine: f64,
    /// Annotation entries (rows, structures, masks) that may give no finding before the program ends with exit code 1. Entries whose image is
    /// quarantined are not counted: `max_quarantine` limits those. Default 0.
    pub max_rejects: u64,
    /// Largest share of a view outside the scanned field, where the view with the largest share decides: mostly the widest. An annotation
    /// above it is left out, with all its samples, and counted. What lies outside is air. Default 1: all are kept, and the column
    /// `pad_fraction` says how much is padding.
    pub max_pad_fraction: f64,
    /// Patches of a dataset of one view, which is named `patch`: size, spacing, interpolation and planes. Not together with `views`.
    pub patch: Option<PatchGeometry>,
    /// Views that are cut around each place, by name; exactly those that are named. Default `near` (16 × 48 × 48 voxels of 2 × 1 × 1 mm)
    /// and `wide` (20 × 44 × 44 of 5 × 2.5 × 2.5 mm).
    pub views: Option<BTreeMap<ViewName, ViewConfig>>,
    /// Patches at places without annotation.
    pub negatives: NegativesConfig,
    /// How patients are split.
    pub split: SplitConfig,
    /// Who is one person.
    pub identity: IdentityConfig,
    /// What names the site of a series.
    pub site: SiteConfig,
    /// Bounds of reading.
    pub reading: ReadingConfig,
    /// Where the secret of the pseudonyms comes from.
    pub pseudonym: PseudonymConfig,
    /// What its publisher says of the dataset: licence, creators, date. For catalogues only. Default nothing.
    #[serde(skip_serializing_if = "Publication::is_empty")]
    pub publication: Publication,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            data: None,
            annotations: Vec::new(),
            corrections: None,
            read_segmentations: true,
            pet: false,
            read_reports: true,
            classes: Vec::new(),
            station_map: StationMap::default(),
            regions: Zone::ALL.to_vec(),
            samples_per_finding: 1,
            jitter_mm: 4.0,
            join_tolerance_mm: 5.0,
            patients_per_shard: 8,
            row_group_mib: 4,
            zstd_level: 3,
            memory_mib: DEFAULT_MEMORY_MIB,
            max_quarantine: 0.0,
            max_rejects: 0,
            max_pad_fraction: 1.0,
            patch: None,
            views: None,
            negatives: NegativesConfig::default(),
            split: SplitConfig::default(),
            identity: IdentityConfig::default(),
            site: SiteConfig::default(),
            reading: ReadingConfig::default(),
            pseudonym: PseudonymConfig::default(),
            publication: Publication::default(),
        }
    }
}

/// Who is one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Groups of PatientIDs that are one person, for example `[["A", "B"]]`. They become one patient with one pseudonym, that of the first
    /// id of the sorted group; groups with a common id are joined. A group of one id says that all its studies are of one person. Without
    /// it, one StudyInstanceUID or SOPInstanceUID under two PatientIDs stops the build. Default none.
    pub same_person: Vec<Vec<String>>,
}

/// Bounds of reading that a user may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReadingConfig {
    /// Quarantine series with lossy compression. Default true.
    pub refuse_lossy: bool,
    /// Fewest slices of a series. Default 3.
    pub min_slices: usize,
    /// Largest gantry tilt in degrees. Default 0.1.
    pub max_tilt_degrees: f64,
    /// Accepted jitter of slice positions, mm. Default 0.02; 1 % of the step is accepted as well.
    pub position_tolerance_mm: f64,
    /// Resample what would be refused otherwise: a gantry tilt of up to 30 degrees, single missing slices, and unequal steps of up to two
    /// usual ones. The column `repaired` says so; a finding with a view that touches voxels that nobody measured is left out and counted.
    /// Default false.
    pub repair: bool,
}

impl Default for ReadingConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            refuse_lossy: limits.refuse_lossy,
            min_slices: limits.min_slices,
            max_tilt_degrees: limits.max_tilt_degrees,
            position_tolerance_mm: limits.position_tolerance_mm,
            repair: limits.repair,
        }
    }
}

/// The secret of the pseudonyms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PseudonymConfig {
    /// File with at least 16 secret bytes, kept outside the dataset. Without it, the environment variable MTIDS_PSEUDONYM_KEY.
    pub key_file: Option<PathBuf>,
    /// Use a public key instead of a secret: for phantoms only.
    pub demo: bool,
}

/// A configuration whose values were checked, with what follows from them. Stages take this type, so nothing is checked twice.
#[derive(Debug)]
pub struct CheckedConfig {
    config: BuildConfig,
    studies: PathBuf,
    regions: RegionScheme,
    rules: Rules,
    same_person: SamePerson,
    views: Vec<View>,
    digest: Digest,
}

impl std::ops::Deref for CheckedConfig {
    type Target = BuildConfig;

    fn deref(&self) -> &BuildConfig {
        &self.config
    }
}

impl CheckedConfig {
    /// Folder with DICOM files.
    pub fn studies(&self) -> &Path {
        &self.studies
    }

    /// Classes of the region dimension.
    pub fn region_scheme(&self) -> &RegionScheme {
        &self.regions
    }

    /// What of the annotations is read, and what it means.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Which PatientIDs are one person.
    pub fn same_person(&self) -> &SamePerson {
        &self.same_person
    }

    /// Views of a row, sorted by name.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Digest of the settings that a dataset depends on.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl BuildConfig {
    /// Checks the values that serde cannot.
    ///
    /// # Errors
    /// [`PrepError::Config`] naming the key, or [`PrepError::Annotations`] naming the rule.
    pub fn check(self) -> Result<CheckedConfig, PrepError> {
        self.validate()?;
        let Some(studies) = self.data.clone() else {
            let reason = "missing; set --data DIR to the folder with DICOM files".into();
            return Err(PrepError::Config { key: "data".into(), reason });
        };
        let (regions, rules, same_person, views) = (self.scheme()?, self.rules()?, self.same_person()?, self.views()?);
        // What is said of the dataset changes none of its rows.
        let digest = Digest::of_json(&Self { publication: Publication::default(), ..self.published() })?;
        Ok(CheckedConfig { config: self, studies, regions, rules, same_person, views, digest })
    }

    fn validate(&self) -> Result<(), PrepError> {
        let fail = |key: &str, reason: &str| Err(PrepError::Config { key: key.into(), reason: reason.into() });
        self.views()?;
        self.scheme()?;
        self.rules()?;
        self.same_person()?;
        self.limits().validate().map_err(|fault| PrepError::Config {
            key: format!("reading.{}", fault.key),
            reason: fault.reason.into(),
        })?;
        self.split.validate()?;
        self.site.validate()?;
        self.negatives.validate()?;
        self.publication.validate()?;
        if !(1..=1000).contains(&self.samples_per_finding) {
            return fail("samples_per_finding", "between 1 and 1000");
        }
        if self.patients_per_shard == 0 {
            return fail("patients_per_shard", "at least 1");
        }
        if !(1..=1024).contains(&self.row_group_mib) {
            return fail("row_group_mib", "between 1 and 1024");
        }
        if !(1..=22).contains(&self.zstd_level) {
            return fail("zstd_level", "between 1 and 22");
        }
        for (key, value) in [("jitter_mm", self.jitter_mm), ("join_tolerance_mm", self.join_tolerance_mm)] {
            if !(0.0..=100.0).contains(&value) {
                return fail(key, "between 0 and 100 mm");
            }
        }
        if self.pseudonym.demo && self.pseudonym.key_file.is_some() {
            return fail("pseudonym", "either `demo` (phantoms only) or `key_file`, not both");
        }
        if !(0.0..=1.0).contains(&self.max_quarantine) {
            return fail("max_quarantine", "a share between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.max_pad_fraction) {
            return fail("max_pad_fraction", "a share between 0 and 1");
        }
        Ok(())
    }

    /// Classes of the region dimension.
    ///
    /// # Errors
    /// [`PrepError::Config`] for regions that are no scheme.
    pub fn scheme(&self) -> Result<RegionScheme, PrepError> {
        RegionScheme::of_zones(&self.regions)
            .map_err(|error| PrepError::Config { key: "regions".into(), reason: error.to_string() })
    }

    fn same_person(&self) -> Result<SamePerson, PrepError> {
        SamePerson::of_groups(&self.identity.same_person)
            .map_err(|error| PrepError::Config { key: "identity.same_person".into(), reason: error.to_string() })
    }

    /// The configuration as published in the dataset: without paths and identities.
    pub fn published(&self) -> Self {
        let pseudonym = PseudonymConfig { key_file: None, ..self.pseudonym.clone() };
        // Where each patient went is said by its row, not by the place of a table.
        let split = SplitConfig { table: None, ..self.split.clone() };
        let site = SiteConfig { table: None, ..self.site.clone() };
        // Raw ids stay outside; whose rows they are is said by the key of the patient.
        let identity = IdentityConfig::default();
        // Where and how fast it is built is no part of what it is.
        let memory_mib = DEFAULT_MEMORY_MIB;
        let mut published = Self {
            data: None,
            annotations: Vec::new(),
            corrections: None,
            pseudonym,
            split,
            site,
            identity,
            memory_mib,
            ..self.clone()
        };
        // In one form, however they were written.
        if let Ok(views) = self.views() {
            published.views = Some(views.iter().map(|view| (view.name.clone(), ViewConfig::of(view))).collect());
            published.patch = None;
        }
        published
    }

    /// Views of a row, sorted by name.
    ///
    /// # Errors
    /// [`PrepError::Config`] naming the key.
    pub fn views(&self) -> Result<Vec<View>, PrepError> {
        resolve(self.patch.as_ref(), self.views.as_ref(), self.pet)
    }

    /// Bounds for the readers.
    pub fn limits(&self) -> Limits {
        Limits {
            refuse_lossy: self.reading.refuse_lossy,
            min_slices: self.reading.min_slices,
            max_tilt_degrees: self.reading.max_tilt_degrees,
            position_tolerance_mm: self.reading.position_tolerance_mm,
            repair: self.reading.repair,
            ..Limits::default()
        }
    }

    /// The rules for names and codes, compiled.
    ///
    /// # Errors
    /// [`PrepError::Annotations`] naming the rule.
    pub fn class_rules(&self) -> Result<Classes, PrepError> {
        Ok(Classes::new(&self.classes, self.station_map)?)
    }

    fn rules(&self) -> Result<Rules, PrepError> {
        Ok(Rules {
            read_segmentations: self.read_segmentations,
            read_reports: self.read_reports,
            classes: self.class_rules()?,
            join_tolerance_mm: self.join_tolerance_mm,
            people: self.same_person()?,
            limits: self.limits(),
        })
    }

    /// How shards are written.
    pub fn shard_options(&self) -> ShardOptions {
        ShardOptions { row_group_bytes: (self.row_group_mib as usize) << 20, zstd_level: self.zstd_level }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_change_the_digest_and_settings_do() {
        let here = BuildConfig { data: Some("/here".into()), ..BuildConfig::default() };
        let digest = |config: BuildConfig| *config.check().unwrap().digest();
        let moved = BuildConfig { data: Some("/elsewhere".into()), memory_mib: 7, ..here.clone() };
        assert_eq!(digest(here.clone()), digest(moved));
        let publication = Publication { license: Some("CC0-1.0".into()), ..Publication::default() };
        assert_eq!(digest(here.clone()), digest(BuildConfig { publication, ..here.clone() }));
        assert_ne!(digest(here.clone()), digest(BuildConfig { samples_per_finding: 2, ..here }));
        assert!(BuildConfig::default().check().unwrap_err().to_string().contains("--data"));
    }

    #[test]
    fn ids_of_one_person_are_known_and_not_published() {
        let identity = IdentityConfig { same_person: vec![vec!["B-77".into(), "A-12".into()]] };
        let config = BuildConfig { data: Some("/here".into()), identity, ..BuildConfig::default() };
        let published = mtids_runtime::config::to_toml(&config.published()).unwrap();
        assert!(!published.contains("B-77") && !published.contains("A-12"), "{published}");
        assert_eq!(config.check().unwrap().same_person().canonical("B-77"), "A-12");
        let identity = IdentityConfig { same_person: vec![vec![String::new()]] };
        let error = BuildConfig { identity, ..BuildConfig::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("identity.same_person"), "{error}");
    }

    #[test]
    fn impossible_values_are_named() {
        assert!(BuildConfig::default().validate().is_ok());
        let error = BuildConfig { max_quarantine: 2.0, ..Default::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("max_quarantine"));
        assert!(BuildConfig { regions: Vec::new(), ..Default::default() }.validate().is_err());
        let reading = ReadingConfig { max_tilt_degrees: f64::NAN, ..Default::default() };
        let error = BuildConfig { reading, ..Default::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("reading.max_tilt_degrees"), "{error}");
    }
}
