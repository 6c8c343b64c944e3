//! Settings of sampling: which rows take part, and how often each comes in an epoch.
//!
//! Invariants: a row that is filtered out never comes; of the others the expected numbers in an epoch add up to its length; a row comes the
//! whole number below or above its expected number of times. Datasets without parts of their own are one set of rows; with parts each is balanced
//! and weighted by itself. Only the columns that the settings need are read, from the index.

use mtids_domain::label::Evidence;
use mtids_shards::RowLabels;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What comes equally often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Rows.
    #[default]
    Rows,
    /// Regions.
    Region,
    /// Benign and metastatic.
    Metastasis,
    /// Pairs of region and status.
    Joint,
    /// Patients.
    Patient,
}

/// Which rows take part. An empty list lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only rows whose region is known. Default false.
    pub region_known: bool,
    /// Only rows whose status is known. Default false.
    pub metastasis_known: bool,
    /// Only rows whose status has one of these evidences. Default: all.
    pub evidence: Vec<Evidence>,
    /// Only rows of scanners of these manufacturers, as they stand in the index. Default: all.
    pub manufacturers: Vec<String>,
    /// Only rows of these models of scanners, as they stand in the index. Default: all.
    pub models: Vec<String>,
}

impl Filter {
    /// Whether a row takes part.
    pub fn keeps(&self, row: &RowLabels) -> bool {
        let listed = |list: &[String], value: &Option<String>| {
            list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
        };
        !(self.region_known && row.region.is_none() || self.metastasis_known && row.metastasis.is_none())
            && (self.evidence.is_empty() || self.evidence.contains(&row.evidence))
            && listed(&self.manufacturers, &row.manufacturer)
            && listed(&self.models, &row.model)
    }
}

/// Settings of sampling. By default each row comes once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// What comes equally often: `rows` (the default), `region`, `metastasis`, `joint` or `patient`. Rows whose class is unknown come as often
    /// as without balance.
    pub balance: Balance,
    /// Rows of a class come in proportion to the column `weight`. Default false: equally often.
    pub weights: bool,
    /// Rows in an epoch. Default: as many as pass the filter.
    pub epoch_rows: Option<u64>,
    /// Which rows take part.
    pub filter: Filter,
}

impl SamplingConfig {
    /// Whether each row of a split comes once, so that the index need not be read.
    pub(crate) fn is_every_row(&self) -> bool {
        *self == Self::default()
    }

    /// Whether each row that passes the filter comes once.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self { filter: self.filter.clone(), ..Self::default() }
    }

    /// Columns of the index that the settings need.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let Filter { region_known, metastasis_known, evidence, manufacturers, models } = &self.filter;
        let region = *region_known || matches!(self.balance, Balance::Region | Balance::Joint);
        let status = *metastasis_known || matches!(self.balance, Balance::Metastasis | Balance::Joint);
        let wanted = [
            (region, "region"),
            (status, "metastasis"),
            (!evidence.is_empty(), "evidence"),
            (!manufacturers.is_empty(), "manufacturer"),
            (!models.is_empty(), "model"),
            (self.balance == Balance::Patient, "patient_key"),
            (self.weights, "weight"),
        ];
        wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_the_columns_that_they_need() {
        assert!(SamplingConfig::default().columns().is_empty() && SamplingConfig::default().is_every_row());
        let joint = SamplingConfig { balance: Balance::Joint, ..Default::default() };
        assert_eq!(joint.columns(), ["region", "metastasis"]);
        let filter = Filter { evidence: vec![Evidence::A], models: vec!["m".into()], ..Default::default() };
        let filtered = SamplingConfig { filter, ..Default::default() };
        assert_eq!(filtered.columns(), ["evidence", "model"]);
        assert!(filtered.is_plain() && !filtered.is_every_row() && !joint.is_plain());
    }
}
