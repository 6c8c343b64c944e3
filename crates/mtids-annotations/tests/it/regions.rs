//! Regions of interest on a grid of 2 × 2 × 2.5 mm: what one region gives, contour by contour.

use mtids_annotations::{Contour, ContourKind, Observed, RegionOfInterest};
use mtids_dicom::Limits;
use mtids_domain::annotation::{Annotation, AnnotationTarget, Extent};
use mtids_domain::geometry::{Affine, PointMm};
use proptest::prelude::*;

const SIDES: [usize; 3] = [24, 24, 16];

fn grid() -> Affine {
    Affine::new(PointMm::new(-20.0, -20.0, -100.0), [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.5]]).unwrap()
}

fn region(contours: Vec<Contour>) -> RegionOfInterest {
    RegionOfInterest {
        number: 1,
        name: "LN 7".into(),
        target: AnnotationTarget::default(),
        image_instances: Vec::new(),
        contours,
        plane_step_mm: None,
        observed: Observed::default(),
        fault: None,
    }
}

fn closed(points: Vec<[f64; 3]>) -> Contour {
    Contour { kind: ContourKind::Closed, points: points.into_iter().map(PointMm).collect(), image: None }
}

/// A circle about `center`, in the plane of two unit vectors.
fn circle(center: [f64; 3], radius: f64, [u, v]: [[f64; 3]; 2]) -> Contour {
    let point = |n: usize| {
        let (sin, cos) = (n as f64 / 48.0 * std::f64::consts::TAU).sin_cos();
        std::array::from_fn(|axis| center[axis] + radius * (cos * u[axis] + sin * v[axis]))
    };
    closed((0..48).map(point).collect())
}

const AXIAL: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
const SAGITTAL: [[f64; 3]; 2] = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
const CORONAL: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];

/// The circles of a ball, `step` mm apart along the normal of their planes, `shift` mm beside its middle.
fn ball(center: [f64; 3], radius: f64, axes: [[f64; 3]; 2], step: f64, shift: f64) -> Vec<Contour> {
    let [u, v] = axes;
    let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    (-20..=20)
        .map(|n| f64::from(n) * step + shift)
        .filter(|along| along.abs() < radius - 0.3)
        .map(|along| {
            let middle = std::array::from_fn(|axis| center[axis] + along * normal[axis]);
            circle(middle, (radius * radius - along * along).sqrt(), axes)
        })
        .collect()
}

fn found(contours: Vec<Contour>) -> Vec<Annotation> {
    region(contours).findings(&grid(), SIDES, &Limits::default()).unwrap()
}

