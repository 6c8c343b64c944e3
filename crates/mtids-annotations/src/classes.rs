//! What names and codes of findings mean: rules of the configuration, first match wins.
//!
//! Invariants: a name or a code becomes a label only where a rule says so; a rule never overrides what the source itself says; a finding
//! that no rule knows keeps its unknowns; where codes or words of one finding contradict each other, what they contradict stays unknown.

use mtids_dicom::concepts::LYMPH_NODE;
use mtids_domain::annotation::{Annotation, Code};
use mtids_domain::label::{Evidence, Metastasis, is_missing};
use mtids_domain::taxonomy::{Location, Station, StationMap, StationText};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AnnotationError;
use crate::lost_stations::LostStations;
use crate::said::{Contradicted, ReadByRule, Said};

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
pub struct Classes {
    rules: Vec<Rule>,
    map: StationMap,
}

/// What the rules say of a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Number of the first rule that matches, from 0; `None` where none does.
    pub rule: Option<usize>,
    /// The rule leaves it out.
    pub ignored: bool,
    /// Its place.
    pub station: Option<Location>,
    /// What the group `station` of the rule found in the name.
    pub station_text: Option<String>,
    /// Why that text gives no place.
    pub station_fault: Option<String>,
    /// Its status.
    pub metastasis: Option<Metastasis>,
    /// Evidence of the status.
    pub evidence: Evidence,
    /// Why its codes give no station or no status: other rules for them say otherwise.
    pub contradictions: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    name: Option<Regex>,
    code: Option<String>,
    ignore: bool,
    station: Option<Station>,
    metastasis: Option<Metastasis>,
    evidence: Evidence,
}

/// Names that have nothing in common: a rule that matches all of them is for every name.
const OTHER_NAMES: [&str; 3] = ["Heart", "ptv 1", "\u{e9}"];

impl Classes {
    /// Compiles the rules of a configuration; stations in names are of `map`.
    ///
    /// # Errors
    /// [`AnnotationError::Rule`] with the rule and what is wrong with it.
    pub fn new(rules: &[ClassRule], map: StationMap) -> Result<Self, AnnotationError> {
        let compile = |(number, rule)| Rule::compile(rule).map_err(|detail| AnnotationError::Rule { number, detail });
        Ok(Self { rules: rules.iter().enumerate().map(compile).collect::<Result<_, _>>()?, map })
    }

    /// True where no rule is given.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a structure of this name is a finding: RTSTRUCT mostly holds organs, so a rule must ask for it.
    pub fn asks_for(&self, name: &str) -> bool {
        self.rules.iter().find(|rule| rule.matches(name, &[])).is_some_and(|rule| !rule.ignore)
    }

    /// Whether there are rules, and none matches a finding or structure of this name with these codes.
    pub(crate) fn lacks_rule_for(&self, name: &str, codes: &[Code]) -> bool {
        let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
        !self.is_empty() && !self.rules.iter().any(|rule| rule.matches(name, &codes))
    }

    /// Whether the rule for a finding of this name with these codes leaves it out together with everything else, as that for the name `.` does.
    pub(crate) fn leaves_out_with_all(&self, name: &str, codes: &[Code]) -> bool {
        let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
        let found = self.rules.iter().find(|rule| rule.matches(name, &codes));
        found.is_some_and(|rule| rule.ignore && OTHER_NAMES.iter().all(|other| rule.matches(other, &[])))
    }

