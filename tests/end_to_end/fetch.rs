//! Studies from a DICOMweb server: the same dataset as from a folder, whatever happens on the way; and answers back to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mtids_runtime::digest::Digest;
use serde_json::Value;
use tempfile::TempDir;

use crate::pacs::{Server, files};
use crate::support::{Finished, program, run, text, tree};
use crate::write_points::kill_at_every_point;

/// Three patients on coarse grids.
fn cohort() -> &'static Path {
    static COHORT: OnceLock<TempDir> = OnceLock::new();
    COHORT
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut arguments = vec!["phantom", "--out", text(folder.path())];
            for setting in ["patients=3", "dimensions=[56,56,24]", "spacing_mm=[6.0,6.0,9.5]"] {
                arguments.extend(["--set", setting]);
            }
            run("mtids-prep", arguments).expect_code(0);
            folder
        })
        .path()
}

pub(crate) fn server() -> Server {
    let server = Server::of_folder(&cohort().join("dicom"));
    let count = server.pacs().instances.len();
    assert_eq!(count, files(&cohort().join("dicom")).len(), "every file of the cohort is an object of the server");
    server
}

pub(crate) fn fetch(server: &Server, out: &Path, more: &[&str]) -> Finished {
    run("mtids-prep", [&["fetch", "--server", &server.address, "--out", text(out)], more].concat())
}

/// A fetch of everything, as JSON.
pub(crate) fn outcome(server: &Server, out: &Path, more: &[&str], code: i32) -> Value {
    let said = fetch(server, out, &[&["--patient", "*", "--json"], more].concat()).expect_code(code);
    serde_json::from_str(&said.stdout).unwrap()
}

/// Digests of all objects below a folder.
fn contents(folder: &Path) -> BTreeSet<String> {
    files(folder).iter().map(|path| Digest::of_file(path).unwrap().to_string()).collect()
}

/// The manifest of a dataset built from `dicom`.
fn manifest(dicom: &Path, out: &Path) -> String {
    let fixed = ["build", "--config", "pipelines/demo-short/dataset.toml", "--data", text(dicom), "--out", text(out)];
    let table = cohort().join("annotations.csv");
    let views = "views={patch={size=[6,12,12],spacing_mm=[9.5,6.0,6.0]}}";
    run("mtids-prep", fixed.into_iter().chain(["--annotations", text(&table), "--set", views])).expect_code(0);
    fs::read_to_string(out.join("manifest.json")).unwrap()
}

#[test]
fn a_fetch_that_is_killed_again_and_again_gives_the_dataset_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [out, of_server, of_folder] = ["studies", "of server", "of folder"].map(|name| folder.path().join(name));
    let server = server();
    let mut kills = 0;
    let said = loop {
        let arguments =
            ["fetch", "--server", &server.address, "--out", text(&out), "--modality", "CT", "--patient", "*"];
        let output = program("mtids-prep").args(arguments).env("MTIDS_FAILPOINT", "kill:40").output().unwrap();
        if output.status.success() {
            break String::from_utf8_lossy(&output.stdout).into_owned();
        }
        assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stderr));
        kills += 1;
        assert!(kills < 100, "it never comes to an end");
    };
    assert!(kills >= 3 && said.contains("fetched"), "{kills} kills: {said}");
    let whole = outcome(&server, &out, &[], 0);
    assert_eq!(
        whole["kept"].as_u64().unwrap() + whole["fetched"].as_u64().unwrap(),
        server.pacs().instances.len() as u64
    );
    assert_eq!(contents(&out.join("dicom")), contents(&cohort().join("dicom")));
    assert_eq!(fs::read_dir(out.join("incoming")).unwrap().count(), 0);
    assert_eq!(manifest(&out.join("dicom"), &of_server), manifest(&cohort().join("dicom"), &of_folder));
}

#[test]
fn a_fetch_killed_at_any_write_ends_in_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    server.pacs().instances.truncate(4);
    let arguments = |out: &Path| -> Vec<String> {
        let fixed = ["fetch", "--server", &server.address, "--patient", "*", "--parallel", "1", "--out", text(out)];
        fixed.map(str::to_owned).to_vec()
    };
    let unbroken = folder.path().join("unbroken");
    run("mtids-prep", arguments(&unbroken)).expect_code(0);
    let points = kill_at_every_point("mtids-prep", arguments, &tree(&unbroken), |out| {
        let dicom = out.join("dicom");
        let whole = contents(&cohort().join("dicom"));
        assert!(!dicom.exists() || contents(&dicom).is_subset(&whole), "half a file has a name");
    });
    assert!(points >= 20, "only {points} write points were found");
}

