//! Rows of several views: cut at one place, the same for any number of workers, told by card and summary, compared by `diff`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mtids_domain::geometry::PointMm;
use mtids_patch::{CENTER_RADIUS_MM, mark_center};
use mtids_shards::{Channel, Dataset, Measure, RowLabels, Split, read_row_group};

use crate::support::{build_arguments, run, text, tree, views_arguments};

fn build(out: &Path, more: &[&str]) -> Dataset {
    let mut arguments = views_arguments(out);
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let done = run("mtids-prep", arguments).expect_code(0);
    assert!(done.stdout.contains("near: 16 × 48 × 48 voxels of 2 × 1 × 1 mm"), "{}", done.stdout);
    Dataset::open(out).unwrap()
}

#[test]
fn a_build_cuts_a_near_and_a_wide_view_of_each_place() {
    let folder = tempfile::tempdir().unwrap();
    let [out, alone] = ["dataset", "alone"].map(|name| folder.path().join(name));
    let dataset = build(&out, &["--workers", "2"]);
    let views = &dataset.manifest().description.views;
    let described: Vec<_> = views.iter().map(|view| (view.name.as_str(), view.shape())).collect();
    assert_eq!(described, [("near", [1, 16, 48, 48]), ("wide", [1, 20, 44, 44])]);
    build(&alone, &["--workers", "1"]);
    assert_eq!(tree(&out), tree(&alone), "the same bytes for any number of workers");

    let rows = dataset.index().unwrap();
    let with_mask = rows.iter().filter(|row| row.mask.is_some()).count();
    assert!(0 < with_mask && with_mask < rows.len(), "some labels come with masks");
    for row in rows.iter().filter_map(|row| row.mask.as_ref()) {
        assert!(row.get(Measure::Volume).is_some_and(|volume| volume > 0.0));
    }
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    for part in ["view `near` (column `voxels_near`)", "100 × 110 × 110 mm in all", &format!("mask in {with_mask} of")]
    {
        assert!(card.contains(part), "{part}: {card}");
    }
}

#[test]
fn marks_lie_on_the_node_also_where_the_sample_is_shifted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let sets = [
        "--set",
        "samples_per_finding=2",
        "--set",
        "views.near.channels=[\"ct\", \"center\", \"mask\"]",
        "--set",
        "views.wide={}",
    ];
    let dataset = build(&out, &sets);
    let views = &dataset.manifest().description.views;
    assert_eq!(views[0].channels, [Channel::Ct, Channel::Center, Channel::Mask]);
    // Samples of one finding share what was measured, and the first lies on the node.
    let index = dataset.index().unwrap();
    let place =
        |row: &RowLabels| (row.series_key.clone(), format!("{:?} {:?} {:?}", row.grown, row.mask, row.short_axis_mm));
    let mut nodes: BTreeMap<_, Vec<PointMm>> = BTreeMap::new();
    index.iter().for_each(|row| nodes.entry(place(row)).or_default().push(PointMm(row.center_mm)));
    let (near, voxels) = (views[0].geometry, views[0].geometry.len());
    let mut marked = 0;
    for shard in dataset.shards(Split::Train).collect::<Vec<_>>() {
        let group = read_row_group(&dataset, shard, 0).unwrap();
        for (n, row) in group.labels.iter().enumerate() {
            let [center, mask] = [1, 2].map(|channel| &group.views[0].row(n)[channel * voxels..(channel + 1) * voxels]);
            let here = PointMm(row.center_mm);
            let is_node = |node: &&PointMm| mark_center(**node, here, &near) == center;
            assert!(
                nodes[&place(row)].iter().any(|node| is_node(&node)),
                "{} is marked at none of its samples",
                row.sample_key
            );
            assert!(center.iter().all(|&mark| (0..=1000).contains(&mark)) && center.iter().any(|&mark| mark > 500));
            assert_eq!(mask.iter().any(|&share| share > 0), row.mask.is_some());
            marked += usize::from(here.distance(nodes[&place(row)][0]) < CENTER_RADIUS_MM);
        }
    }
    assert!(marked > 0);
}

#[test]
fn differing_views_are_named_and_contradicting_tables_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [views, patch] = ["views", "patch"].map(|name| folder.path().join(name));
    build(&views, &[]);
    let mut one = build_arguments(&patch);
    one.extend(["--set", "views={patch={size=[8,16,16],spacing_mm=[4.0,2.0,2.0]}}"].map(str::to_owned));
    run("mtids-prep", one).expect_code(0);
    let told = run("mtids-prep", ["diff", text(&patch), text(&views)]).expect_code(1).stdout;
    assert!(told.contains("view near: only in the second") && told.contains("view patch: only in the first"), "{told}");

    let mut both = build_arguments(&folder.path().join("never"));
    both.extend(["--set", "patch.size=[8, 16, 16]"].map(str::to_owned));
    let refused = run("mtids-prep", both).expect_code(2).stderr;
    assert!(refused.contains("`patch`") && refused.contains("[views.patch]"), "{refused}");
}
