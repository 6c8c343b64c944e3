//! An entry of an annotation source that gave no finding: where it stands, why, and what to do.
//!
//! Purpose: a label that is lost must be seen. Invariant: the reason is a stable code; place and detail are for the operator, and may hold
//! raw identifiers, so they never enter a dataset.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// Stable reason for rejecting an entry.
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
pub enum RejectReason {
    /// Its series, study or slice is not in the data folder.
    ImageNotHere,
    /// Its series is in the data folder, and was refused.
    ImageRefused,
    /// Its place lies outside the series that it names.
    OutsideImage,
    /// Several images fit, and nothing says which is meant.
    SeveralImages,
    /// It names one patient, and its image is that of another.
    OtherPatient,
    /// A mask on the grid of no series here.
    NoImageOfThisGrid,
    /// Larger than any lymph node.
    ImplausibleSize,
    /// A mask or box file that cannot be read.
    UnreadableFile,
    /// A structure that cannot be read.
    UnreadableStructure,
    /// A segment that cannot be read.
    UnreadableSegment,
    /// Coordinates of a report that cannot be read as the place of one node.
    UnreadableCoordinates,
}

impl RejectReason {
    /// The reason as written in files, for example `outside-image`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What was found, what it means, and what to do, in a few sentences.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::ImageNotHere => {
                "The entry names a series, study or slice that is not in the data folder. The UID may be cut off, be that of a study in the \
                 column of series, or belong to a copy with new UIDs. Compare it with `mtids-prep inventory`. Or the row names another \
                 study or frame of reference than that of its series: correct one of them."
            }
            Self::ImageRefused => {
                "The image of the entry is here, and was refused. The label is not lost: when the image can be used, build again. See the \
                 reason of the quarantine."
            }
            Self::OutsideImage => {
                "The place lies outside the image that the entry names, or away from the slice, the box or the voxel that it names too. The message \
                 gives the distance, and what would bring it inside: RAS instead of LPS (`space`), a voxel index instead of mm, axes swapped, cm instead of mm. Or the \
                 place is the origin of coordinates, as empty cells give it."
            }
            Self::SeveralImages => {
                "Several images fit, in different frames of reference, so a place in mm means another place in each. Name the series by \
                 `series_uid`, or put the SeriesInstanceUID into the name of the mask file."
            }
            Self::OtherPatient => {
                "The entry names one patient, and its image is that of another. Or the UID, the id or the folder in the name of a mask, or its grid, are of \
                 different patients. A label must never move to another person. Correct the id, \
                 or list both in `identity.same_person` if they are one person."
            }
            Self::NoImageOfThisGrid => {
                "The mask names no series, and no single CT here has its grid (corners within a tenth of a voxel). Write the mask on the grid \
                 of its CT, or put the SeriesInstanceUID into its file name. Or the mask names a series whose grid has other signs of x and y, \
                 or a box was drawn on an image of another size than its slice, or the two places of a NIfTI file (sform, qform) contradict, or its affine is \
                 the identity of a program that lost it."
            }
            Self::ImplausibleSize => {
                "The finding is larger than any lymph node: longer than 300 mm, or of more than 1000 mL. The mask may be that of the body or the \
                 lungs, or its values may be inverted, or the size may be in another unit than mm. Correct it, or let a class rule ignore it."
            }
            Self::UnreadableFile => {
                "A mask or box file cannot be read. The message says why. The other files are used. Correct the file, or leave it out."
            }
            Self::UnreadableStructure => {
                "A structure of an RTSTRUCT that a class rule asks for cannot be read. The other structures are used. The message names it \
                 and says why. Correct it in the contouring program, or let a rule ignore it."
            }
            Self::UnreadableSegment => {
                "A segment of a SEG or a mask file cannot be read. The other segments are used. The message names it and says why."
            }
            Self::UnreadableCoordinates => {
                "A group of measurements of a structured report has coordinates that cannot be read, or that are of no one node. The other groups \
                 are used. The message names it and says why. Draw it again, one group for each node, or let a class rule ignore it."
            }
        }
    }
}

/// Where in a file an entry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectPlace {
    /// The whole file.
    File,
    /// A line of a table, the header being line 1; a row from 1 where the table has no lines.
    Line(u64),
    /// A part with a name: a structure, a segment, a box.
    Part(String),
}

impl fmt::Display for RejectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Part(name) => f.write_str(name),
        }
    }
}

/// An entry that gave no finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub place: RejectPlace,
    /// Stable reason.
    pub reason: RejectReason,
    /// What was found, what it means, what to do.
    pub detail: String,
}

impl Reject {
    /// An entry of `path`.
    pub fn new(path: &Path, place: RejectPlace, reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { path: path.to_owned(), place, reason, detail: detail.into() }
    }
}
