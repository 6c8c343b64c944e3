//! What names of findings, and cells of `station`, become under the rules and the station map of a configuration.
//!
//! Invariant: the functions that a build uses decide; nothing is decided here.

use mtids_annotations::table::{NameColumn, NamedText, station_of_cell};
use mtids_domain::taxonomy::{Location, RegionScheme};
use serde::Serialize;

use crate::config::BuildConfig;
use crate::error::PrepError;

/// What a name becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameMeaning {
    /// The name.
    pub name: String,
    /// Its line or row in the file, from 1.
    pub line: u64,
    /// Where it stood: `line`, `finding` or `station`.
    pub column: &'static str,
    /// Number of the rule that matches, from 0, as in `classes.0`.
    pub rule: Option<usize>,
    /// `kept`, or `ignored` by the rule; `no rule` where none matches, or none is asked because it is a cell of `station`.
    pub outcome: &'static str,
    /// Station; several where one of them is meant, which leaves only the region.
    pub station: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Status.
    pub metastasis: Option<&'static str>,
    /// Evidence of the status.
    pub evidence: Option<&'static str>,
    /// What the text would mean in a column `station`, for lines of text.
    pub as_station: Option<String>,
    /// Why a text about a station gives none; for a line without rule, why it is no cell of `station`.
    pub note: Option<String>,
}

/// What names become.
///
/// # Errors
/// [`PrepError::Config`] or [`PrepError::Annotations`] for a configuration that cannot be used.
pub fn meanings(config: &BuildConfig, names: &[NamedText]) -> Result<Vec<NameMeaning>, PrepError> {
    let (rules, scheme) = (config.class_rules()?, config.scheme()?);
    let meaning = |name: &NamedText| {
        let cell = station_of_cell(&name.text, config.station_map);
        let mut found = NameMeaning {
            name: name.text.clone(),
            line: name.line,
            column: match name.column {
                NameColumn::Line => "line",
                NameColumn::Finding => "finding",
                NameColumn::Station => "station",
            },
            rule: None,
            outcome: "no rule",
            station: None,
            region: None,
            metastasis: None,
            evidence: None,
            as_station: None,
            note: None,
        };
        let (place, note) = match name.column {
            NameColumn::Station => match cell {
                Ok(said) => (said.map(|said| said.location()), said.and_then(|said| said.fault()).map(str::to_owned)),
                Err(why) => (None, Some(why)),
            },
            NameColumn::Line | NameColumn::Finding => {
                let verdict = rules.verdict(&name.text, &[]);
                found.rule = verdict.rule;
                found.outcome = match (verdict.rule, verdict.ignored) {
                    (None, _) => "no rule",
                    (Some(_), true) => "ignored",
                    (Some(_), false) => "kept",
                };
                found.metastasis = verdict.metastasis.map(|status| status.name());
                found.evidence = verdict.metastasis.map(|_| verdict.evidence.letter());
                let fault =
                    verdict.station_fault.or_else(|| cell.as_ref().err().filter(|_| verdict.rule.is_none()).cloned());
                found.as_station = cell.ok().flatten().map(|said| words(said.location(), &scheme));
                (verdict.station, fault)
            }
        };
        found.region = place.and_then(|place| region(place, &scheme));
        found.station = place.map(|place| place.to_string());
        found.note = note;
        found
    };
    Ok(names.iter().map(meaning).collect())
}

fn region(place: Location, scheme: &RegionScheme) -> Option<String> {
    scheme.code_of(place).and_then(|code| scheme.name_of(code)).map(str::to_owned)
}

/// A place with its region, such as `10R or 11R: hilar`.
fn words(place: Location, scheme: &RegionScheme) -> String {
    format!("{place}: {}", region(place, scheme).as_deref().unwrap_or("no region"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_annotations::ClassRule;
    use mtids_annotations::table::lines_of;
    use mtids_domain::taxonomy::StationMap;

    #[test]
    fn names_are_shown_as_a_build_reads_them() {
        let rule = ClassRule { name: Some("^LN (?<station>.+)$".into()), ..ClassRule::default() };
        let config = BuildConfig { classes: vec![rule], ..BuildConfig::default() };
        let shown = |config: &BuildConfig, text: &str| {
            let found = meanings(config, &lines_of(text)).unwrap().remove(0);
            (found.outcome, found.station, found.region, found.as_station)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(shown(&config, "LN 4R"), ("kept", text("4R"), text("upper"), text("4R: upper")));
        assert_eq!(shown(&config, "LN 10-11R"), ("kept", text("10R or 11R"), text("hilar"), text("10R or 11R: hilar")));
        assert_eq!(shown(&config, "LN 4R+7"), ("kept", text("none"), None, text("none: no region")));
        assert_eq!(shown(&config, "Heart"), ("no rule", None, None, None));
        let neck = BuildConfig { station_map: StationMap::Neck, ..config };
        assert_eq!(shown(&neck, "LN level IV right").1, text("1R"));
        let cell = NamedText { line: 2, column: NameColumn::Station, text: "10-Nov".into() };
        let found = meanings(&neck, &[cell]).unwrap().remove(0);
        assert!(found.note.unwrap().contains("is a date"));
    }
}
