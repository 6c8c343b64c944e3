//! Wrong use and wrong configuration: exit code 2, the key is named, nothing is started.

use std::fs;
use std::path::PathBuf;

use crate::support::{build_arguments, dataset, root, run, text, views_arguments};

#[test]
fn an_unknown_key_is_named_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");

    let mut build = build_arguments(&out);
    build.extend(["--set".into(), "patch.sise=[8,8,8]".into()]);
    let refused = run("mtids-prep", build).expect_code(2);
    assert!(refused.stderr.contains("patch.sise"), "{}", refused.stderr);

    let refused =
        run("mtids-train", ["fit", "--dataset", text(dataset()), "--run", text(&out), "--set", "batch_sise=3"])
            .expect_code(2);
    assert!(refused.stderr.contains("batch_sise") && refused.stderr.contains("batch_size"), "{}", refused.stderr);

    let refused =
        run("mtids-audit", ["report", text(dataset()), "--out", text(&out), "--set", "thresholdd=3"]).expect_code(2);
    assert!(refused.stderr.contains("thresholdd"), "{}", refused.stderr);

    let refused = run("mtids-prep", ["phantom", "--out", text(&out), "--set", "patient=3"]).expect_code(2);
    assert!(refused.stderr.contains("`patient`"), "{}", refused.stderr);
    assert!(!out.exists(), "nothing is written before the configuration is accepted");
}

#[test]
fn a_missing_configuration_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for arguments in [
        vec!["build", "--config", "nowhere.toml", "--data", "pipelines", "--out", text(&out)],
        vec!["phantom", "--config", "nowhere.toml", "--out", text(&out)],
    ] {
        let refused = run("mtids-prep", arguments).expect_code(2);
        assert!(refused.stderr.contains("nowhere.toml"), "{}", refused.stderr);
    }
}

#[test]
fn a_run_folder_of_another_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let fit = |seed: &str| {
        run(
            "mtids-train",
            [
                "fit",
                "--config",
                "pipelines/demo-short/train.toml",
                "--dataset",
                text(dataset()),
                "--run",
                text(&out),
                "--set",
                "max_steps=2",
                "--set",
                seed,
            ],
        )
    };
    fit("seed=1").expect_code(0);
    let refused = fit("seed=2").expect_code(2);
    assert!(refused.stderr.contains("seed"), "the difference is named: {}", refused.stderr);
}

#[test]
fn every_training_file_of_the_pipelines_fits_the_default_views() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    run("mtids-prep", views_arguments(&out)).expect_code(0);
    let files = fs::read_dir(root().join("pipelines")).unwrap().map(|entry| entry.unwrap().path().join("train.toml"));
    let files: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    assert!(files.len() >= 5, "{files:?}");
    for (n, file) in files.iter().enumerate() {
        let run_folder = folder.path().join(format!("run-{n}"));
        let few = ["--set", "max_steps=1", "--set", "batch_size=2", "--set", "checkpoint_every_steps=1"];
        let fit = ["fit", "--config", text(file), "--dataset", text(&out), "--run", text(&run_folder)];
        run("mtids-train", [fit.as_slice(), &few].concat()).expect_code(0);
    }
}
