//! What an index must have before anybody asks it: rows of every layout have these columns.
//!
//! Purpose: whoever made an index otherwise reads which column is missing, not the plan of a query that failed.

use mtids_shards::{Dataset, INDEX};

use crate::error::AuditError;
use crate::index::Index;

/// Columns that are asked for in every layout.
const COLUMNS: [&str; 34] = [
    "sample_key",
    "kind",
    "patient_key",
    "study_key",
    "series_key",
    "frame_of_reference_key",
    "instance_key",
    "split",
    "center_k",
    "center_x_mm",
    "center_y_mm",
    "center_z_mm",
    "region",
    "region_name",
    "station",
    "metastasis",
    "evidence",
    "level",
    "label_source",
    "short_axis_mm",
    "finding_distance_mm",
    "manufacturer",
    "model",
    "kernel",
    "slice_thickness_mm",
    "slice_step_mm",
    "pixel_spacing_mm",
    "kvp",
    "contrast",
    "pad_fraction",
    "weight",
    "voxels_digest",
    "shard",
    "row_group",
];

/// Refuses an index without one of them.
///
/// # Errors
/// [`AuditError::Index`], which names the file and the columns.
pub(crate) fn check(dataset: &Dataset, index: &Index) -> Result<(), AuditError> {
    let fail = |detail: String| {
        let path = dataset.manifest().file(INDEX).map_or(INDEX, |entry| &entry.path);
        Err(AuditError::Index { path: dataset.storage().place(path), detail })
    };
    let missing: Vec<String> =
        COLUMNS.iter().filter(|column| !index.has(column)).map(|column| format!("`{column}`")).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [one] => fail(format!("column {one} is missing")),
        several => fail(format!("columns {} are missing", several.join(", "))),
    }
}
