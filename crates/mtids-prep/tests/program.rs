//! The program as an operator runs it, where a mistake in its use must cost nothing.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Runs `mtids-prep` without terminal and without an inherited secret.
fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtids-prep"));
    command.args(arguments).stdin(Stdio::null()).env_remove("MTIDS_PSEUDONYM_KEY").env_remove("RUST_LOG");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Finished { code: status.code().unwrap_or(-1), text: format!("{}\n{}", text(&stdout), text(&stderr)) }
}

/// What the program said, on both streams.
struct Finished {
    code: i32,
    text: String,
}

impl Finished {
    /// Fails the test unless the program ended with `code` and said `words`.
    #[track_caller]
    fn says(&self, code: i32, words: &str) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        assert!(self.text.contains(words), "not said: {words}\n{}", self.text);
        self
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A cohort of two small phantoms, written once.
fn cohort() -> &'static Path {
    static COHORT: OnceLock<TempDir> = OnceLock::new();
    let made = COHORT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let sets = ["patients=2", "dimensions=[96, 88, 56]", "spacing_mm=[2.2, 2.2, 4.2]"];
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        run(["phantom", "--out", text(folder.path())].into_iter().chain(sets)).says(0, "2 synthetic patients");
        folder
    });
    made.path()
}

/// Arguments of a build of the cohort into `out`.
fn build(out: &Path) -> Vec<String> {
    let cohort = cohort();
    let (data, table, masks) = (cohort.join("dicom"), cohort.join("annotations.csv"), cohort.join("masks"));
    let mut arguments = vec!["build", "--data", text(&data), "--annotations", text(&table), "--out", text(out)];
    if masks.exists() {
        arguments.extend(["--annotations", text(&masks)]);
    }
    let sets =
        ["pseudonym.demo=true", "patch={ size = [8, 16, 16], spacing_mm = [4.0, 2.0, 2.0] }", "max_rejects=1000"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    arguments.into_iter().map(str::to_owned).collect()
}

fn with(mut arguments: Vec<String>, more: &[&str]) -> Vec<String> {
    arguments.extend(more.iter().map(|&one| one.to_owned()));
    arguments
}

/// A dataset of the cohort, built once; tests that change it take a copy.
fn dataset() -> &'static Path {
    static DATASET: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let made = DATASET.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("dataset");
        run(build(&out)).says(0, "dataset ");
        (folder, out)
    });
    &made.1
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_list_of_rejects_replaces_no_input_and_no_file_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let (out, settings, key) = (folder.path().join("out"), folder.path().join("a.toml"), folder.path().join("key"));
    fs::write(&settings, "jitter_mm = 4.0\n").unwrap();
    fs::write(&key, "sixteen or more secret bytes").unwrap();
    let thesis = folder.path().join("thesis.csv");
    fs::write(&thesis, "mine").unwrap();
    let (table, inside) = (cohort().join("annotations.csv"), folder.path().join("slice.dcm"));
    fs::write(&inside, "DICM").unwrap();
    for (list, words) in [
        (&table, "is input of this build"),
        (&inside, "is no list of rejects"),
        (&settings, "is input of this build"),
        (&key, "is no list of rejects"),
        (&thesis, "is no list of rejects"),
    ] {
        let before = fs::read(list).ok();
        for more in [&[][..], &["--dry-run"]] {
            let arguments = with(build(&out), &["--config", text(&settings), "--rejects", text(list)]);
            run(with(arguments, more)).says(2, words);
            assert_eq!(fs::read(list).ok(), before, "{}", list.display());
        }
    }
    assert!(!out.exists(), "nothing was begun");
    let list = folder.path().join("rejects.csv");
    for _ in 0..2 {
        run(with(build(&out), &["--dry-run", "--rejects", text(&list)])).says(0, "nothing was written");
        assert!(fs::read_to_string(&list).unwrap().starts_with("file,line,place,reason,detail\n"));
    }
}

