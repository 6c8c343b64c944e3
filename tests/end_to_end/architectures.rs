//! Every architecture trains, resumes and is evaluated with the same commands.

use std::fs;
use std::path::Path;

use mtids_train::architectures;
use serde_json::Value;

use crate::support::{dataset, run, text, tree};

fn fit(architecture: &str, run_folder: &Path) {
    let setting = format!("model.architecture={architecture}");
    run(
        "mtids-train",
        [
            "fit",
            "--config",
            "pipelines/demo-short/train.toml",
            "--dataset",
            text(dataset()),
            "--run",
            text(run_folder),
            "--set",
            setting.as_str(),
            "--set",
            "max_steps=3",
            "--set",
            "bootstrap_resamples=20",
        ],
    )
    .expect_code(0);
}

#[test]
fn every_architecture_trains_and_is_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    for (key, title) in architectures() {
        let run_folder = folder.path().join(key);
        fit(key, &run_folder);
        let before = tree(&run_folder);
        fit(key, &run_folder);
        assert_eq!(before, tree(&run_folder), "{key}: a finished run is left alone");
        let evaluated =
            run("mtids-train", ["evaluate", "--run", text(&run_folder), "--dataset", text(dataset())]).expect_code(0);
        assert!(evaluated.stdout.contains(title), "{}", evaluated.stdout);
        let page = fs::read_to_string(run_folder.join("report.html")).unwrap();
        assert!(page.contains(title));
        let evaluation: Value = serde_json::from_slice(&fs::read(run_folder.join("evaluation.json")).unwrap()).unwrap();
        assert_eq!(evaluation["architecture"], key);
        let gates = evaluation["measured"]["gates"].as_array().unwrap().len();
        let has_gates = !matches!(key, "single-task" | "hard-sharing" | "cross-stitch" | "mtan");
        assert_eq!(gates > 0, has_gates, "{key}");
        assert_eq!(page.contains("Routing"), has_gates, "{key}: a chart of gates only where there are gates");
        let losses = fs::read_to_string(run_folder.join("losses.jsonl")).unwrap();
        assert_eq!(losses.lines().count(), 3, "{key}");
    }
}
