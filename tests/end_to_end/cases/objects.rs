//! RTSTRUCT and SEG objects of a synthetic series, and files of rules.
//!
//! Units: LPS mm.

use std::path::Path;

use super::dicom::{Object, uid};
use super::study::{
    Ct, FRAME_OF_REFERENCE, ORIENTATION, PATIENT_ID, PIXEL_SPACING, PIXELS, POSITION, SERIES, SOP_CLASS, SOP_INSTANCE,
    STUDY, THICKNESS,
};

/// Rules: `LN <station>` names a node, everything else is left out.
pub(crate) const RULES: &str = "[[class]]\nname = '^LN[ _](?<station>.+)$'\n[[class]]\nname = '.'\nignore = true\n";

/// Writes [`RULES`] as `classes.toml`.
pub(crate) fn write_rules(folder: &Path) {
    std::fs::write(folder.join("classes.toml"), RULES).unwrap();
}

/// Identity of an object of the study of `ct`.
pub(crate) fn identity(ct: &Ct, class: &str, name: &str) -> Object {
    let mut object = Object::default();
    object
        .text(SOP_CLASS, "UI", class)
        .text(SOP_INSTANCE, "UI", uid(&format!("{name} of {}", ct.series)))
        .text((0x0010, 0x0010), "PN", "X")
        .text(PATIENT_ID, "LO", ct.patient.clone())
        .text(STUDY, "UI", ct.study_uid())
        .text(SERIES, "UI", uid(&format!("series {name} of {}", ct.series)));
    object
}

/// A contour: type, points, and nothing else.
pub(crate) fn contour(kind: &str, points: &[[f64; 3]]) -> Object {
    let mut item = Object::default();
    item.text((0x3006, 0x0042), "CS", kind)
        .text((0x3006, 0x0046), "IS", points.len().to_string())
        .decimals((0x3006, 0x0050), points.as_flattened());
    item
}

/// A closed circle of 24 points around a centre, in the plane z.
pub(crate) fn circle([x, y, z]: [f64; 3], radius_mm: f64) -> Object {
    let points: Vec<[f64; 3]> = (0..24)
        .map(|n| {
            let (sin, cos) = (f64::from(n) * std::f64::consts::TAU / 24.0).sin_cos();
            let rounded = |x: f64| (x * 1e3).round() / 1e3;
            [rounded(x + radius_mm * cos), rounded(y + radius_mm * sin), z]
        })
        .collect();
    contour("CLOSED_PLANAR", &points)
}

/// Circles of a ball on the given planes.
pub(crate) fn ball(center: [f64; 3], radius_mm: f64, planes: &[f64]) -> Vec<Object> {
    let half = |z: f64| (radius_mm * radius_mm - (z - center[2]).powi(2)).max(0.0).sqrt();
    planes.iter().filter(|&&z| half(z) > 0.5).map(|&z| circle([center[0], center[1], z], half(z))).collect()
}

/// An RTSTRUCT of the series of `ct`, of these structures: name and contours.
pub(crate) fn structures(ct: &Ct, regions: &[(&str, Vec<Object>)]) -> Object {
    let mut object = identity(ct, "1.2.840.10008.5.1.4.1.1.481.3", "structures");
    object
        .text((0x0008, 0x0060), "CS", "RTSTRUCT")
        .text((0x3006, 0x0002), "SH", "RTSTRUCT")
        .items((0x3006, 0x0010), vec![frame_item(ct)]);
    let (mut named, mut drawn) = (Vec::new(), Vec::new());
    for (number, (name, contours)) in (1..).zip(regions) {
        let mut region = Object::default();
        region
            .text((0x3006, 0x0022), "IS", i32::to_string(&number))
            .text((0x3006, 0x0024), "UI", ct.frame_uid())
            .text((0x3006, 0x0026), "LO", *name)
            .text((0x3006, 0x0036), "CS", "MANUAL");
        named.push(region);
        let mut item = Object::default();
        item.text((0x3006, 0x0084), "IS", number.to_string()).items((0x3006, 0x0040), contours.clone());
        drawn.push(item);
    }
    object.items((0x3006, 0x0020), named).items((0x3006, 0x0039), drawn);
    object
}