fn volume(finding: &Annotation) -> f64 {
    match &finding.extent {
        Extent::Mask(mask) => mask.volume_mm3(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ball_is_one_node_however_its_planes_lie() {
    let center = [2.3, 1.1, -80.4];
    let expected = 4.0 / 3.0 * std::f64::consts::PI * 8.0f64.powi(3);
    let (sin, cos) = 0.5f64.sin_cos();
    let tilted = [[cos, 0.0, sin], [0.0, 1.0, 0.0]];
    for (name, axes, step, shift) in [
        ("on slices", AXIAL, 2.5, 0.4),
        ("between slices", AXIAL, 2.5, 1.6),
        ("finer than slices", AXIAL, 1.0, 0.0),
        ("on every second slice", AXIAL, 5.0, 0.4),
        ("at odd distances", AXIAL, 3.7, 0.0),
        ("sagittal", SAGITTAL, 2.0, 0.0),
        ("sagittal, sparse", SAGITTAL, 4.0, 0.5),
        ("coronal", CORONAL, 2.0, 0.7),
        ("tilted", tilted, 2.0, 0.0),
    ] {
        let nodes = found(ball(center, 8.0, axes, step, shift));
        assert_eq!(nodes.len(), 1, "{name}");
        assert!(nodes[0].center.distance(PointMm(center)) < 1.5, "{name}: {:?}", nodes[0].center);
        let part = volume(&nodes[0]) / expected;
        assert!((0.75..1.35).contains(&part), "{name}: {part} of the volume");
    }
}

#[test]
fn points_are_part_of_the_node_that_they_touch() {
    let point =
        |[x, y, z]: [f64; 3]| Contour { kind: ContourKind::Point, points: vec![PointMm::new(x, y, z)], image: None };
    let node = || ball([0.0, 0.0, -80.0], 6.0, AXIAL, 2.5, 0.0);
    let tips = [point([0.0, 0.0, -72.5]), point([2.0, 0.0, -72.5]), point([2.0, 0.0, -70.0])];
    let whole = found(node().into_iter().chain(tips).collect());
    assert_eq!(whole.len(), 1, "lone voxels above the node");
    let apart = found(node().into_iter().chain([point([0.0, 15.0, -80.0]), point([0.0, 15.0, -80.0])]).collect());
    assert_eq!(apart.len(), 2, "a mark elsewhere, written twice");
    assert_eq!((apart[0].center, &apart[0].extent), (PointMm::new(0.0, 15.0, -80.0), &Extent::Point));
    let marks = found(vec![point([0.5, 0.0, -80.0]), point([2.0, 0.0, -80.0])]);
    assert_eq!(marks.len(), 2, "marks alone are findings where they are");
}

#[test]
fn tips_belong_to_the_node_beside_them_and_alone_are_a_point() {
    let node = || ball([0.0, 0.0, -80.0], 6.0, AXIAL, 2.5, 0.0);
    let line = |z: f64| closed(vec![[-2.0, 0.0, z], [2.0, 0.0, z]]);
    assert_eq!(found(node().into_iter().chain([line(-72.5)]).collect()).len(), 1);
    let speck = circle([0.7, 0.9, -72.5], 0.2, AXIAL);
    assert_eq!(found(node().into_iter().chain([speck.clone()]).collect()).len(), 1, "smaller than a pixel");
    for tip in [line(-90.0), closed(vec![[1.0, 0.0, -90.0]]), speck] {
        let alone = found(vec![tip]);
        assert_eq!(alone.len(), 1);
        assert_eq!((&alone[0].extent, alone[0].short_axis_mm), (&Extent::Point, None));
        assert!(alone[0].center.distance(PointMm::new(0.0, 0.0, alone[0].center.0[2])) < 2.1);
    }
}

#[test]
fn what_encloses_nothing_is_a_fault_of_the_region() {
    let fault = |contours: Vec<Contour>| region(contours).findings(&grid(), SIDES, &Limits::default()).unwrap_err();
    assert!(fault(vec![circle([0.0, 0.0, 300.0], 5.0, AXIAL)]).contains("enclose no voxel"));
    assert!(fault(vec![circle([9e6, 0.0, -80.0], 5.0, AXIAL)]).contains("far outside"));
    let xor = Contour { kind: ContourKind::Xor, ..circle([0.0, 0.0, -80.0], 5.0, AXIAL) };
    assert!(fault(vec![xor.clone(), xor]).contains("cancel one another"));
    let crossed = vec![circle([0.0; 3], 5.0, SAGITTAL), circle([0.0; 3], 5.0, CORONAL)];
    assert!(fault(crossed).contains("one orientation"));
    let bent = closed(vec![[0.0, 0.0, -80.0], [8.0, 0.0, -70.0], [8.0, 8.0, -80.0], [0.0, 8.0, -70.0]]);
    assert!(fault(vec![bent]).contains("one orientation"));
    assert!(region(Vec::new()).findings(&grid(), SIDES, &Limits::default()).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Order, repeats and directions of contours do not matter.
    #[test]
    fn the_order_of_contours_does_not_matter(
        seed in any::<u64>(), x in -6.0f64..6.0, y in -6.0f64..6.0, radius in 2.0f64..7.0,
    ) {
        let contours: Vec<Contour> = ball([0.0, 0.0, -80.0], 7.0, AXIAL, 2.5, 0.0)
            .into_iter()
            .chain(ball([x, y, -80.0], radius, AXIAL, 2.5, 0.0))
            .collect();
        let mut shuffled = contours.clone();
        let mut state = seed | 1;
        for n in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(n, (state >> 33) as usize % (n + 1));
        }
        let mut turned = shuffled[0].clone();
        turned.points.reverse();
        shuffled.push(turned);
        prop_assert_eq!(found(shuffled), found(contours));
    }

    /// Whatever the points, the answer is findings or a sentence.
    #[test]
    fn any_points_end(
        contours in prop::collection::vec(
            (0u8..3, prop::collection::vec(prop::array::uniform3(-60.0f64..60.0), 1..12), any::<bool>()), 1..8,
        ),
    ) {
        let contour = |(kind, points, flat): (u8, Vec<[f64; 3]>, bool)| {
            let kind = [ContourKind::Closed, ContourKind::Xor, ContourKind::Point][usize::from(kind)];
            let points = points.into_iter().map(|[x, y, z]| PointMm::new(x, y, if flat { -80.0 } else { z - 80.0 }));
            Contour { kind, points: points.collect(), image: None }
        };
        let region = region(contours.into_iter().map(contour).collect());
        if let Err(fault) = region.findings(&grid(), SIDES, &Limits::default()) {
            prop_assert!(!fault.is_empty());
        }
    }
}
