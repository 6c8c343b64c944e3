//! Labels along the second dimension: is a node metastatic, and who says so.
//!
//! Purpose: a label is a value with its evidence; a missing value is unknown, which is not benign. Invariant: codes are
//! 0 = benign, 1 = metastatic; unknown is `None` here and null on disk. Evidence grades A to D and U are those of
//! `schemas/taxonomy.json`.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// State of a lymph node, where it is known.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Metastasis {
    /// Code 0.
    Benign,
    /// Code 1.
    Metastatic,
}

impl Metastasis {
    /// Both states in the order of their codes.
    pub const ALL: &'static [Metastasis] = Metastasis::VARIANTS;

    /// Code on disk: 0 benign, 1 metastatic.
    pub fn code(self) -> i8 {
        match self {
            Metastasis::Benign => 0,
            Metastasis::Metastatic => 1,
        }
    }

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Reads a table cell, whatever the case. Empty, `unknown` and the words that programs write for a missing value mean unknown (`None`);
    /// 0 and 1 may be written as numbers with a point or comma (`1.0`), as programs do where a cell of the column is empty.
    ///
    /// # Errors
    /// [`ParseLabelError`] for any other text, so that a new spelling is never taken for benign.
    pub fn parse_cell(cell: &str) -> Result<Option<Self>, ParseLabelError> {
        let word = cell.trim().to_lowercase();
        if is_missing(&word) || word == "unknown" || word == "?" {
            return Ok(None);
        }
        let word = plain(&word);
        let digits = match word.split_once(['.', ',']) {
            Some((digits @ ("0" | "1"), zeros)) if !zeros.is_empty() && zeros.bytes().all(|c| c == b'0') => digits,
            _ => word,
        };
        match digits {
            "0" | "benign" | "negative" | "negativ" | "neg" | "no" | "false" | "n-" | "n\u{2212}" | "n\u{2013}"
            | "n\u{2014}" => Ok(Some(Metastasis::Benign)),
            "1" | "metastatic" | "malignant" | "positive" | "positiv" | "pos" | "yes" | "y" | "true" | "n+" => {
                Ok(Some(Metastasis::Metastatic))
            }
            _ => Err(ParseLabelError {
                what: "metastasis status",
                text: cell.to_owned(),
                understood: "metastatic, malignant, positive, pos, N+, yes, true or 1; benign, negative, neg, N-, no, false or 0; empty, NA or unknown",
            }),
        }
    }
}

/// A word without the full stop of an abbreviation (`neg.`); a number keeps its point.
fn plain(word: &str) -> &str {
    word.strip_suffix('.').filter(|rest| rest.ends_with(char::is_alphabetic)).unwrap_or(word)
}

/// Whether a cell is one of the words that pandas, R and Excel write for a missing value, or a dash, which says as little. The case of the word
/// does not matter.
pub fn is_missing(cell: &str) -> bool {
    let word = cell.trim().to_lowercase();
    matches!(
        word.as_str(),
        "" | "nan" | "na" | "n/a" | "n.a." | "<na>" | "#n/a" | "null" | "none" | "nat" | "-" | "--" | "–" | "—"
    )
}

/// Strength of the evidence behind a metastasis label.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
pub enum Evidence {
    /// Histology after resection or mediastinoscopy.
    A,
    /// Needle cytology.
    B,
    /// FDG-PET.
    C,
    /// Size on CT; derivable from the input, so circular as a training target.
    D,
    /// None or unknown.
    #[default]
    U,
}

impl Evidence {
    /// The letter.
    pub fn letter(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Evidence {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letter = match text.trim().to_uppercase() {
            word if is_missing(&word) || word == "UNKNOWN" => "U".to_owned(),
            letter => letter,
        };
        find(&letter, Self::letter).ok_or_else(|| ParseLabelError {
            what: "evidence grade",
            text: text.to_owned(),
            understood: "A, B, C, D, U, or empty",
        })
    }
}

/// The variant of this name.
fn find<T: VariantArray + Copy>(name: &str, name_of: fn(T) -> &'static str) -> Option<T> {
    T::VARIANTS.iter().copied().find(|variant| name_of(*variant) == name)
}

/// What a label was given for; anything coarser than a node is weak labelling.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LabelLevel {
    /// This very node.
    #[default]
    Node,
    /// Its station.
    Station,
    /// The patient.
    Patient,
}

impl LabelLevel {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for LabelLevel {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_lowercase().as_str() {
            word if is_missing(word) => Ok(LabelLevel::Node),
            name => find(name, Self::name).ok_or_else(|| ParseLabelError {
                what: "label level",
                text: text.to_owned(),
                understood: "node, station, patient, or empty",
            }),
        }
    }
}

/// A text that is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}; understood are: {understood}")]
pub struct ParseLabelError {
    what: &'static str,
    text: String,
    understood: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_benign() {
        assert_eq!(Metastasis::parse_cell(""), Ok(None));
        assert_eq!(Metastasis::parse_cell("Malignant"), Ok(Some(Metastasis::Metastatic)));
        assert_eq!(Metastasis::parse_cell("0"), Ok(Some(Metastasis::Benign)));
        assert!(Metastasis::parse_cell("probably").is_err());
    }

    #[test]
    fn what_programs_and_people_write_is_understood_and_nothing_else() {
        for text in
            ["1", "1.0", "1,0", "1.00", "True", "YES", "pos", "N+", "Positive", " malignant ", "pos.", "Y", "positiv"]
        {
            assert_eq!(Metastasis::parse_cell(text), Ok(Some(Metastasis::Metastatic)), "{text}");
        }
        for text in [
            "0",
            "0.0",
            "0,0",
            "False",
            "no",
            "neg",
            "n-",
            "NEGATIVE",
            "benign",
            "neg.",
            "Negativ",
            "N\u{2212}",
            "N–",
            "n—",
        ] {
            assert_eq!(Metastasis::parse_cell(text), Ok(Some(Metastasis::Benign)), "{text}");
        }
        for text in ["", " ", "nan", "NaN", "NA", "N/A", "<NA>", "null", "None", "#N/A", "-", "unknown", "?"] {
            assert_eq!(Metastasis::parse_cell(text), Ok(None), "{text}");
        }
        for text in [
            "2",
            "0.5",
            "1.",
            "10",
            "-1",
            "01",
            "+",
            "n",
            "N.",
            "N-.",
            "neg..",
            "0.",
            ".",
            "\u{2212}",
            "N0",
            "N2",
            "pos?",
            "not benign",
            "1.0.0",
            "benign.0",
        ] {
            let said = Metastasis::parse_cell(text);
            assert!(said.is_err(), "{text}: {said:?}");
        }
        let message = Metastasis::parse_cell("2").unwrap_err().to_string();
        assert!(message.contains("understood are") && message.contains("N+"), "{message}");
    }

    #[test]
    fn levels_and_grades_parse() {
        assert_eq!("b".parse::<Evidence>(), Ok(Evidence::B));
        assert!("E".parse::<Evidence>().is_err());
        assert_eq!("".parse::<LabelLevel>(), Ok(LabelLevel::Node));
    }
}
