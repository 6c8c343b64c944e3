//! RTSTRUCT: contours in patient mm become masks on the grid of the image they were drawn on.
//!
//! Purpose: [`read_structures`] reads the object; [`RegionOfInterest::findings`] fills one region on a grid. Invariants: a fault of a region
//! is its own and costs no other region; a region without contours is no finding; a POINT is a finding without extent. How contours of one
//! plane combine is said in `area`, what lies between planes in `stack`, planes oblique to the image in `oblique`. Units: LPS mm.

mod area;
mod chains;
mod oblique;
mod observed;
mod outline;
mod read;
mod region;
mod stack;
mod upright;

use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::PointMm;

pub use observed::Observed;
pub use read::read_structures;

/// How the points of a contour are meant (ContourGeometricType, PS3.3 C.8.8.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContourKind {
    /// `CLOSED_PLANAR`: a closed curve in one plane.
    Closed,
    /// `CLOSEDPLANAR_XOR`: a closed curve; what an even number of them enclose is outside.
    Xor,
    /// `POINT`: positions without extent.
    Point,
}

/// One contour.
#[derive(Clone, Debug, PartialEq)]
pub struct Contour {
    /// How its points are meant.
    pub kind: ContourKind,
    /// Its points in LPS mm; at least one.
    pub points: Vec<PointMm>,
    /// SOP Instance UID of the image that it names, where that is one.
    pub image: Option<String>,
}

/// A region of interest.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionOfInterest {
    /// ROINumber; 0 where it is missing, with a fault.
    pub number: u32,
    /// Name given by its author; for people, never a label.
    pub name: String,
    /// The image it was drawn on. Its frame of reference is the region's own; the series is known where the object names exactly one in that
    /// frame of reference.
    pub target: AnnotationTarget,
    /// SOP Instance UIDs of the images that its contours name, sorted, without repeats; the first [`MAX_INSTANCES`] of them.
    pub image_instances: Vec<String>,
    /// Contours in file order.
    pub contours: Vec<Contour>,
    /// The distance of the planes that the object was drawn on, in mm: the smallest between two planes of one region, where it is found at
    /// least twice in the object, or is that of a region of two planes.
    pub plane_step_mm: Option<f64>,
    /// What its observations say.
    pub observed: Observed,
    /// Why the region cannot be read; a fault only where the region is asked for.
    pub fault: Option<String>,
}

/// An RTSTRUCT object.
#[derive(Clone, Debug, PartialEq)]
pub struct StructureSet {
    /// The image it was drawn on: frame of reference and series are known where the object names exactly one.
    pub target: AnnotationTarget,
    /// Its regions of interest, by number.
    pub regions: Vec<RegionOfInterest>,
    /// Sentences on contours that belong to no region.
    pub faults: Vec<String>,
}

/// Most images that are kept of what an object refers to: more than the slices of any CT.
pub const MAX_INSTANCES: usize = 4096;
