//! From the DICOM object to regions and contours.
//!
//! Invariants: nothing is dropped without a word: contours that cannot be read are a fault of their region, those of no region a fault of the
//! object. Source: PS3.3 C.8.8.5 and C.8.8.6.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::element::{integer, items, numbers, text};
use mtids_dicom::{DicomError, Limits};
use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::{PointMm, dot};

use super::chains::SAME_PLANE_MM;
use super::{Contour, ContourKind, MAX_INSTANCES, Observed, RegionOfInterest, StructureSet, oblique};

/// ContourOffsetVector, which is retired.
const CONTOUR_OFFSET: Tag = Tag(0x3006, 0x0045);

/// Reads an RTSTRUCT object.
///
/// # Errors
/// [`DicomError::File`] when the file is damaged. A fault of a region is in [`RegionOfInterest::fault`].
pub fn read_structures(path: &Path, limits: &Limits) -> Result<StructureSet, DicomError> {
    guarded(path, || Ok(read(&open(path, limits, Elements::All)?.object)))
}

fn read(object: &InMemDicomObject) -> StructureSet {
    let frames = Frames::of(object);
    let target = AnnotationTarget {
        patient_id: text(object, tags::PATIENT_ID),
        series_uid: only(&frames.series),
        study_uid: text(object, tags::STUDY_INSTANCE_UID),
        frame_of_reference_uid: frames.only_frame(),
    };
    let mut regions: Vec<RegionOfInterest> =
        items(object, tags::STRUCTURE_SET_ROI_SEQUENCE).iter().map(|item| region(item, &target, &frames)).collect();
    regions.sort_by_key(|region| region.number);
    let observed = Observed::of(object);
    for region in &mut regions {
        region.observed = observed.get(&region.number).cloned().unwrap_or_default();
    }
    let mut by_number: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, region) in regions.iter().enumerate().filter(|(_, region)| region.fault.is_none()) {
        by_number.entry(region.number).or_default().push(at);
    }
    for (number, same) in by_number.iter().filter(|(_, same)| same.len() > 1) {
        for &at in same {
            let detail = format!(
                "{} structures have ROINumber {number}, so whose contours are meant is not known; export the set again",
                same.len()
            );
            regions[at].fault = Some(detail);
        }
    }
    let mut faults = Vec::new();
    for item in items(object, tags::ROI_CONTOUR_SEQUENCE) {
        let number = integer(item, tags::REFERENCED_ROI_NUMBER);
        let contours = items(item, tags::CONTOUR_SEQUENCE);
        match number.and_then(|number| by_number.get(&number)).map(Vec::as_slice) {
            Some(&[at]) => add_contours(&mut regions[at], contours),
            // Each of them has its fault already.
            Some(_) => {}
            None if contours.is_empty() => {}
            None => faults.push(format!(
                "{} contours of ROI number {}, which StructureSetROISequence does not list, belong to no structure and are left out",
                contours.len(),
                number.map_or_else(|| "(missing)".to_owned(), |number| number.to_string()),
            )),
        }
    }
    let step = plane_step_mm(&regions);
    for region in &mut regions {
        region.plane_step_mm = step;
    }
    StructureSet { target, regions, faults }
}

/// The smallest distance of two planes of one region, where it is found at least twice, or is that of a region of two planes: a node of 10 mm
/// that was drawn on slices of 5 mm has no more of them.
fn plane_step_mm(regions: &[RegionOfInterest]) -> Option<f64> {
    let normal = oblique::common_normal(regions.iter().flat_map(|region| &region.contours))?;
    let (mut gaps, mut of_two_planes): (Vec<f64>, Vec<f64>) = Default::default();
    for region in regions {
        let mut offsets: Vec<f64> = region
            .contours
            .iter()
            .filter(|contour| contour.kind != ContourKind::Point)
            .filter_map(|contour| Some(dot(contour.points.first()?.0, normal)))
            .collect();
        offsets.sort_by(f64::total_cmp);
        let of_region = offsets.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > SAME_PLANE_MM);
        let of_region: Vec<f64> = of_region.collect();
        if let [only] = of_region[..] {
            of_two_planes.push(only);
        }
        gaps.extend(of_region);
    }
    let smallest = gaps.iter().copied().min_by(f64::total_cmp)?;
    let found = gaps.iter().filter(|gap| **gap - smallest <= SAME_PLANE_MM).count();
    (found >= 2 || of_two_planes.contains(&smallest)).then_some(smallest)
}

