//! Masks, boxes and rows whose place is not that of the image that they name.

use std::path::{Path, PathBuf};

use mtids_annotations::write::write_mask_nifti;
use mtids_annotations::{
    AnnotationFiles, EntryOutcome, Images, RejectReason, Resolved, SeriesGeometry, SliceUids, Sources, load,
};
use mtids_dicom::Limits;
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::taxonomy::StationMap;

use crate::load::{rules, series};
use crate::written::grid;

fn load_on(series: SeriesGeometry<'_>, paths: &[PathBuf]) -> Resolved {
    let files = AnnotationFiles::read(paths, &Limits::default(), StationMap::Iaslc).unwrap();
    let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
    load(&sources, &Images { usable: &[series], refused: &[], unread_files: 0 }, &rules(&[]))
}

/// The reasons and details of what was rejected.
fn rejected(resolved: &Resolved) -> Vec<(RejectReason, &str)> {
    resolved.rejects.iter().map(|one| (one.reason, one.detail.as_str())).collect()
}

/// A mask of two voxels, named by the series, on this grid.
fn mask(folder: &Path, affine: Affine, dimensions: [usize; 3]) -> PathBuf {
    let path = folder.join("nodes_2.25.3.nii.gz");
    let masks = [[1, 1, 1], [2, 3, 1]].map(|voxel| Mask { affine, voxels: vec![voxel] });
    write_mask_nifti(&path, &masks, &affine, dimensions).unwrap();
    path
}

#[test]
fn a_mask_that_names_its_series_must_lie_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let moved = |[x, y, z]: [f64; 3]| Affine::new(PointMm::new(x, y, z), grid().steps()).unwrap();
    // A cropped mask has a grid of its own.
    let [x, y, z] = grid().origin().0;
    let cropped = load_on(series(), &[mask(folder.path(), moved([x, y, z + 2.5]), [4, 4, 2])]);
    assert_eq!((cropped.findings[0].len(), cropped.rejects.len()), (2, 0));
    // One of another patient's chest, and one of which a part lies outside.
    let far = load_on(series(), &[mask(folder.path(), moved([x + 90.0, y, z]), [4, 4, 2])]);
    assert_eq!(far.files[0].entries, [EntryOutcome::Unmatched, EntryOutcome::Unmatched]);
    assert_eq!((far.findings[0].len(), far.unmatched), (0, 2));
    assert!(far.rejects.iter().all(|one| one.reason == RejectReason::OutsideImage), "{:?}", far.rejects);
    let part = load_on(series(), &[mask(folder.path(), moved([x, y + 1.7, z]), [4, 4, 2])]);
    assert_eq!(part.files[0].entries, [EntryOutcome::Used, EntryOutcome::Unmatched]);
    // As many voxels and other steps, or elsewhere: its program wrote another affine.
    let thin = grid().steps().map(|step| step.map(|mm| 0.8 * mm));
    let wrong = Affine::new(grid().origin(), thin).unwrap();
    for affine in [wrong, moved([x, y + 1.7, z])] {
        let other = load_on(series(), &[mask(folder.path(), affine, [7, 5, 4])]);
        assert_eq!((other.findings[0].len(), other.unmatched), (0, 2));
        for (found, detail) in rejected(&other) {
            assert!(found == RejectReason::NoImageOfThisGrid && detail.contains("mm away"), "{found}: {detail}");
        }
    }
    let rounded = load_on(series(), &[mask(folder.path(), moved([x + 0.1, y, z]), [7, 5, 4])]);
    assert_eq!((rounded.findings[0].len(), rounded.rejects.len()), (2, 0));
    // The signs of x and y turned: on the whole grid, and on a cropped one.
    let steps = grid().steps().map(|[x, y, z]| [-x, -y, z]);
    let turned = Affine::new(PointMm::new(-x, -y, z), steps).unwrap();
    for (dimensions, reason) in [([7, 5, 4], RejectReason::NoImageOfThisGrid), ([4, 4, 2], RejectReason::OutsideImage)]
    {
        let turned = load_on(series(), &[mask(folder.path(), turned, dimensions)]);
        assert_eq!((turned.findings[0].len(), turned.unmatched), (0, 2), "{dimensions:?}");
        for (found, detail) in rejected(&turned) {
            assert!(found == reason && detail.contains("the signs of x and y turned"), "{found}: {detail}");
        }
    }
}