#[test]
fn a_server_that_is_busy_cuts_or_goes_away_costs_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    server.pacs().busy = 1;
    server.pacs().cut = 1;
    server.pacs().downloads_left = Some(20);
    let said = fetch(&server, &out, &["--patient", "*", "--parallel", "1", "--attempts", "2"]).expect_code(3);
    assert!(said.stderr.contains(&server.address) && said.stderr.contains("no answer"), "{}", said.stderr);
    assert_eq!(files(&out.join("dicom")).len(), 20, "what came is kept");
    server.pacs().downloads_left = None;
    let whole = outcome(&server, &out, &[], 0);
    assert_eq!(whole["kept"], 20);
    let stored = server.pacs().instances.len();
    assert_eq!(server.pacs().downloads as usize, stored, "nothing came twice");
    assert_eq!(contents(&out.join("dicom")), contents(&cohort().join("dicom")));
}

#[test]
fn credentials_come_from_the_environment_and_are_never_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    // So long that no dump of bytes, in lines of whatever length, could show a piece without the word.
    let token = "secret-".repeat(20);
    server.pacs().authorization = Some(format!("Bearer {token}"));
    let study = server.pacs().instances[0].study.clone();
    let call = |token: Option<&str>| {
        let mut command = program("mtids-prep");
        command.args(["fetch", "--server", &server.address, "--out", text(&out), "--study", &study]);
        command.env_remove("MTIDS_DICOMWEB_TOKEN").env("RUST_LOG", "trace");
        if let Some(token) = token {
            command.env("MTIDS_DICOMWEB_TOKEN", token);
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!text.contains("secret"), "{text}");
        (output.status.code(), text)
    };
    for token in [None, Some("other-secret")] {
        let (code, said) = call(token);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("HTTP status 401") && said.contains("MTIDS_DICOMWEB_TOKEN"), "{said}");
    }
    let (code, said) = call(Some(&token));
    assert_eq!(code, Some(0), "{said}");
    let in_address = server.address.replace("http://", "http://me:secret@");
    let refused =
        run("mtids-prep", ["fetch", "--server", &in_address, "--out", text(&out), "--study", &study]).expect_code(2);
    assert!(refused.stderr.contains("MTIDS_DICOMWEB_USER") && !refused.stderr.contains("secret"), "{}", refused.stderr);
}

#[test]
fn what_changes_on_the_server_is_fetched_named_or_removed_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    let added = server.pacs().instances.pop().unwrap();
    outcome(&server, &out, &[], 0);
    // One comes, one goes, and a whole study goes.
    let (gone, others) = {
        let mut pacs = server.pacs();
        pacs.instances.push(added.clone());
        let gone = pacs.instances.remove(0);
        let study =
            pacs.instances.iter().map(|one| &one.study).find(|study| **study != gone.study && **study != added.study);
        let study = study.unwrap().clone();
        let others = pacs.instances.iter().filter(|one| one.study == study).count();
        pacs.instances.retain(|one| one.study != study);
        (gone, others)
    };
    let changed = outcome(&server, &out, &[], 1);
    assert_eq!((&changed["fetched"], changed["removed"].as_array().unwrap().len()), (&1.into(), 1 + others));
    assert!(changed["removed"].to_string().contains(&gone.uid));
    let before = files(&out.join("dicom")).len();
    let pruned = outcome(&server, &out, &["--prune"], 0);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 1 + others);
    assert_eq!(files(&out.join("dicom")).len(), before - 1 - others);
    assert!(outcome(&server, &out, &["--prune"], 0)["removed"].as_array().unwrap().is_empty());

    // Other bytes under a UID: seen with --reverify only.
    let other = {
        let mut pacs = server.pacs();
        let last = pacs.instances.last_mut().unwrap();
        let end = last.bytes.len() - 1;
        last.bytes[end] ^= 1;
        last.clone()
    };
    assert_eq!(outcome(&server, &out, &[], 0)["replaced"], Value::Array(vec![]));
    let verified = outcome(&server, &out, &["--reverify"], 1);
    assert_eq!(verified["replaced"].as_array().unwrap().len(), 1, "{verified}");
    assert_eq!(verified["replaced"][0]["instance"], other.uid.as_str());
    assert!(contents(&out.join("dicom")).contains(&Digest::of_bytes(&other.bytes).to_string()));
}

