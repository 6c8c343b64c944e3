//! A folder as it is on a disk: what cannot be read is named and counted, and the rest is built.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::study::Ct;
use super::{Case, Expect, KEY, check, check_all, findings, run_in};
use crate::support::{Finished, program, tree};

const TABLE: &[&str] = &["--annotations", "nodes.csv"];

fn plain(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    ct.write_table(folder);
}

/// An AppleDouble file (RFC 1740) of 4096 bytes, as macOS writes beside each file on a foreign disk.
fn apple_double() -> Vec<u8> {
    let mut bytes = vec![0x00, 0x05, 0x16, 0x07, 0x00, 0x02, 0x00, 0x00];
    bytes.extend(b"Mac OS X        ");
    bytes.extend([0, 2]);
    bytes.resize(4096, 0);
    bytes
}

fn files_of_operating_systems(folder: &Path) {
    plain(folder);
    let dicom = folder.join("dicom");
    for place in ["._s1-of-P1-000.dcm", "__MACOSX/._s1-of-P1-001.dcm", ".AppleDouble/s1-of-P1-002.dcm"] {
        fs::create_dir_all(dicom.join(place).parent().unwrap()).unwrap();
        fs::write(dicom.join(place), apple_double()).unwrap();
    }
    fs::write(dicom.join("._empty.dcm"), b"").unwrap();
    fs::write(dicom.join(".DS_Store"), b"\0\0\0\x01Bud1").unwrap();
    fs::write(dicom.join("Thumbs.db"), [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1]).unwrap();
}

/// What bears such a name and is DICOM is read: content decides.
fn a_slice_with_a_hidden_name(folder: &Path) {
    plain(folder);
    let dicom = folder.join("dicom");
    fs::rename(dicom.join("s1-of-P1-000.dcm"), dicom.join("._s1-of-P1-000.dcm")).unwrap();
    fs::create_dir(dicom.join(".hidden")).unwrap();
    fs::rename(dicom.join("s1-of-P1-001.dcm"), dicom.join(".hidden/.DS_Store")).unwrap();
}

fn pipes_and_sockets(folder: &Path) {
    plain(folder);
    for name in ["pipe", "pipe.dcm"] {
        assert!(Command::new("mkfifo").arg(folder.join("dicom").join(name)).status().unwrap().success());
    }
    // The name of a socket outlives the socket.
    UnixListener::bind(folder.join("dicom/socket.dcm")).unwrap();
}

fn links(folder: &Path) {
    plain(folder);
    let dicom = folder.join("dicom");
    fs::create_dir(dicom.join("sub")).unwrap();
    symlink("..", dicom.join("sub/loop")).unwrap();
    symlink("itself", dicom.join("itself")).unwrap();
    symlink("gone", dicom.join("dangling.dcm")).unwrap();
    symlink("s1-of-P1-000.dcm", dicom.join("again.dcm")).unwrap();
    symlink(folder.join("nodes.csv"), dicom.join("outside.dcm")).unwrap();
}

const CASES: &[Case] = &[
    Case {
        name: "files that macOS and Windows leave",
        source: "notmatthancock/pylidc#43, nroduit/Weasis#247, motioneye-project/motioneye#89",
        make: files_of_operating_systems,
        arguments: TABLE,
        expect: Expect {
            counts: &[("/totals/skipped_by_reason/system-file", 6), ("/totals/quarantined", 0), ("/totals/used", 12)],
            ..Expect::NOTHING
        },
    },
    Case {
        name: "slices in hidden files and folders",
        source: "commontk/CTK#797",
        make: a_slice_with_a_hidden_name,
        arguments: TABLE,
        expect: Expect { volumes: Some(&[12]), counts: &[("/totals/skipped", 0)], ..Expect::NOTHING },
    },
    Case {
        name: "pipes and sockets",
        source: "kpcyrd/libredefender#8",
        make: pipes_and_sockets,
        arguments: TABLE,
        expect: Expect {
            counts: &[("/totals/skipped_by_reason/special-file", 3), ("/totals/quarantined", 0)],
            ..Expect::NOTHING.says(&["3 sockets, pipes or devices, for example dicom/pipe"])
        },
    },
    Case {
        name: "links in loops, to nothing and out of the folder",
        source: "realworldocaml/examples#23, PyFilesystem/pyfilesystem2#94",
        make: links,
        arguments: TABLE,
        expect: Expect {
            counts: &[("/totals/skipped_by_reason/symbolic-link", 5), ("/totals/quarantined", 0)],
            ..Expect::NOTHING.says(&[
                "1 symbolic link leads out of the data folder, for example dicom/outside.dcm",
                "2 symbolic links lead to nothing",
            ])
        },
    },
];

#[test]
fn what_is_no_image_is_named_and_counted() {
    check_all(CASES);
}

