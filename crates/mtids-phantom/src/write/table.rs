//! The annotation table: one line for each node.

use std::fmt::Write as _;

use crate::node::Node;

/// First line of the annotation table.
pub(crate) const TABLE_HEADER: &str =
    "study_uid,series_uid,finding,x_mm,y_mm,z_mm,diameter_mm,station,metastasis,evidence,level,short_axis_mm\n";

/// Lines of the annotation table for the nodes of one series.
pub(crate) fn rows(nodes: &[Node], study_uid: &str, series_uid: &str) -> String {
    rows_without_station(nodes, &vec![true; nodes.len()], study_uid, series_uid)
}

/// The same, with the station left open where it is not `known`.
pub(crate) fn rows_without_station(nodes: &[Node], known: &[bool], study_uid: &str, series_uid: &str) -> String {
    let mut rows = String::new();
    for ((node, n), known) in nodes.iter().zip(1..).zip(known) {
        let [x, y, z] = node.center_mm;
        let appearance = node.appearance;
        // Writing into a string cannot fail.
        let _ = writeln!(
            rows,
            "{study_uid},{series_uid},Lymph node {n},{x:.3},{y:.3},{z:.3},{:.2},{},{},{},node,{:.2}",
            appearance.short_axis_mm * appearance.elongation,
            if *known { node.station.code() } else { "" },
            node.label.map_or("", |state| state.name()),
            node.evidence.letter(),
            appearance.short_axis_mm,
        );
    }
    rows
}
