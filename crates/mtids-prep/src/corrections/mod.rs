//! Corrections: labels that a person decided after the annotations, by the key of the row that showed them.
//!
//! They apply to findings, before regions become classes and after patients are split, so no correction moves a patient. Invariants: a
//! correction whose old label is not the present one is refused, so none is applied twice or to another node than was looked at; a new status
//! never keeps the evidence of the old one; raw names stay in the file of the operator, a dataset records who decided as a pseudonym.

mod dimension;
mod labels;
mod table;

use std::collections::BTreeMap;

use mtids_annotations::Finding;
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_domain::taxonomy::{Location, RegionScheme, Station};
use mtids_shards::CorrectionRecord;

use crate::config::CheckedConfig;
use crate::error::PrepError;
use crate::partition::PlannedSeries;
use dimension::Dimension;
use labels::{UNKNOWN, evidence, level, region, station, status};
use table::Correction;

pub(crate) use table::Corrections;

/// Applies the table to the findings; gives one record for each row that a finding can have.
///
/// # Errors
/// [`PrepError::Config`] naming file and lines, all of them: an unknown finding, an old label that does not fit, or two corrections of one label
/// that differ.
pub(crate) fn apply(
    table: &Corrections,
    planned: &mut [PlannedSeries],
    config: &CheckedConfig,
    secret: &PseudonymSecret,
) -> Result<Vec<CorrectionRecord>, PrepError> {
    let mut places: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (series, one) in planned.iter().enumerate() {
        for (number, finding) in one.findings.iter().enumerate() {
            let keys = (0..config.samples_per_finding).map(|sample| one.sample_key(finding, sample, secret));
            places.extend(keys.map(|key| (key, (series, number))));
        }
    }
    let mut seen: BTreeMap<(usize, usize, Dimension), &Correction> = BTreeMap::new();
    let (mut records, mut wrong) = (Vec::new(), Vec::new());
    for correction in &table.lines {
        let Some(&(series, number)) = places.get(&correction.sample_key) else {
            let reason = format!(
                "no finding here has the key `{}`; take keys from a dataset of these studies and annotations, built with the same secret",
                correction.sample_key
            );
            wrong.push((correction.line, reason));
            continue;
        };
        let subject = (series, number, correction.dimension.subject());
        if let Some(before) = seen.insert(subject, correction) {
            // Samples of a finding have a key each, and a line for each of them says one thing.
            if before.says_the_same(correction) {
                continue;
            }
            let reason =
                format!("line {} corrects the same label of this finding otherwise; keep one of them", before.line);
            wrong.push((correction.line, reason));
            continue;
        }
        let names = |dimension| seen.contains_key(&(series, number, dimension));
        let keeps = Keeps { evidence: names(Dimension::Evidence), level: names(Dimension::Level) };
        // Places were made of these very lists.
        let Some(finding) = planned.get_mut(series).and_then(|one| one.findings.get_mut(number)) else { continue };
        let [old, new] = match correct(finding, correction, keeps, config.region_scheme()) {
            Ok(names) => names,
            Err(reason) => {
                wrong.push((correction.line, reason));
                continue;
            }
        };
        let (one, by) = (&planned[series], secret.other("corrected by", &correction.by));
        let finding = &one.findings[number];
        records.extend((0..config.samples_per_finding).map(|sample| CorrectionRecord {
            sample_key: one.sample_key(finding, sample, secret),
            dimension: correction.dimension.name().to_owned(),
            old: old.clone(),
            new: new.clone(),
            by: by.clone(),
        }));
    }
    table.refuse(wrong)?;
    Ok(records)
}

/// What a new status leaves as it is, because a line of the table decided it.
#[derive(Clone, Copy, Debug, Default)]
struct Keeps {
    evidence: bool,
    level: bool,
}

/// Gives a finding its new label; returns the names of the old and the new one. The evidence of the old status is none of the new one, so it
/// becomes unknown; and whoever corrects a row looked at this node.
fn correct(
    finding: &mut Finding,
    correction: &Correction,
    keeps: Keeps,
    regions: &RegionScheme,
) -> Result<[String; 2], String> {
    let Correction { dimension, old, new, .. } = correction;
    let present = |name: Option<&str>| name.unwrap_or(UNKNOWN).to_owned();
    let names = match dimension {
        Dimension::Metastasis => {
            let [old, new] = [status(old)?, status(new)?];
            let now = finding.metastasis;
            check(*dimension, now == old, &present(now.map(Metastasis::name)), &correction.old)?;
            finding.metastasis = new;
            if !keeps.level {
                finding.level = LabelLevel::Node;
            }
            if !keeps.evidence {
                finding.evidence = Evidence::U;
            }
            [old, new].map(|status| present(status.map(Metastasis::name)))
        }
        Dimension::Evidence => {
            let [old, new] = [evidence(old)?, evidence(new)?];
            check(*dimension, finding.evidence == old, finding.evidence.letter(), &correction.old)?;
            finding.evidence = new;
            [old, new].map(|evidence| evidence.letter().to_owned())
        }
        Dimension::Level => {
            let [old, new] = [level(old)?, level(new)?];
            check(*dimension, finding.level == old, finding.level.name(), &correction.old)?;
            finding.level = new;
            [old, new].map(|level| level.name().to_owned())
        }
        Dimension::Station => {
            let [old, new] = [station(old)?, station(new)?];
            let now = finding.station.and_then(Location::station);
            check(*dimension, now == old, &present(now.map(Station::code)), &correction.old)?;
            finding.station = new.map(Location::One);
            [old, new].map(|station| present(station.map(Station::code)))
        }
        Dimension::Region => {
            let [old, new] = [region(old, regions)?, region(new, regions)?];
            let now = finding.station.and_then(|place| regions.code_of(place));
            let name = |code: Option<i8>| present(code.and_then(|code| regions.name_of(code)));
            check(*dimension, now == old, &name(now), &correction.old)?;
            let stations = new.and_then(|code| regions.regions().get(usize::try_from(code).ok()?));
            finding.station = stations.and_then(|region| Location::of(region.stations.iter().copied()));
            [old, new].map(name)
        }
    };
    if names[0] == names[1] {
        return Err(format!("`old` and `new` are both {}; remove the line", names[0]));
    }
    Ok(names)
}

