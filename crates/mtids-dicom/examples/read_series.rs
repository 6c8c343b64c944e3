//! Reads the CT series of a folder, prints the geometry of each, and the HU at a point.
//!
//! Run: `cargo run --example read_series -- FOLDER [X Y Z]`, with the point in LPS mm (default: the middle of the volume).
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;
use std::path::{Path, PathBuf};

use mtids_dicom::{FileKind, InstanceHeader, Limits, group, load_volume, read_header};
use mtids_domain::geometry::{PointMm, Voxel};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: read_series FOLDER [X Y Z]")?);
    let numbers = arguments.map(|text| text.parse::<f64>()).collect::<Result<Vec<_>, _>>()?;
    let point = match numbers[..] {
        [] => None,
        [x, y, z] => Some(PointMm::new(x, y, z)),
        _ => return Err("a point has three coordinates".into()),
    };

    // Bounds on sizes, nesting and geometry; files are not trusted.
    let limits = Limits::default();
    let mut headers = Vec::new();
    collect(&folder, &limits, &mut headers)?;

    let outcome = group(headers);
    for refused in &outcome.refused {
        println!("refused: {}: {} [{}]", refused.path.display(), refused.detail, refused.reason);
    }
    for series in &outcome.series {
        if *series.modality != *"CT" {
            continue;
        }
        println!("series {}", series.name());
        let loaded = match load_volume(series, &limits) {
            Ok(loaded) => loaded,
            Err(error) => {
                println!("  refused: {error}");
                continue;
            }
        };
        let (volume, affine) = (&loaded.volume, loaded.volume.affine());
        let [columns, rows, slices] = volume.dimensions();
        println!("  {columns} × {rows} × {slices} voxels of {:?} mm", affine.spacing());
        println!("  first voxel at {:?} (LPS mm)", affine.origin().0);
        let middle = Voxel([columns, rows, slices].map(|side| (side as f64 - 1.0) / 2.0));
        let point = point.unwrap_or_else(|| affine.to_mm(middle));
        match volume.nearest(point) {
            Some(hu) => println!("  {hu} HU at {:?}", point.0),
            None => println!("  {:?} lies outside", point.0),
        }
    }
    Ok(())
}

/// Headers of all images under a folder; what is no image is named.
fn collect(folder: &Path, limits: &Limits, headers: &mut Vec<InstanceHeader>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, limits, headers)?;
            continue;
        }
        match read_header(&path, limits) {
            Ok(FileKind::Image(header)) => headers.push(*header),
            Ok(FileKind::Frames(frames)) => headers.extend(frames),
            Ok(_) => println!("no image: {}", path.display()),
            Err(error) => println!("refused: {error}"),
        }
    }
    Ok(())
}
