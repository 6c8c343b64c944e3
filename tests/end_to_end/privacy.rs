//! No identity reaches a dataset, an audit, a run or a log: unique strings are planted in every text of every file, and looked for.

use std::fs;
use std::process::Command;

use crate::support::{program, python, root, run, text};

#[test]
#[ignore = "needs Python readers (.venv)"]
fn no_planted_identity_is_published_or_logged() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let cohort = folder.path().join("cohort");
    let mut arguments = vec!["phantom", "--out", text(&cohort)];
    for setting in [
        "patients=3",
        "dimensions=[56,56,24]",
        "spacing_mm=[6.0,6.0,9.5]",
        "labels={table=1.0,segmentation=1.0,structures=1.0,nifti=0.0}",
    ] {
        arguments.extend(["--set", setting]);
    }
    run("mtids-prep", arguments).expect_code(0);
    let script = root().join("tests/python/canaries.py");
    let planted = Command::new(&python).arg(&script).args(["plant", text(&cohort.join("dicom"))]).output().unwrap();
    assert!(planted.status.success(), "{}", String::from_utf8_lossy(&planted.stderr));
    let canaries: Vec<String> = serde_json::from_slice(&planted.stdout).unwrap();
    assert!(canaries.len() >= 3 * 50, "{} canaries", canaries.len());
    let list = folder.path().join("canaries.json");
    fs::write(&list, &planted.stdout).unwrap();

    let published = folder.path().join("published");
    let dataset = published.join("dataset");
    let key = folder.path().join("key");
    fs::write(&key, "a secret of at least sixteen bytes").unwrap();
    let mut arguments: Vec<String> = ["build", "--data", text(&cohort.join("dicom"))].map(str::to_owned).to_vec();
    arguments.extend(["--annotations".into(), text(&cohort.join("annotations.csv")).into()]);
    arguments.extend(["--out".into(), text(&dataset).into()]);
    for setting in [
        "patch.size=[6,12,12]",
        "patch.spacing_mm=[9.5,6.0,6.0]",
        "split.train=1.0",
        "split.validation=0.0",
        "split.test=0.0",
        // The site is a canary: only its pseudonym may be written.
        "site.from=\"institution-name\"",
    ] {
        arguments.extend(["--set".into(), setting.into()]);
    }
    arguments.extend(["--set".into(), format!("pseudonym.key_file=\"{}\"", text(&key))]);
    // The most talkative log.
    let output = program("mtids-prep").args(&arguments).env("RUST_LOG", "trace").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let log = [output.stdout, output.stderr].concat();
    for canary in &canaries {
        assert!(!log.windows(canary.len()).any(|window| window == canary.as_bytes()), "`{canary}` stands in the log");
    }
    run("mtids-audit", ["report", text(&dataset), "--out", text(&published.join("audit")), "--set", "fail_on=never"])
        .expect_code(0);
    // Everyone is 100 years old, which is an identity; a band without an upper end is none.
    let audit: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(published.join("audit/audit.json")).unwrap()).unwrap();
    let bands: Vec<&serde_json::Value> =
        audit["by_age_band"].as_array().unwrap().iter().map(|group| &group["names"][0]).collect();
    assert_eq!(bands, ["90+"], "ages of a dataset are bands");
    let training = ["--set", "max_steps=2", "--set", "model.backbone.pool_grid=1", "--set", "batch_size=4"];
    let run_folder = published.join("run");
    let fit = ["fit", "--dataset", text(&dataset), "--run", text(&run_folder)];
    run("mtids-train", fit.iter().chain(&training)).expect_code(0);
    let evaluate = ["evaluate", "--dataset", text(&dataset), "--run", text(&run_folder), "--split", "train"];
    run("mtids-train", evaluate).expect_code(0);

    let searched = Command::new(&python).arg(&script).args(["search", text(&list), text(&published)]).output().unwrap();
    let found = String::from_utf8_lossy(&searched.stdout).into_owned();
    assert!(searched.status.success(), "{found}{}", String::from_utf8_lossy(&searched.stderr));
    assert!(found.contains(" 0 hits"), "{found}");
}
