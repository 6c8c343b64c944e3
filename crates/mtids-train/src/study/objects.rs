//! The answer as DICOM objects: for each series a SEG with the candidates and an SR (TID 1500) with what is said of them.
//!
//! Invariants: the class in an object is that of the answer; a candidate without outline stands in the SR as a point, and is never drawn as a
//! sphere; a series whose grid was repaired has no SEG, because its voxels are not those of the files. The same answer gives the same bytes and
//! UIDs. Units: LPS mm, HU.

use std::path::Path;

use mtids_dicom::uid::uid_from;
use mtids_dicom::write::{
    DerivedObject, DescribedFinding, DescribedSegment, Measurement, ReportedPlace, Segment, SourceImages,
    write_described_report, write_described_segmentation,
};
use mtids_dicom::{Limits, LoadedVolume};
use mtids_prep::candidates::Outline;
use mtids_prep::error::PrepError;
use mtids_prep::partition::PlannedSeries;

use super::answer::{NodeAnswer, StatusAnswer};
use super::place::OBJECT_MARK;
use super::reader::Reader;
use crate::error::TrainError;

/// Coding scheme of what has no standard code.
const SCHEME: &str = "99MTIDS";
/// SeriesNumber of the SEG; the SR has the next one.
const SERIES_NUMBER: u32 = 9001;
/// Longest code value that DICOM allows.
const MOST_OF_CODE: usize = 16;
/// Longest text (VR ST) that DICOM allows.
const MOST_OF_TEXT: usize = 1024;

/// Where the objects of a series go.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObjectPlace<'a> {
    /// The folder.
    pub(super) folder: &'a Path,
    /// Number of the series in the answer, from 1.
    pub(super) number: usize,
}

/// Writes the objects of a series; returns the names of their files. A series that no object can refer to has none, and a warning.
///
/// # Errors
/// [`TrainError`] where a file cannot be written.
pub(super) fn write(
    place: ObjectPlace<'_>,
    planned: &PlannedSeries,
    volume: &LoadedVolume,
    nodes: &[NodeAnswer],
    outlines: &[Option<Outline>],
    reader: &Reader,
    limits: &Limits,
) -> Result<Vec<String>, TrainError> {
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let source = match SourceImages::of_series(&planned.series, limits) {
        Ok(source) => source,
        Err(error) => {
            tracing::warn!(series = &*planned.series.series_uid, "no DICOM objects: {error}");
            return Ok(Vec::new());
        }
    };
    std::fs::create_dir_all(place.folder).map_err(|error| TrainError::io(place.folder, error))?;
    // What is said is part of the identity: another answer is another object.
    let said = serde_json::to_string(nodes).map_err(|error| TrainError::io(place.folder, error.into()))?;
    let weights: Vec<String> = reader.runs().into_iter().map(|run| run.weights).collect();
    let key = [planned.series.name(), weights.join(" "), said].join("\n");
    let derived = |what: &str, number: u32, title: &str| DerivedObject {
        series_uid: uid_from(&["prediction", what, "series", &key]),
        instance_uid: uid_from(&["prediction", what, "instance", &key]),
        series_number: number,
        series_description: Some(format!("{title}, {OBJECT_MARK}")),
        description: "Lymph nodes, status by mtids".to_owned(),
        algorithm: Some(["mtids".to_owned(), env!("CARGO_PKG_VERSION").to_owned()]),
        algorithm_parameters: (!weights.is_empty()).then(|| format!("weights {}", weights.join(" "))),
    };
    let tracking = |node: &NodeAnswer| {
        let [x, y, z] = node.center_mm.map(|mm| format!("{mm:.4}"));
        uid_from(&["prediction", "node", &planned.series.name(), &x, &y, &z])
    };
    let mut segments = Vec::new();
    let mut findings = Vec::new();
    for (node, outline) in nodes.iter().zip(outlines) {
        let outline = outline.as_ref().filter(|one| volume.repaired.is_none() && !one.mask.voxels.is_empty());
        let name = format!("node {}", node.number);
        let place = match outline {
            Some(outline) => {
                segments.push(DescribedSegment {
                    segment: Segment { label: label(node), mask: outline.mask.clone() },
                    description: Some(description(node, outline)),
                    tracking: Some([name.clone(), tracking(node)]),
                });
                ReportedPlace::Segment(segments.len() as u16)
            }
            None => ReportedPlace::Point(node.center_mm),
        };
        findings.push(DescribedFinding {
            name,
            tracking_uid: tracking(node),
            place,
            measurements: measurements(node),
            evaluations: evaluations(node),
            comments: caution(node).into_iter().collect(),
        });
    }
    let file = |what: &str| format!("series-{:04}.{what}.dcm", place.number);
    let failed = |error| TrainError::from(PrepError::from(error));
    let mut written = Vec::new();
    let segmentation = derived("seg", SERIES_NUMBER, "mtids nodes");
    if !segments.is_empty() {
        let (name, dimensions) = (file("seg"), volume.volume.dimensions());
        write_described_segmentation(&place.folder.join(&name), &segments, dimensions, &source, &segmentation)
            .map_err(failed)?;
        written.push(name);
    }
    let name = file("sr");
    let uids = (!segments.is_empty()).then_some([segmentation.series_uid, segmentation.instance_uid]);
    let report = derived("sr", SERIES_NUMBER + 1, "mtids report");
    write_described_report(&place.folder.join(&name), &findings, &source, &report, uids.as_ref()).map_err(failed)?;
    written.push(name);
    Ok(written)
}

