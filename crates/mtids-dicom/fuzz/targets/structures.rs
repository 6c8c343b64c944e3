//! RTSTRUCT, filled on a small grid.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_annotations::read_structures;

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, "", |path| {
        let Ok(set) = read_structures(path, &file::limits()) else { return };
        let steps = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]];
        let Ok(affine) = Affine::new(PointMm::new(-60.0, -160.0, -660.0), steps) else { return };
        for region in &set.regions {
            let _ = region.findings(&affine, [64, 64, 20], &file::limits());
        }
    });
});
