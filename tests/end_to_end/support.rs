//! Running programs, a small cohort that tests share, and comparing folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use mtids_runtime::digest::Digest;
use tempfile::TempDir;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A built program, run from the root of the repository with no terminal and no inherited secrets.
pub(crate) fn program(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    // target/<profile>/deps/end_to_end-… → target/<profile>/<name>
    let path = tests.parent().unwrap().parent().unwrap().join(name);
    assert!(path.exists(), "{} is missing: run `make test`, which builds the programs first", path.display());
    let mut command = Command::new(path);
    command.current_dir(root()).stdin(Stdio::null()).env_remove("MTIDS_PSEUDONYM_KEY").env_remove("RUST_LOG");
    command
}

/// What a finished program left behind.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Fails the test, showing both streams, unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "a panic reached the user:\n{}", self.stderr);
        self
    }

    /// Both streams together, for messages that may stand on either.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end.
pub(crate) fn run<I, S>(name: &str, arguments: I) -> Finished
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let Output { status, stdout, stderr } = program(name).args(arguments).output().unwrap();
    Finished {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// `a` as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A small cohort of phantom studies, written once per test process.
pub(crate) fn cohort() -> &'static Path {
    static COHORT: OnceLock<TempDir> = OnceLock::new();
    COHORT
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            run(
                "mtids-prep",
                [
                    "phantom",
                    "--config",
                    "pipelines/demo-short/phantom.toml",
                    "--out",
                    text(&folder.path().join("cohort")),
                ],
            )
            .expect_code(0);
            folder
        })
        .path()
}

/// Arguments of a build of the shared cohort into `out`.
pub(crate) fn build_arguments(out: &Path) -> Vec<String> {
    build_arguments_of(&cohort().join("cohort"), out)
}

/// Arguments of a build of any cohort into `out`.
pub(crate) fn build_arguments_of(cohort: &Path, out: &Path) -> Vec<String> {
    [
        "build",
        "--config",
        "pipelines/demo-short/dataset.toml",
        "--data",
        text(&cohort.join("dicom")),
        "--annotations",
        text(&cohort.join("annotations.csv")),
        "--annotations",
        text(&cohort.join("masks")),
        "--out",
        text(out),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Arguments of a build of the shared cohort with the default views into `out`: the settings of `demo-short` without its table `[patch]`.
pub(crate) fn views_arguments(out: &Path) -> Vec<String> {
    let cohort = cohort().join("cohort");
    let (dicom, table, masks) = (cohort.join("dicom"), cohort.join("annotations.csv"), cohort.join("masks"));
    let named =
        ["--data", text(&dicom), "--annotations", text(&table), "--annotations", text(&masks), "--out", text(out)];
    let settings = ["pseudonym.demo=true", "classes=[{ name = \"^Lymph node\" }]"].map(|setting| ["--set", setting]);
    ["build"].into_iter().chain(named).chain(settings.into_iter().flatten()).map(str::to_owned).collect()
}

/// A dataset built from the shared cohort, once per test process.
pub(crate) fn dataset() -> &'static Path {
    static DATASET: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &DATASET
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("dataset");
            run("mtids-prep", build_arguments(&out)).expect_code(0);
            (folder, out)
        })
        .1
}

/// Digest of every published file of a folder, by relative path; hidden working files are left out.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Digest> {
    fn walk(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Digest>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{path}/"), into);
            } else {
                into.insert(path, Digest::of_file(&entry.path()).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(folder, "", &mut files);
    files
}

/// The folder of real test images beside the repository. Tests that call this are `#[ignore = "needs ../shared/data"]`.
pub(crate) fn shared_data(what: &str) -> PathBuf {
    let path = root().join("../shared/data").join(what);
    assert!(path.is_dir(), "{} is missing", path.display());
    path
}

/// Python with the readers of `tests/python/requirements.txt`. Tests that call this are `#[ignore = "needs Python readers (.venv)"]`.
pub(crate) fn python() -> PathBuf {
    let path = root().join(".venv/bin/python");
    assert!(path.exists(), "{} is missing: run `make python`", path.display());
    path
}

/// Copies a folder of files and folders.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Lets dciodvfy, dsrdump, pydicom and highdicom read the objects of an answer of `mtids-train predict`, and compares them with its nodes. Returns how
/// many reports there were.
pub(crate) fn check_objects(answer_folder: &Path) -> usize {
    let answer: serde_json::Value =
        serde_json::from_slice(&fs::read(answer_folder.join("prediction.json")).unwrap()).unwrap();
    let patients = answer["patients"].as_array().unwrap();
    let of_all =
        |list: &'static str| patients.iter().flat_map(move |patient| patient[list].as_array().unwrap().clone());
    let mut reports = 0;
    for name in of_all("objects") {
        let path = answer_folder.join("dicom").join(name.as_str().unwrap());
        let checked = output_of("dciodvfy", &[text(&path)]);
        let errors: Vec<&str> = checked.lines().filter(|line| line.starts_with("Error")).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        if text(&path).ends_with(".sr.dcm") {
            reports += 1;
            let read = output_of("dsrdump", &[text(&path)]);
            assert!(!read.contains("E: ") && read.contains("Tracking Identifier"), "{read}");
        }
    }
    let script = root().join("tests/python/read_answer.py");
    let read = output_of(text(&python()), &[text(&script), text(answer_folder)]);
    let nodes = of_all("nodes").count();
    assert!(reports > 0 && read.contains(&format!("SR {nodes} groups")), "{read}");
    reports
}

/// Both streams of another program.
fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}
