//! Settings of an audit.
//!
//! Units: shares and associations lie in 0 to 1; distances are mm. Every default is a constant with its reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::issue::Severity;

/// Lowest severity of an issue that gives exit code 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    /// Errors.
    Error,
    /// Warnings and errors.
    #[default]
    Warning,
    /// Not at all.
    Never,
}

impl FailOn {
    /// True when an issue of this severity counts.
    pub fn counts(self, severity: Severity) -> bool {
        match self {
            Self::Error => severity == Severity::Error,
            Self::Warning => severity != Severity::Info,
            Self::Never => false,
        }
    }
}

/// Settings of `mtids-audit report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Lowest severity of an issue that gives exit code 1: `error`, `warning` or `never`. Default `warning`.
    pub fail_on: FailOn,
    /// With fewer patients no conclusions are drawn. Default 10.
    pub fewest_patients: u64,
    /// A class with fewer patients in a split is called small. Default 5: below, one patient moves a sensitivity by 20 points or more.
    pub smallest_class_patients: u64,
    /// Largest share of rows of a split whose label along one dimension may be unknown. Default 0.5.
    pub largest_unknown_share: f64,
    /// Two patches of a series whose centres are closer show the same place, in mm. Default 3: less than the smallest node of interest.
    pub same_place_mm: f64,
    /// AUROC from which the short axis alone is reported as a confounder. Default 0.9: the size criterion reaches less on patients.
    pub size_confounder: f64,
    /// Cramér's V from which an acquisition attribute is reported as a confounder. Default 0.5, a strong association by Cohen's convention.
    pub acquisition_confounder: f64,
    /// Cramér's V from which having a mask is reported as telling the status. Default 0.3, a medium association by Cohen's convention.
    pub mask_confounder: f64,
    /// Cramér's V from which a property of patients or labels is reported as telling the split. Default 0.3, a medium association by Cohen's
    /// convention.
    pub split_confounder: f64,
    /// Where a threshold of the short axis gives all statuses of a group but fewer than this share of its rarer status, and the evidence is
    /// another, they are reported as statuses by size. Default 0.05.
    pub size_rule_exceptions: f64,
    /// AUROC from which the short axis is reported as telling nodes of unknown status from the others, and its mirror image below 0.5. Default 0.7.
    pub selection_by_size: f64,
    /// Ratio of the short axes of annotation and mask, either way, above which they contradict each other. Default 3.
    pub size_against_mask: f64,
    /// Ratio of the mean weights of metastatic and benign rows, either way, from which it is reported. Default 1.5.
    pub largest_weight_ratio: f64,
    /// Largest share of known metastasis labels that may come from size alone (evidence D). Default 0.1.
    pub largest_size_label_share: f64,
    /// Largest difference of the metastatic share between the training split and another that is not mentioned. Default 0.2. A difference beyond
    /// chance is a warning, however small; a larger one that chance explains is a note.
    pub largest_prevalence_difference: f64,
    /// Cramér's V from which the evidence is reported as telling the status. Default 0.5, a strong association by Cohen's convention.
    pub evidence_confounder: f64,
    /// Short axis from which a node counts as metastatic by size alone, mm: the rule of evidence D. Default 10 (RECIST 1.1).
    pub size_criterion_mm: f64,
    /// Mean within 3 mm of a finding below which it does not lie in tissue, HU. Default -150: below fat.
    pub lowest_tissue_hu: f64,
    /// Cramér's V from which the form of source is reported as telling the status. Default 0.5, a strong association by Cohen's convention.
    pub source_confounder: f64,
    /// A finding of a right-sided station may lie this much further to the left than one of a left-sided station of its series, mm. Default 15:
    /// stations of both sides meet at the trachea, which is not straight.
    pub side_margin_mm: f64,
    /// A finding of a right-sided station may lie this far to the left of the body's midline, and one of a left-sided station to its right, mm.
    /// Default 20: right and left meet at the left wall of the trachea, about 10 mm to the left, and a trachea may be pushed aside.
    pub midline_margin_mm: f64,
    /// Equal pieces of the hashes of two patients' views, of 16, from which they are taken for copies of one scan; 4 to 16. Default 4: of
    /// 14 million pairs of other patients none had as many (docs/decisions/061).
    pub near_copy_pieces: u64,
    /// Lowest median of the blood in the aorta that is believed, HU. Default 0: blood without contrast agent has 30 to 50.
    pub lowest_blood_hu: f64,
    /// Highest median of the blood in the aorta that is believed, HU. Default 700.
    pub highest_blood_hu: f64,
    /// Smallest short axis that is believed, mm. Default 1.
    pub smallest_short_axis_mm: f64,
    /// Largest short axis that is believed, mm. Default 100.
    pub largest_short_axis_mm: f64,
    /// Lowest tube voltage that is believed, kV. Default 60.
    pub lowest_kvp: f64,
    /// Highest tube voltage that is believed, kV. Default 160.
    pub highest_kvp: f64,
    /// Slices further apart are no chest CT to judge nodes by, mm. Default 10.
    pub largest_slice_step_mm: f64,
    /// Largest share of the rows of a split that one patient may have, and never less than five equal shares; splits of fewer than
    /// `fewest_patients` are not judged. Default 0.2.
    pub largest_patient_share: f64,
    /// Of the patients that chance would give both statuses among their nodes, the share that must have both; below, statuses seem to be those of
    /// patients. Nothing is said where chance gives fewer than `fewest_patients`. Default 0.1.
    pub least_mixed_share: f64,
    /// Difference of a share of metastatic nodes, of unknown statuses, or of a region, between a site, scanner, sex or source and all other rows, from which it is
    /// reported where chance does not explain it. Default 0.15.
    pub largest_group_difference: f64,
    /// Chance of a false claim of a statistical check, over its splits or classes together; `region-share-differs` takes a fifth of it, and
    /// `status-share-of-group`, `unknown-share-of-group` and `region-share-of-group` a tenth each.
    /// Default 0.05.
    pub significance: f64,
    /// A patch with a larger share outside the scanned field is counted as padded. Default 0.25.
    pub padded_share: f64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            fail_on: FailOn::default(),
            fewest_patients: 10,
            least_mixed_share: 0.1,
            smallest_class_patients: 5,
            largest_unknown_share: 0.5,
            same_place_mm: 3.0,
            size_confounder: 0.9,
            acquisition_confounder: 0.5,
            mask_confounder: 0.3,
            split_confounder: 0.3,
            size_rule_exceptions: 0.05,
            selection_by_size: 0.7,
            size_against_mask: 3.0,
            largest_weight_ratio: 1.5,
            largest_size_label_share: 0.1,
            largest_prevalence_difference: 0.2,
            evidence_confounder: 0.5,
            size_criterion_mm: 10.0,
            lowest_tissue_hu: -150.0,
            source_confounder: 0.5,
            side_margin_mm: 15.0,
            midline_margin_mm: 20.0,
            near_copy_pieces: 4,
            lowest_blood_hu: 0.0,
            highest_blood_hu: 700.0,
            smallest_short_axis_mm: 1.0,
            largest_short_axis_mm: 100.0,
            lowest_kvp: 60.0,
            highest_kvp: 160.0,
            largest_slice_step_mm: 10.0,
            largest_patient_share: 0.2,
            largest_group_difference: 0.15,
            significance: 0.05,
            padded_share: 0.25,
        }
    }
}

