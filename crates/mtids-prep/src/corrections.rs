//! Corrections: labels that a person decided after the annotations, by the key of the row that showed them.
//!
//! They apply to findings, before regions become classes and after patients are split, so no correction moves a patient. Invariants: a
//! correction whose old label is not the present one is refused, so none is applied twice or to another node than was looked at; a new status
//! never keeps the evidence of the old one; raw names stay in the file of the operator, a dataset records who decided as a pseudonym.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_annotations::Finding;
use mtids_domain::label::{Evidence, LabelLevel, Metastasis, ParseLabelError, is_missing};
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_domain::taxonomy::{Location, RegionScheme, Station};
use mtids_shards::CorrectionRecord;

use crate::config::CheckedConfig;
use crate::error::PrepError;
use crate::partition::PlannedSeries;

/// Columns of the table.
const COLUMNS: [&str; 6] = ["finding", "dimension", "old", "new", "by", "why"];
/// The word for a label that is not known.
const UNKNOWN: &str = "unknown";

/// Which label is corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dimension {
    /// The region; the station becomes one of its stations.
    Region,
    /// The station, and with it the region.
    Station,
    /// The status; its evidence becomes unknown and its level the node, unless lines of the table name them.
    Metastasis,
    /// The evidence of the status.
    Evidence,
    /// What the status was given for.
    Level,
}

impl Dimension {
    const ALL: [Self; 5] = [Self::Region, Self::Station, Self::Metastasis, Self::Evidence, Self::Level];

    fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Station => "station",
            Self::Metastasis => "metastasis",
            Self::Evidence => "evidence",
            Self::Level => "level",
        }
    }

    /// Two corrections of one finding contradict each other when they are about the same: a region is said by a station too.
    fn subject(self) -> Self {
        if self == Self::Station { Self::Region } else { self }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Correction {
    /// Line in the file.
    line: u64,
    /// Key of a row of the finding.
    sample_key: String,
    dimension: Dimension,
    old: String,
    new: String,
    /// Who decided.
    by: String,
}

impl Correction {
    /// Whether two lines about one label of a finding agree.
    fn says_the_same(&self, other: &Self) -> bool {
        self.dimension == other.dimension
            && self.old.eq_ignore_ascii_case(&other.old)
            && self.new.eq_ignore_ascii_case(&other.new)
    }
}

/// Reads the table of corrections and applies it to the findings; gives one record for each row that a finding can have.
///
/// # Errors
/// [`PrepError::Config`] naming file and line: an unreadable table, an unknown finding or label, an old label that does not fit, or two
/// corrections of one label that differ.
pub(crate) fn apply(
    path: &Path,
    planned: &mut [PlannedSeries],
    config: &CheckedConfig,
    secret: &PseudonymSecret,
) -> Result<Vec<CorrectionRecord>, PrepError> {
    let mut corrections = read(path)?;
    // A status comes last: it leaves evidence and level alone where the table names them.
    corrections.sort_by_key(|one| one.dimension == Dimension::Metastasis);
    let fail = |line: u64, reason: String| failure(path, format!("line {line}: {reason}"));
    let mut places: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (series, one) in planned.iter().enumerate() {
        for (number, finding) in one.findings.iter().enumerate() {
            let keys = (0..config.samples_per_finding).map(|sample| one.sample_key(finding, sample, secret));
            places.extend(keys.map(|key| (key, (series, number))));
        }
    }
    let mut seen: BTreeMap<(usize, usize, Dimension), &Correction> = BTreeMap::new();
    let mut records = Vec::new();
    for correction in &corrections {
        let Some(&(series, number)) = places.get(&correction.sample_key) else {
            let reason = format!(
                "no finding here has the key `{}`; take keys from a dataset of these studies and annotations, built with the same secret",
                correction.sample_key
            );
            return Err(fail(correction.line, reason));
        };
        let subject = (series, number, correction.dimension.subject());
        if let Some(before) = seen.insert(subject, correction) {
            // Samples of a finding have a key each, and a line for each of them says one thing.
            if before.says_the_same(correction) {
                continue;
            }
            let reason =
                format!("line {} corrects the same label of this finding otherwise; keep one of them", before.line);
            return Err(fail(correction.line, reason));
        }
        let names = |dimension| seen.contains_key(&(series, number, dimension));
        let keeps = Keeps { evidence: names(Dimension::Evidence), level: names(Dimension::Level) };
        // Places were made of these very lists.
        let Some(finding) = planned.get_mut(series).and_then(|one| one.findings.get_mut(number)) else { continue };
        let [old, new] = correct(finding, correction, keeps, config.region_scheme())
            .map_err(|reason| fail(correction.line, reason))?;
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
    Ok(records)
}

fn failure(path: &Path, reason: String) -> PrepError {
    PrepError::Config { key: format!("corrections, {}", path.display()), reason }
}

/// Reads the table: columns `finding`, `dimension`, `old`, `new`, `by` and `why`, all of them filled.
fn read(path: &Path) -> Result<Vec<Correction>, PrepError> {
    let fail = |reason: String| failure(path, reason);
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|error| fail(error.to_string()))?;
    let headers = reader.headers().map_err(|error| fail(error.to_string()))?.clone();
    let mut at = [0; COLUMNS.len()];
    for (at, name) in at.iter_mut().zip(COLUMNS) {
        *at = headers
            .iter()
            .position(|header| header.eq_ignore_ascii_case(name))
            .ok_or_else(|| fail(format!("no column `{name}`; the columns are {}", COLUMNS.join(", "))))?;
    }
    let mut corrections = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| fail(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let [sample_key, dimension, old, new, by, why] = at.map(|at| record.get(at).unwrap_or_default().to_owned());
        for (name, cell) in COLUMNS.into_iter().zip([&sample_key, &dimension, &old, &new, &by, &why]) {
            if cell.is_empty() {
                return Err(fail(format!("line {line}: `{name}` is empty; write `{UNKNOWN}` for an unknown label")));
            }
        }
        let named = Dimension::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(&dimension));
        let Some(dimension) = named else {
            let names = Dimension::ALL.map(Dimension::name).join(", ");
            return Err(fail(format!("line {line}: `{dimension}` is no dimension; there are {names}")));
        };
        corrections.push(Correction { line, sample_key, dimension, old, new, by });
    }
    Ok(corrections)
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

fn status(cell: &str) -> Result<Option<Metastasis>, String> {
    Metastasis::parse_cell(cell).map_err(|error| error.to_string())
}

fn evidence(cell: &str) -> Result<Evidence, String> {
    cell.parse().map_err(|error: ParseLabelError| error.to_string())
}

fn level(cell: &str) -> Result<LabelLevel, String> {
    cell.parse().map_err(|error: ParseLabelError| error.to_string())
}

fn station(cell: &str) -> Result<Option<Station>, String> {
    if is_unknown(cell) {
        return Ok(None);
    }
    cell.parse().map(Some).map_err(|error: mtids_domain::taxonomy::ParseStationError| error.to_string())
}

/// Code of a region of this build.
fn region(cell: &str, regions: &RegionScheme) -> Result<Option<i8>, String> {
    if is_unknown(cell) {
        return Ok(None);
    }
    let all = regions.regions();
    let found = all.iter().position(|region| region.name.eq_ignore_ascii_case(cell)).and_then(|n| i8::try_from(n).ok());
    found.map(Some).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|region| region.name.as_str()).collect();
        format!("`{cell}` is no region of this build; there are {}, {UNKNOWN}", names.join(", "))
    })
}

