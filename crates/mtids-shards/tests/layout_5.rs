//! A dataset of the layout before this one is still read. `data/layout-5` was written by the program of commit 3b78f14, before rows had views.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::path::PathBuf;

use mtids_domain::label::Metastasis;
use mtids_domain::taxonomy::Station;
use mtids_runtime::digest::Digest;
use mtids_shards::{Channel, Dataset, Measures, Planes, Split, read_row_group, verify};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/layout-5")
}

#[test]
fn its_manifest_describes_one_view_and_keeps_its_digest() {
    let dataset = Dataset::open(&folder()).unwrap();
    let manifest = dataset.manifest();
    assert_eq!((manifest.layout, manifest.description.schema_version.as_str()), (5, "4"));
    let [view] = manifest.description.views.as_slice() else { panic!("{:?}", manifest.description.views) };
    assert_eq!((view.name.as_str(), view.shape()), ("patch", [1, 2, 3, 4]));
    assert_eq!((view.geometry.spacing_mm, view.geometry.planes), ([3.0, 2.0, 2.0], Planes::Volume));
    assert_eq!(view.channels, [Channel::Ct]);
    // What runs and reports have noted: the digest of the file as it was written.
    let written = std::fs::read(folder().join("manifest.json")).unwrap();
    assert_eq!(manifest.digest(), Digest::of_bytes(&written));
}

#[test]
fn its_rows_come_back_and_its_digests_hold() {
    let dataset = Dataset::open(&folder()).unwrap();
    assert_eq!(verify(&dataset, &|| ()), []);
    let index = dataset.index().unwrap();
    assert_eq!(index.len(), 8);
    assert!(index.iter().all(|row| row.grown == Measures::default() && row.mask.is_none()));
    assert_eq!((index[1].station, index[1].metastasis), (Some(Station::ALL[1]), Some(Metastasis::Metastatic)));
    assert_eq!(index[2].metastasis, None);
    let shard = dataset.shards(Split::Train).next().unwrap();
    let mut n = 0;
    for group in 0..3 {
        let read = read_row_group(&dataset, shard, group).unwrap();
        assert_eq!((read.views.len(), read.views[0].row_len), (1, 24));
        for (row, labels) in read.labels.iter().enumerate() {
            assert_eq!(labels, &index[n]);
            let expected: Vec<i16> = (0..24).map(|v| v * 977 + n as i16 * 31).collect();
            assert_eq!(read.views[0].row(row), expected);
            n += 1;
        }
    }
    assert_eq!(n, 5);
}
