//! Studies that are pseudonymised on the way: nothing of a patient on the disk, the same voxels in the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mtids_dicom::{FileKind, InstanceHeader, Limits, decode_image, read_header};
use mtids_runtime::digest::Digest;

use crate::fetch::server;
use crate::pacs::{Server, files};
use crate::support::{program, text};

/// Everything that must stand nowhere: UIDs and PatientIDs of the server.
fn identities(server: &Server) -> BTreeSet<String> {
    let pacs = server.pacs();
    let of = |one: &crate::pacs::Instance| [&one.study, &one.series, &one.uid, &one.patient].map(Clone::clone);
    pacs.instances.iter().flat_map(of).collect()
}

/// Looks for identities in content and names of all files below a folder.
fn assert_nothing_told(folder: &Path, identities: &BTreeSet<String>) {
    for path in files(folder) {
        let bytes = fs::read(&path).unwrap();
        for identity in identities {
            let told = bytes.windows(identity.len()).any(|window| window == identity.as_bytes());
            assert!(!told && !path.to_str().unwrap().contains(identity), "{identity} in {}", path.display());
        }
    }
}

/// Digests of the HU of all CT slices of these files.
fn voxels<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let header = |path: &Path| -> Option<InstanceHeader> {
        match read_header(path, &Limits::default()) {
            Ok(FileKind::Image(header)) if header.pet.is_none() => Some(*header),
            _ => None,
        }
    };
    let hu = |header: InstanceHeader| decode_image(&header, &Limits::default()).ok();
    let digest = |hu: Vec<i16>| Digest::of_bytes(&hu.iter().flat_map(|hu| hu.to_le_bytes()).collect::<Vec<u8>>());
    let mut found: Vec<String> = paths.filter_map(header).filter_map(hu).map(|hu| digest(hu).to_string()).collect();
    found.sort();
    found
}

#[test]
fn nothing_of_a_patient_reaches_the_disk_whenever_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let [out, key, map] = ["studies", "project.key", "map.jsonl"].map(|name| folder.path().join(name));
    fs::write(&key, "a key of tests, long enough").unwrap();
    let server = server();
    let identities = identities(&server);
    let call = |failpoint: Option<&str>, more: &[&str]| {
        let mut command = program("mtids-prep");
        command.args(["fetch", "--server", &server.address, "--out", text(&out), "--patient", "*", "--json"]);
        command.args(["--pseudonymise", "--key-file", text(&key), "--map", text(&map)]).args(more);
        if let Some(point) = failpoint {
            command.env("MTIDS_FAILPOINT", point);
        }
        command.output().unwrap()
    };
    let mut kills = 0;
    while call(Some("kill:40"), &[]).status.code().is_none() {
        assert_nothing_told(&out, &identities);
        kills += 1;
        assert!(kills < 100, "it never comes to an end");
    }
    assert!(kills >= 3, "{kills}");
    let whole = call(None, &["--reverify"]);
    let said: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(said["verified"], said["kept"], "the same key and object give the same bytes: {said}");
    assert_nothing_told(&out, &identities);
    let original = folder.path().join("originals");
    fs::create_dir(&original).unwrap();
    for (number, one) in server.pacs().instances.iter().enumerate() {
        fs::write(original.join(format!("{number}.dcm")), &one.bytes).unwrap();
    }
    let [before, after] = [files(&original), files(&out.join("dicom"))];
    let after = voxels(after.iter().map(AsRef::as_ref));
    assert!(!after.is_empty());
    assert_eq!(voxels(before.iter().map(AsRef::as_ref)), after);

    // What goes on the server is asked for by its own UID, and goes here.
    let gone = server.pacs().instances.remove(0);
    let pruned = call(None, &["--prune"]);
    let said: serde_json::Value = serde_json::from_slice(&pruned.stdout).unwrap();
    assert_eq!(said["removed"][0]["instance"], gone.uid.as_str(), "{said}");

    // Neither kind is mixed into the other, and the key has to be the same.
    let mut plain = program("mtids-prep");
    plain.args(["fetch", "--server", &server.address, "--out", text(&out), "--patient", "*"]);
    let plain = plain.output().unwrap();
    assert_eq!(plain.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&plain.stderr).contains("say --pseudonymise"));
}