#[test]
fn stale_copies_are_a_finding_and_prune_renews_them_first() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    copy(dataset(), &out);
    run(["verify", text(&out)]).says(0, "files verified");
    let (card, copied) = (out.join("README.md"), fs::read(out.join("README.md")).unwrap());
    fs::write(&card, "of an older build").unwrap();
    run(["verify", text(&out)]).says(1, "not the published copy: README.md");
    run(["verify", text(&out), "--json"]).says(1, "\"stale_copies\": [\n    \"README.md\"");
    run(["prune", text(&out), "--dry-run"]).says(0, "would be removed");
    assert_eq!(fs::read(&card).unwrap(), b"of an older build", "a look changes nothing");
    let old = out.join("meta/README-0123456789abcdef.md");
    let others = out.join("shards/mine/report-0123456789abcdef.txt");
    fs::create_dir_all(others.parent().unwrap()).unwrap();
    fs::write(&old, "old").unwrap();
    fs::write(&others, "mine").unwrap();
    run(["prune", text(&out)]).says(0, "README-0123456789abcdef.md");
    assert_eq!(fs::read(&card).unwrap(), copied);
    assert!(!old.exists() && others.exists());
    run(["verify", text(&out)]).says(0, "files verified");
    // What cannot be renewed ends the command before anything is removed.
    fs::write(&old, "old").unwrap();
    fs::remove_file(&card).unwrap();
    fs::create_dir_all(card.join("in-the-way")).unwrap();
    assert_eq!(run(["prune", text(&out)]).code, 3);
    assert!(old.exists());
}

#[test]
fn a_dataset_of_phantoms_says_so_everywhere() {
    let card = fs::read_to_string(dataset().join("README.md")).unwrap();
    assert!(card.contains("\n- synthetic\n") && card.contains("**Synthetic phantoms, no patients.**"), "{card}");
    let croissant = fs::read_to_string(dataset().join("croissant.json")).unwrap();
    assert!(croissant.contains("\"description\": \"Synthetic phantoms, no patients. Views"), "{croissant}");
    assert!(croissant.contains("\"synthetic phantoms, no patients\""), "{croissant}");
}

#[test]
fn places_inside_a_dataset_are_refused() {
    let inside = dataset().join("shards/mine");
    run(build(&inside)).says(2, "lies inside a dataset");
    let data = cohort().join("dicom");
    run(["phantom", "--out", text(&inside)]).says(2, "lies inside a dataset");
    run(["phantom", "--out", text(dataset())]).says(2, "holds a dataset");
    run(["insert", "--data", text(&data), "--out", text(&inside)]).says(2, "lies inside a dataset");
    run(["pull", "https://host.invalid/dataset", text(&inside)]).says(2, "lies inside a dataset");
    let fetch = ["fetch", "--server", "https://host.invalid", "--patient", "A", "--attempts", "1", "--out"];
    run(fetch.into_iter().chain([text(&inside)])).says(2, "lies inside a dataset");
    assert!(!inside.exists());
    let below = data.join("inserted");
    run(["insert", "--data", text(&data), "--out", text(&below)]).says(2, "lies in the folder of --data");
    assert!(!below.exists());
}

#[test]
fn a_mistyped_server_binds_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    // A port where nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("http://127.0.0.1:{port}/dicom-web");
    let failed = run(["fetch", "--server", &server, "--patient", "A", "--attempts", "1", "--out", text(&out)]);
    assert_ne!(failed.code, 0, "{}", failed.text);
    assert!(!out.join("fetch.json").exists(), "{}", failed.text);
    run(["fetch", "--server", &server, "--patient", "", "--out", text(&out)]).says(2, "--patient");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_told_as_such_and_the_dataset_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtids-prep"));
    let finished = command.args(build(&out)).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert_eq!(finished.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output"), "{said}");
    assert!(out.join("manifest.json").exists());
}

#[test]
fn arguments_that_would_harm_the_machine_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    run(with(build(&out), &["--workers", "100000"])).says(2, "100000 is not in 0..=1024");
    #[cfg(unix)]
    {
        let data = cohort().join("dicom");
        let zero = "pseudonym.key_file=/dev/zero";
        run(["build", "--data", text(&data), "--out", text(&out), "--set", zero]).says(2, "larger than 1 MiB");
    }
    assert!(!out.exists());
    run(["probe", text(&cohort().join("dicom")), "--at", "nan,0,0"]).says(2, "three numbers");
}

#[cfg(unix)]
#[test]
fn a_name_of_a_file_commands_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("\u{1b}[2J\u{1b}[31mx\ny"), "no DICOM").unwrap();
    fs::write(folder.path().join(".lock"), "").unwrap();
    fs::write(folder.path().join(".writing-a"), "half").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtids-prep"));
    let finished = command.args(["inventory", text(folder.path())]).output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(said.contains("1 files, 0 series"), "our own traces are no input: {said}");
    assert!(said.contains("�[2J�[31mx�y") && !said.contains('\u{1b}'), "{said}");
}