#[test]
fn boxes_that_do_not_fit_their_slice_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = |size: &str, [left, top, right, bottom]: [&str; 4]| {
        let path = folder.path().join("box.xml");
        let text = format!(
            "<annotation><filename>2.25.3.2.dcm</filename>{size}<object><name>node</name><bndbox><xmin>{left}</xmin>\
            <ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object></annotation>"
        );
        std::fs::write(&path, text).unwrap();
        [path]
    };
    let size = "<size><width>7</width><height>5</height></size>";
    let good = load_on(series(), &boxes(size, ["1", "1", "3", "2"]));
    assert_eq!((good.findings[0].len(), good.rejects.len()), (1, 0));
    for (size, corners, reason) in [
        (size, ["20", "1", "30", "2"], RejectReason::OutsideImage),
        (size, ["0.2", "0.3", "0.4", "0.5"], RejectReason::OutsideImage),
        ("<size><width>14</width><height>10</height></size>", ["2", "2", "6", "4"], RejectReason::NoImageOfThisGrid),
    ] {
        let found = load_on(series(), &boxes(size, corners));
        assert_eq!(found.files[0].entries, [EntryOutcome::Unmatched], "{corners:?}");
        assert_eq!((found.findings[0].len(), found.unmatched, found.rejects[0].reason), (0, 1, reason), "{corners:?}");
    }
    // A path of another slice here, or one that says nothing of a slice.
    for (other, rejects) in [("2.25.3.1", 1), ("2.25.3.2", 0), ("img_7", 0)] {
        let size = format!("{size}<path>/x/{other}.png</path>");
        let found = load_on(series(), &boxes(&size, ["1", "1", "3", "2"]));
        assert_eq!((found.findings[0].len(), found.rejects.len()), (1 - rejects, rejects), "{other}");
        assert!(
            rejected(&found).iter().all(|(_, detail)| detail.contains("names slice 2.25.3.1")),
            "{:?}",
            found.rejects
        );
    }
    // The frames of an enhanced CT share a UID.
    let enhanced = SeriesGeometry { slices: SliceUids::Listed(&["2.25.3.2"; 4]), ..series() };
    let found = load_on(enhanced, &boxes(size, ["1", "1", "3", "2"]));
    assert_eq!(found.files[0].entries, [EntryOutcome::Unmatched]);
    let (reason, detail) = rejected(&found)[0];
    assert!(reason == RejectReason::ImageNotHere && detail.contains("share this UID"), "{detail}");
}

#[test]
fn a_row_that_names_a_slice_must_lie_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let at = |k: f64, uid: &str| {
        let [x, y, z] = grid().to_mm(Voxel([3.0, 2.0, k])).0;
        format!("2.25.3,{uid},{x},{y},{z},7\n")
    };
    // On the slice, between it and the next one, three slices away.
    let rows = [at(1.0, "2.25.3.2"), at(1.9, "2.25.3.2"), at(3.0, "2.25.3.1"), at(3.0, "")];
    let header = "series_uid,sop_instance_uid,x_mm,y_mm,z_mm,station\n";
    std::fs::write(&path, format!("{header}{}", rows.concat())).unwrap();
    let found = load_on(series(), std::slice::from_ref(&path));
    use EntryOutcome::{Unmatched, Used};
    assert_eq!(found.files[0].entries, [Used, Used, Unmatched, Used]);
    let (reason, detail) = rejected(&found)[0];
    assert_eq!(reason, RejectReason::OutsideImage);
    assert!(detail.contains("7.5 mm from slice 2.25.3.1"), "{detail}");
    std::fs::write(&path, "series_uid,sop_instance_uid,i,j,k,station\n2.25.3,2.25.3.4,3,2,0,7\n").unwrap();
    assert_eq!(load_on(series(), &[path]).files[0].entries, [Unmatched]);
}

