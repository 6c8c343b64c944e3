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
            word if word.is_empty() || word == "UNKNOWN" => "U".to_owned(),
            letter => letter,
        };
        find(&letter, Self::letter).ok_or_else(|| ParseLabelError { what: "evidence grade", text: text.to_owned() })
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
            "" => Ok(LabelLevel::Node),
            name => {
                find(name, Self::name).ok_or_else(|| ParseLabelError { what: "label level", text: text.to_owned() })
            }
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
