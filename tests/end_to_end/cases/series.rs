//! Series: acquisitions that alternate, attributes that are missing or written differently, UIDs of anonymisers, and repairs.

use std::path::Path;

use super::dicom::{Object, uid};
use super::study::{
    ACQUISITION, ACQUISITION_TIME, Ct, FRAME_OF_REFERENCE, KERNEL, ORIENTATION, PIXEL_SPACING, PIXELS, POSITION,
    SERIES, SIDES, SOP_INSTANCE, STUDY,
};
use super::{Case, Expect, Found, check_all, probe, run_in};

const NODE: Found = Found::at(0.0, -59.5, -285.0).station("4R").metastasis(1);
const TABLE: &[&str] = &["--annotations", "nodes.csv"];
const REPAIR: &[&str] = &["--annotations", "nodes.csv", "--set", "reading.repair=true", "--set", "patch.size=[4,8,8]"];

/// Heights of `count` slices from the bottom of the usual series.
fn heights(start: f64, step: f64, count: u32) -> Vec<f64> {
    (0..count).map(|k| start + step * f64::from(k)).collect()
}

/// The usual series, each slice edited.
fn edited(folder: &Path, edit: impl Fn(usize, &mut Object)) {
    let ct = Ct::new();
    ct.write_with(folder, edit);
    ct.write_table(folder);
}

/// Two scans in one series: the second shifted by half a step and 100 HU brighter; `mark` says which slice belongs to which.
fn two_scans(folder: &Path, starts: [f64; 2], mark: impl Fn(usize, usize, &mut Object)) {
    for (n, start) in starts.into_iter().enumerate() {
        let slices = heights(start, 2.5, 9);
        let ct = Ct { slices, offset_hu: 100.0 * n as f64, ..Ct::new() };
        for k in 0..9 {
            let mut slice = ct.slice(k);
            slice.text(SOP_INSTANCE, "UI", uid(&format!("scan {n} slice {k}")));
            mark(n, k, &mut slice);
            slice.write(&folder.join(format!("dicom/{n}-{k}.dcm")));
        }
    }
    Ct::new().write_table(folder);
}

fn second_text(seconds: usize) -> String {
    format!("10{:02}{:02}", seconds / 60, seconds % 60)
}

/// The usual body, scanned by a gantry tilted about x: rows run along x, the table moves along z.
fn tilted(folder: &Path, degrees: f64, skipped: Option<usize>) {
    let ct = Ct { radius_mm: 8.0, ..Ct::new() };
    let (sin, cos) = f64::to_radians(degrees).sin_cos();
    let slices = heights(-330.0, 2.5, 36);
    for (k, z) in slices.iter().enumerate().filter(|(k, _)| Some(*k) != skipped) {
        // The middle of each slice lies at y = −58.
        let first = [-36.0, -58.0 - 13.6 * 2.5 * cos, z + 13.6 * 2.5 * sin];
        let mut pixels = Vec::new();
        for j in 0..SIDES[1] {
            for i in 0..SIDES[0] {
                let down = 2.5 * j as f64;
                let place = [first[0] + 3.0 * i as f64, first[1] + down * cos, first[2] - down * sin];
                pixels.extend(((ct.hu(place) + 1024.0) as u16).to_le_bytes());
            }
        }
        let mut slice = Ct { slices: vec![*z], ..ct.clone() }.slice(0);
        slice
            .text(SOP_INSTANCE, "UI", uid(&format!("tilted {k}")))
            .decimals(POSITION, &first)
            .decimals(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, cos, -sin])
            .bytes(PIXELS, "OW", pixels);
        slice.write(&folder.join(format!("dicom/{k:03}.dcm")));
    }
    Ct::new().write_table(folder);
}

/// A long series, one slice of which is missing at z = −240, with nodes at −285 and −238.
fn one_missing(folder: &Path) {
    let all = heights(-300.0, 2.5, 40);
    let slices = all.into_iter().filter(|z| *z != -240.0).collect();
    let ct = Ct { slices, ..Ct::new() }.nodes(&[[0.0, -59.5, -285.0], [6.0, -59.5, -238.0]]);
    ct.write(folder);
    ct.write_table(folder);
}