/// Refuses an old label that is not the present one.
fn check(dimension: Dimension, fits: bool, now: &str, old: &str) -> Result<(), String> {
    if fits {
        return Ok(());
    }
    Err(format!(
        "the {} of this finding is {now}, and `old` says `{old}`; the annotations changed since, so look at the node again",
        dimension.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::AnnotationSource;
    use mtids_domain::geometry::PointMm;
    use mtids_domain::taxonomy::Zone;

    fn finding() -> Finding {
        Finding {
            center: PointMm([1.0, 2.0, 3.0]),
            station: Some(Location::One(Station::S4R)),
            metastasis: Some(Metastasis::Benign),
            evidence: Evidence::B,
            level: LabelLevel::Station,
            short_axis_mm: None,
            mask: None,
            source: AnnotationSource::Table,
            contradictions: 0,
        }
    }

    fn corrected(dimension: Dimension, old: &str, new: &str) -> Result<(Finding, [String; 2]), String> {
        corrected_but(Keeps::default(), dimension, old, new)
    }

    fn corrected_but(
        keeps: Keeps,
        dimension: Dimension,
        old: &str,
        new: &str,
    ) -> Result<(Finding, [String; 2]), String> {
        let [old, new] = [old, new].map(str::to_owned);
        let correction = Correction { line: 2, sample_key: "k".into(), dimension, old, new, by: "AB".into() };
        let mut finding = finding();
        let names = correct(&mut finding, &correction, keeps, &RegionScheme::of_zones(Zone::ALL).unwrap())?;
        Ok((finding, names))
    }

    #[test]
    fn a_new_status_has_the_evidence_and_level_of_the_table_or_none() {
        let (found, names) = corrected(Dimension::Metastasis, "benign", "N+").unwrap();
        assert_eq!((found.metastasis, found.evidence), (Some(Metastasis::Metastatic), Evidence::U));
        assert_eq!((names.join(" "), found.level), ("benign metastatic".to_owned(), LabelLevel::Node));
        let (found, _) = corrected(Dimension::Metastasis, "benign", "unknown").unwrap();
        assert_eq!((found.metastasis, found.evidence), (None, Evidence::U));
        let both = Keeps { evidence: true, level: true };
        let (found, _) = corrected_but(both, Dimension::Metastasis, "benign", "metastatic").unwrap();
        assert_eq!((found.evidence, found.level), (Evidence::B, LabelLevel::Station), "as other lines left them");
    }

    #[test]
    fn evidence_and_level_are_corrected_by_themselves() {
        let (found, names) = corrected(Dimension::Evidence, "b", "A").unwrap();
        assert_eq!((found.evidence, names.join(" ")), (Evidence::A, "B A".to_owned()));
        assert_eq!((found.metastasis, found.level), (Some(Metastasis::Benign), LabelLevel::Station));
        let (found, names) = corrected(Dimension::Evidence, "B", "unknown").unwrap();
        assert_eq!((found.evidence, names.join(" ")), (Evidence::U, "B U".to_owned()));
        let (found, names) = corrected(Dimension::Level, "station", "node").unwrap();
        assert_eq!((found.level, names.join(" ")), (LabelLevel::Node, "station node".to_owned()));
        assert!(corrected(Dimension::Evidence, "D", "A").unwrap_err().contains("the evidence of this finding is B"));
        assert!(corrected(Dimension::Evidence, "B", "E").unwrap_err().contains("evidence grade"));
        assert!(corrected(Dimension::Level, "patient", "node").unwrap_err().contains("is station"));
    }

    #[test]
    fn a_station_says_its_region_and_a_region_leaves_the_station_open() {
        let regions = RegionScheme::of_zones(Zone::ALL).unwrap();
        let region =
            |finding: &Finding| regions.name_of(regions.code_of(finding.station.unwrap()).unwrap()).unwrap().to_owned();
        let (found, _) = corrected(Dimension::Station, "4R", "7").unwrap();
        assert_eq!(found.station, Some(Location::One(Station::S7)));
        let subcarinal = region(&found);
        let upper = region(&finding());
        let (found, names) = corrected(Dimension::Region, &upper, &subcarinal).unwrap();
        assert_eq!((region(&found), names), (subcarinal, [upper.clone(), region(&found)]));
        let (found, _) = corrected(Dimension::Region, &upper, "unknown").unwrap();
        assert_eq!(found.station, None);
    }

    #[test]
    fn what_does_not_fit_or_changes_nothing_is_refused() {
        let refused = |dimension, old, new| corrected(dimension, old, new).unwrap_err();
        let status = refused(Dimension::Metastasis, "metastatic", "benign");
        assert!(status.contains("is benign, and `old` says `metastatic`"), "{status}");
        assert!(refused(Dimension::Station, "unknown", "7").contains("is 4R"));
        assert!(refused(Dimension::Metastasis, "benign", "0").contains("remove the line"));
        assert!(refused(Dimension::Metastasis, "benign", "perhaps").contains("perhaps"));
        assert!(refused(Dimension::Station, "4R", "99").contains("99"));
        assert!(refused(Dimension::Region, "nowhere", "unknown").contains("no region of this build"));
    }
}
