//! The files around the program that tell a scheduler, or `make`, what became of a build: pipelines/jobs and the Makefile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Writes a shell script that can be run.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder with a program in place of ours that ends with `code`.
fn ending_with(code: i32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("mtids-prep"), &format!("echo \"$@\"; exit {code}"));
    folder
}

/// A command that finds the programs of `folder` first.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folder.display())).current_dir(root());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_slurm_commit_with_issues_has_succeeded_and_unusable_data_have_not() {
    for (code, ends) in [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4)] {
        let folder = ending_with(code);
        // The array is submitted; the commit runs at once.
        let text = "for last; do :; done; case \"$*\" in *--array*) echo 17;; *) sh -c \"$last\";; esac";
        script(&folder.path().join("sbatch"), text);
        let mut job = command("bash", folder.path());
        job.arg("pipelines/jobs/slurm-build.sh");
        for (name, value) in [("DATA", "/a b"), ("ANNOTATIONS", "n.csv"), ("OUT", "out"), ("CONFIG", "c.toml")] {
            job.env(name, value);
        }
        let output = job.output().unwrap();
        assert_eq!(output.status.code(), Some(ends), "{code}: {}", said(&output));
        assert!(said(&output).contains("commit --data /a b --annotations n.csv"), "{}", said(&output));
    }
}

#[test]
fn a_kubernetes_commit_with_issues_has_succeeded_and_wrong_use_is_not_repeated() {
    let jobs = fs::read_to_string(root().join("pipelines/jobs/kubernetes-build.yaml")).unwrap();
    let [build, commit] = jobs.split("\n---\n").collect::<Vec<_>>()[..] else { panic!("two jobs") };
    // A disk that fails ends a build with 3, a held lock a commit with 2: both are worth another try.
    let rule = "action: FailJob, onExitCodes: { containerName: build, operator: In, values: [2] }";
    assert!(build.contains(rule) && !commit.contains("FailJob"), "{jobs}");
    assert!([build, commit].iter().all(|job| job.contains("restartPolicy: Never")), "{jobs}");
    let wrapper = commit.split("command: [sh, -c, '").nth(1).unwrap().split("', sh]").next().unwrap();
    for (code, ends) in [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4)] {
        let folder = ending_with(code);
        let output =
            command("sh", folder.path()).args(["-c", wrapper, "sh", "commit", "--out", "/a b"]).output().unwrap();
        assert_eq!(output.status.code(), Some(ends), "{code}: {}", said(&output));
        assert!(said(&output).contains("commit --out /a b"), "{}", said(&output));
    }
}

#[test]
fn make_keeps_the_demo_and_what_users_own_apart() {
    let make = |arguments: &[&str]| {
        let mut make = Command::new("make");
        for name in ["DATA", "OUT", "RUN", "DATASET", "SERVER", "PIPELINE", "MAKEFLAGS"] {
            make.env_remove(name);
        }
        said(&make.current_dir(root()).arg("-n").args(arguments).output().unwrap())
    };
    for target in ["dataset", "train", "predict"] {
        let text = make(&[target, "DATA=studies"]);
        assert!(text.contains("out/mine/") && !text.contains("out/demo"), "{target}: {text}");
    }
    assert!(make(&["dataset", "DATA=studies", "OUT=out/other"]).contains("--out out/other/dataset"));
    assert!(make(&["pipeline"]).contains("--out out/demo/dataset"));
    assert!(make(&["demo-real", "DATA=studies"]).contains("'out/demo-real'"));
    let clean = make(&["clean"]);
    let removed: Vec<&str> = clean.lines().filter(|line| line.starts_with("rm ")).collect();
    assert_eq!(removed.len(), 1, "{clean}");
    assert!(
        removed[0].split_whitespace().skip(2).all(|path| path.starts_with("out/") && path != "out/mine"),
        "{clean}"
    );
    assert!(removed[0].contains("out/demo"), "{clean}");
    let mut own = Command::new("make");
    own.env("DATA", "studies").env_remove("OUT").env_remove("MAKEFLAGS");
    let own = said(&own.current_dir(root()).args(["-n", "pipeline"]).output().unwrap());
    assert!(own.contains("--out out/demo/dataset") && !own.contains("out/mine"), "{own}");
    let pictures = make(&["screenshots", "OUT=out/mine"]);
    let (guard, removal) = (pictures.find("test -f 'out/mine/cohort/truth.json'"), pictures.find("rm -rf out/mine"));
    assert!(guard.is_some() && guard < removal, "{pictures}");
}
