//! Seconds to decode one image file to HU, again and again: header, pixels, rescale; on one thread.
//!
//! Arguments: FILE TIMES. Prints the seconds of one decoding and the sum of all HU, so that a peer can be seen to decode the same.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::path::PathBuf;
use std::time::Instant;

use mtids_dicom::{FileKind, Limits, decode_image, read_header};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let file: PathBuf = arguments.next().ok_or("usage: decode_images FILE TIMES")?.into();
    let times: u32 = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(10);
    let limits = Limits::default();
    let mut sum = 0i64;
    let start = Instant::now();
    for _ in 0..times {
        let FileKind::Image(header) = read_header(&file, &limits)? else { return Err("no single-frame image".into()) };
        let hu = decode_image(&header, &limits)?;
        sum = hu.iter().map(|&hu| i64::from(hu)).sum();
    }
    println!("{:.6} {sum}", start.elapsed().as_secs_f64() / f64::from(times));
    Ok(())
}
