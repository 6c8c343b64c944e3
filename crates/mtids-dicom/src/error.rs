//! Why a file or a series cannot be used: a stable code for machines, a sentence for people.
//!
//! Invariant: codes are part of the data contract (they stand in `quarantine.jsonl`) and are never renamed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// Stable reason for leaving a file or series out.
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
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasonCode {
    /// No byte at all.
    Empty,
    /// Content is not DICOM, whatever the name says.
    NotDicom,
    /// A declared length runs past the end of the file.
    Truncated,
    /// Sequences nested deeper than the limit.
    TooDeep,
    /// File or image larger than the limit.
    TooLarge,
    /// The operating system or the parser could not read it.
    Unreadable,
    /// A transfer syntax that this build cannot decode.
    UnsupportedTransferSyntax,
    /// An object whose pixels would be of use but are not read (a dynamic enhanced PET).
    UnsupportedObject,
    /// Scout, secondary capture or derived image: its pixels are no measurement.
    NotOriginal,
    /// No PatientID.
    NoPatient,
    /// No study, series or instance UID.
    NoIdentity,
    /// Position, orientation or pixel spacing is missing or impossible.
    MissingGeometry,
    /// Fewer slices than a volume needs.
    TooFewSlices,
    /// A gap of a multiple of the step.
    MissingSlices,
    /// Steps between slices differ.
    UnequalSpacing,
    /// Slices are stacked along a line that is not their normal.
    GantryTilt,
    /// Slices of one series lie in different planes.
    MixedGeometry,
    /// Two different instances claim the same identity or position.
    ConflictingInstances,
    /// Lossy compression, refused by configuration.
    LossyCompression,
    /// The image module contradicts itself or its pixel data.
    InvalidImageModule,
    /// The decoder failed.
    DecodeFailed,
    /// PET whose values cannot be brought to SUV.
    NoSuv,
    /// A structured report that cannot be read.
    InvalidReport,
    /// A segmentation object that cannot be read as masks.
    InvalidSegmentation,
    /// An RTSTRUCT object whose contours cannot be read.
    InvalidStructures,
}

impl ReasonCode {
    /// The code as written in files, for example `missing-slices`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A file or series that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DicomError {
    /// One file.
    #[error("{path}: {detail} [{reason}]")]
    File {
        /// The file.
        path: PathBuf,
        /// Stable reason.
        reason: ReasonCode,
        /// What is wrong and, where it helps, what to do.
        detail: String,
    },
    /// A whole series.
    #[error("series {series_uid}: {detail} [{reason}]")]
    Series {
        /// SeriesInstanceUID.
        series_uid: String,
        /// Stable reason.
        reason: ReasonCode,
        /// What is wrong and, where it helps, what to do.
        detail: String,
    },
    /// An output file.
    #[error("cannot write {path}: {detail}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

impl DicomError {
    /// A file that cannot be used.
    pub fn file(path: &Path, reason: ReasonCode, detail: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason, detail: detail.into() }
    }

    pub(crate) fn series(series_uid: &str, reason: ReasonCode, detail: impl Into<String>) -> Self {
        Self::Series { series_uid: series_uid.to_owned(), reason, detail: detail.into() }
    }

    #[cfg(feature = "write")]
    pub(crate) fn write(path: &Path, detail: impl std::fmt::Display) -> Self {
        Self::Write { path: path.to_owned(), detail: detail.to_string() }
    }

    /// The stable reason; [`ReasonCode::Unreadable`] for an output file.
    pub fn reason(&self) -> ReasonCode {
        match self {
            DicomError::File { reason, .. } | DicomError::Series { reason, .. } => *reason,
            DicomError::Write { .. } => ReasonCode::Unreadable,
        }
    }

    /// The sentence without file or series, safe to aggregate.
    pub fn detail(&self) -> &str {
        match self {
            DicomError::File { detail, .. } | DicomError::Series { detail, .. } | DicomError::Write { detail, .. } => {
                detail
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_equal_their_serialised_form() {
        for code in ReasonCode::VARIANTS {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        // A few of them by hand: they stand in data sets, and are never renamed.
        let codes = [ReasonCode::NotDicom, ReasonCode::NoSuv, ReasonCode::UnsupportedTransferSyntax];
        assert_eq!(codes.map(ReasonCode::as_str), ["not-dicom", "no-suv", "unsupported-transfer-syntax"]);
    }
}
