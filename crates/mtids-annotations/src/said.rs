//! What a source says in words of the status of its own finding, against what a class rule makes of a name or code of it.
//!
//! Purpose: a rule that reads the code of a metastasis must not overrule "Biopsy result: benign" beside it. Invariants: a word never gives a status, and
//! can only take one away; what the rule itself read, the name or that code, does not contradict it; who reads the log learns of it.

use std::collections::BTreeMap;

use mtids_domain::annotation::Code;
use mtids_domain::label::Metastasis;

/// Words that say malignant, in lower case. `pathologic` is not among them: it is said of benign findings too.
const METASTATIC: [&str; 6] = ["malignant", "met", "metastases", "metastasis", "metastatic", "mets"];

/// Words that say benign.
const BENIGN: [&str; 2] = ["benign", "nonmetastatic"];

/// Words that say one of both only of what they are the answer to.
const POSITIVE: [&str; 2] = ["pos", "positive"];
const NEGATIVE: [&str; 2] = ["neg", "negative"];

/// Words that turn the others.
const NOT: [&str; 5] = ["no", "non", "not", "without", "absent"];

/// Words of questions that positive and negative answer for a node. "PD-L1: negative" says nothing of it.
const QUESTIONS: [&str; 13] = [
    "biopsy",
    "conclusion",
    "cytology",
    "diagnosis",
    "finding",
    "histology",
    "histopathology",
    "interpretation",
    "malignancy",
    "metastasis",
    "nodal",
    "node",
    "pathology",
];

/// What a code or text says of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    status: Metastasis,
    text: String,
    /// The code that it is the meaning of.
    code: Option<Code>,
}

impl Said {
    /// What a text says; `question` is what it answers, where something is asked.
    pub(crate) fn of(text: &str, code: Option<Code>, question: Option<&str>) -> Option<Self> {
        let is_answer = question.is_none_or(|question| words(question).any(|word| QUESTIONS.contains(&word.as_str())));
        Some(Self { status: status_in(text, is_answer)?, text: text.to_owned(), code })
    }
}

/// The status that words say, where they say one: `signs` counts positive and negative too.
fn status_in(text: &str, signs: bool) -> Option<Metastasis> {
    let has = |list: &[&str]| words(text).any(|word| list.contains(&word.as_str()));
    let metastatic = has(&METASTATIC) || signs && has(&POSITIVE);
    let benign = has(&BENIGN) || signs && has(&NEGATIVE);
    match (metastatic, benign, has(&NOT)) {
        _ if text.contains('?') => None,
        (true, false, false) => Some(Metastasis::Metastatic),
        (true, false, true) | (false, true, false) => Some(Metastasis::Benign),
        _ => None,
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_lowercase();
    let words: Vec<String> = lower.split(|c: char| !c.is_alphabetic()).map(str::to_owned).collect();
    words.into_iter()
}

/// What a rule read of a finding to give it a status.
pub(crate) struct ReadByRule<'a> {
    pub(crate) status: Metastasis,
    /// The name of the finding, where the rule did not read it.
    pub(crate) unread_name: Option<&'a str>,
    /// The code that the rule reads.
    pub(crate) code: Option<&'a str>,
}

impl ReadByRule<'_> {
    /// What else is said that contradicts it: a part of a sentence.
    pub(crate) fn contradicted_by(&self, said: &[Said]) -> Option<String> {
        let is_other = |one: &&Said| {
            one.status != self.status
                && one.code.as_ref().is_none_or(|code| Some(code.to_string().as_str()) != self.code)
        };
        let by_name = || self.unread_name.filter(|name| status_in(name, true).is_some_and(|said| said != self.status));
        let text = said.iter().find(is_other).map(|one| one.text.as_str()).or_else(by_name)?;
        Some(format!("`{text}`, and {} by the class rule", self.status))
    }
}

/// Findings of one file that contradict themselves, each name with the first reason.
#[derive(Debug, Default)]
pub(crate) struct Contradicted {
    names: BTreeMap<String, String>,
    /// Labels that are unknown for it.
    pub(crate) labels: u64,
}

/// Most names that are told.
const SHOWN: usize = 5;

impl Contradicted {
    pub(crate) fn add(&mut self, name: &str, why: &str) {
        self.labels += 1;
        self.names.entry(name.to_owned()).or_insert_with(|| why.to_owned());
    }

    /// A sentence with the first names; `None` where there are none.
    pub(crate) fn sentence(&self) -> Option<String> {
        let mut told: Vec<String> =
            self.names.iter().take(SHOWN).map(|(name, why)| format!("`{name}`: {why}")).collect();
        if self.names.len() > SHOWN {
            told.push(format!("{} more names", self.names.len() - SHOWN));
        }
        (self.labels > 0).then(|| {
            format!(
                "{} of findings contradict what else is said of them, and stay unknown: {}; correct the codes or the rule, or give the labels in a table",
                if self.labels == 1 { "1 label".to_owned() } else { format!("{} labels", self.labels) },
                told.join("; ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_one_status_or_none() {
        let said = |text: &str, question: &str| Said::of(text, None, Some(question)).map(|said| said.status);
        for text in ["Benign", "non-metastatic", "no metastases", "not malignant", "LN 4R benign"] {
            assert_eq!(said(text, "Density"), Some(Metastasis::Benign), "{text}");
        }
        for text in ["Metastatic node", "malignant", "LN_7_mets"] {
            assert_eq!(said(text, "Density"), Some(Metastasis::Metastatic), "{text}");
        }
        for text in ["benign or malignant", "not benign", "malignant?", "position", "Pathologic fracture", ""] {
            assert_eq!(said(text, "Finding"), None, "{text}");
        }
        assert_eq!(said("Negative", "Has interpretation"), Some(Metastasis::Benign));
        assert_eq!(said("Positive", "Lymph node biopsy"), Some(Metastasis::Metastatic));
        assert_eq!(said("Negative", "PD-L1"), None);
    }
}