#[test]
fn voxel_indices_beside_a_place_in_mm_show_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let row = |[i, j, k]: [f64; 3], said: [u32; 3]| {
        let [x, y, z] = grid().to_mm(Voxel([i, j, k])).0;
        let [i, j, k] = said;
        format!("2.25.3,{x},{y},{z},{i},{j},{k},7\n")
    };
    let load_rows = |rows: &[String]| {
        std::fs::write(&path, format!("series_uid,x_mm,y_mm,z_mm,i,j,k,station\n{}", rows.concat())).unwrap();
        load_on(series(), std::slice::from_ref(&path))
    };
    use EntryOutcome::{Unmatched, Used};
    // The voxel of the place, one that counts from 1, and one from another row.
    let good = [row([3.0, 2.0, 1.0], [3, 2, 1]), row([5.0, 4.0, 3.0], [6, 5, 4])];
    let found = load_rows(&[good[0].clone(), good[1].clone(), row([1.0, 1.0, 1.0], [6, 1, 1])]);
    assert_eq!(found.files[0].entries, [Used, Used, Unmatched]);
    let (reason, detail) = rejected(&found)[0];
    assert!(reason == RejectReason::OutsideImage && detail.contains("5 voxels from its i, j, k"), "{detail}");
    // Indices of another grid take no row away.
    let other = load_rows(&[row([1.0, 1.0, 1.0], [60, 10, 10]), row([5.0, 4.0, 3.0], [300, 250, 30])]);
    assert_eq!(other.files[0].entries, [Used, Used]);
}

#[test]
fn a_row_that_contradicts_its_series_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let [x, y, z] = grid().to_mm(Voxel([3.0, 2.0, 1.0])).0;
    let names = ["2.25.1,2.25.2", "2.25.1,", ",2.25.2", ",", "2.25.9,2.25.2", "2.25.1,2.25.8"];
    let rows: Vec<String> = names.iter().map(|names| format!("2.25.3,{names},{x},{y},{z}\n")).collect();
    let header = "series_uid,study_uid,frame_of_reference_uid,x_mm,y_mm,z_mm\n";
    std::fs::write(&path, format!("{header}{}", rows.concat())).unwrap();
    let found = load_on(series(), std::slice::from_ref(&path));
    use EntryOutcome::{Duplicate, Unmatched, Used};
    assert_eq!(found.files[0].entries, [Used, Duplicate, Duplicate, Duplicate, Unmatched, Unmatched]);
    for ((reason, detail), words) in rejected(&found).into_iter().zip([
        "names study 2.25.9, and that of its series 2.25.3 is 2.25.1",
        "names frame of reference 2.25.8, and that of its series 2.25.3 is 2.25.2",
    ]) {
        assert!(reason == RejectReason::ImageNotHere && detail.contains(words), "{detail}");
    }
    let without = load_on(SeriesGeometry { frame_of_reference_uid: None, ..series() }, &[path]);
    assert_eq!(without.files[0].entries, [Unmatched, Used, Unmatched, Duplicate, Unmatched, Unmatched]);
}

#[test]
fn an_index_that_lies_in_every_image_is_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let details = |header: &str, rows: &[&str]| -> Vec<String> {
        std::fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        let found = load_on(series(), std::slice::from_ref(&path));
        assert_eq!(found.rejects.len() + found.findings[0].len(), rows.len());
        rejected(&found).iter().map(|(reason, detail)| format!("{reason}: {detail}")).collect()
    };
    let rows = ["2.25.3,0,0,0", "2.25.3,0.41,0.55,0.62", "2.25.3,1,1,1", "2.25.3,0,3,0", "2.25.3,0.5,2.5,0.5"];
    let voxels = details("series_uid,i,j,k", &rows);
    assert_eq!(voxels.len(), 2, "{voxels:?}");
    assert!(voxels[0].contains("outside-image: (0, 0, 0) is the first voxel"), "{voxels:?}");
    assert!(voxels[1].contains("(0.41, 0.55, 0.62) seems to be in parts of the sides"), "{voxels:?}");
    let pixels =
        details("sop_instance_uid,i,j", &["2.25.3.2,0,0", "2.25.3.2,0.4,0.9", "2.25.3.2,0,1", "2.25.3.2,0.4,4"]);
    assert_eq!(pixels.len(), 2, "{pixels:?}");
    // Where i and j lie inside, their order is not the fault.
    let hints = details("series_uid,i,j,k", &["2.25.3,2,3,4.6", "2.25.3,3,6,1", "2.25.3,2,3,3.6"]);
    let has_hint: Vec<bool> = hints.iter().map(|hint| hint.contains("i and j swapped")).collect();
    assert_eq!(has_hint, [false, true, false], "{hints:?}");
}

