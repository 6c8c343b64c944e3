//! What names and codes of findings mean: rules of the configuration, first match wins.
//!
//! Invariants: a name or a code becomes a label only where a rule says so; a rule never overrides what the source itself says; a finding
//! that no rule knows keeps its unknowns.

use mtids_domain::annotation::Annotation;
use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::taxonomy::Station;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AnnotationError;

/// One rule: labels of annotations with this name or code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClassRule {
    /// Regular expression that the name must match; a group `station` in it names the station.
    pub name: Option<String>,
    /// Code that the annotation must have, as SCHEME:VALUE, for example SCT:59441001.
    pub code: Option<String>,
    /// Leave such annotations out (organs, tumours). Default false.
    pub ignore: bool,
    /// Their station.
    pub station: Option<String>,
    /// Their status.
    pub metastasis: Option<Metastasis>,
    /// Evidence of that status. Default U.
    pub evidence: Option<Evidence>,
}

/// A file of rules, for `--classes`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFile {
    /// The rules.
    #[serde(rename = "class")]
    pub classes: Vec<ClassRule>,
}

/// Compiled rules.
#[derive(Debug)]
pub struct Classes(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    name: Option<Regex>,
    code: Option<String>,
    ignore: bool,
    station: Option<Station>,
    metastasis: Option<Metastasis>,
    evidence: Evidence,
}

impl Classes {
    /// Compiles the rules of a configuration.
    ///
    /// # Errors
    /// [`AnnotationError::Rule`] with the rule and what is wrong with it.
    pub fn new(rules: &[ClassRule]) -> Result<Self, AnnotationError> {
        let compile = |(number, rule)| Rule::compile(rule).map_err(|detail| AnnotationError::Rule { number, detail });
        Ok(Self(rules.iter().enumerate().map(compile).collect::<Result<_, _>>()?))
    }

    /// True where no rule is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a structure of this name is a finding: RTSTRUCT mostly holds organs, so a rule must ask for it.
    pub fn asks_for(&self, name: &str) -> bool {
        self.0.iter().find(|rule| rule.matches(name, &[])).is_some_and(|rule| !rule.ignore)
    }

    /// The finding with what the first matching rule says of it; `None` where that rule leaves it out.
    pub fn apply(&self, mut finding: Annotation) -> Option<Annotation> {
        let codes: Vec<String> = finding.codes.iter().map(ToString::to_string).collect();
        let Some(rule) = self.0.iter().find(|rule| rule.matches(&finding.finding, &codes)) else {
            return Some(finding);
        };
        if rule.ignore {
            return None;
        }
        finding.station = finding.station.or_else(|| rule.station_of(&finding.finding));
        if finding.metastasis.is_none() && rule.metastasis.is_some() {
            (finding.metastasis, finding.evidence) = (rule.metastasis, rule.evidence);
        }
        Some(finding)
    }
}

impl Rule {
    fn compile(rule: &ClassRule) -> Result<Self, String> {
        if rule.name.is_none() && rule.code.is_none() {
            return Err("a rule needs `name` or `code`".into());
        }
        if rule.evidence.is_some() && rule.metastasis.is_none() {
            return Err("`evidence` needs `metastasis`".into());
        }
        let name = rule.name.as_deref().map(Regex::new).transpose();
        let station = rule.station.as_deref().map(str::parse).transpose();
        Ok(Self {
            name: name.map_err(|error| format!("`name`: {error}"))?,
            code: rule.code.clone(),
            ignore: rule.ignore,
            station: station.map_err(|error| format!("`station`: {error}"))?,
            metastasis: rule.metastasis,
            evidence: rule.evidence.unwrap_or_default(),
        })
    }

    fn matches(&self, name: &str, codes: &[String]) -> bool {
        self.name.as_ref().is_none_or(|pattern| pattern.is_match(name))
            && self.code.as_ref().is_none_or(|code| codes.contains(code))
    }

    /// The station that the name carries, else the rule's own.
    fn station_of(&self, name: &str) -> Option<Station> {
        let captured = self.name.as_ref().and_then(|pattern| pattern.captures(name));
        let station = captured.as_ref().and_then(|captures| captures.name("station"));
        station.and_then(|station| station.as_str().parse().ok()).or(self.station)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::{AnnotationSource, AnnotationTarget, Code, Extent};
    use mtids_domain::geometry::PointMm;
    use mtids_domain::label::LabelLevel;

    fn finding(name: &str, code: Option<&str>) -> Annotation {
        Annotation {
            target: AnnotationTarget::default(),
            center: PointMm::new(0.0, 0.0, 0.0),
            extent: Extent::Point,
            finding: name.into(),
            codes: code.map(|value| Code { scheme: "SCT".into(), value: value.into() }).into_iter().collect(),
            station: None,
            metastasis: None,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm: None,
            source: AnnotationSource::Segmentation,
        }
    }

    fn classes(toml: &str) -> Result<Classes, AnnotationError> {
        let file: ClassFile = toml::from_str(toml).unwrap();
        Classes::new(&file.classes)
    }

    #[test]
    fn the_first_matching_rule_gives_meaning() {
        let classes = classes(
            r#"
            [[class]]
            name = '(?i)^LN[ _-]?(?<station>\d+[RL]?)$'
            [[class]]
            code = "SCT:59441001"
            station = "7"
            metastasis = "metastatic"
            evidence = "B"
            [[class]]
            name = "."
            ignore = true
            "#,
        )
        .unwrap();
        assert!(classes.asks_for("ln_4R") && !classes.asks_for("Heart"));
        assert_eq!(classes.apply(finding("ln_4R", None)).unwrap().station, Some(Station::S4R));
        assert_eq!(classes.apply(finding("LN 99", None)).unwrap().station, None, "no such station: unknown");
        let coded = classes.apply(finding("node", Some("59441001"))).unwrap();
        assert_eq!(
            (coded.station, coded.metastasis, coded.evidence),
            (Some(Station::S7), Some(Metastasis::Metastatic), Evidence::B)
        );
        assert_eq!(classes.apply(finding("Heart", None)), None);
        let mut labelled = finding("node", Some("59441001"));
        (labelled.metastasis, labelled.evidence) = (Some(Metastasis::Benign), Evidence::A);
        assert_eq!(classes.apply(labelled.clone()).map(|found| found.metastasis), Some(Some(Metastasis::Benign)));
        assert_eq!(Classes::new(&[]).unwrap().apply(labelled.clone()), Some(labelled), "without rules nothing changes");
    }

    #[test]
    fn faulty_rules_are_named() {
        let message = |toml: &str| classes(toml).unwrap_err().to_string();
        assert!(message("[[class]]\nname = '('\n").contains("classes.0"));
        assert!(message("[[class]]\nignore = true\n").contains("needs `name` or `code`"));
        assert!(message("[[class]]\nname = 'a'\nstation = '99'\n").contains("lymph-node station"));
        assert!(message("[[class]]\nname = 'a'\nevidence = 'A'\n").contains("needs `metastasis`"));
    }
}