fn is_unknown(cell: &str) -> bool {
    is_missing(cell) || cell.eq_ignore_ascii_case(UNKNOWN)
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
        let names = correct(&mut finding, &correction, keeps, &RegionScheme::of_zones(&Zone::ALL).unwrap())?;
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
        let regions = RegionScheme::of_zones(&Zone::ALL).unwrap();
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
    fn lines_of_two_samples_of_a_finding_may_repeat_each_other() {
        let line = |line, new: &str| {
            let [sample_key, old, new, by] = ["k", "benign", new, "AB"].map(str::to_owned);
            Correction { line, sample_key, dimension: Dimension::Metastasis, old, new, by }
        };
        assert!(line(2, "metastatic").says_the_same(&line(3, "Metastatic")));
        assert!(!line(2, "metastatic").says_the_same(&line(3, "unknown")));
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

    #[test]
    fn a_table_is_read_whole_or_refused_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corrections.csv");
        let read_text = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        let found =
            read_text("Why,finding,dimension,old,new,by\n\"seen again, larger\",ab,METASTASIS,benign,metastatic,AB\n")
                .unwrap();
        assert_eq!((found.len(), found[0].dimension, found[0].line), (1, Dimension::Metastasis, 2));
        assert!(read_text("finding,dimension,old,new,by\n").unwrap_err().contains("no column `why`"));
        let empty = read_text("finding,dimension,old,new,by,why\nab,region,upper,,AB,seen\n").unwrap_err();
        assert!(empty.contains("line 2: `new` is empty") && empty.contains("corrections.csv"), "{empty}");
        assert!(
            read_text("finding,dimension,old,new,by,why\nab,size,1,2,AB,x\n").unwrap_err().contains("no dimension")
        );
        assert!(read(&folder.path().join("none.csv")).unwrap_err().to_string().contains("none.csv"));
    }
}