/// Label of a segment: number, region, status.
fn label(node: &NodeAnswer) -> String {
    match &node.status {
        Some(one) => format!("node {}: {}, {}", node.number, one.region, StatusAnswer::word(one.metastatic)),
        None => format!("node {}", node.number),
    }
}

/// What its voxels are, what is said of it, and in which ways it is unlike the training.
fn description(node: &NodeAnswer, outline: &Outline) -> String {
    let voxels =
        if outline.grown { "voxels grown from the candidate's centre" } else { "voxels of the candidate's mask" };
    let status = node.status.as_ref().map(|one| format!("probability of metastasis {:.4}", one.probability));
    let parts: Vec<String> = status.into_iter().chain([voxels.to_owned()]).chain(caution(node)).collect();
    parts.join("; ").chars().take(MOST_OF_TEXT).collect()
}

/// In which ways a node is unlike those of the training; `None` where it is like them.
fn caution(node: &NodeAnswer) -> Option<String> {
    (!node.outside_training.is_empty())
        .then(|| format!("caution, unlike the training: {}", node.outside_training.join("; ")))
}

/// Numbers of a node that reports have codes for, and the probabilities.
fn measurements(node: &NodeAnswer) -> Vec<Measurement> {
    let coded = |[code, scheme, meaning]: [&str; 3], value: f64, unit: [&str; 2]| Measurement {
        concept: [code, scheme, meaning].map(str::to_owned),
        value,
        unit: unit.map(str::to_owned),
    };
    let (mm, hu, share) = (["mm", "millimeter"], ["[hnsf'U]", "Hounsfield unit"], ["1", "no units"]);
    let measures = [
        ("short_axis_mm", ["103340004", "SCT", "Short Axis"], mm),
        ("long_axis_mm", ["103339001", "SCT", "Long Axis"], mm),
        ("volume_mm3", ["118565006", "SCT", "Volume"], ["mm3", "cubic millimeter"]),
        ("mean_hu", ["373098007", "SCT", "Mean"], hu),
    ];
    let source = node.mask.as_ref().unwrap_or(&node.grown);
    let known =
        measures.into_iter().filter_map(|(name, code, unit)| Some(coded(code, f64::from(*source.get(name)?), unit)));
    let mut all: Vec<Measurement> = known.collect();
    if let Some(one) = &node.status {
        all.push(coded(["PMET", SCHEME, "Probability of metastasis"], one.probability, share));
        all.push(coded(["PREGION", SCHEME, "Probability of the region"], one.region_probability, share));
    }
    all
}

/// The stations that it came with, and what is said of its region and status.
fn evaluations(node: &NodeAnswer) -> Vec<[[String; 3]; 2]> {
    let own = |code: &str, meaning: &str| {
        [code.chars().take(MOST_OF_CODE).collect::<String>(), SCHEME.to_owned(), meaning.to_owned()]
    };
    let station = |code: &String| [own("STATION", "Station of the IASLC map, as given"), own(code, code)];
    let said = node.status.iter().flat_map(|status| {
        let word = StatusAnswer::word(status.metastatic);
        [
            [own("REGION", "Region of the IASLC map"), own(&status.region, &status.region)],
            [own("STATUS", "Status of the lymph node"), own(word, word)],
        ]
    });
    node.given_stations.iter().map(station).chain(said).collect()
}
