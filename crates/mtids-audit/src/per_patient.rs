//! What patients and studies have: statuses, regions with metastases, numbers of patches.
//!
//! Invariants: a patient counts once, as metastatic if any node is; rows that name no patient count for nobody.

use mtids_metrics::{Interval, wilson};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_patient::Findings;

/// Patients by their nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patients {
    /// Those whose nodes of known status are all benign.
    pub benign: u64,
    /// Those with a metastatic node.
    pub metastatic: u64,
    /// Those without a node of known status.
    pub unknown: u64,
    /// 95 % interval of the share of metastatic ones among those of known status.
    pub metastatic_interval: Option<[f64; 2]>,
    /// Patients by how many regions have a metastatic node: none, one, two, and so on. A node of unknown region counts for no region.
    pub by_metastatic_regions: Vec<u64>,
}

impl Patients {
    /// Of all findings.
    pub(crate) fn of(findings: &Findings) -> Self {
        let mut found = Self::default();
        for rows in findings.by_patient() {
            let statuses = rows.iter().filter_map(|row| findings.status(*row));
            match statuses.max() {
                None => found.unknown += 1,
                Some(0) => found.benign += 1,
                Some(_) => found.metastatic += 1,
            }
            let metastatic = rows.iter().filter(|row| findings.status(**row) == Some(1));
            let regions =
                metastatic.filter_map(|row| findings.region(*row)).fold(0u128, |all, region| all | 1 << region);
            let regions = regions.count_ones() as usize;
            if found.by_metastatic_regions.len() <= regions {
                found.by_metastatic_regions.resize(regions + 1, 0);
            }
            found.by_metastatic_regions[regions] += 1;
        }
        let interval = wilson(found.metastatic, found.benign + found.metastatic);
        found.metastatic_interval = interval.map(|Interval { low, high }| [low, high]);
        found
    }
}

/// Patches of each study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Studies {
    /// Studies.
    pub count: u64,
    /// Fewest patches of a study.
    pub fewest: u64,
    /// Median.
    pub median: u64,
    /// Most.
    pub most: u64,
}

impl Studies {
    /// Of the numbers of patches of each study.
    pub(crate) fn of(mut rows: Vec<u64>) -> Option<Self> {
        rows.sort_unstable();
        let (&fewest, &most) = (rows.first()?, rows.last()?);
        Some(Self { count: rows.len() as u64, fewest, median: rows[rows.len() / 2], most })
    }
}
