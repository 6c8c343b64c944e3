//! Servers that answer wrongly, partly or not at all: what `fetch` then does, says and never does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fetch::{fetch, outcome, server};
use crate::pacs::{Lists, files};
use crate::support::{program, run, text};

/// Everything is fetched, and then the server's lists go wrong: nothing is removed on their word.
#[test]
fn prune_removes_nothing_on_the_word_of_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    outcome(&server, &out, &[], 0);
    let all = files(&out.join("dicom")).len();
    let series: BTreeSet<String> = server.pacs().instances.iter().map(|one| one.series.clone()).collect();
    let studies: BTreeSet<String> = server.pacs().instances.iter().map(|one| one.study.clone()).collect();
    for (lists, doubtful, empty) in [(Lists::NotFound, all, studies.len()), (Lists::Shifted, series.len(), 0)] {
        server.pacs().lists = lists;
        let said = outcome(&server, &out, &["--prune"], 1);
        assert_eq!(said["doubtful"].as_array().unwrap().len(), doubtful, "{lists:?}");
        assert!(said["removed"].as_array().unwrap().is_empty(), "{lists:?}");
        assert!(said["without_content"].as_array().unwrap().len() >= empty, "{lists:?}");
        assert_eq!(files(&out.join("dicom")).len(), all, "{lists:?}");
    }
    server.pacs().lists = Lists::Empty;
    let said = fetch(&server, &out, &["--patient", "*", "--prune"]).expect_code(3);
    assert!(said.stderr.contains("it is empty"), "{}", said.stderr);
    assert_eq!(files(&out.join("dicom")).len(), all);
    // All is known as before.
    server.pacs().lists = Lists::Right;
    server.pacs().instances.remove(0);
    assert_eq!(outcome(&server, &out, &["--prune"], 0)["removed"].as_array().unwrap().len(), 1);
    assert_eq!(files(&out.join("dicom")).len(), all - 1);
}

#[test]
fn objects_that_cannot_be_sent_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    let all = server.pacs().instances.len();
    for (place, status) in [(0, 403), (5, 503), (9, 504), (12, 0)] {
        let uid = server.pacs().instances[place].uid.clone();
        server.pacs().broken.insert(uid, status);
    }
    for _ in 0..2 {
        let said = outcome(&server, &out, &["--attempts", "2"], 1);
        let refused = said["refused"].as_array().unwrap();
        assert!(refused.len() == 4 && refused.iter().all(|one| one["reason"] == "not-delivered"), "{refused:?}");
        assert_eq!(files(&out.join("dicom")).len(), all - 4);
    }
    server.pacs().broken.clear();
    outcome(&server, &out, &[], 0);
    assert_eq!(files(&out.join("dicom")).len(), all);
}

#[test]
fn a_dead_back_end_is_noticed_after_ten_objects() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    let all = server.pacs().instances.len() as u32;
    server.pacs().dead = Some(502);
    server.pacs().dead_lists = true;
    let arguments = ["--patient", "*", "--parallel", "1", "--attempts", "2"];
    let said = fetch(&server, &folder.path().join("gone"), &arguments).expect_code(3);
    assert!(said.stderr.contains("HTTP status 502"), "{}", said.stderr);
    assert_eq!(server.pacs().refused, 20, "ten objects, each asked for twice");
    // Lists still come: all objects are looked at, but nobody waits for them any more.
    server.pacs().refused = 0;
    server.pacs().dead_lists = false;
    let said = outcome(&server, &folder.path().join("half"), &["--parallel", "1", "--attempts", "2"], 1);
    assert_eq!(said["refused"].as_array().unwrap().len(), all as usize);
    assert_eq!(server.pacs().refused, 20 + (all - 10));
}

