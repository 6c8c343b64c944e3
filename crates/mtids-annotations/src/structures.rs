//! RTSTRUCT: contours in patient mm become masks on the grid of the image they were drawn on.
//!
//! Method: the contours of one ROI on one plane are filled by the even-odd rule, so that holes, islands and keyholes come out right;
//! voxels whose centre lies on a contour belong to it (programs that trace masks draw through the outermost centres). Planes between two
//! slices go to the nearer one. Invariants: a ROI without contours is no finding; a POINT is a finding without extent. Units: LPS mm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::element::{first_item, integer, items, numbers, text};
use mtids_dicom::{DicomError, Limits, ReasonCode};
use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::label::{Evidence, LabelLevel};

use crate::labelled::{LabelMeaning, findings};

/// How near a voxel centre lies to a contour that runs through it, in voxels.
const ON_CONTOUR: f64 = 1e-3;

/// Most comparisons of a pixel with an edge for one structure: a lung on 500 slices, drawn with 500 points each, needs a tenth.
const MAX_WORK: u64 = 100_000_000_000;

/// One contour.
#[derive(Clone, Debug, PartialEq)]
pub struct Contour {
    /// True for a single position, false for a closed curve in one plane.
    pub point: bool,
    /// Its points in LPS mm.
    pub points: Vec<PointMm>,
}

/// A region of interest.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionOfInterest {
    /// Name given by its author; for people, never a label.
    pub name: String,
    /// Contours in file order.
    pub contours: Vec<Contour>,
    /// Why its contours cannot be read; a fault only where the region is asked for.
    pub fault: Option<String>,
}

/// An RTSTRUCT object.
#[derive(Clone, Debug, PartialEq)]
pub struct StructureSet {
    /// The image it was drawn on.
    pub target: AnnotationTarget,
    /// Its regions of interest, in the order of their numbers.
    pub regions: Vec<RegionOfInterest>,
}

/// Reads an RTSTRUCT object.
///
/// # Errors
/// [`DicomError::File`] when the file is damaged, or with [`ReasonCode::InvalidStructures`] and what is wrong.
pub fn read_structures(path: &Path, limits: &Limits) -> Result<StructureSet, DicomError> {
    guarded(path, || read(path, limits))
}

fn read(path: &Path, limits: &Limits) -> Result<StructureSet, DicomError> {
    let object = open(path, limits, Elements::All)?.object;
    let invalid = |detail: String| DicomError::file(path, ReasonCode::InvalidStructures, detail);
    let frame = first_item(&object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE);
    let study = frame.and_then(|item| first_item(item, tags::RT_REFERENCED_STUDY_SEQUENCE));
    let series = study.and_then(|item| first_item(item, tags::RT_REFERENCED_SERIES_SEQUENCE));
    let target = AnnotationTarget {
        patient_id: text(&object, tags::PATIENT_ID),
        series_uid: series.and_then(|item| text(item, tags::SERIES_INSTANCE_UID)),
        study_uid: text(&object, tags::STUDY_INSTANCE_UID),
        frame_of_reference_uid: frame.and_then(|item| text(item, tags::FRAME_OF_REFERENCE_UID)),
    };
    let mut regions: BTreeMap<u32, RegionOfInterest> = BTreeMap::new();
    for item in items(&object, tags::STRUCTURE_SET_ROI_SEQUENCE) {
        let number = integer(item, tags::ROI_NUMBER).ok_or_else(|| invalid("a ROI without number".into()))?;
        let name = text(item, tags::ROI_NAME).unwrap_or_default();
        if regions.insert(number, RegionOfInterest { name, contours: Vec::new(), fault: None }).is_some() {
            return Err(invalid(format!("two ROIs with number {number}")));
        }
    }
    for item in items(&object, tags::ROI_CONTOUR_SEQUENCE) {
        let region = integer(item, tags::REFERENCED_ROI_NUMBER).and_then(|number| regions.get_mut(&number));
        let region = region.ok_or_else(|| invalid("contours of a ROI that the object does not list".into()))?;
        for contour in items(item, tags::CONTOUR_SEQUENCE) {
            match read_contour(contour) {
                Ok(contour) => region.contours.extend(contour),
                Err(detail) => _ = region.fault.get_or_insert(detail),
            }
        }
    }
    Ok(StructureSet { target, regions: regions.into_values().collect() })
}