/// A series that can be used, and one without places, each with a row and a mark of its own.
fn one_without_places(folder: &Path) {
    let (kept, other) = (Ct::new(), Ct::of("P1", "s2"));
    kept.write(folder);
    other.write_with(folder, |_, slice| {
        slice.remove(POSITION);
    });
    std::fs::write(folder.join("nodes.csv"), kept.table(&[([0.0, -59.5, -285.0], "4R,1,A")])).unwrap();
    std::fs::write(folder.join("other.csv"), other.table(&[([0.0, -59.5, -285.0], "7,0,A")])).unwrap();
}

const CASES: &[Case] = &[
    Case {
        name: "rows-of-a-series-without-header",
        source: "no slice of it has a place: its rows are told why, and move to no other series",
        make: one_without_places,
        arguments: &["--annotations", "nodes.csv", "--annotations", "other.csv"],
        expect: Expect {
            counts: &[("/totals/quarantined_by_reason/missing-geometry", 12)],
            ..Expect::found(&[NODE]).code(1).says(&["is here and was refused: missing-geometry"])
        },
    },
    Case {
        name: "frame-of-reference-per-slice",
        source: "pymedphys/pymedphys#372, pydicom/contrib-pydicom#14",
        make: |folder| {
            edited(folder, |k, slice| {
                slice.text(FRAME_OF_REFERENCE, "UI", uid(&format!("frame {k}")));
            });
        },
        arguments: TABLE,
        expect: Expect {
            volumes: Some(&[12]),
            ..Expect::found(&[NODE]).says(&["FrameOfReferenceUID differs in every one of 12 slices"])
        },
    },
    Case {
        name: "interleaved-by-number",
        source: "dgobbi/vtk-dicom#220, Slicer/Slicer#4801",
        make: |folder| {
            two_scans(folder, [-300.0, -298.75], |n, _, slice| {
                slice.text(ACQUISITION, "IS", (n + 1).to_string()).text(
                    ACQUISITION_TIME,
                    "TM",
                    second_text(300 + 150 * n),
                );
            });
        },
        arguments: TABLE,
        expect: Expect {
            volumes: Some(&[9, 9]),
            probes: &[([0.0, -77.0, -287.5], -41.5), ([0.0, -77.0, -286.25], 59.75)],
            ..Expect::NOTHING
        },
    },
    Case {
        name: "interleaved-by-the-time-of-each-slice",
        source: "fedorov/MultiVolumeImporter#14: AcquisitionTime is unique for each instance",
        make: |folder| {
            two_scans(folder, [-300.0, -298.75], |n, k, slice| {
                slice.remove(ACQUISITION).text(ACQUISITION_TIME, "TM", second_text(100 * n + k));
            });
        },
        arguments: TABLE,
        expect: Expect { volumes: Some(&[9, 9]), ..Expect::NOTHING },
    },
    Case {
        name: "acquisitions-that-cannot-be-told-apart",
        source: "Project-MONAI/monai-deploy-app-sdk#532: duplicate positions under several acquisition numbers",
        make: |folder| {
            two_scans(folder, [-300.0, -298.75], |n, k, slice| {
                // A number that is wrong in one slice.
                let number = if (n, k) == (1, 4) { 1 } else { n + 1 };
                slice.text(ACQUISITION, "IS", number.to_string());
            });
        },
        arguments: TABLE,
        expect: Expect::refused(3, &["mixed-acquisitions", "alternate along the stack", "10 slices", "8 slices"]),
    },
    Case {
        name: "two-breath-holds-that-abut",
        source: "Slicer/Slicer#4872: acquisition number often differs within one volume",
        make: |folder| {
            edited(folder, |k, slice| {
                slice.text(ACQUISITION, "IS", (1 + k / 6).to_string());
            });
        },
        arguments: TABLE,
        expect: Expect { volumes: Some(&[12]), ..Expect::found(&[NODE]) },
    },
    Case {
        name: "a-number-for-each-slice",
        source: "Slicer/Slicer#4872",
        make: |folder| {
            edited(folder, |k, slice| {
                slice.text(ACQUISITION, "IS", (k + 1).to_string()).text(ACQUISITION_TIME, "TM", second_text(k));
            });
        },
        arguments: TABLE,
        expect: Expect { volumes: Some(&[12]), ..Expect::found(&[NODE]) },
    },
    Case {
        name: "kernel-missing-in-some",
        source: "pyushkevich/itksnap#128, rordenlab/dcm2niix#427",
        make: |folder| {
            edited(folder, |k, slice| {
                if k == 3 || k == 8 {
                    slice.remove(KERNEL);
                }
            });
        },
        arguments: TABLE,
        expect: Expect {
            volumes: Some(&[12]),
            ..Expect::found(&[NODE]).says(&["ConvolutionKernel is missing in 2 of 12 slices"])
        },
    },
    Case {
        name: "frame-of-reference-missing-in-some",
        source: "rordenlab/dcm2niix#427: one series becomes two stacks",
        make: |folder| {
            edited(folder, |k, slice| {
                if k % 5 == 1 {
                    slice.remove(FRAME_OF_REFERENCE);
                }
            });
        },
        arguments: TABLE,
        expect: Expect { volumes: Some(&[12]), ..Expect::found(&[NODE]) },
    },
    Case {
        name: "one-instance-uid-for-all",
        source: "OHIF/Viewers#3185",
        make: |folder| {
            edited(folder, |_, slice| {
                slice.text(SOP_INSTANCE, "UI", "anonymized");
            });
        },
        arguments: TABLE,
        expect: Expect {
            volumes: Some(&[12]),
            ..Expect::found(&[NODE]).says(&["all 12 files of the series bear one SOPInstanceUID", "anonymiser"])
        },
    },
    Case {
        name: "one-instance-uid-for-all-and-a-gap",
        source: "OHIF/Viewers#3185",
        make: |folder| {
            edited(folder, |_, slice| {
                slice.text(SOP_INSTANCE, "UI", "anonymized");
            });
            std::fs::remove_file(folder.join("dicom/s1-of-P1-005.dcm")).unwrap();
        },
        arguments: TABLE,
        expect: Expect::refused(3, &["all 11 files of the series bear one SOPInstanceUID", "conflicting-instances"]),
    },
    Case {
        name: "a-series-uid-for-each-file",
        source: "medInria/medInria-public#156: each slice with an independent Series Instance UID",
        make: |folder| {
            edited(folder, |k, slice| {
                slice.text(SERIES, "UI", uid(&format!("series {k}")));
            });
        },
        arguments: TABLE,
        expect: Expect {
            never_says: &["too-few-slices", "panicked"],
            ..Expect::refused(
                3,
                &["uid-per-file", "12 slices of one patient", "each bears a SeriesInstanceUID of its own"],
            )
        },
    },
    Case {
        name: "a-study-uid-for-each-file",
        source: "fo-dicom/fo-dicom#497: each image is considered a different study",
        make: |folder| {
            edited(folder, |k, slice| {
                slice.text(SERIES, "UI", uid(&format!("series {k}"))).text(STUDY, "UI", uid(&format!("study {k}")));
            });
        },
        arguments: TABLE,
        expect: Expect {
            never_says: &["too-few-slices", "panicked"],
            ..Expect::refused(3, &["uid-per-file", "each bears a StudyInstanceUID and a SeriesInstanceUID of its own"])
        },
    },
    Case {
        name: "pixel-spacing-rounded-in-every-other-slice",
        source: "dicompyler/dicompyler-core#318",
        make: |folder| {
            edited(folder, |k, slice| {
                slice.decimals(PIXEL_SPACING, if k % 2 == 0 { &[2.4961, 2.9961] } else { &[2.5, 3.0] });
            });
        },
        arguments: TABLE,
        expect: Expect { volumes: Some(&[12]), ..Expect::found(&[NODE]) },
    },
    Case {
        name: "orientation-with-fewer-digits-in-some",
        source: "ivmartel/dwv#1877",
        make: |folder| {
            edited(folder, |k, slice| {
                let turned: &[f64] =
                    if k % 3 == 0 { &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0] } else { &[1.0, 0.0004, 0.0, -0.0004, 1.0, 0.0] };
                slice.decimals(ORIENTATION, turned);
            });
        },
        arguments: TABLE,
        expect: Expect { volumes: Some(&[12]), ..Expect::found(&[NODE]) },
    },
    Case {
        name: "tilt-is-refused-by-default",
        source: "nipy/heudiconv#409",
        make: |folder| tilted(folder, 15.0, None),
        arguments: TABLE,
        expect: Expect::refused(3, &["gantry-tilt", "15.00 degrees", "reading.repair=true"]),
    },
    Case {
        name: "tilt-is-undone",
        source: "nipy/heudiconv#409, rordenlab/dcm2niix#253",
        make: |folder| tilted(folder, 15.0, None),
        arguments: REPAIR,
        expect: Expect::found(&[NODE]),
    },
    Case {
        name: "a-missing-slice-is-refused-by-default",
        source: "DIAGNijmegen/rse-panimg#7",
        make: one_missing,
        arguments: TABLE,
        expect: Expect::refused(
            3,
            &["missing-slices", "1 here", "5.000 mm from -242.50 mm to -237.50 mm", "s1-of-P1-023.dcm"],
        ),
    },
    Case {
        name: "a-missing-slice-is-put-in",
        source: "DIAGNijmegen/rse-panimg#7, moloney/dcmstack#55",
        make: one_missing,
        arguments: REPAIR,
        // The other node's patch touches the slice that nobody measured.
        expect: Expect { counts: &[("/totals/findings_at_invented", 1)], ..Expect::found(&[NODE]) },
    },
    Case {
        name: "a-step-of-three-is-refused-also-with-repair",
        source: "rordenlab/dcm2niix#22: steps of 2.5 mm, then of 7.5 mm",
        make: |folder| {
            let slices = [heights(-300.0, 2.5, 12), heights(-265.0, 7.5, 4)].concat();
            let ct = Ct { slices, ..Ct::new() };
            ct.write(folder);
            ct.write_table(folder);
        },
        arguments: REPAIR,
        expect: Expect::refused(3, &["missing-slices", "2 here in a row", "2.500 mm × 11, 7.500 mm × 4"]),
    },
    Case {
        name: "unequal-steps-are-evened",
        source: "Kitware/VolView#291, DIAGNijmegen/rse-panimg#7",
        make: |folder| {
            let slices = [heights(-310.0, 2.5, 20), heights(-261.0, 1.5, 8)].concat();
            let ct = Ct { slices, ..Ct::new() };
            ct.write(folder);
            ct.write_table(folder);
        },
        arguments: REPAIR,
        expect: Expect { counts: &[("/totals/findings_at_invented", 0)], ..Expect::found(&[NODE]) },
    },
];

#[test]
fn series_are_assembled_as_they_were_scanned() {
    check_all(CASES);
}

#[test]
fn a_repaired_volume_has_the_hu_and_the_place_of_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tilted(folder, 15.0, Some(10));
    let inventory = run_in(folder, "mtids-prep", &["inventory", "dicom", "--repair", "--json"]);
    assert!(inventory.stdout.contains("used, repaired: tilt+gaps"), "{}", inventory.stdout);
    assert!(probe(folder, [0.0, -59.5, -285.0], "hu").is_empty(), "refused without repair");
    let ct = Ct::new();
    for place in [[0.0, -59.5, -285.0], [-20.0, -70.0, -290.0], [25.0, -45.0, -262.0]] {
        let at = place.map(|x| x.to_string()).join(",");
        let probed = run_in(folder, "mtids-prep", &["probe", "dicom", "--repair", "--at", &at, "--json"]);
        let probed: serde_json::Value = serde_json::from_str(&probed.stdout).unwrap();
        let hu = probed["points"][0]["linear_hu"].as_f64().unwrap();
        assert!((hu - ct.hu(place)).abs() <= 2.0, "{hu} at {place:?}, expected {}", ct.hu(place));
    }
}
