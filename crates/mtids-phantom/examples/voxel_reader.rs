//! The voxel reader on patches that `tests/parity/voxel_reader.py export` wrote: fitted to the training split and read on the test split, as
//! the script does with scikit-learn. Argument: folder of the export.
#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::error::Error;
use std::path::Path;

use mtids_metrics::auroc;
use mtids_phantom::voxel_reader::{BoostedTrees, TreeRules, field, statistics};

/// Statistics and status of each row of a split.
type Rows = (Vec<Vec<f32>>, Vec<bool>);

fn read(folder: &Path, split: &str) -> Result<Rows, Box<dyn Error>> {
    let bytes = std::fs::read(folder.join(split).with_extension("i16"))?;
    let rows = bytes
        .chunks_exact(2 * field().len())
        .map(|patch| {
            let voxels: Vec<i16> = patch.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
            statistics(&voxels)
        })
        .collect();
    let table = std::fs::read_to_string(folder.join(split).with_extension("csv"))?;
    Ok((rows, table.lines().map(|line| line.ends_with(",1")).collect()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("say where the exported patches are")?;
    let [(rows, truth), (others, wanted)] = {
        let read = |split| read(Path::new(&folder), split);
        [read("train")?, read("test")?]
    };
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let trees = BoostedTrees::fit(&rows, &truth, &TreeRules::default()).ok_or("the training split has one status")?;
    let scored: Vec<(f64, bool)> = others.iter().map(|row| trees.probability(row)).zip(wanted).collect();
    let found = auroc(&scored).ok_or("the test split has one status")?;
    println!("mtids-phantom: train split to test split {found:.4}");
    Ok(())
}
