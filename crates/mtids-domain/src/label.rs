//! Labels along the second dimension: is a node metastatic, and who says so.
//!
//! Purpose: a label is a value with its evidence; a missing value is unknown, which is not benign. Invariant: codes are
//! 0 = benign, 1 = metastatic; unknown is `None` here and null on disk. Evidence grades A to D and U are those of
//! `schemas/taxonomy.json`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// State of a lymph node, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Metastasis {
    /// Code 0.
    Benign,
    /// Code 1.
    Metastatic,
}

impl Metastasis {
    /// Both states in the order of their codes.
    pub const ALL: [Metastasis; 2] = [Metastasis::Benign, Metastasis::Metastatic];

    /// Code on disk: 0 benign, 1 metastatic.
    pub fn code(self) -> i8 {
        match self {
            Metastasis::Benign => 0,
            Metastasis::Metastatic => 1,
        }
    }

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Metastasis::Benign => "benign",
            Metastasis::Metastatic => "metastatic",
        }
    }

    /// Reads a table cell. Empty, `unknown`, `na`, `?` mean unknown (`None`).
    ///
    /// # Errors
    /// [`ParseLabelError`] for any other text, so that a new spelling is never taken for benign.
    pub fn parse_cell(cell: &str) -> Result<Option<Self>, ParseLabelError> {
        match cell.trim().to_lowercase().as_str() {
            "" | "unknown" | "na" | "n/a" | "?" | "null" => Ok(None),
            "0" | "benign" | "negative" | "no" | "false" => Ok(Some(Metastasis::Benign)),
            "1" | "metastatic" | "malignant" | "positive" | "yes" | "true" => Ok(Some(Metastasis::Metastatic)),
            _ => Err(ParseLabelError { what: "metastasis status", text: cell.to_owned() }),
        }
    }
}

impl fmt::Display for Metastasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Strength of the evidence behind a metastasis label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
        match self {
            Evidence::A => "A",
            Evidence::B => "B",
            Evidence::C => "C",
            Evidence::D => "D",
            Evidence::U => "U",
        }
    }
}

impl FromStr for Evidence {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_uppercase().as_str() {
            "A" => Ok(Evidence::A),
            "B" => Ok(Evidence::B),
            "C" => Ok(Evidence::C),
            "D" => Ok(Evidence::D),
            "" | "U" | "UNKNOWN" => Ok(Evidence::U),
            _ => Err(ParseLabelError { what: "evidence grade", text: text.to_owned() }),
        }
    }
}

/// What a label was given for; anything coarser than a node is weak labelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
        match self {
            LabelLevel::Node => "node",
            LabelLevel::Station => "station",
            LabelLevel::Patient => "patient",
        }
    }
}

impl FromStr for LabelLevel {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_lowercase().as_str() {
            "" | "node" => Ok(LabelLevel::Node),
            "station" => Ok(LabelLevel::Station),
            "patient" => Ok(LabelLevel::Patient),
            _ => Err(ParseLabelError { what: "label level", text: text.to_owned() }),
        }
    }
}

/// A text that is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}")]
pub struct ParseLabelError {
    what: &'static str,
    text: String,
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
    fn levels_and_grades_parse() {
        assert_eq!("b".parse::<Evidence>(), Ok(Evidence::B));
        assert!("E".parse::<Evidence>().is_err());
        assert_eq!("".parse::<LabelLevel>(), Ok(LabelLevel::Node));
    }
}