impl AuditConfig {
    /// Checks the values that serde cannot.
    ///
    /// # Errors
    /// [`AuditError::Setting`], naming the key.
    pub fn validate(&self) -> Result<(), AuditError> {
        for (key, share) in [
            ("largest_unknown_share", self.largest_unknown_share),
            ("size_confounder", self.size_confounder),
            ("acquisition_confounder", self.acquisition_confounder),
            ("mask_confounder", self.mask_confounder),
            ("split_confounder", self.split_confounder),
            ("size_rule_exceptions", self.size_rule_exceptions),
            ("largest_size_label_share", self.largest_size_label_share),
            ("largest_prevalence_difference", self.largest_prevalence_difference),
            ("evidence_confounder", self.evidence_confounder),
            ("source_confounder", self.source_confounder),
            ("largest_patient_share", self.largest_patient_share),
            ("least_mixed_share", self.least_mixed_share),
            ("largest_group_difference", self.largest_group_difference),
            ("padded_share", self.padded_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(AuditError::Setting { key, reason: "a number from 0 to 1" });
            }
        }
        // With 0 no claim could be made, and with 1 every one.
        if !(self.significance > 0.0 && self.significance < 1.0) {
            return Err(AuditError::Setting {
                key: "significance",
                reason: "a number between 0 and 1, for example 0.05",
            });
        }
        for (key, number, range, reason) in [
            ("same_place_mm", self.same_place_mm, 0.0..=100.0, "a distance from 0 to 100 mm"),
            ("size_criterion_mm", self.size_criterion_mm, 0.0..=100.0, "a short axis from 0 to 100 mm"),
            ("selection_by_size", self.selection_by_size, 0.5..=1.0, "an AUROC from 0.5 to 1"),
            ("size_against_mask", self.size_against_mask, 1.0..=1e6, "a ratio of 1 or more"),
            ("largest_weight_ratio", self.largest_weight_ratio, 1.0..=1e6, "a ratio of 1 or more"),
            ("lowest_tissue_hu", self.lowest_tissue_hu, -1024.0..=300.0, "a value from -1024 to 300 HU"),
            ("side_margin_mm", self.side_margin_mm, 0.0..=500.0, "a distance from 0 to 500 mm"),
            ("midline_margin_mm", self.midline_margin_mm, 0.0..=500.0, "a distance from 0 to 500 mm"),
            ("lowest_blood_hu", self.lowest_blood_hu, -1024.0..=3071.0, "a value from -1024 to 3071 HU"),
            ("highest_blood_hu", self.highest_blood_hu, -1024.0..=3071.0, "a value from -1024 to 3071 HU"),
            ("smallest_short_axis_mm", self.smallest_short_axis_mm, 0.0..=1000.0, "a short axis from 0 to 1000 mm"),
            ("largest_short_axis_mm", self.largest_short_axis_mm, 0.0..=1000.0, "a short axis from 0 to 1000 mm"),
            ("lowest_kvp", self.lowest_kvp, 0.0..=1000.0, "a voltage from 0 to 1000 kV"),
            ("highest_kvp", self.highest_kvp, 0.0..=1000.0, "a voltage from 0 to 1000 kV"),
            ("largest_slice_step_mm", self.largest_slice_step_mm, 0.0..=1000.0, "a distance from 0 to 1000 mm"),
        ] {
            if !range.contains(&number) {
                return Err(AuditError::Setting { key, reason });
            }
        }
        for (key, low, high) in [
            ("lowest_blood_hu", self.lowest_blood_hu, self.highest_blood_hu),
            ("smallest_short_axis_mm", self.smallest_short_axis_mm, self.largest_short_axis_mm),
            ("lowest_kvp", self.lowest_kvp, self.highest_kvp),
        ] {
            if low > high {
                return Err(AuditError::Setting { key, reason: "not above the other end of its range" });
            }
        }
        if !(4..=16).contains(&self.near_copy_pieces) {
            return Err(AuditError::Setting { key: "near_copy_pieces", reason: "a number of pieces from 4 to 16" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::exit::ExitStatus;

    #[test]
    fn shares_outside_their_range_are_named() {
        assert!(AuditConfig::default().validate().is_ok());
        let error = AuditConfig { padded_share: 1.5, ..Default::default() }.validate().unwrap_err();
        assert!(error.to_string().contains("`padded_share`"));
        assert_eq!(error.exit() as u8, 2);
        assert!(AuditConfig { same_place_mm: f64::NAN, ..Default::default() }.validate().is_err());
        for significance in [0.0, 1.0, f64::NAN] {
            let error = AuditConfig { significance, ..Default::default() }.validate().unwrap_err();
            assert!(error.to_string().contains("`significance`"), "{error}");
        }
    }

    #[test]
    fn information_never_fails_an_audit() {
        assert!(!FailOn::Warning.counts(Severity::Info) && FailOn::Warning.counts(Severity::Warning));
        assert!(!FailOn::Error.counts(Severity::Warning) && FailOn::Error.counts(Severity::Error));
        assert!(!FailOn::Never.counts(Severity::Error));
    }
}