#[test]
fn wrong_use_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    for (more, expected) in [
        ([].as_slice(), "nothing is named"),
        (&["--study", "../../etc"], "a UID has digits and dots"),
        (&["--date", "yesterday"], "YYYYMMDD"),
        (&["--uids", "no-such-file"], "cannot read no-such-file"),
    ] {
        let said = fetch(&server, &out, more).expect_code(2);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
        assert!(!out.exists());
    }
    let list = folder.path().join("uids.txt");
    let study = server.pacs().instances[0].study.clone();
    fs::write(&list, format!("# one that is there and one that is not\n{study}\n1.2.3\n")).unwrap();
    let said = fetch(&server, &out, &["--uids", text(&list)]).expect_code(1);
    assert!(said.stdout.contains("no such study: 1.2.3\n") && said.stdout.contains("1 study"), "{}", said.stdout);
    let nothing = fetch(&server, &folder.path().join("none"), &["--patient", "nobody"]).expect_code(3);
    assert!(nothing.stderr.contains("no study fulfils the query"), "{}", nothing.stderr);
    let other = Server::of_folder(&cohort().join("dicom"));
    let mixed = fetch(&other, &out, &["--study", &study]).expect_code(2);
    assert!(mixed.stderr.contains("name another folder"), "{}", mixed.stderr);
}

/// A measurement of the cohort, sent to a server.
fn send(address: &str, out: &Path) -> Finished {
    let (dicom, table): (PathBuf, PathBuf) = (cohort().join("dicom"), cohort().join("annotations.csv"));
    let fixed = ["predict", "--measure-only", "--config", "pipelines/demo-short/dataset.toml", "--data", text(&dicom)];
    let more = ["--annotations", text(&table), "--out", text(out), "--send", address];
    run("mtids-train", fixed.into_iter().chain(more))
}

#[test]
fn the_objects_of_an_answer_go_to_their_studies_or_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("answer");
    let server = server();
    let first = send(&server.address, &out);
    let objects: Vec<Vec<u8>> = files(&out.join("dicom")).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(first.code <= 1 && objects.len() >= 2, "{}", first.text());
    assert!(first.stderr.contains(&format!("{} objects stored", objects.len())), "{}", first.stderr);
    let stored = server.pacs().stored.clone();
    for object in &objects {
        assert!(stored.iter().any(|body| body.windows(object.len()).any(|window| window == object)));
    }
    let second = send(&server.address, &out);
    assert!(second.stderr.contains(&format!("{} were there before", objects.len())), "{}", second.stderr);
    assert_eq!(server.pacs().stored.len(), objects.len());

    // A server that answers without a word is asked whether it lists the object.
    server.pacs().stored.clear();
    server.pacs().says_nothing = true;
    let third = send(&server.address, &out);
    assert!(third.stderr.contains(&format!("{} objects stored", objects.len())), "{}", third.stderr);
    // One that does not take objects says why, and how many it has.
    server.pacs().authorization = Some("Bearer another".into());
    let refused = send(&server.address, &out).expect_code(2);
    assert!(refused.stderr.contains("HTTP status 401"), "{}", refused.stderr);
    server.pacs().authorization = None;
    server.pacs().stored.clear();
    server.pacs().room = Some(1);
    let refused = send(&server.address, &out).expect_code(3);
    let words = format!("(1 of {} objects had been sent before", objects.len());
    assert!(refused.stderr.contains("make room") && refused.stderr.contains(&words), "{}", refused.stderr);
    server.pacs().room = None;

    // A server without one of the studies gets nothing.
    let study = server.pacs().instances[0].study.clone();
    server.pacs().instances.retain(|one| one.study != study);
    server.pacs().stored.clear();
    let refused = send(&server.address, &out).expect_code(3);
    assert!(refused.stderr.contains(&format!("does not have study {study}")), "{}", refused.stderr);
    assert!(server.pacs().stored.is_empty());
    let address = send("http://me:secret@pacs", &folder.path().join("never")).expect_code(2);
    assert!(!address.stderr.contains("secret") && !folder.path().join("never").exists(), "{}", address.stderr);
}
