//! Seconds to read a folder with one CT series into a volume of HU: headers, grouping, geometry, pixels; on one thread.
//!
//! Arguments: FOLDER. Prints the seconds and the sum of all HU, so that a peer can be seen to read the same.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::path::PathBuf;
use std::time::Instant;

use mtids_dicom::{FileKind, Limits, group, load_volume, read_header};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: time_series FOLDER")?.into();
    let limits = Limits::default();
    let start = Instant::now();
    let mut headers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        if let FileKind::Image(header) = read_header(&entry?.path(), &limits)? {
            headers.push(*header);
        }
    }
    let grouped = group(headers);
    let series = grouped.series.first().ok_or("no series")?;
    let volume = load_volume(series, &limits)?.volume;
    let seconds = start.elapsed().as_secs_f64();
    let sum: i64 = volume.voxels().iter().map(|&hu| i64::from(hu)).sum();
    println!("{seconds:.6} {sum}");
    Ok(())
}