/// An item of ReferencedFrameOfReferenceSequence that names the series of `ct`.
pub(crate) fn frame_item(ct: &Ct) -> Object {
    let mut series = Object::default();
    series.text(SERIES, "UI", ct.series_uid());
    let mut study = Object::default();
    study
        .text((0x0008, 0x1150), "UI", "1.2.840.10008.3.1.2.3.1")
        .text((0x0008, 0x1155), "UI", ct.study_uid())
        .items((0x3006, 0x0014), vec![series]);
    let mut frame = Object::default();
    frame.text(FRAME_OF_REFERENCE, "UI", ct.frame_uid()).items((0x3006, 0x0012), vec![study]);
    frame
}

/// A plane of a segment: its z in mm and its set pixels `[i, j]`.
pub(crate) type Plane = (f64, Vec<[usize; 2]>);

/// A binary SEG of the series of `ct`: for each segment its label, and for each frame its z and the set pixels `[i, j]`. The frames have the
/// grid of the slices.
pub(crate) fn segmentation(ct: &Ct, segments: &[(&str, Vec<Plane>)]) -> Object {
    let mut object = identity(ct, "1.2.840.10008.5.1.4.1.1.66.4", "segmentation");
    let [columns, rows] = super::study::SIDES;
    let (mut described, mut frames, mut bits) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (label, planes)) in (1_u16..).zip(segments) {
        let mut segment = Object::default();
        segment.short((0x0062, 0x0004), number).text((0x0062, 0x0005), "LO", *label).text(
            (0x0062, 0x0008),
            "CS",
            "MANUAL",
        );
        described.push(segment);
        for (z, pixels) in planes {
            let mut position = Object::default();
            position.decimals(POSITION, &[super::study::ORIGIN[0], super::study::ORIGIN[1], *z]);
            let mut of_segment = Object::default();
            of_segment.short((0x0062, 0x000B), number);
            let mut frame = Object::default();
            frame.items((0x0020, 0x9113), vec![position]).items((0x0062, 0x000A), vec![of_segment]);
            frames.push(frame);
            bits.extend((0..rows * columns).map(|at| pixels.contains(&[at % columns, at / columns])));
        }
    }
    let bytes: Vec<u8> = bits
        .chunks(8)
        .map(|bits| bits.iter().enumerate().fold(0, |byte, (n, &bit)| byte | u8::from(bit) << n))
        .collect();
    let mut measures = Object::default();
    measures
        .decimals(PIXEL_SPACING, &[super::study::STEPS[1], super::study::STEPS[0]])
        .decimals(THICKNESS, &[super::study::STEPS[2]])
        .decimals((0x0018, 0x0088), &[super::study::STEPS[2]]);
    let mut orientation = Object::default();
    orientation.decimals(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let mut shared = Object::default();
    shared.items((0x0028, 0x9110), vec![measures]).items((0x0020, 0x9116), vec![orientation]);
    let mut series = Object::default();
    series.text(SERIES, "UI", ct.series_uid());
    object
        .text((0x0008, 0x0060), "CS", "SEG")
        .items((0x0008, 0x1115), vec![series])
        .text(FRAME_OF_REFERENCE, "UI", ct.frame_uid())
        .short((0x0028, 0x0002), 1)
        .text((0x0028, 0x0004), "CS", "MONOCHROME2")
        .text((0x0028, 0x0008), "IS", frames.len().to_string())
        .short((0x0028, 0x0010), rows as u16)
        .short((0x0028, 0x0011), columns as u16)
        .short((0x0028, 0x0100), 1)
        .short((0x0028, 0x0101), 1)
        .short((0x0028, 0x0102), 0)
        .short((0x0028, 0x0103), 0)
        .text((0x0062, 0x0001), "CS", "BINARY")
        .items((0x0062, 0x0002), described)
        .items((0x5200, 0x9229), vec![shared])
        .items((0x5200, 0x9230), frames)
        .bytes(PIXELS, "OB", bytes);
    object
}
