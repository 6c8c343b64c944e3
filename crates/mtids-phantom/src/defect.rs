//! Defects of files, on request: what real archives do to a series.
//!
//! Invariant: a defect changes files, never the truth; [`Defect::reason`] says how the preprocessing must answer, and a test holds it to that.

use mtids_dicom::ReasonCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// A kind of defect.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Defect {
    /// One file is there twice.
    DuplicateInstance,
    /// One enhanced multi-frame object instead of many files.
    EnhancedCt,
    /// JPEG-LS compression.
    JpegLs,
    /// A slice in the middle is lost.
    MissingSlice,
    /// A scout, a second series, a text and an empty file in the same folder.
    MixedFolder,
    /// The same anatomy, stored turned by 180 degrees in the plane.
    ProneFlipped,
    /// Every slice with its own intercept, and slope 1.
    RescalePerSlice,
    /// Two files are cut short.
    Truncated,
    /// Every second slice is kept below, every third above.
    UnequalSpacing,
    /// The gantry was tilted by 12 degrees.
    GantryTilt,
}

impl Defect {
    /// Every kind.
    pub const ALL: &[Defect] = Defect::VARIANTS;

    /// Name, as written in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Why the series cannot be used; `None` where it can, and must give the same volume as without the defect.
    pub fn reason(self) -> Option<ReasonCode> {
        match self {
            Defect::MissingSlice | Defect::Truncated => Some(ReasonCode::MissingSlices),
            Defect::UnequalSpacing => Some(ReasonCode::UnequalSpacing),
            Defect::GantryTilt => Some(ReasonCode::GantryTilt),
            _ => None,
        }
    }
}
