//! Regions against what defines them: the manifest's codes and names, and the stations of each region.

use mtids_domain::taxonomy::{RegionScheme, Station};
use mtids_report::format::counted;
use polars::prelude::{Expr, SortMultipleOptions, col, len, lit};

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Rows whose region is none of the manifest's, and rows whose station lies in another region.
pub(super) fn defined(index: &Index, scheme: &RegionScheme) -> Result<Vec<AuditIssue>, AuditError> {
    let columns = ["region", "region_name", "station"];
    let answer = index.query(|frame| {
        frame.group_by(columns.map(col)).agg([len().alias("rows")]).sort(columns, SortMultipleOptions::default())
    })?;
    let (codes, names) = (answer.numbers("region")?, answer.texts("region_name")?);
    let (stations, rows) = (answer.texts("station")?, answer.counts("rows")?);
    let (mut foreign, mut outside) = (Found::default(), Found::default());
    for n in 0..answer.len() {
        let code = codes[n].map(|code| code as i8);
        let (name, station) = (names[n].as_deref(), stations[n].as_deref());
        if code.and_then(|code| scheme.name_of(code)) != name || code.is_some() != name.is_some() {
            let shown = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            foreign.add(
                index,
                rows[n],
                format!("code {shown}, name {}", name.unwrap_or("none")),
                codes[n],
                [name, station],
            )?;
            continue;
        }
        let known = station.and_then(|text| Station::ALL.iter().find(|station| station.code() == text));
        if let (Some(station), Some(code), Some(name)) = (known, code, name)
            && scheme.code_of(*station) != Some(code)
        {
            let example = format!("{station} in {name}");
            outside.add(index, rows[n], example, codes[n], [Some(name), Some(station.code())])?;
        }
    }
    let foreign = foreign.issue(index, |rows| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::RegionDiffersFromManifest,
            rows,
            format!(
                "{} a region whose code and name are not those of the manifest",
                counted(rows, "patch has", "patches have")
            ),
            "figures by region would mix classes: the dataset was not written by mtids-prep, or was changed; build it again",
        )
    })?;
    let outside = outside.issue(index, |rows| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::StationOutsideRegion,
            rows,
            format!("{} a station that does not belong to its region", counted(rows, "patch has", "patches have")),
            "one of both is wrong: ask the source, and correct the station or the region",
        )
    })?;
    Ok(foreign.into_iter().chain(outside).collect())
}

/// Groups of rows that are wrong in one way.
#[derive(Default)]
struct Found {
    rows: u64,
    examples: Vec<String>,
    condition: Option<Expr>,
}

impl Found {
    fn add(
        &mut self,
        index: &Index,
        rows: u64,
        example: String,
        code: Option<f64>,
        [name, station]: [Option<&str>; 2],
    ) -> Result<(), AuditError> {
        let is = |column: &str, value: Option<&str>| match value {
            Some(value) => index.is(column, value),
            None => Ok(col(column).is_null()),
        };
        let code = code.map_or_else(|| col("region").is_null(), |code| col("region").eq(lit(code as i32)));
        let these = code.and(is("region_name", name)?).and(is("station", station)?);
        self.rows += rows;
        self.examples.push(example);
        self.condition = Some(match self.condition.take() {
            Some(others) => others.or(these),
            None => these,
        });
        Ok(())
    }

    fn issue(self, index: &Index, issue: impl FnOnce(u64) -> AuditIssue) -> Result<Option<AuditIssue>, AuditError> {
        let Some(condition) = self.condition else { return Ok(None) };
        Ok(Some(issue(self.rows).with_examples(self.examples).with_rows(index.keys(condition)?)))
    }
}
