//! NIfTI (1 and 2, plain and gzip, with voxels beside it) and NRRD (attached, detached, layered) masks, told apart by content.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_annotations::read_mask;

fuzz_target!(
    init: {
        // What headers may name: the voxels of a pair, and those of `data file: v.raw`.
        let _ = std::fs::create_dir_all(file::folder());
        let voxels: Vec<u8> = (0..20_000_u32).map(|n| u8::from(n % 97 == 5)).collect();
        for name in ["input.img", "v.raw", "v0.raw", "v1.raw"] {
            let _ = std::fs::write(file::folder().join(name), &voxels);
        }
    },
    |bytes: &[u8]| {
        file::with_file(bytes, ".nhdr", |path| {
            if let Ok(mask) = read_mask(path, &file::limits()) {
                let _ = mask.findings(&Default::default(), &file::limits());
            }
        });
    }
);
