//! The columns of a table, for machines.

use serde_json::{Value, json};

/// The columns as data, for `schemas/annotation-table.json`.
pub fn schema() -> Value {
    let column = |name: &str, kind: &str, meaning: &str| json!({ "name": name, "type": kind, "meaning": meaning });
    json!({
        "title": "Annotation table",
        "format": "text with a header line, separated by commas, semicolons, tabs or bars, in UTF-8, UTF-16 or Windows-1252; Parquet; or a sheet of an Excel workbook (.xlsx); columns in any order; case, spaces and underscores of names do not matter; other columns are ignored",
        "required": "series_uid, study_uid or sop_instance_uid; x_mm, y_mm, z_mm, or series_uid with i, j, k, or sop_instance_uid with i, j",
        "columns": [
            column("series_uid", "string", "SeriesInstanceUID of the image"),
            column("study_uid", "string", "StudyInstanceUID; the series that holds the point is taken"),
            column("sop_instance_uid", "string", "SOPInstanceUID of a slice; with i and j, a pixel of it"),
            column("space", "string", "LPS (default) or RAS: what the mm of this row mean"),
            column("index_base", "integer", "0 (default) or 1: where i, j and k of this row begin"),
            column("frame_of_reference_uid", "string", "FrameOfReferenceUID, to tell series of a study apart"),
            column("finding", "string", "free text; never a label, never stored"),
            column("x_mm", "number", "centre, LPS mm, towards the left"),
            column("y_mm", "number", "centre, LPS mm, towards the back"),
            column("z_mm", "number", "centre, LPS mm, towards the head"),
            column("i", "number", "centre, column from 0 (instead of mm)"),
            column("j", "number", "centre, row from 0"),
            column("k", "number", "centre, slice from 0 along the normal"),
            column("x_min_mm … z_max_mm", "number", "box of voxel centres in LPS mm (six columns, optional)"),
            column("i_min … k_max", "number", "box in voxels (six columns, optional)"),
            column("diameter_mm", "number", "diameter of a round finding"),
            column("station", "string", "IASLC station in any usual spelling, or several: those of one region keep it; empty: unknown"),
            column("metastasis", "string", "metastatic or benign (also 1/0, true/false, yes/no, positive/negative, malignant, N+/N-); empty, NA or unknown: unknown"),
            column("evidence", "string", "A histology, B cytology, C PET, D size, U or empty none"),
            column("level", "string", "node (default), station or patient: what the status was given for"),
            column("short_axis_mm", "number", "short axis on the axial slice"),
        ],
    })
}
