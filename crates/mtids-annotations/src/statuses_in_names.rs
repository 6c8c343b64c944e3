//! Names and codes of drawn findings that seem to tell a status, while the finding stays without one.
//!
//! Purpose: centres write "LN 4R +" or "node neg", or give a code for malignant, and a status that no rule reads is lost without a word. Invariant: nothing is guessed from them.

use std::collections::BTreeMap;

use mtids_domain::annotation::{Annotation, Extent};
use mtids_domain::geometry::PointMm;
use mtids_domain::person::folded_id;

use crate::join::Joined;
use crate::names_without_rule::first_names;
use crate::status_sign::has_status_sign;

/// Words of a status, in lower case, in the languages in which centres write them.
const WORDS: [&str; 75] = [
    "befallen",
    "benign",
    "benigna",
    "benigne",
    "benigner",
    "benignes",
    "benigno",
    "bénigne",
    "bénin",
    "bénins",
    "bösartig",
    "cancer",
    "cancerous",
    "cancéreux",
    "cáncer",
    "gutartig",
    "infiltrated",
    "infiltriert",
    "krebs",
    "krebsfrei",
    "maligna",
    "malignant",
    "maligne",
    "maligner",
    "malignes",
    "maligno",
    "malignos",
    "malin",
    "met",
    "meta",
    "metastase",
    "metastasen",
    "metastases",
    "metastasi",
    "metastasico",
    "metastasiert",
    "metastasis",
    "metastatic",
    "metastatico",
    "metastatisch",
    "metastásico",
    "metastático",
    "mets",
    "metástasis",
    "métastase",
    "métastases",
    "métastatique",
    "neg",
    "negatif",
    "negativ",
    "negativa",
    "negative",
    "negativo",
    "nonmalignant",
    "nonmetastatic",
    "négatif",
    "négative",
    "pathologic",
    "pathological",
    "pos",
    "positif",
    "positiv",
    "positiva",
    "positive",
    "positivo",
    "reactive",
    "reactivo",
    "reaktiv",
    "réactif",
    "sospechoso",
    "suspect",
    "suspekt",
    "suspicious",
    "tumorfrei",
    "tumorous",
];

/// The names, each with the number of its findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusesInNames(BTreeMap<String, u64>);

/// Centres of findings whose names or codes seem to tell a status.
pub(crate) struct Telling(Vec<([f64; 3], String)>);

impl Telling {
    /// Those of one series; `coded` are centres of findings with codes that seem to tell one.
    pub(crate) fn of(annotations: &[(usize, Annotation)], coded: &[(PointMm, String)]) -> Self {
        let is_drawn = |one: &Annotation| matches!(one.extent, Extent::Mask(_) | Extent::Box { .. });
        let tells = |one: &&Annotation| is_drawn(one) && seems_to_tell(&one.finding);
        let telling =
            annotations.iter().map(|(_, one)| one).filter(tells).map(|one| (one.center.0, one.finding.clone()));
        let is_here = |center: &PointMm| annotations.iter().any(|(_, one)| one.center == *center);
        let coded = coded.iter().filter(|(center, _)| is_here(center)).map(|(center, said)| (center.0, said.clone()));
        Self(telling.chain(coded).collect())
    }
}

impl StatusesInNames {
    /// Notes those of the findings of that series that no source gave a status.
    pub(crate) fn look_at(&mut self, telling: &Telling, joined: &Joined) {
        let findings = joined.findings.iter().zip(&joined.centers);
        for (_, centers) in findings.filter(|(one, _)| one.metastasis.is_none()) {
            // A finding lies where its mask does, and any of its annotations may tell.
            let is_of = |center: &[f64; 3]| centers.iter().any(|one| one.0 == *center);
            if let Some((_, name)) = telling.0.iter().find(|(center, _)| is_of(center)) {
                *self.0.entry(name.clone()).or_default() += 1;
            }
        }
    }

    /// A sentence with the first names; `None` where there are none.
    pub fn sentence(&self) -> Option<String> {
        let findings: u64 = self.0.values().sum();
        (findings > 0).then(|| {
            format!(
                "the names or codes of {findings} {} seem to tell a status that no rule reads, and it stays unknown: {}; write class rules with \
                 `metastasis` and `evidence` for them",
                if findings == 1 { "finding" } else { "findings" },
                first_names(&self.0)
            )
        })
    }
}

/// A word of a status, or its sign.
pub(crate) fn seems_to_tell(name: &str) -> bool {
    // Programs write accents as one letter, or as two.
    let name = folded_id(name);
    has_status_sign(&name) || is_status_word(&name)
}

/// Whether a word, or one of several, is that of a status.
pub(crate) fn is_status_word(text: &str) -> bool {
    folded_id(text).split(|c: char| !c.is_alphabetic()).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs_of_a_status_are_known() {
        for name in [
            "LN 4R +",
            "4R-",
            "LN_7_pos",
            "node (negative)",
            "LN +4R",
            "+4R",
            "4R + LN",
            "Metastatic node 3",
            "LN 4R −",
            "met2",
            "LN 4R Cancer",
            "4R befallen",
            "LK 7 tumorfrei",
            "ganglion négatif",
            "ganglion ne\u{301}gatif",
            "linfonodo 4R maligno",
            "LN suspekt",
        ] {
            assert!(seems_to_tell(name), "{name}");
        }
        for name in ["LN 4R", "4R-7", "LN 4R+7", "node 2", "position", "method", "LN-10", "PTV+5mm", "4R + LN 7", ""] {
            assert!(!seems_to_tell(name), "{name}");
        }
    }
}
