//! Contours of one region, made from the bytes: nested, crossing, on planes with gaps between them, oblique, points and tips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mtids_annotations::{Contour, ContourKind, Observed, RegionOfInterest};
use mtids_dicom::Limits;
use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::{Affine, PointMm};

/// A contour: a byte of kind and number of points, a byte of depth; then two bytes for each point, or three where it leaves its plane.
fn contour(bytes: &mut impl Iterator<Item = u8>) -> Option<Contour> {
    let (first, depth) = (bytes.next()?, bytes.next()?);
    let kind = match first >> 6 {
        0 | 1 => ContourKind::Closed,
        2 => ContourKind::Xor,
        _ => ContourKind::Point,
    };
    let is_flat = first & 0b10_0000 == 0;
    let mut points = Vec::new();
    for _ in 0..=first & 0b1_1111 {
        let (Some(x), Some(y)) = (bytes.next(), bytes.next()) else { break };
        let z = if is_flat { 0 } else { bytes.next().unwrap_or(0) };
        points.push(PointMm::new(f64::from(x) / 2.0, f64::from(y) / 2.0, f64::from(depth) / 4.0 + f64::from(z) / 8.0));
    }
    (!points.is_empty()).then_some(Contour { kind, points, image: None })
}

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes.iter().copied();
    let contours: Vec<Contour> = std::iter::from_fn(|| contour(&mut rest)).collect();
    let region = RegionOfInterest {
        number: 1,
        name: String::new(),
        target: AnnotationTarget::default(),
        image_instances: Vec::new(),
        contours,
        plane_step_mm: None,
        observed: Observed::default(),
        fault: None,
    };
    let steps = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.5]];
    let Ok(affine) = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps) else { return };
    if let Ok(found) = region.findings(&affine, [64, 64, 28], &Limits::default()) {
        assert!(!found.is_empty() || region.contours.is_empty());
    }
});