fn read_contour(item: &InMemDicomObject) -> Result<Option<Contour>, String> {
    let Some(numbers) = numbers(item, tags::CONTOUR_DATA).filter(|numbers| !numbers.is_empty()) else {
        return Ok(None);
    };
    let chunks = numbers.chunks_exact(3);
    if !chunks.remainder().is_empty() {
        return Err(format!("{} coordinates do not form points", numbers.len()));
    }
    let points: Vec<PointMm> = chunks.map(|p| PointMm::new(p[0], p[1], p[2])).collect();
    let point = match text(item, tags::CONTOUR_GEOMETRIC_TYPE).as_deref() {
        Some("POINT") => true,
        Some("CLOSED_PLANAR" | "CLOSEDPLANAR_XOR") => points.len() < 3,
        other => return Err(format!("contour type {other:?}; POINT and CLOSED_PLANAR are read")),
    };
    Ok(Some(Contour { point, points }))
}

impl StructureSet {
    /// The findings on a grid of `dimensions` (columns, rows, slices); what lies outside it is left out.
    ///
    /// # Errors
    /// A sentence, for a contour that does not lie in a slice plane of the grid.
    pub fn findings(
        &self,
        affine: &Affine,
        dimensions: [usize; 3],
        limits: &Limits,
    ) -> Result<Vec<Annotation>, String> {
        let mut found = Vec::new();
        for region in &self.regions {
            if let Some(fault) = &region.fault {
                return Err(format!("ROI `{}`: {fault}", region.name));
            }
            let (points, curves): (Vec<&Contour>, Vec<&Contour>) = region.contours.iter().partition(|one| one.point);
            for center in points.iter().flat_map(|contour| &contour.points) {
                found.push(Annotation {
                    target: self.target.clone(),
                    center: *center,
                    finding: region.name.clone(),
                    codes: Vec::new(),
                    station: None,
                    metastasis: None,
                    evidence: Evidence::U,
                    level: LabelLevel::Node,
                    short_axis_mm: None,
                    source: AnnotationSource::Segmentation,
                    extent: Extent::Point,
                });
            }
            let in_region = |error: String| format!("ROI `{}`: {error}", region.name);
            let voxels = fill(&curves, affine, dimensions, limits).map_err(in_region)?;
            let meaning = LabelMeaning::named(&region.name);
            found.extend(findings(&self.target, &meaning, *affine, &voxels, limits).map_err(in_region)?);
        }
        Ok(found)
    }
}

/// Voxels `[i, j, k]` inside the contours of one ROI.
fn fill(
    contours: &[&Contour],
    affine: &Affine,
    [columns, rows, slices]: [usize; 3],
    limits: &Limits,
) -> Result<Vec<[u32; 3]>, String> {
    // Planes are told apart to a thousandth of a slice.
    let mut planes: BTreeMap<i64, Vec<Vec<[f64; 2]>>> = BTreeMap::new();
    for contour in contours {
        let indices: Vec<[f64; 3]> = contour.points.iter().map(|point| affine.to_voxel(*point).0).collect();
        let depth = indices.iter().map(|index| index[2]).sum::<f64>() / indices.len() as f64;
        if indices.iter().flatten().any(|x| !x.is_finite() || x.abs() > 1e7) {
            return Err("a contour is far outside the image".into());
        }
        if indices.iter().any(|index| (index[2] - depth).abs() > 0.25) {
            return Err("a contour is not in a slice plane of the image".into());
        }
        let curve = indices.iter().map(|index| [index[0], index[1]]).collect();
        planes.entry((depth * 1e3).round() as i64).or_default().push(curve);
    }
    let mut set = BTreeSet::new();
    let mut work = 0u64;
    for (depth, curves) in planes {
        let k = (depth as f64 / 1e3).round();
        if !(0.0..slices as f64).contains(&k) {
            continue;
        }
        let range = |axis: usize, side: usize| {
            let values = || curves.iter().flatten().map(|point| point[axis]);
            let low = values().fold(f64::INFINITY, f64::min).ceil() - 1.0;
            let high = values().fold(f64::NEG_INFINITY, f64::max).floor() + 1.0;
            low.max(0.0) as usize..((high + 1.0).max(0.0) as usize).min(side)
        };
        let points: usize = curves.iter().map(Vec::len).sum();
        work += (range(0, columns).len() * range(1, rows).len()) as u64 * points as u64;
        if work > MAX_WORK {
            return Err("more contour points over more pixels than a drawn structure has".into());
        }
        if set.len() > limits.max_set_voxels {
            return Err(limits.too_many_set_voxels());
        }
        for j in range(1, rows) {
            for i in range(0, columns) {
                if inside([i as f64, j as f64], &curves) {
                    set.insert([k as u32, j as u32, i as u32]);
                }
            }
        }
    }
    Ok(set.into_iter().map(|[k, j, i]| [i, j, k]).collect())
}