/// A program that an ordinary user may run: those of the build lie where only their owner may look.
fn program_for_everybody(folder: &Path) -> PathBuf {
    let built = PathBuf::from(program("mtids-prep").get_program());
    let copy = folder.join("mtids-prep");
    fs::copy(built, &copy).unwrap();
    allow(&copy, 0o755);
    copy
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs `mtids-prep` as the user `nobody`; tests of rights mean nothing as the superuser.
fn as_nobody(folder: &Path, program: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(arguments);
    let output = command.current_dir(folder).env_remove("MTIDS_PSEUDONYM_KEY").env_remove("RUST_LOG").output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder that everybody may read, with a study and a place for the dataset.
fn public_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    allow(folder.path(), 0o755);
    plain(folder.path());
    fs::write(folder.path().join("secret.key"), KEY).unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    allow(&folder.path().join("out"), 0o777);
    folder
}

const BUILD: [&str; 10] = [
    "build",
    "--data",
    "dicom",
    "--annotations",
    "nodes.csv",
    "--set",
    "pseudonym.key_file=\"secret.key\"",
    "--json",
    "--out",
    "out/dataset",
];

#[test]
fn a_folder_without_permission_is_named_and_costs_nothing_else() {
    let folder = public_folder();
    let folder = folder.path();
    let program = program_for_everybody(folder);
    let closed = folder.join("dicom/lost+found");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("x.dcm"), b"x").unwrap();
    allow(&closed, 0o700);
    let built = as_nobody(folder, &program, &BUILD).expect_code(1);
    for words in ["dicom/lost+found", "Permission denied", "nothing in it was looked at", "\"unreadable\": 1"] {
        assert!(built.text().contains(words), "{words}: {}", built.text());
    }
    assert_eq!(findings(&folder.join("out/dataset")).len(), 1);
    let inventory = as_nobody(folder, &program, &["inventory", "dicom"]).expect_code(0);
    assert!(inventory.stdout.contains("dicom/lost+found"), "{}", inventory.stdout);
    // Within the share that the configuration allows, it is told and no more.
    let mut allowed = BUILD.to_vec();
    allowed.extend(["--set", "max_quarantine=0.5"]);
    as_nobody(folder, &program, &allowed).expect_code(0);
    // The folder of the studies itself is an error that names it.
    allow(&folder.join("dicom"), 0o700);
    let refused = as_nobody(folder, &program, &BUILD).expect_code(3);
    assert!(refused.stderr.contains("data folder dicom"), "{}", refused.stderr);
}

#[test]
fn files_without_permission_are_named_each_with_its_series_left_out() {
    let folder = public_folder();
    let folder = folder.path();
    let program = program_for_everybody(folder);
    // A folder that may be listed and not entered: every name is seen, no file can be opened.
    let listed = folder.join("dicom/listed");
    fs::create_dir(&listed).unwrap();
    fs::write(listed.join("x.dcm"), b"x").unwrap();
    allow(&listed, 0o744);
    let secret = folder.join("dicom/secret.dcm");
    fs::write(&secret, b"x").unwrap();
    allow(&secret, 0o600);
    let built = as_nobody(folder, &program, &BUILD).expect_code(1);
    for words in ["dicom/listed/x.dcm", "dicom/secret.dcm", "\"unreadable\": 2"] {
        assert!(built.text().contains(words), "{words}: {}", built.text());
    }
    assert_eq!(findings(&folder.join("out/dataset")).len(), 1);
}

#[test]
fn a_dataset_below_the_studies_is_left_out_however_it_is_named() {
    let elsewhere = tempfile::tempdir().unwrap();
    plain(elsewhere.path());
    check(elsewhere.path(), TABLE, &Expect::NOTHING).unwrap();
    let expected = tree(&elsewhere.path().join("dataset"));

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    plain(folder);
    fs::write(folder.join("secret.key"), KEY).unwrap();
    // Another dataset lies there, and a link leads to a disk for datasets.
    crate::support::copy_tree(&elsewhere.path().join("dataset"), &folder.join("dicom/old"));
    fs::create_dir(folder.join("disk")).unwrap();
    symlink(folder.join("disk"), folder.join("dicom/linked")).unwrap();
    let build = |data: &str, out: &str, more: &[&str]| {
        let mut arguments = vec!["build", "--data", data, "--out", out, "--annotations", "nodes.csv"];
        arguments.extend(["--set", "pseudonym.key_file=\"secret.key\""]);
        arguments.extend(more);
        run_in(folder, "mtids-prep", &arguments).expect_code(0)
    };
    build("dicom", "dicom/linked/set", &["--dry-run"]);
    // The dataset is not there yet, and is again when the same command is repeated.
    for _ in 0..2 {
        build("dicom", "dicom/linked", &[]);
        assert_eq!(tree(&folder.join("disk")), expected, "through a link");
        build("./dicom/../dicom", "dicom/new/set", &[]);
        assert_eq!(tree(&folder.join("dicom/new/set")), expected, "by a path that is not the shortest");
    }
    let absolute = folder.join("dicom/absolute");
    build("dicom", absolute.to_str().unwrap(), &[]);
    assert_eq!(tree(&absolute), expected, "by an absolute path");
}
