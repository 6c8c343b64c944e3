//! A count of rows by status, and one with names.
//!
//! Invariants: the parts of a count add up (benign + metastatic + unknown = rows); intervals are of 95 %, with the rows of a patient dependent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a group of rows holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Rows.
    pub rows: u64,
    /// Patients.
    pub patients: u64,
    /// Rows known to be benign.
    pub benign: u64,
    /// Rows known to be metastatic.
    pub metastatic: u64,
    /// Rows of unknown status.
    pub unknown: u64,
}

impl Count {
    /// Share of metastatic rows among those of known status.
    pub fn prevalence(&self) -> Option<f64> {
        let known = self.benign + self.metastatic;
        (known > 0).then(|| self.metastatic as f64 / known as f64)
    }

    /// Share of rows of unknown status.
    pub fn unknown_share(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.unknown as f64 / self.rows as f64)
    }
}

/// 95 % intervals of the shares of a group, by patient; none with fewer than two patients, or for rows that name none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intervals {
    /// Of its share of all rows.
    pub rows: Option<[f64; 2]>,
    /// Of the metastatic share of its rows of known status.
    pub metastatic: Option<[f64; 2]>,
    /// Of the share of unknown status in its rows.
    pub unknown: Option<[f64; 2]>,
}

/// A count by names: of a split, a region, a station, …; `None` stands for unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Names, in the order of the table's heading.
    pub names: Vec<Option<String>>,
    /// Its rows.
    #[serde(flatten)]
    pub count: Count,
    /// Intervals of its shares, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
}

impl Group {
    /// The name at a position, `unknown` for null.
    pub fn name(&self, position: usize) -> &str {
        self.names.get(position).and_then(Option::as_deref).unwrap_or("unknown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prevalence_leaves_the_unknown_out() {
        let count = Count { rows: 10, patients: 2, benign: 3, metastatic: 1, unknown: 6 };
        assert_eq!(count.prevalence(), Some(0.25));
        assert_eq!(Count::default().prevalence(), None);
    }
}