/// Even-odd rule over all curves of a plane; the curves themselves belong to the inside.
fn inside([x, y]: [f64; 2], curves: &[Vec<[f64; 2]>]) -> bool {
    let mut odd = false;
    for curve in curves {
        for (n, &[ax, ay]) in curve.iter().enumerate() {
            let [bx, by] = curve[(n + 1) % curve.len()];
            let (dx, dy) = (bx - ax, by - ay);
            let length_squared = dx * dx + dy * dy;
            let along = if length_squared > 0.0 {
                (((x - ax) * dx + (y - ay) * dy) / length_squared).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let (px, py) = (x - ax - along * dx, y - ay - along * dy);
            if px * px + py * py <= ON_CONTOUR * ON_CONTOUR {
                return true;
            }
            if (ay > y) != (by > y) && x < ax + (y - ay) / dy * dx {
                odd = !odd;
            }
        }
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(low: f64, high: f64) -> Vec<[f64; 2]> {
        vec![[low, low], [high, low], [high, high], [low, high]]
    }

    #[test]
    fn holes_and_islands_follow_the_even_odd_rule() {
        let curves = [square(0.0, 10.0), square(2.5, 7.5), square(4.5, 5.5)];
        assert!(inside([0.0, 5.0], &curves), "on the contour");
        assert!(inside([1.0, 5.0], &curves) && !inside([3.0, 5.0], &curves) && inside([5.0, 5.0], &curves));
        assert!(!inside([10.1, 5.0], &curves) && !inside([-1.0, 0.0], &curves));
    }

    #[test]
    fn a_keyhole_is_a_ring() {
        // Outer square, a bridge along y = 5 to the inner one, round it, and back over the same bridge.
        let ring = vec![
            [0.0, 5.2],
            [0.0, 0.0],
            [10.0, 0.0],
            [10.0, 10.0],
            [0.0, 10.0],
            [0.0, 5.2],
            [2.5, 5.2],
            [2.5, 7.5],
            [7.5, 7.5],
            [7.5, 2.5],
            [2.5, 2.5],
            [2.5, 5.2],
        ];
        assert!(inside([1.0, 5.0], std::slice::from_ref(&ring)) && !inside([5.0, 5.0], &[ring]));
    }

    #[test]
    fn planes_between_slices_go_to_the_nearer_and_those_outside_nowhere() {
        let affine =
            Affine::new(PointMm::new(0.0, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 5.0]]).unwrap();
        let at = |z: f64| Contour {
            point: false,
            points: [[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]].map(|[x, y]| PointMm::new(x, y, z)).to_vec(),
        };
        let voxels = |z| fill(&[&at(z)], &affine, [8, 8, 4], &Limits::default()).unwrap();
        assert_eq!(voxels(6.0).len(), 9);
        assert!(voxels(6.0).iter().all(|voxel| voxel[2] == 1) && voxels(-5.0).is_empty() && voxels(40.0).is_empty());
        let mut tilted = at(0.0);
        tilted.points[0].0[2] = 4.0;
        assert!(fill(&[&tilted], &affine, [8, 8, 4], &Limits::default()).is_err());
    }
}
