//! A comparison killed at any moment, or done by two processes at once, ends in the same results; what it cannot do it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use mtids_runtime::digest::Digest;
use mtids_runtime::random::rng_for;
use rand::RngExt;

use crate::support::{dataset, program, root, run, text, tree};

const BASE: &str = "epochs = 1\nbatch_size = 16\ncheckpoint_every_steps = 3\n[model.backbone]\nsize = \"tiny\"\n[model.trunks.wide]\nfeatures = 8\n";

const GRID: &str = r#"
title = "Three rows"
base = "base.toml"
seeds = [1, 2]
datasets = ["cohort"]
primary = [{ first = "mt-ids", second = "shared-bottom", dataset = "cohort", metric = "status-auroc" }]
[[rows]]
name = "mt-ids"
[[rows]]
name = "shared-bottom"
set = ["model.architecture=hard-sharing", "balancer.method=equal-sum"]
[[rows]]
name = "single-task"
set = ["model.architecture=single-task", "balancer.method=equal-sum"]
"#;

fn write_grid(folder: &Path) -> String {
    fs::write(folder.join("base.toml"), BASE).unwrap();
    let grid = folder.join("grid.toml");
    fs::write(&grid, GRID).unwrap();
    text(&grid).to_owned()
}

fn arguments(grid: &str, out: &Path) -> Vec<String> {
    let named = ["compare", "--grid", grid, "--out", text(out), "--dataset"].map(str::to_owned);
    named.into_iter().chain([format!("cohort={}", text(dataset()))]).collect()
}

fn start(arguments: &[String]) -> Child {
    program("mtids-train").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Records and results without what trainings cost.
fn lasting(out: &Path) -> BTreeMap<String, Digest> {
    tree(out).into_iter().filter(|(name, _)| !name.starts_with("cells/") && !name.contains("cost")).collect()
}

#[test]
fn a_comparison_killed_twenty_times_or_shared_by_two_ends_in_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    let grid = write_grid(folder.path());
    let place = |name: &str| folder.path().join(name);
    let whole = run("mtids-train", arguments(&grid, &place("whole"))).expect_code(0);
    assert!(whole.stdout.contains("All 6 trainings are on record."), "{}", whole.stdout);
    let expected = lasting(&place("whole"));
    assert_eq!(expected.len(), 3 + 2 + 6, "three results, dataset and nodes, and six records: {expected:?}");

    let mut random = rng_for(3, "kills of a comparison", &[]);
    let mut killed = 0;
    for _ in 0..20 {
        let mut child = start(&arguments(&grid, &place("killed")));
        std::thread::sleep(Duration::from_millis(random.random_range(20..900)));
        let _ = child.kill();
        killed += usize::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed >= 5, "{killed} of 20 were killed before their end");
    run("mtids-train", arguments(&grid, &place("killed"))).expect_code(0);
    assert!(lasting(&place("killed")) == expected, "a kill changes bytes");

    let shares = [0, 1].map(|index| {
        let mut arguments = arguments(&grid, &place("shared"));
        arguments.extend(["--task-index", &index.to_string(), "--task-count", "2"].map(str::to_owned));
        start(&arguments)
    });
    for mut share in shares {
        assert!(share.wait().unwrap().success());
    }
    let both = [(); 2].map(|()| start(&arguments(&grid, &place("together"))));
    for mut process in both {
        assert!(process.wait().unwrap().success());
    }
    for name in ["shared", "together"] {
        // The last of two processes may have looked before the other was done.
        run("mtids-train", arguments(&grid, &place(name))).expect_code(0);
        assert!(lasting(&place(name)) == expected, "{name}: processes side by side change bytes");
    }
    let page = fs::read_to_string(place("whole").join("results.html")).unwrap();
    assert!(page.contains("judged together") && !page.contains("http"), "one page without links outside");
}

#[test]
fn what_a_comparison_cannot_do_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let grid = write_grid(folder.path());
    let out = folder.path().join("out");
    let with = |more: &[&str]| {
        let mut arguments = arguments(&grid, &out);
        arguments.extend(more.iter().map(|text| (*text).to_owned()));
        arguments
    };
    let nowhere = ["compare", "--grid", &grid, "--out", text(&out)];
    let said = run("mtids-train", nowhere).expect_code(2).text();
    assert!(said.contains("--dataset cohort=DIR"), "{said}");
    let said = run("mtids-train", with(&["--dataset", "cohort"])).expect_code(2).text();
    assert!(said.contains("`cohort` is not NAME=DIR"), "{said}");
    let said = run("mtids-train", with(&["--dataset", &format!("cohort={}", text(dataset()))])).expect_code(2).text();
    assert!(said.contains("given twice"), "{said}");
    let said = run("mtids-train", with(&["--task-index", "2", "--task-count", "2"])).expect_code(2).text();
    assert!(said.contains("count − 1"), "{said}");
    fs::write(&grid, GRID.replace("seeds = [1, 2]", "seeds = [1, 2]\nsedes = 1")).unwrap();
    let said = run("mtids-train", with(&[])).expect_code(2).text();
    assert!(said.contains("sedes"), "{said}");
    fs::write(&grid, GRID.replace("model.architecture=hard-sharing", "loss.focal_gama=1.0")).unwrap();
    let said = run("mtids-train", with(&[])).expect_code(2).text();
    assert!(said.contains("focal_gama"), "{said}");
    assert!(!out.exists(), "nothing was begun");
    // From records alone nothing needs the dataset; without any there is nothing to show, and that is said.
    fs::write(&grid, GRID).unwrap();
    let done = run("mtids-train", [&nowhere[..], &["--records-only"]].concat()).expect_code(0);
    assert!(done.stdout.contains("6 of 6 trainings are missing"), "{}", done.stdout);
}

#[test]
fn the_grids_of_the_repository_have_settings_that_a_training_takes() {
    let folder = tempfile::tempdir().unwrap();
    let mut grids = 0;
    for file in fs::read_dir(root().join("pipelines/compare")).unwrap() {
        let path = file.unwrap().path();
        if !fs::read_to_string(&path).unwrap().contains("[[rows]]") {
            // Settings that grids start from.
            continue;
        }
        let out = folder.path().join(path.file_stem().unwrap());
        let shown = run("mtids-train", ["compare", "--records-only", "--grid", text(&path), "--out", text(&out)]);
        assert!(shown.expect_code(0).stdout.contains("trainings"), "{}", path.display());
        grids += 1;
    }
    assert!(grids >= 4, "{grids} grids");
}
