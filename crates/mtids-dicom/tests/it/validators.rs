//! What we write, other people's validators accept: dciodvfy (dicom3tools), dsrdump (dcmtk), pydicom and highdicom. Ignored by
//! default, because they need these programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use mtids_dicom::AcquisitionFacts;
use mtids_dicom::write::{
    CtOptions, Encoding, Measurement, PetOptions, ReportedFinding, Segment, write_ct_series, write_enhanced_ct,
    write_pet_series, write_report, write_segmentation, write_structures,
};
use mtids_domain::annotation::Mask;
use mtids_domain::volume::Volume;

use crate::round_trip::{STEPS, facts, identity, volume, write};

/// Writes one of each: CT, SEG, SR, PET.
pub(crate) fn objects(folder: &Path) -> Vec<PathBuf> {
    let ct = volume(STEPS);
    let mut paths = vec![write(folder, &ct)[0].clone()];
    let affine = *ct.affine();
    let segments = [vec![[1, 1, 1], [2, 1, 1]], vec![[5, 4, 3]]]
        .map(|voxels| Segment { label: "Lymph node".into(), mask: Mask { affine, voxels } });
    paths.push(folder.join("SEG.dcm"));
    write_segmentation(&folder.join("SEG.dcm"), &segments, ct.dimensions(), &identity(), "2.25.3").unwrap();
    paths.push(folder.join("SR.dcm"));
    let findings = [1, 2].map(|segment| ReportedFinding {
        name: format!("Lymph node {segment}"),
        segment,
        measurements: vec![Measurement::short_axis_mm(9.5)],
    });
    write_report(&folder.join("SR.dcm"), &findings, 4, &identity(), "2.25.3").unwrap();
    let suv = Volume::new((0..140).map(|n| n as f32 * 0.1).collect(), ct.dimensions(), affine).unwrap();
    let options = PetOptions {
        series_uid: "2.25.4".into(),
        description: "SYNTHETIC PET".into(),
        manufacturer: "mtids".into(),
        weight_kg: 75.0,
        dose_bq: 3e8,
    };
    paths.push(write_pet_series(folder, &suv, &identity(), &options).unwrap()[0].clone());
    paths
}

/// Both streams of a program.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

/// Writes what else there is: CT in every encoding that dciodvfy reads, as a series and as one object, and an RTSTRUCT.
pub(crate) fn more_objects(folder: &Path) -> Vec<PathBuf> {
    let ct = volume(STEPS);
    let facts = AcquisitionFacts { model: Some("Model".into()), ..facts() };
    let mut paths = Vec::new();
    for (n, encoding) in Encoding::ALL.iter().copied().filter(|&encoding| encoding != Encoding::Deflated).enumerate() {
        let signed = n % 2 == 1;
        let options = CtOptions {
            encoding,
            signed,
            padding: Some(-2000),
            file_prefix: format!("{encoding:?}"),
            ..CtOptions::new("2.25.3".into(), "every encoding".into(), facts.clone())
        };
        paths.push(write_ct_series(folder, &ct, &identity(), &options).unwrap()[0].clone());
        paths.push(folder.join(format!("enhanced{n}.dcm")));
        write_enhanced_ct(&paths[2 * n + 1], &ct, &identity(), &options).unwrap();
    }
    let mask = Mask { affine: *ct.affine(), voxels: vec![[1, 1, 1], [2, 1, 1], [3, 2, 1]] };
    paths.push(folder.join("RS.dcm"));
    let segments = [Segment { label: "Lymph node".into(), mask }];
    write_structures(&folder.join("RS.dcm"), &segments, ct.dimensions(), &identity(), "2.25.3").unwrap();
    paths
}

#[test]
#[ignore = "needs dciodvfy"]
fn dciodvfy_finds_no_error() {
    let [folder, more] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for path in objects(folder.path()).into_iter().chain(more_objects(more.path())) {
        let text = output("dciodvfy", &[path.to_str().unwrap()]);
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("Error")).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
#[ignore = "needs dciodvfy and dsrdump"]
fn dsrdump_reads_the_report() {
    let folder = tempfile::tempdir().unwrap();
    objects(folder.path());
    let text = output("dsrdump", &[folder.path().join("SR.dcm").to_str().unwrap()]);
    for line in
        ["Comprehensive 3D SR Document", "\"Measurement Group\"", "\"Short Axis\")=\"9.5\" (mm,UCUM,\"millimeter\")"]
    {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert!(!text.contains("E: "), "{text}");
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn pydicom_and_highdicom_read_all_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".venv/bin/python");
    let folder = tempfile::tempdir().unwrap();
    objects(folder.path());
    let script = root.join("tests/python/read_objects.py");
    let text = output(python.to_str().unwrap(), &[script.to_str().unwrap(), folder.path().to_str().unwrap()]);
    assert_eq!(
        text.trim(),
        "CT 35 pixels, SEG 2 segments with 3 voxels, SR 2 groups of 9.5 mm, PT 4 slices with SUV",
        "{text}"
    );
}