#[test]
fn a_place_must_lie_in_its_own_box() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let text = "series_uid,i,j,k,i_min,j_min,k_min,i_max,j_max,k_max\n2.25.3,3,2,1,2,1,0,4,3,2\n2.25.3,3,2,1,200,100,70,205,106,90\n\
                2.25.3,3,2,1,-400,0,0,400,4,2\n";
    std::fs::write(&path, text).unwrap();
    let found = load_on(series(), &[path]);
    use EntryOutcome::{Unmatched, Used};
    assert_eq!(found.files[0].entries, [Used, Unmatched, Unmatched]);
    let reasons: Vec<RejectReason> = rejected(&found).iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [RejectReason::OutsideImage, RejectReason::ImplausibleSize]);
}

#[test]
fn a_mask_of_the_body_or_an_inverted_one_is_no_node() {
    let folder = tempfile::tempdir().unwrap();
    let affine = Affine::new(grid().origin(), grid().steps().map(|step| step.map(|x| 30.0 * x))).unwrap();
    let coarse = SeriesGeometry { affine, ..series() };
    let path = folder.path().join("nodes_2.25.3.nii.gz");
    let all = (0..7 * 5 * 4).map(|n| [n % 7, n / 7 % 5, n / 35]).filter(|voxel| *voxel != [3, 2, 1]).collect();
    write_mask_nifti(
        &path,
        &[Mask { affine, voxels: all }, Mask { affine, voxels: vec![[3, 2, 1]] }],
        &affine,
        [7, 5, 4],
    )
    .unwrap();
    let found = load_on(coarse, &[path]);
    assert_eq!(found.files[0].entries, [EntryOutcome::Unmatched, EntryOutcome::Used]);
    let (reason, detail) = rejected(&found)[0];
    assert!(reason == RejectReason::ImplausibleSize && detail.contains("mask of the body"), "{detail}");
}

#[test]
fn a_nifti_file_with_two_places_needs_the_grid_of_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let steps = [[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]];
    let affine = Affine::new(PointMm::new(-20.0, 10.0, 30.0), steps).unwrap();
    let upright = SeriesGeometry { affine, ..series() };
    let path = folder.path().join("nodes_2.25.3.nii");
    let packed = folder.path().join("packed.nii.gz");
    write_mask_nifti(&packed, &[Mask { affine, voxels: vec![[3, 2, 1]] }], &affine, [7, 5, 4]).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(std::fs::File::open(&packed).unwrap()), &mut plain)
        .unwrap();
    // A turn by half about z, (a, b, c, d) = (0, 0, 0, 1): RAS runs against LPS in x and y.
    let load_with = |turn: [f32; 3], offset: [f32; 3], sform_moved: f32| {
        let mut bytes = plain.clone();
        bytes[252] = 1;
        for n in 0..3 {
            bytes[256 + 4 * n..260 + 4 * n].copy_from_slice(&turn[n].to_le_bytes());
            bytes[268 + 4 * n..272 + 4 * n].copy_from_slice(&offset[n].to_le_bytes());
        }
        bytes[292..296].copy_from_slice(&(20.0 + sform_moved).to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        load_on(upright, std::slice::from_ref(&path))
    };
    let half = [0.0, 0.0, 1.0];
    // Both say the same; the grid of the image decides; qform mirrors the same grid; sform lies elsewhere.
    assert_eq!(load_with(half, [20.0, -10.0, 30.0], 0.0).findings[0].len(), 1);
    assert_eq!(load_with(half, [25.0, -10.0, 30.0], 0.0).findings[0].len(), 1);
    for (turn, offset, moved) in [([0.0; 3], [15.8, -13.2, 30.0], 0.0), (half, [20.0, -10.0, 30.0], 1.4)] {
        let found = load_with(turn, offset, moved);
        assert_eq!((found.findings[0].len(), found.rejects.len()), (0, 1), "{turn:?}");
        let (reason, detail) = rejected(&found)[0];
        assert!(reason == RejectReason::NoImageOfThisGrid && detail.contains("sform and its qform"), "{detail}");
    }
}
