//! Places without finding: where patches are cut that hold no annotated node.
//!
//! Purpose: a detector, or a test for short-cuts, needs patches of the same anatomy without a finding. Such a row bears no label: what nobody
//! annotated is unknown, not benign. Units: LPS mm. Invariants: the places are a pure function of the volume, its findings, the
//! configuration and the series' pseudonym; each keeps the stated distance from every finding.

use mtids_domain::geometry::PointMm;
use mtids_domain::volume::Volume;
use mtids_patch::{Place, cells_in};
use mtids_runtime::random::rng_for;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PrepError;
use mtids_annotations::Finding;

/// How negatives are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NegativesConfig {
    /// Negatives per series with annotations; fewer where there is no room. Default 0.
    pub per_series: u32,
    /// Least distance from every annotation of the series, mm: between centres, minus half the annotation's short axis where known.
    /// Default 20.
    pub min_distance_mm: f64,
    /// Where they are sampled. Default `mediastinum`.
    pub within: Place,
}

impl Default for NegativesConfig {
    fn default() -> Self {
        Self { per_series: 0, min_distance_mm: 20.0, within: Place::Mediastinum }
    }
}

impl NegativesConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`PrepError::Config`] naming the key.
    pub fn validate(&self) -> Result<(), PrepError> {
        let fail = |key: &str, reason: &str| Err(PrepError::Config { key: key.into(), reason: reason.into() });
        if self.per_series > 1000 {
            return fail("negatives.per_series", "between 0 and 1000");
        }
        if !(0.0..=500.0).contains(&self.min_distance_mm) {
            return fail("negatives.min_distance_mm", "between 0 and 500 mm");
        }
        Ok(())
    }
}

/// A place and its distance from the nearest finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Negative {
    /// Centre.
    pub center: PointMm,
    /// Distance from the nearest finding, as [`NegativesConfig::min_distance_mm`] measures it.
    pub distance_mm: f64,
}

fn distance(point: PointMm, findings: &[Finding]) -> f64 {
    let from = |finding: &Finding| finding.center.distance(point) - finding.short_axis_mm.unwrap_or(0.0) / 2.0;
    findings.iter().map(from).fold(f64::INFINITY, f64::min)
}

/// Samples the places of a series. `key` is its pseudonym.
pub fn sample_negatives(
    volume: &Volume,
    findings: &[Finding],
    config: &NegativesConfig,
    seed: u64,
    key: &str,
) -> Vec<Negative> {
    if config.per_series == 0 {
        return Vec::new();
    }
    let (mut cells, step) = cells_in(volume, config.within);
    // A place may lie half a cell from the centre of its cell, along each axis.
    let slack = step / 2.0 * 3.0_f64.sqrt();
    cells.retain(|cell| distance(*cell, findings) >= config.min_distance_mm + slack);
    let mut random = rng_for(seed, &format!("negatives {key}"), &[]);
    let mut chosen = Vec::with_capacity(config.per_series as usize);
    while chosen.len() < config.per_series as usize && !cells.is_empty() {
        let cell = cells.swap_remove(random.random_range(0..cells.len()));
        let center = PointMm(cell.0.map(|x| x + random.random_range(-step / 2.0..=step / 2.0)));
        chosen.push(Negative { center, distance_mm: distance(center, findings) });
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::AnnotationSource;
    use mtids_domain::geometry::Affine;
    use mtids_domain::label::{Evidence, LabelLevel};

    fn finding(center: [f64; 3], short_axis_mm: Option<f64>) -> Finding {
        Finding {
            center: PointMm(center),
            station: None,
            metastasis: None,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm,
            mask: None,
            source: AnnotationSource::Table,
            contradictions: 0,
        }
    }

    fn tissue() -> Volume {
        let affine = Affine::new(PointMm::new(0.0, 0.0, 0.0), [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 4.0]]);
        Volume::new(vec![30; 60 * 60 * 20], [60, 60, 20], affine.unwrap()).unwrap()
    }

    #[test]
    fn places_keep_their_distance_and_repeat() {
        let findings = [finding([60.0, 60.0, 40.0], Some(20.0)), finding([20.0, 20.0, 10.0], None)];
        let config = NegativesConfig { per_series: 40, min_distance_mm: 30.0, within: Place::Body };
        let chosen = sample_negatives(&tissue(), &findings, &config, 1, "a");
        assert_eq!(chosen.len(), 40);
        for one in &chosen {
            assert!(one.center.distance(findings[0].center) - 10.0 >= 30.0, "{one:?}");
            assert!(one.center.distance(findings[1].center) >= 30.0, "{one:?}");
            assert_eq!(one.distance_mm, distance(one.center, &findings));
        }
        assert_eq!(chosen, sample_negatives(&tissue(), &findings, &config, 1, "a"));
        assert_ne!(chosen, sample_negatives(&tissue(), &findings, &config, 1, "b"));
        assert_ne!(chosen, sample_negatives(&tissue(), &findings, &config, 2, "a"));
    }

    #[test]
    fn without_room_there_are_fewer() {
        let findings = [finding([60.0, 60.0, 40.0], None)];
        let config = |per_series, min_distance_mm| NegativesConfig { per_series, min_distance_mm, within: Place::Body };
        assert_eq!(sample_negatives(&tissue(), &findings, &config(5, 200.0), 1, "a"), []);
        assert_eq!(sample_negatives(&tissue(), &findings, &config(0, 0.0), 1, "a"), []);
        // No lungs, no mediastinum.
        let middle = NegativesConfig { within: Place::Mediastinum, ..config(5, 0.0) };
        assert_eq!(sample_negatives(&tissue(), &findings, &middle, 1, "a"), []);
        assert!(config(1001, 0.0).validate().is_err() && config(1, f64::NAN).validate().is_err());
    }
}
