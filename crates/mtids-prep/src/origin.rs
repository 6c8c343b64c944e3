//! Columns that tell of patient, site and side: what an audit needs, and no more than that.
//!
//! Invariants: a site's name is written only where the settings say so, otherwise its pseudonym; of an age the band alone; of an id the keyed
//! pseudonym of its folded form.

use std::path::PathBuf;

use mtids_dicom::Origin;
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_patch::{Channel, NearHash, Planes, View, near_hash};
use mtids_shards::AuditFacts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PrepError;
use crate::partition::PlannedSeries;

/// Name of the view that is hashed, where there are several.
const NEAR: &str = "near";

/// What names the site: an attribute of DICOM, or a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SiteSource {
    /// None: the column `site` stays empty.
    #[default]
    None,
    /// InstitutionName (0008,0080).
    InstitutionName,
    /// StationName (0008,1010): the name of the scanner in its hospital.
    StationName,
    /// ClinicalTrialSiteID (0012,0030).
    ClinicalTrialSiteId,
    /// The file `site.table`.
    Table,
}

/// How the column `site` is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SiteConfig {
    /// What names the site: `none`, `institution-name`, `station-name`, `clinical-trial-site-id` or `table`. Default none.
    pub from: SiteSource,
    /// For `table`: a CSV file with the columns `patient_id` and `site`. A patient whom it does not name has no site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// Write the name itself instead of its pseudonym; for names that may be published only. Default false.
    pub plainly: bool,
}

impl SiteConfig {
    /// Checks that a table is given where it is read.
    ///
    /// # Errors
    /// [`PrepError::Config`].
    pub(crate) fn validate(&self) -> Result<(), PrepError> {
        let reason = match (self.from, &self.table) {
            (SiteSource::Table, None) => "required by site.from = \"table\"",
            (SiteSource::Table, Some(_)) | (_, None) => return Ok(()),
            (_, Some(_)) => "only read with site.from = \"table\"",
        };
        Err(PrepError::Config { key: "site.table".into(), reason: reason.into() })
    }

    /// The site as it is written; `listed` is what the table says of the patient.
    fn of(&self, origin: &Origin, listed: Option<&String>, secret: &PseudonymSecret) -> Option<String> {
        let name = match self.from {
            SiteSource::None => None,
            SiteSource::Table => listed,
            SiteSource::InstitutionName => origin.institution.as_ref(),
            SiteSource::StationName => origin.station.as_ref(),
            SiteSource::ClinicalTrialSiteId => origin.trial_site.as_ref(),
        };
        name.map(|name| if self.plainly { name.clone() } else { secret.site(name) })
    }
}

/// What is known of the rows of a series before one is cut.
pub(crate) fn facts_of(planned: &PlannedSeries, site: &SiteConfig, secret: &PseudonymSecret) -> AuditFacts {
    let series = &planned.series;
    let origin = series.instances.first().map(|slice| slice.origin.as_ref().clone()).unwrap_or_default();
    AuditFacts {
        site: site.of(&origin, planned.listed_site.as_ref(), secret),
        sex: origin.sex,
        age_band: origin.age_band,
        folded_patient_key: Some(secret.folded_patient(&series.patient_id)),
        ..AuditFacts::default()
    }
}

/// The hash of the view `near`, or of the first one, where it is a volume whose first channel is CT.
pub(crate) fn hash_of(views: &[View], voxels: &[Vec<i16>]) -> Option<NearHash> {
    let number = views.iter().position(|view| view.name.as_str() == NEAR).unwrap_or(0);
    let (view, voxels) = (views.get(number)?, voxels.get(number)?);
    let is_volume = view.geometry.planes == Planes::Volume && view.channels.first() == Some(&Channel::Ct);
    let size = view.geometry.size;
    let hu = voxels.get(..size.iter().product()).filter(|_| is_volume)?;
    near_hash(hu, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_written_under_its_pseudonym_unless_the_settings_ask_for_its_name() {
        let secret = PseudonymSecret::from_bytes(b"sixteen bytes ok").unwrap();
        let origin = Origin { institution: Some("St. Elsewhere".into()), ..Origin::default() };
        let listed = Some("St. Table".to_owned());
        let of = |from, plainly| SiteConfig { from, plainly, table: None }.of(&origin, listed.as_ref(), &secret);
        assert_eq!(of(SiteSource::Table, true).as_deref(), Some("St. Table"));
        assert_eq!(of(SiteSource::None, true), None);
        assert_eq!(of(SiteSource::StationName, true), None);
        assert_eq!(of(SiteSource::InstitutionName, true).as_deref(), Some("St. Elsewhere"));
        let keyed = of(SiteSource::InstitutionName, false).unwrap();
        assert_eq!(keyed, secret.site(" ST. ELSEWHERE"));
        assert!(!keyed.contains("Elsewhere") && keyed.len() == 32);
    }
}