#[test]
fn queries_without_a_study_and_studies_without_a_query_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    let [first, other] = {
        let pacs = server.pacs();
        let first = pacs.instances[0].clone();
        [first.clone(), pacs.instances.iter().find(|one| one.patient != first.patient).unwrap().clone()]
    };
    let said = fetch(&server, &out, &["--patient", &first.patient, "--patient", "SECRET-ID"]).expect_code(1);
    assert!(said.stdout.contains("without any study: --patient number 2\n"), "{}", said.stdout);
    assert!(!said.text().contains("SECRET-ID"), "{}", said.text());
    // The folder has studies, and nothing is wanted.
    let said = fetch(&server, &out, &["--patient", "nobody"]).expect_code(1);
    assert!(said.stdout.contains("without any study: --patient number 1\n"), "{}", said.stdout);
    let said = fetch(&server, &out, &["--study", &other.study, "--patient", &first.patient]).expect_code(1);
    let words = format!("does not fulfil the query, or is not there: {}\n", other.study);
    assert!(said.stdout.contains(&words), "{}", said.stdout);
    // A server that ignores PatientID lists all.
    server.pacs().ignores_keys = true;
    let some = format!("{}*", first.patient);
    let said = fetch(&server, &out, &["--patient", &some, "--json"]).expect_code(0);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said["studies"], 1, "{said}");
    assert!(said["left_out"].to_string().contains(&other.study), "{said}");
    let fetched = files(&out.join("dicom")).len();
    let of_first = server.pacs().instances.iter().filter(|one| one.study == first.study).count();
    assert_eq!(fetched, of_first);
}

#[test]
fn what_cannot_be_compared_fails_no_finished_download() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    outcome(&server, &out, &[], 0);
    let study = server.pacs().instances[0].study.clone();
    // From its first refused object on, the server refuses lists too: when earlier studies are compared, it does.
    let uid = server.pacs().instances[0].uid.clone();
    server.pacs().broken.insert(uid, 403);
    server.pacs().dead_lists = true;
    let said = fetch(&server, &out, &["--study", &study, "--reverify", "--attempts", "1", "--json"]).expect_code(1);
    assert!(said.stderr.contains("not compared any more"), "{}", said.stderr);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    let studies: BTreeSet<String> = server.pacs().instances.iter().map(|one| one.study.clone()).collect();
    assert_eq!(said["not_compared"].as_array().unwrap().len(), studies.len() - 1, "{said}");
    assert!(said["verified"].as_u64().unwrap() > 0, "{said}");
}

#[test]
fn objects_that_are_none_or_others_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("studies");
    let server = server();
    let (cut, page) = {
        let mut pacs = server.pacs();
        let length = pacs.instances[0].bytes.len();
        pacs.instances[0].bytes.truncate(length / 2);
        pacs.instances[1].bytes = b"<html>not found</html>".to_vec();
        let other = pacs.instances[3].bytes.clone();
        pacs.instances[2].bytes = other;
        let broken = pacs.instances[4].uid.clone();
        pacs.broken.insert(broken, 500);
        (pacs.instances[0].uid.clone(), pacs.instances[1].uid.clone())
    };
    let found = outcome(&server, &out, &["--attempts", "1"], 1);
    let refused = found["refused"].as_array().unwrap();
    let reason = |uid: &str| refused.iter().find(|one| one["instance"] == uid).map(|one| one["reason"].clone());
    assert_eq!((reason(&cut), reason(&page)), (Some("truncated".into()), Some("not-dicom".into())));
    let has = |reason: &str| refused.iter().any(|one| one["reason"] == reason);
    assert!(has("other-instance") && has("not-delivered") && refused.len() == 4, "{refused:?}");
    let whole = server.pacs().instances.len() - 4;
    assert_eq!(files(&out.join("dicom")).len(), whole, "nothing of them stays");
    assert!(run("mtids-prep", ["explain", "other-instance"]).expect_code(0).stdout.contains("not fetched"));
}

#[test]
fn a_patient_id_is_in_no_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    for log in [
        "trace",
        "trace,ureq=trace",
        "ureq::run=trace,ureq::util=trace,ureq_proto::client=trace,ureq_proto::util=trace",
    ] {
        let mut command = program("mtids-prep");
        command.args(["fetch", "--server", &server.address, "--out", text(folder.path()), "--patient", "SECRET-ID"]);
        let output = command.env("RUST_LOG", log).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(said.contains("no study fulfils the query"), "{said}");
        assert!(!said.contains("SECRET"), "{log}: {said}");
    }
}
