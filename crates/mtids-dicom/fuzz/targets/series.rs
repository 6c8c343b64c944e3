//! An image file: header, grouping, geometry, pixels through every codec.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_dicom::{FileKind, check_series, decode_image, group, load_pet, load_volume, read_header};

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, "", |path| {
        let limits = file::limits();
        let headers = match read_header(path, &limits) {
            Ok(FileKind::Image(header)) => vec![*header],
            Ok(FileKind::Frames(frames)) => frames,
            _ => return,
        };
        for header in headers.iter().take(4) {
            if let Ok(hu) = decode_image(header, &limits) {
                assert_eq!(hu.len(), header.rows as usize * header.columns as usize);
            }
        }
        // A second slice one step higher makes a volume of a single image.
        let mut slices = headers;
        if let [one] = slices.as_slice() {
            let mut upper = one.clone();
            upper.sop_instance_uid.push_str(".1");
            for axis in 0..3 {
                upper.position.0[axis] += 2.0 * one.normal()[axis];
            }
            slices.push(upper);
        }
        for series in group(slices).series {
            let _ = check_series(&series, &limits);
            let _ = load_volume(&series, &limits);
            let _ = load_pet(&series, &limits);
        }
    });
});
