//! How studies are predicted.

use std::path::Path;

use mtids_domain::nodal::{Edition, Side};

/// How studies are predicted.
#[derive(Clone, Debug, Default)]
pub struct PredictOptions<'a> {
    /// Device, instead of the one on record.
    pub device: Option<&'a str>,
    /// Candidates per pass, instead of the number on record; no influence on an answer.
    pub batch_size: Option<usize>,
    /// Side of the primary tumour, for the N category.
    pub primary_side: Option<Side>,
    /// Edition of the TNM classification.
    pub edition: Edition,
    /// A folder inside the studies that is not read.
    pub out: Option<&'a Path>,
    /// Folder for DICOM objects (SEG and SR), one of each per series; those of an earlier answer there are removed.
    pub objects: Option<&'a Path>,
    /// Write no DICOM objects.
    pub no_objects: bool,
    /// Make a picture of each node, for the page; of the first 300.
    pub pictures: bool,
    /// Show progress on the terminal.
    pub show_progress: bool,
}
