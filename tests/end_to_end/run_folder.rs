//! A run folder has one writer, outlives torn logs, and is known by what changes a result.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::rebuild::{signal, stopped_when};
use crate::support::{copy_tree, dataset, run, text, tree};

fn fit_arguments(run_folder: &Path, settings: &[&str]) -> Vec<String> {
    let config = "pipelines/demo-short/train.toml";
    let mut arguments: Vec<String> =
        ["fit", "--config", config, "--dataset", text(dataset()), "--run", text(run_folder)]
            .map(str::to_owned)
            .to_vec();
    for setting in settings {
        arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
    }
    arguments
}

/// Files of a run but for its seconds and the record of settings that change no result.
fn results(run_folder: &Path) -> std::collections::BTreeMap<String, mtids_runtime::digest::Digest> {
    let mut files = tree(run_folder);
    files.retain(|name, _| !name.ends_with("timings.jsonl") && name != "config.resolved.toml");
    files
}

#[test]
fn a_second_fit_is_refused_at_once_and_a_dead_one_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let [shared, alone] = ["shared", "alone"].map(|name| folder.path().join(name));
    let losses = shared.join("losses.jsonl");
    let lines = || fs::read_to_string(&losses).map(|text| text.lines().count()).unwrap_or(0);
    let mut first = stopped_when("mtids-train", &fit_arguments(&shared, &[]), || lines() >= 2);
    let refused = run("mtids-train", fit_arguments(&shared, &[])).expect_code(2);
    assert!(refused.stderr.contains(&format!("mtids-train fit (process {}", first.id())), "{}", refused.stderr);
    signal("-KILL", &first);
    first.wait().unwrap();
    run("mtids-train", fit_arguments(&shared, &[])).expect_code(0);
    run("mtids-train", fit_arguments(&alone, &[])).expect_code(0);
    assert_eq!(results(&shared), results(&alone));
}

#[test]
fn settings_that_change_no_result_may_change_when_a_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let [resumed, unbroken] = ["resumed", "unbroken"].map(|name| folder.path().join(name));
    let losses = resumed.join("losses.jsonl");
    let lines = || fs::read_to_string(&losses).map(|text| text.lines().count()).unwrap_or(0);
    let settings = ["stream.readers=1", "checkpoint_every_steps=2"];
    let mut first = stopped_when("mtids-train", &fit_arguments(&resumed, &settings), || lines() >= 4);
    signal("-KILL", &first);
    first.wait().unwrap();
    let others = ["stream.readers=3", "checkpoint_every_steps=7", "bootstrap_resamples=50"];
    run("mtids-train", fit_arguments(&resumed, &others)).expect_code(0);
    run("mtids-train", fit_arguments(&unbroken, &others)).expect_code(0);
    assert_eq!(results(&resumed), results(&unbroken));
    let refused = run("mtids-train", fit_arguments(&resumed, &["schedule.peak=0.5"])).expect_code(2);
    assert!(refused.stderr.contains("schedule.peak"), "{}", refused.stderr);
}

#[test]
fn another_device_needs_a_flag_to_resume_and_none_to_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run("mtids-train", fit_arguments(&out, &["max_steps=2"])).expect_code(0);
    // As if it had been trained on a GPU that this machine does not have.
    let config = out.join("config.resolved.toml");
    let recorded = fs::read_to_string(&config).unwrap();
    assert!(recorded.contains("device = \"cpu\""), "{recorded}");
    fs::write(&config, recorded.replace("device = \"cpu\"", "device = \"cuda:0\"")).unwrap();
    let evaluate = ["evaluate", "--run", text(&out), "--dataset", text(dataset())];
    let evaluated = run("mtids-train", evaluate).expect_code(0);
    assert!(evaluated.stderr.contains("computing on the CPU"), "{}", evaluated.stderr);
    run("mtids-train", [evaluate.as_slice(), &["--device", "cpu"]].concat()).expect_code(0);

    let resume = fit_arguments(&out, &["max_steps=2"]);
    let refused = run("mtids-train", &resume).expect_code(2);
    assert!(refused.stderr.contains("--allow-device-change"), "{}", refused.stderr);
    run("mtids-train", resume.iter().map(String::as_str).chain(["--allow-device-change"])).expect_code(0);
    let changes = fs::read_to_string(out.join("device-changes.jsonl")).unwrap();
    assert!(changes.contains("cuda:0") && changes.contains("cpu"), "{changes}");
}

