//! Every balancer trains with the same command; those with more to remember resume bit for bit.

use std::fs;
use std::path::Path;

use mtids_train::balancers;

use crate::support::{dataset, program, run, text, tree};

/// A fit of a network small enough to try them all.
fn arguments(run_folder: &Path, sets: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", text(dataset())]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(["--run".to_owned(), text(run_folder).to_owned()]);
    let small = [
        "model.backbone.widths=[8]",
        "inputs.near.size=[6,16,16]",
        "inputs.wide.size=[8,16,16]",
        "batch_size=8",
        "bootstrap_resamples=20",
    ];
    for set in small.iter().chain(sets) {
        arguments.extend(["--set".to_owned(), (*set).to_owned()]);
    }
    arguments
}

#[test]
fn every_balancer_trains() {
    let folder = tempfile::tempdir().unwrap();
    for (method, exact_only) in balancers() {
        let method_is = format!("balancer.method={method}");
        let weights = (method == "fixed").then_some("balancer.weights=[1.0,2.0,3.0,1.0]");
        let sets: Vec<&str> = [method_is.as_str(), "max_steps=2"].into_iter().chain(weights).collect();
        for scope in ["boundary", "exact"] {
            let run_folder = folder.path().join(format!("{method}-{scope}"));
            let scoped = format!("scope={scope}");
            let sets: Vec<&str> = sets.iter().copied().chain([scoped.as_str()]).collect();
            let refused = exact_only && scope == "boundary";
            let done = run("mtids-train", arguments(&run_folder, &sets)).expect_code(if refused { 2 } else { 0 });
            if refused {
                assert!(done.text().contains("`scope`") && done.text().contains("exact"), "{}", done.text());
                continue;
            }
            let losses = fs::read_to_string(run_folder.join("losses.jsonl")).unwrap();
            assert_eq!(losses.lines().count(), 2, "{method}");
        }
    }
}

#[test]
fn rules_and_optimisers_with_more_to_remember_resume_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 4] = [
        &["balancer.method=famo", "optimizer.method=sgd", "average_decay=0.9"],
        &["balancer.method=dwa"],
        &["balancer.method=moco", "scope=exact"],
        &["balancer.method=graddrop"],
    ];
    for (n, case) in cases.iter().enumerate() {
        let sets: Vec<&str> = case.iter().copied().chain(["max_steps=12", "checkpoint_every_steps=1"]).collect();
        let (whole, broken) = (folder.path().join(format!("whole{n}")), folder.path().join(format!("broken{n}")));
        run("mtids-train", arguments(&whole, &sets)).expect_code(0);
        let mut killed = 0;
        for point in [40, 90, 35] {
            let status = program("mtids-train")
                .args(arguments(&broken, &sets))
                .env("MTIDS_FAILPOINT", format!("kill:{point}"))
                .output()
                .unwrap()
                .status;
            killed += usize::from(status.code().is_none());
        }
        assert!(killed >= 2, "{case:?}: killed {killed} times");
        run("mtids-train", arguments(&broken, &sets)).expect_code(0);
        let files = |run_folder: &Path| {
            let mut files = tree(run_folder);
            files.retain(|name, _| !name.ends_with("timings.jsonl"));
            files
        };
        assert_eq!(files(&broken), files(&whole), "{case:?}");
        let evaluate = ["evaluate", "--run", text(&broken), "--dataset", text(dataset())];
        run("mtids-train", evaluate).expect_code(0);
    }
}
