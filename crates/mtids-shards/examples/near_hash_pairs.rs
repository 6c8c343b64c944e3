//! Hashes of a dataset's views: how many rows of different patients share pieces, and how many pieces a changed copy keeps.
//!
//! `cargo run --release -p mtids-shards --example near_hash_pairs -- DATASET [VIEW]`. The figures of docs/decisions/061 come from here. A shift is
//! that of a part of the view, 2 voxels less along each axis, so it needs no images.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the developers")]

use std::path::Path;

use mtids_patch::{NearHash, near_hash};
use mtids_shards::{Dataset, RowKind, read_row_group};

/// The part of a volume that begins at `from`.
fn part(hu: &[i16], [_, height, width]: [usize; 3], from: [usize; 3], size: [usize; 3]) -> Vec<i16> {
    let row = |d: usize, h: usize| ((from[0] + d) * height + from[1] + h) * width + from[2];
    (0..size[0])
        .flat_map(|d| (0..size[1]).map(move |h| (d, h)))
        .flat_map(|(d, h)| hu[row(d, h)..row(d, h) + size[2]].to_vec())
        .collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dataset = Dataset::open(Path::new(&arguments.next().expect("a dataset"))).unwrap();
    let name = arguments.next().unwrap_or_else(|| "near".to_owned());
    let (number, view) = dataset.manifest().description.view(&name).expect("a view of that name");
    let size = view.geometry.size;
    let inner = size.map(|length| length - 2);
    let mut found: Vec<(String, NearHash)> = Vec::new();
    let (mut rows, mut hashless) = (0_usize, 0_usize);
    // Equal pieces with changed copies: counts by pieces.
    let names = ["d+2", "h+2", "w+2", "-160..240", "-135..215", "+20 HU", "-20 HU"];
    let mut kept = vec![[0_usize; 17]; names.len()];
    for (shard, entry) in dataset.manifest().shards.iter().enumerate() {
        for group in 0..entry.row_groups.len() {
            let read = read_row_group(&dataset, shard, group).unwrap();
            for (row, labels) in read.labels.iter().enumerate().filter(|(_, row)| row.kind == RowKind::Finding) {
                let hu = &read.views[number].row(row)[..size.iter().product()];
                rows += 1;
                let Some(hash) = near_hash(hu, size) else {
                    hashless += 1;
                    continue;
                };
                found.push((labels.patient_key.as_str().to_owned(), hash));
                if rows % 4 != 0 {
                    continue;
                }
                let at = |from| near_hash(&part(hu, size, from, inner), inner);
                let changed =
                    |change: &dyn Fn(i16) -> i16| near_hash(&hu.iter().map(|hu| change(*hu)).collect::<Vec<_>>(), size);
                let copies = [
                    (at([0; 3]), at([2, 0, 0])),
                    (at([0; 3]), at([0, 2, 0])),
                    (at([0; 3]), at([0, 0, 2])),
                    (Some(hash), changed(&|hu| hu.clamp(-160, 240))),
                    (Some(hash), changed(&|hu| hu.clamp(-135, 215))),
                    (Some(hash), changed(&|hu| hu + 20)),
                    (Some(hash), changed(&|hu| hu - 20)),
                ];
                for (kept, (one, other)) in kept.iter_mut().zip(copies) {
                    // A part may have too little tissue for a hash.
                    if let Some((one, other)) = one.zip(other) {
                        kept[one.equal_pieces(&other)] += 1;
                    }
                }
            }
        }
    }
    println!("{rows} findings, {hashless} without hash");
    for (name, kept) in names.iter().zip(&kept) {
        let all: usize = kept.iter().sum();
        let from_4: usize = kept[4..].iter().sum();
        println!("{name}: by equal pieces {kept:?}, 4 or more {:.4}", from_4 as f64 / all as f64);
    }
    let mut between = [0_usize; 17];
    for (n, (patient, hash)) in found.iter().enumerate() {
        for (other, its) in &found[n + 1..] {
            if patient != other {
                between[hash.equal_pieces(its)] += 1;
            }
        }
    }
    println!("pairs of different patients by equal pieces: {between:?}");
}