#[test]
fn a_torn_last_line_of_a_log_stops_no_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run("mtids-train", fit_arguments(&out, &[])).expect_code(0);
    let evaluate = ["evaluate", "--run", text(&out), "--dataset", text(dataset())];
    run("mtids-train", evaluate).expect_code(0);
    let report = fs::read(out.join("report.html")).unwrap();
    for log in ["losses.jsonl", "epochs.jsonl", "timings.jsonl"] {
        let mut file = fs::OpenOptions::new().append(true).open(out.join(log)).unwrap();
        file.write_all(b"{\"step\":9999,\"lo").unwrap();
    }
    run("mtids-train", evaluate).expect_code(0);
    assert_eq!(fs::read(out.join("report.html")).unwrap(), report);
}

#[test]
fn a_training_of_no_step_says_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let none = run("mtids-train", fit_arguments(&out, &["batch_size=100000", "stream.drop_last=true"]));
    let none = none.expect_code(2);
    assert!(none.stderr.contains("batch_size") && none.stderr.contains("stream.drop_last=false"), "{}", none.stderr);
    assert!(!out.exists(), "nothing is begun");
    for setting in ["epochs=0", "max_steps=0"] {
        let refused = run("mtids-train", fit_arguments(&out, &[setting])).expect_code(2);
        assert!(refused.stderr.contains(setting.trim_end_matches("=0")), "{}", refused.stderr);
    }
}

#[test]
fn settings_out_of_range_are_usage_errors_in_every_crate_that_checks_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (setting, key) in [
        ("optimizer.beta1=2", "beta1"),
        ("device=gpu", "gpu"),
        ("device=cuda:0", "cuda"),
        ("stream.readers=0", "stream.readers"),
        ("batch_size=0", "batch_size"),
        ("crop.size=[0,4,4]", "crop"),
        ("balancer.method=none", "balancer"),
        ("model.backbone.stem_stride=0", "stem_stride"),
        ("model.trunks.near.widths=[8, 1000000000]", "widths"),
        ("model.trunks.near.blocks=1000000000", "blocks"),
    ] {
        let refused = run("mtids-train", fit_arguments(&out, &[setting])).expect_code(2);
        assert!(refused.stderr.contains(key), "{setting}: {}", refused.stderr);
        assert!(!out.exists(), "{setting} began a run");
    }
}

#[test]
fn figures_on_another_dataset_never_take_the_place_of_the_run_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let [own, other, out] = ["run", "other", "figures"].map(|name| folder.path().join(name));
    run("mtids-train", fit_arguments(&own, &["max_steps=2"])).expect_code(0);
    copy_tree(dataset(), &other);
    let manifest = other.join("manifest.json");
    let mut changed: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    changed["description"]["program"]["version"] = "9.9.9".into();
    fs::write(&manifest, changed.to_string()).unwrap();
    let evaluate = |more: &[&str]| {
        let fixed = ["evaluate", "--run", text(&own), "--dataset", text(&other), "--bootstrap-resamples", "20"];
        run("mtids-train", fixed.into_iter().chain(more.iter().copied()))
    };
    let names = |place: &Path| tree(place).into_keys().collect::<Vec<_>>();
    let before = names(&own);
    evaluate(&["--out", text(&out)]).expect_code(0);
    assert_eq!(names(&own), before);
    assert!(names(&out).contains(&"evaluation.json".to_owned()), "{:?}", names(&out));

    let refused = evaluate(&["--out", text(&other)]).expect_code(2);
    assert!(refused.stderr.contains("--out") && refused.stderr.contains("dataset"), "{}", refused.stderr);

    evaluate(&[]).expect_code(0);
    let (added, kept): (Vec<_>, Vec<_>) = names(&own).into_iter().partition(|name| name.starts_with("on-"));
    assert_eq!(kept, before);
    assert!(added.iter().any(|name| name.ends_with("/evaluation.json")), "{added:?}");
}
