//! Whom to ask what: the findings of issues whose labels are in question, with their place, by source.
//!
//! Invariants: one line for each finding and question, all of them, and none for a negative, which bears no label; sorted by source, site, then series
//! and slice, so that one person gets one piece; only pseudonyms and keys appear. The key of a row is what `corrections.csv` of
//! `mtids-prep build --corrections` takes. Units: LPS mm; slices from 0.

use std::collections::{BTreeMap, BTreeSet};

use mtids_runtime::text::no_formula;
use mtids_shards::Measure;

use crate::audit::Audit;
use crate::error::AuditError;
use crate::index::{Answer, Rows};
use crate::issue::Severity;
use crate::opened::Opened;

/// What tells nodes of a series apart, as no column does: all samples of a node have its measures, to the last digit.
const OF_THE_NODE: [Measure; 4] = [Measure::Volume, Measure::MeanHu, Measure::DeviationHu, Measure::Shell3Hu];

/// Column of the site.
const SITE: &str = "site";

/// A finding that someone should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkItem {
    /// Where the label comes from.
    pub source: String,
    /// Site, where it is known.
    pub site: Option<String>,
    /// Pseudonym of the series.
    pub series: String,
    /// Slice of the series.
    pub slice: i64,
    /// Place, LPS mm.
    pub place_mm: [f64; 3],
    /// Key of its row; of several samples the first that is asked about.
    pub finding: String,
    /// Region, where it is known.
    pub region: Option<String>,
    /// Station, where it is known.
    pub station: Option<String>,
    /// `benign`, `metastatic` or `unknown`.
    pub status: &'static str,
    /// Letter of the evidence of the status.
    pub evidence: String,
    /// How much the issue matters.
    pub severity: Severity,
    /// Code of the issue.
    pub issue: &'static str,
    /// What to ask.
    pub question: &'static str,
}

/// The worklist of an audit of this dataset.
///
/// # Errors
/// [`AuditError`] for an index that cannot be read.
pub fn worklist(Opened { index, .. }: &Opened, audit: &Audit) -> Result<Vec<WorkItem>, AuditError> {
    let asked: Vec<_> = audit.issues.iter().filter_map(|issue| Some((issue, issue.code.question()?))).collect();
    let keys: BTreeSet<&str> = asked.iter().flat_map(|(issue, _)| issue.rows.iter().map(String::as_str)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns = vec![
        "sample_key",
        "label_source",
        "series_key",
        "center_k",
        "center_x_mm",
        "center_y_mm",
        "center_z_mm",
        "region_name",
        "station",
        "metastasis",
        "evidence",
        "weight",
    ];
    let measures: Vec<String> =
        OF_THE_NODE.iter().map(|one| format!("grown_{}", one.name())).filter(|name| index.has(name)).collect();
    columns.extend(measures.iter().map(String::as_str));
    // An older layout names no site.
    let has_site = index.has(SITE);
    columns.extend(has_site.then_some(SITE));
    let answer = index.rows_of_keys(Rows::Findings, keys, &columns)?;
    let found = answer.texts("sample_key")?;
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, key) in found.iter().enumerate() {
        places.extend(key.as_deref().map(|key| (key, n)));
    }
    let text = |name: &str| answer.texts(name);
    let (sources, series, regions, stations) =
        (text("label_source")?, text("series_key")?, text("region_name")?, text("station")?);
    let nodes = nodes(&answer, &measures)?;
    let evidence = text("evidence")?;
    let sites = if has_site { text(SITE)? } else { vec![None; answer.len()] };
    let (slices, statuses) = (answer.numbers("center_k")?, answer.numbers("metastasis")?);
    let axes = [answer.numbers("center_x_mm")?, answer.numbers("center_y_mm")?, answer.numbers("center_z_mm")?];
    let mut items = Vec::new();
    for (issue, question) in asked {
        // In the order of the file, where the first sample of a finding is the one that lies on it.
        let rows: BTreeSet<usize> = issue.rows.iter().filter_map(|key| places.get(key.as_str()).copied()).collect();
        let mut seen = BTreeSet::new();
        for n in rows {
            if nodes[n].as_ref().is_some_and(|node| !seen.insert((&series[n], node))) {
                continue;
            }
            let Some(key) = &found[n] else { continue };
            items.push(WorkItem {
                source: sources[n].clone().unwrap_or_default(),
                site: sites[n].clone(),
                series: series[n].clone().unwrap_or_default(),
                slice: slices[n].unwrap_or_default().round() as i64,
                place_mm: [0, 1, 2].map(|axis: usize| axes[axis][n].unwrap_or(f64::NAN)),
                finding: key.clone(),
                region: regions[n].clone(),
                station: stations[n].clone(),
                status: match statuses[n] {
                    Some(1.0) => "metastatic",
                    Some(0.0) => "benign",
                    _ => "unknown",
                },
                evidence: evidence[n].clone().unwrap_or_default(),
                severity: issue.severity,
                issue: issue.code.name(),
                question,
            });
        }
    }
    items.sort_by(|a, b| {
        let order = |item: &WorkItem| {
            let (source, site, series) = (item.source.clone(), item.site.clone(), item.series.clone());
            (source, site, series, item.slice, item.finding.clone())
        };
        order(a).cmp(&order(b)).then_with(|| (a.severity, a.issue).cmp(&(b.severity, b.issue)))
    });
    Ok(items)
}

/// For each row that is one of several samples, what its node measures; `None` for the only sample of a finding, and where nothing is measured.
fn nodes(answer: &Answer, measures: &[String]) -> Result<Vec<Option<Vec<Option<u64>>>>, AuditError> {
    let measured = measures.iter().map(|name| answer.numbers(name)).collect::<Result<Vec<_>, _>>()?;
    let weights = answer.numbers("weight")?;
    let of_row = |n: usize| -> Vec<Option<u64>> { measured.iter().map(|column| column[n].map(f64::to_bits)).collect() };
    // The samples of a finding share a weight of 1.
    let is_sample = |n: &usize| weights[*n].is_some_and(|weight| weight < 1.0);
    let node = |n: usize| Some(n).filter(is_sample).map(of_row).filter(|node| node.iter().any(Option::is_some));
    Ok((0..answer.len()).map(node).collect())
}

/// The worklist as CSV, with a heading also where it is empty.
///
/// # Errors
/// [`csv::Error`] when memory cannot take it.
pub fn csv(items: &[WorkItem]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "source", "site", "series", "slice", "x_mm", "y_mm", "z_mm", "finding", "region", "station", "status",
        "evidence", "severity", "issue", "question",
    ])?;
    for item in items {
        let [x, y, z] = item.place_mm.map(|mm| format!("{mm:.2}"));
        let unknown = || "unknown".to_owned();
        writer.write_record([
            &no_formula(&item.source),
            &item.site.as_deref().map_or_else(unknown, no_formula),
            &no_formula(&item.series),
            &item.slice.to_string(),
            &x,
            &y,
            &z,
            &no_formula(&item.finding),
            &item.region.as_deref().map_or_else(unknown, no_formula),
            &item.station.as_deref().map_or_else(unknown, no_formula),
            item.status,
            &no_formula(&item.evidence),
            item.severity.name(),
            item.issue,
            item.question,
        ])?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}
