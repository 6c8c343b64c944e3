//! Settings of a cohort.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PhantomError;

/// Settings of a phantom cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Number of patients, one study each.
    pub patients: u32,
    /// Columns, rows, slices.
    pub dimensions: [usize; 3],
    /// Voxel size in mm (x, y, z); varies by up to 8 % between patients.
    pub spacing_mm: [f64; 3],
    /// Fewest and most nodes of a patient.
    pub nodes_per_patient: [u32; 2],
    /// Share of metastatic nodes.
    pub prevalence: f64,
    /// Share of nodes whose status the table leaves open.
    pub unknown_fraction: f64,
    /// Share of patients whose nodes come as DICOM SEG beside the table.
    pub segmentation_fraction: f64,
    /// Standard deviation of the scanner noise in HU.
    pub noise_hu: f64,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self {
            seed: 20260101,
            patients: 64,
            dimensions: [128, 128, 56],
            spacing_mm: [2.75, 2.75, 4.0],
            nodes_per_patient: [6, 12],
            prevalence: 0.35,
            unknown_fraction: 0.05,
            segmentation_fraction: 0.4,
            noise_hu: 12.0,
        }
    }
}

impl PhantomConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`PhantomError::Config`] naming the key.
    pub fn validate(&self) -> Result<(), PhantomError> {
        let fail = |key, reason: &str| Err(PhantomError::Config { key, reason: reason.to_owned() });
        if self.patients == 0 {
            return fail("patients", "a cohort needs a patient");
        }
        if self.dimensions.iter().any(|side| !(16..=1024).contains(side)) {
            return fail("dimensions", "each side needs 16 to 1024 voxels");
        }
        if self.spacing_mm.iter().any(|step| !(0.3..=10.0).contains(step)) {
            return fail("spacing_mm", "each step must lie between 0.3 and 10 mm");
        }
        let [least, most] = self.nodes_per_patient;
        if least == 0 || most < least || most > 24 {
            return fail("nodes_per_patient", "give the fewest and the most, from 1 to 24");
        }
        for (key, share) in [
            ("prevalence", self.prevalence),
            ("unknown_fraction", self.unknown_fraction),
            ("segmentation_fraction", self.segmentation_fraction),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return fail(key, "a share lies between 0 and 1");
            }
        }
        if !(0.0..=200.0).contains(&self.noise_hu) {
            return fail("noise_hu", "between 0 and 200 HU");
        }
        Ok(())
    }
}
