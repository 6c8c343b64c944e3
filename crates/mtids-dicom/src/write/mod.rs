//! Writing DICOM: CT and PET series, segmentations, contours and reports, for phantoms and for predictions.
//!
//! Invariants: the same input gives the same bytes (fixed implementation identifiers, no clock); an object says of its patient what the
//! caller gives: for phantoms that it is synthetic, for predictions what the images say. Units: LPS mm, HU.

mod ct;
mod encoding;
mod enhanced;
mod enhanced_acquisition;
mod identity;
mod image;
mod jpeg_ls;
mod options;
mod outline;
mod parts;
mod pet;
mod report;
pub(crate) mod rle;
mod segmentation;
mod source;
mod structures;

pub use ct::write_ct_series;
pub use encoding::Encoding;
pub use enhanced::write_enhanced_ct;
pub use identity::StudyIdentity;
pub use options::CtOptions;
pub use pet::{PetOptions, write_pet_series};
pub use report::{DescribedFinding, Measurement, ReportedFinding, ReportedPlace, write_described_report, write_report};
pub use segmentation::{DescribedSegment, Segment, write_described_segmentation, write_segmentation};
pub use source::{DerivedObject, SourceImages, SourceSlice};
pub use structures::write_structures;
