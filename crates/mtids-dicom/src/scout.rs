//! Scouts (localizers, topograms, surviews) that do not say so in their image type: projections by which a CT was planned.
//!
//! A scout is no fault of a study and no measurement in a plane: it is left out, not refused. Sources: GE, Philips and Canon name them in
//! ScanOptions; others only by their geometry (dgobbi/vtk-dicom#98, after D. Clunie's FAQ: orthogonal to the rest, one or two images).
//! Invariant: three or more axial images are never a scout, whatever their names. Units: direction cosines.

use std::path::Path;

use crate::image_header::InstanceHeader;
use crate::outcome::FileOutcome;
use crate::skip_reason::SkipReason;

/// Fewer images than a volume needs.
const FEW: usize = 3;
/// An image plane is upright (coronal, sagittal, or between) where its normal is at least 60° from the axis of the body.
const UPRIGHT: f64 = 0.5;

/// Parts of words for a scout, in the languages and alphabets that scanners are set to.
const PARTS: [&str; 14] = [
    "SCOUT",
    "TOPOGRAM",
    "SURVIEW",
    "LOCALIZER",
    "LOCALISER",
    "LOCALIZADOR",
    "LOCALISATEUR",
    "LOKALISIER",
    "SCANOGRAM",
    "SCANOSCOP",
    "ТОПОГРАММ",
    "定位像",
    "定位片",
    "位置決め",
];
/// Whole words for a scout.
const WORDS: [&str; 4] = ["TOPO", "SCANO", "LOC", "PILOT"];

/// Whether a SeriesDescription or ScanOptions names a scout.
pub(crate) fn names_scout(text: &str) -> bool {
    let text = text.to_uppercase();
    PARTS.iter().any(|part| text.contains(part))
        || text.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
}

/// What becomes of the files of a scout.
pub(crate) fn skip<'a>(files: impl IntoIterator<Item = &'a Path>, detail: &str) -> impl Iterator<Item = FileOutcome> {
    files.into_iter().map(|path| FileOutcome::Skipped {
        path: path.to_owned(),
        reason: SkipReason::NotOriginal,
        detail: detail.to_owned(),
    })
}

/// Why the images of one plane of a series are a scout, if they are.
pub(crate) fn sentence(modality: &str, images: &[InstanceHeader]) -> Option<String> {
    let first = images.first().filter(|_| modality == "CT")?;
    let (few, named) = (images.len() < FEW, first.named_scout);
    let upright = first.normal()[2].abs() <= UPRIGHT;
    if !((few && (upright || named)) || (upright && named)) {
        return None;
    }
    let plane = if upright { "coronal or sagittal" } else { "axial" };
    let name = if named { ", called a scout by SeriesDescription" } else { "" };
    Some(format!("{} {plane} image(s) of one plane in a CT series{name}: a scout, not a volume", images.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::group;

    fn image(n: usize, change: impl FnOnce(&mut crate::image_header::SliceFacts)) -> InstanceHeader {
        let mut header = InstanceHeader::for_tests().with(change);
        header.path = format!("{n}.dcm").into();
        header.sop_instance_uid = format!("1.{n}");
        header.position.0[2] = 2.0 * n as f64;
        header
    }

    const CORONAL: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]];
    const SAGITTAL: [[f64; 3]; 2] = [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]];

    #[test]
    fn upright_images_beside_axial_ones_are_left_out() {
        let axial = (10..20).map(|n| image(n, |_| {}));
        // Two projections with the lowest UIDs: the parts that they would be come first.
        let scouts = [CORONAL, SAGITTAL].into_iter().enumerate();
        let scouts = scouts.map(|(n, orientation)| image(n, |facts| facts.orientation = orientation));
        let outcome = group(scouts.chain(axial).collect());
        assert_eq!((outcome.series.len(), outcome.series[0].part, outcome.series[0].instances.len()), (1, 0, 10));
        let left: Vec<_> = outcome.scouts.iter().map(|one| one.path().to_str().unwrap()).collect();
        assert_eq!(left, ["0.dcm", "1.dcm"]);
        assert!(
            matches!(&outcome.scouts[0], FileOutcome::Skipped { reason: SkipReason::NotOriginal, detail, .. } if detail.contains("scout"))
        );
    }

    #[test]
    fn a_volume_is_no_scout() {
        let count = |orientation: [[f64; 3]; 2], named: bool, images: usize, modality: &'static str| {
            let one = |n| {
                image(n, |facts| {
                    (facts.orientation, facts.named_scout, facts.modality) = (orientation, named, modality.into());
                })
            };
            group((0..images).map(one).collect()).series.len()
        };
        let axial = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        assert_eq!(
            (count(axial, true, 3, "CT"), count(axial, false, 2, "CT"), count(CORONAL, false, 3, "CT")),
            (1, 1, 1)
        );
        assert_eq!(
            (count(axial, true, 2, "CT"), count(SAGITTAL, true, 3, "CT"), count(CORONAL, false, 2, "CT")),
            (0, 0, 0)
        );
        assert_eq!(count(CORONAL, true, 1, "PT"), 1);
    }

    #[test]
    fn scouts_are_named_in_many_words() {
        for text in
            ["SCOUT MODE", "Topogramm  0.6  T20s", "Surview", "TOPO ap", "Localizador", "HEAD^Scout", "定位像 1.0"]
        {
            assert!(names_scout(text), "{text}");
        }
        for text in ["HELICAL MODE", "Thorax 1.0 B30f", "LOCAL", "TOPOGRAPHY", "AXIAL", ""] {
            assert!(!names_scout(text), "{text}");
        }
    }
}
