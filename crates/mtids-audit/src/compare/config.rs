//! Settings of a comparison.
//!
//! Units: distances are mm; the smallest drift is in standard deviations. Every default is a constant with its reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::FailOn;
use crate::error::AuditError;

/// Settings of `mtids-audit compare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompareConfig {
    /// Lowest severity of an issue that gives exit code 1: `error`, `warning` or `never`. Default `warning`.
    pub fail_on: FailOn,
    /// Chance of a false claim of drift, over all columns and labels together (Holm). Default 0.05.
    pub significance: f64,
    /// A drift that is beyond chance is reported from this difference on, in standard deviations. Default 0.02: one point of a share of one half.
    pub smallest_drift: f64,
    /// A row that is gone and a new one of the same series closer than this are one finding that moved, in mm. Default 3: less than the
    /// smallest node of interest.
    pub same_place_mm: f64,
    /// Values of a text column, the most frequent first, whose shares are compared. Default 30.
    pub most_values: usize,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self {
            fail_on: FailOn::default(),
            significance: 0.05,
            smallest_drift: 0.02,
            same_place_mm: 3.0,
            most_values: 30,
        }
    }
}

impl CompareConfig {
    /// Checks the values that serde cannot.
    ///
    /// # Errors
    /// [`AuditError::Setting`], naming the key.
    pub fn validate(&self) -> Result<(), AuditError> {
        if !(self.significance > 0.0 && self.significance < 1.0) {
            return Err(AuditError::Setting {
                key: "significance",
                reason: "a number between 0 and 1, for example 0.05",
            });
        }
        if !(0.0..=10.0).contains(&self.smallest_drift) {
            return Err(AuditError::Setting { key: "smallest_drift", reason: "0 to 10 standard deviations" });
        }
        if !(0.0..=100.0).contains(&self.same_place_mm) {
            return Err(AuditError::Setting { key: "same_place_mm", reason: "a distance from 0 to 100 mm" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_named() {
        assert!(CompareConfig::default().validate().is_ok());
        for (key, broken) in [
            ("significance", CompareConfig { significance: 0.0, ..Default::default() }),
            ("smallest_drift", CompareConfig { smallest_drift: f64::NAN, ..Default::default() }),
            ("same_place_mm", CompareConfig { same_place_mm: -1.0, ..Default::default() }),
        ] {
            assert!(broken.validate().unwrap_err().to_string().contains(key), "{key}");
        }
    }
}
