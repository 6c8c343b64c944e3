//! DICOM SEG, placed on its own grid and on that of an image.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_annotations::read_segmentation;
use mtids_domain::geometry::{Affine, PointMm};

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, "", |path| {
        let Ok(segmentation) = read_segmentation(path, &file::limits()) else { return };
        let placed = segmentation.findings_on(None, &file::limits());
        assert!(placed.faults().all(|fault| !fault.is_empty()));
        let steps = [[3.0, 0.0, 0.0], [0.0, 2.5, 0.0], [0.0, 0.0, 2.5]];
        let Ok(affine) = Affine::new(PointMm::new(-36.0, -92.0, -300.0), steps) else { return };
        let _ = segmentation.findings_on(Some((&affine, [24, 28, 12])), &file::limits());
    });
});
