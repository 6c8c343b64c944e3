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
    /// Slices of several acquisitions alternate in one series and cannot be told apart.
    MixedAcquisitions,
    /// Two different instances claim the same identity or position.
    ConflictingInstances,
    /// An anonymiser gave each file of a series a SeriesInstanceUID of its own.
    UidPerFile,
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
    /// An image or annotation object that a rejection note takes back.
    RejectedByNote,
}

impl ReasonCode {
    /// The code as written in files, for example `missing-slices`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What was found, what it means, and what to do, in a few sentences.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Empty => "The file has no byte. A copy was interrupted, or a disk was full. Copy it again.",
            Self::NotDicom => {
                "The file name claims DICOM (`.dcm`, `.dicom`, `.ima`), and the content is not. Delete the file, or copy it again."
            }
            Self::Truncated => {
                "A length in the file runs past its end: bytes are missing. A copy or a transfer was interrupted. Copy it again."
            }
            Self::TooDeep => {
                "Sequences are nested deeper than 32 levels. No image needs that; the file is damaged or hostile. Export it again."
            }
            Self::TooLarge => {
                "The file, or the image that it announces, is larger than the limits (2 GiB, 2^30 voxels). Compressed data may not grow by \
                 more than 50 times. Export the series as single-frame images."
            }
            Self::Unreadable => {
                "The operating system or the parser could not read the file or folder. The log has its message. Check permissions and disk, \
                 then build again."
            }
            Self::UnsupportedTransferSyntax => {
                "Pixels are encoded in a transfer syntax that this build does not decode. The log names it. Convert the file, for example to \
                 Explicit VR Little Endian."
            }
            Self::UnsupportedObject => {
                "The object has pixels of use, and they are not read: a dynamic PET holds several values at one place. Give the static \
                 series, or single-frame images of one time."
            }
            Self::NotOriginal => {
                "A scout, or a screen, reformatted, projected or computed image. Its pixels were not measured in this plane, so it is no slice \
                 of a volume. If it is a measured slice, correct ImageType (0008,0008)."
            }
            Self::NoPatient => {
                "PatientID (0010,0020) is missing. Without it one person could be in training and test. Write an id, one for each person."
            }
            Self::NoIdentity => {
                "StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID is missing. Slices cannot be gathered without them. Export or \
                 anonymise the study again, with UIDs replaced consistently."
            }
            Self::MissingGeometry => {
                "ImagePositionPatient, ImageOrientationPatient or PixelSpacing is missing or impossible. Where a pixel lies is not known, and \
                 no guess is made. Export the series again with these attributes."
            }
            Self::TooFewSlices => {
                "The series has fewer slices than a volume needs (`reading.min_slices`, default 3). Some may be missing, or lie under another \
                 SeriesInstanceUID."
            }
            Self::MissingSlices => {
                "There is a gap of a multiple of the slice step. The log says where. Find the missing slices. `reading.repair = true` fills \
                 gaps of one slice, marks the rows, and leaves out findings that touch the gap."
            }
            Self::UnequalSpacing => {
                "Steps between slices differ. The log lists them. `reading.repair = true` resamples the series on the true positions, and \
                 marks the rows."
            }
            Self::GantryTilt => {
                "Slices are stacked along a line that is not their normal (a tilted gantry). `reading.repair = true` undoes the shear by \
                 resampling, and marks the rows."
            }
            Self::MixedGeometry => {
                "Slices of one series lie in different planes or have different sizes, and cannot be told apart into volumes. The log says \
                 how they differ. Separate them into series."
            }
            Self::MixedAcquisitions => {
                "Slices of two or more acquisitions alternate along the stack of one series, and number, temporal position and time do not \
                 divide them into regular volumes. No volume is made of two scans. The log lists the acquisitions. Export each one as a \
                 series of its own."
            }
            Self::UidPerFile => {
                "Slices that lie in one regular stack bear a SeriesInstanceUID of their own each: an anonymiser made a new UID for every \
                 file. Anonymise again, so that the slices of a series keep one common SeriesInstanceUID."
            }
            Self::ConflictingInstances => {
                "Two different files claim the same SOPInstanceUID or the same position. Which one is right cannot be known. Remove the wrong \
                 one. If all files bear one UID, an anonymiser has written it, and positions do not put them in order either; anonymise \
                 again, with one UID for each file."
            }
            Self::LossyCompression => {
                "The image was compressed with loss, so its HU are not those that were measured. Find the original, or accept it with \
                 `reading.refuse_lossy = false`."
            }
            Self::InvalidImageModule => {
                "The image module contradicts itself or its pixel data, for example too few bytes of pixels, or no rescale to HU. The log says \
                 which attribute. Export the image again."
            }
            Self::DecodeFailed => {
                "The decoder failed on the compressed pixels: the codestream is damaged. Copy or export the file again."
            }
            Self::NoSuv => {
                "The values of this PET cannot be brought to standardised uptake values: an attribute is missing, contradicts another one, or \
                 is physically impossible. The log names it and its value. Nothing is assumed in its place."
            }
            Self::InvalidReport => {
                "The structured report, or each of its groups that has a place and that no class rule ignores, cannot be read. The log says why, \
                 and names the group. Export it again as TID 1500 measurement report, or draw the group again."
            }
            Self::InvalidSegmentation => {
                "The segmentation object cannot be read as masks. The log names the frame or the attribute. Export it again."
            }
            Self::InvalidStructures => {
                "The RTSTRUCT object, or each structure that a class rule asks for, cannot be read. The log names the structure and what is \
                 wrong with it. Correct it in the contouring program."
            }
            Self::RejectedByNote => {
                "A rejection note takes the object back: a Key Object Selection document of the same patient, for example of an incorrect worklist \
                 entry or of poor quality. The log names the note and its title. If the object should be used, take the note out of --data."
            }
        }
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

    /// The sentence without the path or series in front. It may name files and values: it is for the operator, not for a dataset.
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
