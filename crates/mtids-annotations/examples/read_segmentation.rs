//! Seconds to read a segmentation of many segments on a full CT grid.
//!
//! Arguments: FOLDER SEGMENTS. Prints the seconds of reading and the number of set voxels, so that a peer can be seen to read the same.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::path::PathBuf;
use std::time::Instant;

use mtids_annotations::read_segmentation;
use mtids_dicom::Limits;
use mtids_dicom::write::{Segment, StudyIdentity, write_segmentation};
use mtids_domain::annotation::{Extent, Mask};
use mtids_domain::geometry::{Affine, PointMm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder: PathBuf = arguments.next().ok_or("usage: read_segmentation FOLDER SEGMENTS")?.into();
    let count: u32 = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(100);
    let steps = [[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 1.5]];
    let affine = Affine::new(PointMm::new(-180.0, -180.0, -400.0), steps)?;
    let segments: Vec<Segment> = (0..count)
        .map(|n| {
            // Boxes of 40 × 40 × 30 voxels, here and there.
            let [i0, j0, k0] = [n * 37 % 470, n * 91 % 470, n * 53 % 270];
            let voxels = (0..30u32)
                .flat_map(|k| (0..40).flat_map(move |j| (0..40).map(move |i| [i0 + i, j0 + j, k0 + k])))
                .collect();
            Segment { label: format!("Segment {n}"), mask: Mask { affine, voxels } }
        })
        .collect();
    let identity = StudyIdentity {
        patient_id: "BENCH".into(),
        patient_name: "BENCH^SYNTHETIC".into(),
        study_uid: "2.25.1".into(),
        frame_of_reference_uid: "2.25.2".into(),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    };
    let path = folder.join("many-segments.dcm");
    write_segmentation(&path, &segments, [512, 512, 300], &identity, "2.25.3")?;
    let start = Instant::now();
    let limits = Limits::default();
    let findings = read_segmentation(&path, &limits)?.findings_on(None, &limits).into_findings();
    let seconds = start.elapsed().as_secs_f64();
    let voxels: usize =
        findings.iter().map(|one| if let Extent::Mask(mask) = &one.extent { mask.voxels.len() } else { 0 }).sum();
    println!("{seconds:.6} {voxels}");
    Ok(())
}
