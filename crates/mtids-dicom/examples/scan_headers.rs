//! Seconds to read the header of every file of a folder, on one thread; what `mtids-prep` does first, on all of them.
//!
//! Arguments: FOLDER. Prints the seconds and the number of images.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use mtids_dicom::{FileKind, Limits, read_header};

fn files(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: scan_headers FOLDER")?.into();
    let mut paths = Vec::new();
    files(&folder, &mut paths)?;
    let limits = Limits::default();
    let start = Instant::now();
    let images = paths.iter().filter(|path| matches!(read_header(path, &limits), Ok(FileKind::Image(_)))).count();
    println!("{:.6} {images}", start.elapsed().as_secs_f64());
    Ok(())
}