    /// What the first matching rule says of a finding of this name with these codes (SCHEME:VALUE).
    pub fn verdict(&self, name: &str, codes: &[String]) -> Verdict {
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.matches(name, codes));
        let Some((number, rule)) = found else { return Verdict::default() };
        let mut verdict = Verdict {
            rule: Some(number),
            ignored: rule.ignore,
            metastasis: rule.metastasis,
            evidence: rule.evidence,
            ..Verdict::default()
        };
        let text = rule.station_text(name);
        match text.map(|text| StationText::read(text, self.map)) {
            None => {}
            Some(Ok(said)) => {
                verdict.station = Some(said.location());
                verdict.station_fault = said.fault().map(str::to_owned);
            }
            // A name is not written for us: what it says of a station may be anything.
            Some(Err(error)) => verdict.station_fault = Some(error.to_string()),
        }
        verdict.station_text = text.map(str::to_owned);
        // A station in the name that is not understood is lost, and not another one.
        if verdict.station_fault.is_none() {
            verdict.station = verdict.station.or(rule.station.map(Location::One));
        }
        self.weigh_codes(number, codes, &mut verdict);
        verdict
    }

    /// Takes away what rules for other codes of the finding contradict. The order of rules says which name goes first, and not which code is true.
    fn weigh_codes(&self, number: usize, codes: &[String], verdict: &mut Verdict) {
        let [rule, later @ ..] = &self.rules[number..] else { return };
        let Some(own) = rule.telling_code() else { return };
        for other in later.iter().filter(|other| !other.ignore && other.matches("", codes)) {
            let Some(code) = other.telling_code() else { continue };
            if let (Some(one), Some(another)) = (verdict.metastasis, other.metastasis)
                && one != another
            {
                verdict.contradictions.push(format!("`{own}` is {one} by its class rule, and `{code}` is {another}"));
                (verdict.metastasis, verdict.evidence) = (None, Evidence::U);
            }
            if let (Some(Location::One(one)), Some(another)) = (verdict.station, other.station)
                && one != another
            {
                verdict
                    .contradictions
                    .push(format!("`{own}` is station {one} by its class rule, and `{code}` is {another}"));
                verdict.station = None;
            }
        }
    }

    /// The finding with what the first matching rule says of it; `None` where that rule leaves it out. A station in its name that is not
    /// understood is noted in `lost`.
    pub fn apply(&self, finding: Annotation, lost: &mut LostStations) -> Option<Annotation> {
        self.apply_beside(finding, &[], lost, &mut Contradicted::default())
    }

    /// As [`Self::apply`], beside what the source says of the finding in words; a status that they contradict stays unknown.
    pub(crate) fn apply_beside(
        &self,
        mut finding: Annotation,
        said: &[Said],
        lost: &mut LostStations,
        contradicted: &mut Contradicted,
    ) -> Option<Annotation> {
        let codes: Vec<String> = finding.codes.iter().map(ToString::to_string).collect();
        let mut verdict = self.verdict(&finding.finding, &codes);
        if verdict.ignored {
            return None;
        }
        if let Some((rule, status)) = verdict.rule.and_then(|number| self.rules.get(number)).zip(verdict.metastasis) {
            let unread_name = Some(finding.finding.as_str()).filter(|_| rule.name.is_none());
            let read = ReadByRule { status, unread_name, code: rule.code.as_deref() };
            if let Some(why) = read.contradicted_by(said) {
                verdict.contradictions.push(why);
                verdict.metastasis = None;
            }
        }
        verdict.contradictions.iter().for_each(|why| contradicted.add(&finding.finding, why));
        finding.station = finding.station.or(verdict.station);
        let says_one = verdict.station_text.is_some_and(|text| !is_missing(&text));
        if let (None, true, Some(why)) = (finding.station, says_one, verdict.station_fault) {
            lost.add(&finding.finding, &why);
        }
        if finding.metastasis.is_none() && verdict.metastasis.is_some() {
            (finding.metastasis, finding.evidence) = (verdict.metastasis, verdict.evidence);
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
        if let Some(other) =
            name.iter().flatten().flat_map(Regex::capture_names).flatten().find(|group| *group != "station")
        {
            return Err(format!(
                "`name` has a group `{other}`, which gives nothing; the group `station` gives a station"
            ));
        }
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

    /// Its code, where the rule is for a code alone, and that says more than that it is a lymph node.
    fn telling_code(&self) -> Option<&str> {
        let code = self.code.as_deref().filter(|_| self.name.is_none())?;
        let is_node = LYMPH_NODE.iter().any(|(scheme, value)| code.split_once(':') == Some((*scheme, *value)));
        (!is_node).then_some(code)
    }

    /// What the group `station` finds in a name.
    fn station_text<'a>(&self, name: &'a str) -> Option<&'a str> {
        let captured = self.name.as_ref()?.captures(name)?;
        captured.name("station").map(|station| station.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::{AnnotationSource, AnnotationTarget, Extent};
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
        Classes::new(&file.classes, StationMap::Iaslc)
    }

    #[test]
    fn a_group_of_another_name_is_refused_and_a_lost_station_is_no_other() {
        let error = classes("[[class]]\nname = '^LN (?<Station>.+)$'").unwrap_err().to_string();
        assert!(error.contains("group `Station`"), "{error}");
        let rules = classes("[[class]]\nname = '^LN (?<station>.+)$'\nstation = \"7\"").unwrap();
        let mut lost = LostStations::default();
        assert_eq!(rules.apply(finding("LN 4", None), &mut lost).unwrap().station, None);
        assert!(lost.sentence().is_some());
        assert_eq!(rules.apply(finding("LN 4R", None), &mut lost).unwrap().station, Some(Station::S4R.into()));
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
        let apply = |finding| classes.apply(finding, &mut LostStations::default());
        assert!(classes.asks_for("ln_4R") && !classes.asks_for("Heart"));
        assert_eq!(apply(finding("ln_4R", None)).unwrap().station, Some(Station::S4R.into()));
        assert_eq!(apply(finding("LN 99", None)).unwrap().station, None, "no such station: unknown");
        let coded = apply(finding("node", Some("59441001"))).unwrap();
        assert_eq!(
            (coded.station, coded.metastasis, coded.evidence),
            (Some(Station::S7.into()), Some(Metastasis::Metastatic), Evidence::B)
        );
        assert_eq!(apply(finding("Heart", None)), None);
        let mut labelled = finding("node", Some("59441001"));
        (labelled.metastasis, labelled.evidence) = (Some(Metastasis::Benign), Evidence::A);
        assert_eq!(apply(labelled.clone()).map(|found| found.metastasis), Some(Some(Metastasis::Benign)));
        assert_eq!(
            Classes::new(&[], StationMap::Iaslc).unwrap().apply(labelled.clone(), &mut LostStations::default()),
            Some(labelled),
            "without rules nothing changes"
        );
    }

    #[test]
    fn a_rule_for_all_other_names_is_told_from_one_of_its_own() {
        let rules = classes(
            "[[class]]\nname = '^LN (?<station>.+)$'\n[[class]]\nname = 'reactive'\nignore = true\n[[class]]\nname = '.'\nignore = true",
        )
        .unwrap();
        let is_left_out = |name: &str| rules.leaves_out_with_all(name, &[]);
        assert_eq!(["LN4R", "Heart", "LN 4R", "LN4R reactive"].map(is_left_out), [true, true, false, false]);
    }

    #[test]
    fn a_name_may_say_several_stations_or_none() {
        let classes = classes("[[class]]\nname = '^LN (?<station>.+)$'\n").unwrap();
        let hilar = classes.verdict("LN 10-11R", &[]);
        assert_eq!(hilar.station.unwrap().to_string(), "10R or 11R");
        assert_eq!((hilar.rule, hilar.station_text.as_deref(), hilar.station_fault), (Some(0), Some("10-11R"), None));
        let apart = classes.verdict("LN 4R+7", &[]);
        assert_eq!(apart.station, Some(Location::Unplaced));
        assert!(apart.station_fault.unwrap().contains("different regions"));
        let nonsense = classes.verdict("LN near heart", &[]);
        assert_eq!(nonsense.station, None);
        assert!(nonsense.station_fault.unwrap().contains("`near` is not understood"));
        assert_eq!(classes.verdict("Heart", &[]), Verdict::default());
    }

    #[test]
    fn a_station_that_is_not_understood_is_told_and_counted() {
        let classes = classes("[[class]]\nname = '^LN ?(?<station>.*)$'\n").unwrap();
        let mut lost = LostStations::default();
        let mut station = |name: &str, own: Option<Station>| {
            let mut one = finding(name, None);
            one.station = own.map(Location::One);
            classes.apply(one, &mut lost).unwrap().station.map(|place| place.to_string())
        };
        assert_eq!(station("LN 11Rs", None).as_deref(), Some("11R"));
        assert_eq!(station("LN 4R_2", None).as_deref(), Some("4R"));
        assert_eq!(station("LN 2L-4", None), None);
        assert_eq!((station("LN hilum", None), station("LN hilum", None)), (None, None));
        // What the source says itself is not lost, and a name without station says none.
        assert_eq!(station("LN hilum", Some(Station::S7)).as_deref(), Some("7"));
        assert_eq!((station("LN", None), station("Heart", None)), (None, None));
        assert_eq!(lost.findings(), 3);
        let told = lost.sentence().unwrap();
        assert!(told.contains("3 findings") && told.contains("`LN 2L-4` (1), `LN hilum` (2)"), "{told}");
        assert_eq!(LostStations::default().sentence(), None);
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
