//! The umask decides who may read what the programs write: pseudonymised patient data is private where the user wants it so.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::{build_arguments, program, text};

/// Runs a program under a umask and expects it to succeed.
fn run_under(umask: &str, name: &str, arguments: &[String]) {
    let ready = program(name);
    let output = Command::new("sh")
        .args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
        .arg(ready.get_program())
        .args(arguments)
        .current_dir(ready.get_current_dir().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every file below `folder` with its mode, the folders as well.
fn modes(folder: &Path) -> Vec<(String, u32, bool)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let is_folder = entry.file_type().unwrap().is_dir();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            found.push((entry.path().display().to_string(), mode, is_folder));
            if is_folder {
                folders.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn dataset_and_run_follow_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    for (umask, file_mode, folder_mode) in [("077", 0o600, 0o700), ("027", 0o640, 0o750), ("022", 0o644, 0o755)] {
        let dataset = folder.path().join(format!("dataset-{umask}"));
        run_under(umask, "mtids-prep", &build_arguments(&dataset));
        let run = folder.path().join(format!("run-{umask}"));
        let fit = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "max_steps=2"].map(str::to_owned);
        let places = ["--dataset", text(&dataset), "--run", text(&run)].map(str::to_owned);
        run_under(umask, "mtids-train", &[fit.as_slice(), places.as_slice()].concat());
        for written in [&dataset, &run] {
            let found = modes(written);
            assert!(found.len() > 5, "{found:?}");
            for (path, mode, is_folder) in found {
                let expected = if is_folder { folder_mode } else { file_mode };
                assert_eq!(mode, expected, "{path} has mode {mode:o} under umask {umask}");
            }
        }
    }
}