/// The region of an item of StructureSetROISequence, without contours.
fn region(item: &InMemDicomObject, object: &AnnotationTarget, frames: &Frames) -> RegionOfInterest {
    let number = integer(item, tags::ROI_NUMBER);
    let frame = text(item, tags::REFERENCED_FRAME_OF_REFERENCE_UID);
    let target = match frame {
        Some(frame) => AnnotationTarget {
            series_uid: frames.by_uid.get(&frame).and_then(only),
            frame_of_reference_uid: Some(frame),
            ..object.clone()
        },
        None => object.clone(),
    };
    RegionOfInterest {
        number: number.unwrap_or(0),
        name: text(item, tags::ROI_NAME).unwrap_or_default(),
        target,
        image_instances: Vec::new(),
        contours: Vec::new(),
        plane_step_mm: None,
        observed: Observed::default(),
        fault: number.is_none().then(|| "it has no ROINumber, so its contours are not known".to_owned()),
    }
}

/// Series by the frame of reference that the object names them in.
struct Frames {
    by_uid: BTreeMap<String, BTreeSet<String>>,
    /// Every series.
    series: BTreeSet<String>,
}

impl Frames {
    fn of(object: &InMemDicomObject) -> Self {
        let mut frames = Self { by_uid: BTreeMap::new(), series: BTreeSet::new() };
        for item in items(object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE) {
            let series: BTreeSet<String> = items(item, tags::RT_REFERENCED_STUDY_SEQUENCE)
                .iter()
                .flat_map(|study| items(study, tags::RT_REFERENCED_SERIES_SEQUENCE))
                .filter_map(|series| text(series, tags::SERIES_INSTANCE_UID))
                .collect();
            frames.series.extend(series.iter().cloned());
            if let Some(uid) = text(item, tags::FRAME_OF_REFERENCE_UID) {
                frames.by_uid.entry(uid).or_default().extend(series);
            }
        }
        frames
    }

    fn only_frame(&self) -> Option<String> {
        let mut uids = self.by_uid.keys();
        uids.next().filter(|_| uids.next().is_none()).cloned()
    }
}

/// The member of a set of one.
fn only(set: &BTreeSet<String>) -> Option<String> {
    set.first().filter(|_| set.len() == 1).cloned()
}

fn add_contours(region: &mut RegionOfInterest, items_of_region: &[InMemDicomObject]) {
    let mut instances: BTreeSet<String> = region.image_instances.drain(..).collect();
    for (item, number) in items_of_region.iter().zip(1usize..) {
        for image in items(item, tags::CONTOUR_IMAGE_SEQUENCE) {
            if instances.len() < MAX_INSTANCES {
                instances.extend(text(image, tags::REFERENCED_SOP_INSTANCE_UID));
            }
        }
        match read_contour(item) {
            Ok(contour) => region.contours.extend(contour),
            Err(detail) => _ = region.fault.get_or_insert_with(|| format!("contour {number}: {detail}")),
        }
    }
    region.image_instances = instances.into_iter().collect();
}

/// One contour; `None` where it has no points.
fn read_contour(item: &InMemDicomObject) -> Result<Option<Contour>, String> {
    let given = item.get(tags::CONTOUR_DATA).map_or(0, |element| element.value().multiplicity());
    if given == 0 {
        return Ok(None);
    }
    let coordinates = numbers(item, tags::CONTOUR_DATA)
        .ok_or("ContourData holds something else than numbers with a decimal point; export the set again")?;
    // Points without it lie elsewhere.
    if numbers(item, CONTOUR_OFFSET).is_some_and(|offset| offset.iter().any(|mm| *mm != 0.0)) {
        return Err("ContourOffsetVector moves it, and is not read; write the points where they lie".into());
    }
    let chunks = coordinates.chunks_exact(3);
    if !chunks.remainder().is_empty() {
        return Err(format!("{} coordinates do not form points of x, y and z", coordinates.len()));
    }
    let points: Vec<PointMm> = chunks.map(|p| PointMm::new(p[0], p[1], p[2])).collect();
    let kind = match text(item, tags::CONTOUR_GEOMETRIC_TYPE).as_deref() {
        Some("POINT") => ContourKind::Point,
        Some("CLOSED_PLANAR") => ContourKind::Closed,
        Some("CLOSEDPLANAR_XOR") => ContourKind::Xor,
        Some(open @ ("OPEN_PLANAR" | "OPEN_NONPLANAR")) => {
            return Err(format!("an open line ({open}) encloses nothing; close it (CLOSED_PLANAR) or leave it out"));
        }
        Some(other) => {
            return Err(format!("ContourGeometricType `{other}`; CLOSED_PLANAR, CLOSEDPLANAR_XOR and POINT are read"));
        }
        None => return Err("ContourGeometricType is missing".into()),
    };
    let images = items(item, tags::CONTOUR_IMAGE_SEQUENCE);
    let image =
        images.first().filter(|_| images.len() == 1).and_then(|image| text(image, tags::REFERENCED_SOP_INSTANCE_UID));
    Ok((!points.is_empty()).then_some(Contour { kind, points, image }))
}
