//! A storage behind a server that fails.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use object_store::aws::AmazonS3Builder;

use crate::patience::Patience;
use crate::place::Place;
use crate::remote::{PIECE, Remote};
use crate::stub::{Behaviour, Stub};
use crate::transport::options;

/// Waits of no time, so that a test of faults takes the time of its requests.
const QUICK: Patience = Patience {
    attempts: 60,
    first_wait: Duration::ZERO,
    longest_wait: Duration::ZERO,
    stall: Duration::from_millis(200),
    slowest: 1 << 20,
};
pub(crate) const PATIENT: Patience = Patience { stall: Duration::from_secs(60), ..QUICK };

fn bucket(stub: &Stub, patience: Patience) -> Remote {
    let settings = AmazonS3Builder::new()
        .with_endpoint(&stub.address)
        .with_region("here")
        .with_access_key_id("KEYID")
        .with_secret_access_key("VERYSECRET")
        .with_client_options(options(true));
    let place = Place::parse(Path::new("s3://bucket/some/data")).unwrap();
    Remote::with_settings(&place, settings, patience).unwrap()
}

pub(crate) fn web(stub: &Stub, patience: Patience) -> Remote {
    let place = Place::parse(Path::new(&format!("{}/bucket/some/data", stub.address))).unwrap();
    Remote::with_settings(&place, AmazonS3Builder::new(), patience).unwrap()
}

fn bytes(n: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| ((at * 31) ^ (at >> 7) ^ n) as u8).collect()
}

#[test]
fn a_bucket_keeps_the_promises_of_a_storage() {
    let stub = Stub::start(Behaviour::default());
    let remote = bucket(&stub, PATIENT);
    assert_eq!(remote.list("").unwrap(), Vec::<String>::new());
    assert_eq!(remote.get("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(remote.size("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    for (name, content) in
        [("shards/train/b", "second"), ("shards/train/a", "first"), ("shards/test/a", "third"), ("top", "")]
    {
        remote.put(name, content.as_bytes()).unwrap();
    }
    assert!(stub.objects().blobs.contains_key("bucket/some/data/shards/train/b"));
    assert_eq!(remote.list("shards/train/").unwrap(), ["shards/train/a", "shards/train/b"]);
    assert_eq!(remote.list("shards/t").unwrap().len(), 3);
    assert_eq!(remote.list("").unwrap().len(), 4);
    assert_eq!(remote.get("shards/train/b").unwrap(), b"second");
    assert_eq!(remote.get_range("shards/train/b", 1, 3).unwrap(), b"eco");
    assert_eq!(remote.get_range("shards/train/b", 6, 0).unwrap(), b"");
    assert_eq!(remote.get("top").unwrap(), b"");
    for (offset, length) in [(4, 3), (7, 1), (7, 0), (0, u64::MAX), (u64::MAX, 1)] {
        let error = remote.get_range("shards/train/b", offset, length).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset} {length}");
        assert!(error.to_string().contains("s3://bucket/some/data/shards/train/b"), "{error}");
    }
    for name in ["../outside", "a//b", "a/./b"] {
        assert_eq!(remote.get(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
    }
    // In parts, and read in pieces.
    let long = bytes(1, 2 * PIECE as usize + 3);
    remote.put("long", &long).unwrap();
    assert!(stub.objects().heads.iter().any(|head| head.contains("partNumber=3")));
    assert_eq!(remote.get("long").unwrap(), long);
    assert_eq!(remote.digest("long").unwrap(), Digest::of_bytes(&long));
    remote.remove("shards/train/b").unwrap();
    remote.remove("shards/train/b").unwrap();
    assert_eq!(remote.list("shards/train/").unwrap(), ["shards/train/a"]);
    for (was, now) in [(None, b"first".as_slice()), (Some(b"first".as_slice()), b"second"), (None, b"second")] {
        remote.put_over("manifest", was, now).unwrap();
        assert_eq!(remote.get("manifest").unwrap(), now);
    }
    for was in [None, Some(b"first".as_slice())] {
        let error = remote.put_over("manifest", was, b"third").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("manifest was replaced"), "{error}");
    }
    assert_eq!(remote.put_over("none", Some(b"x"), b"y").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(remote.list("").unwrap().iter().all(|name| !name.contains("probe")), "the probe is removed");
}

#[test]
fn a_web_server_is_read_and_nothing_else() {
    let stub = Stub::start(Behaviour { no_tags: true, ..Behaviour::default() });
    stub.objects().blobs.insert("bucket/some/data/manifest.json".into(), b"content".to_vec());
    let remote = web(&stub, PATIENT);
    assert_eq!(remote.get("manifest.json").unwrap(), b"content");
    assert_eq!(remote.get_range("manifest.json", 2, 3).unwrap(), b"nte");
    assert_eq!(remote.get("other").unwrap_err().kind(), io::ErrorKind::NotFound);
    for error in [
        remote.put("a", b"x").unwrap_err(),
        remote.put("a", &bytes(0, 3 * PIECE as usize)).unwrap_err(),
        remote.put_over("a", None, b"x").unwrap_err(),
        remote.remove("manifest.json").unwrap_err(),
        remote.list("").unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("web server"), "{error}");
    }
    assert!(stub.objects().heads.iter().all(|head| head.starts_with("GET") || head.starts_with("HEAD")));
    stub.objects().behaviour.ignores_ranges = true;
    let error = remote.get_range("manifest.json", 2, 3).unwrap_err();
    assert!(error.to_string().contains("range requests"), "{error}");
}

#[test]
fn thousands_of_faults_give_no_wrong_byte() {
    let behaviour = Behaviour { faults: 600, slow: true, ..Behaviour::default() };
    for (no_tags, seed) in [(false, 1), (true, 2)] {
        let stub = Stub::start(Behaviour::default());
        let contents: Vec<Vec<u8>> = (0..8).map(|n| bytes(n * 13 + seed, 3000 + 501 * n as usize)).collect();
        stub.objects().behaviour = Behaviour { no_tags, ..behaviour };
        let remotes = [bucket(&stub, QUICK), web(&stub, QUICK)];
        for (n, content) in contents.iter().enumerate() {
            remotes[0].put(&format!("blob{n}"), content).unwrap();
        }
        std::thread::scope(|scope| {
            for thread in 0..6usize {
                let (remote, contents) = (&remotes[thread % 2], &contents);
                scope.spawn(move || {
                    for n in 0..110usize {
                        let (name, content) = (format!("blob{}", n % 8), &contents[n % 8]);
                        let (from, to) = (n * 7 + thread, content.len() - n * 5);
                        assert_eq!(
                            remote.get_range(&name, from as u64, (to - from) as u64).unwrap(),
                            content[from..to]
                        );
                        if n % 10 == 0 {
                            assert_eq!(remote.size(&name).unwrap(), content.len() as u64);
                            assert_eq!(remote.digest(&name).unwrap(), Digest::of_bytes(content));
                        }
                    }
                });
            }
        });
        let faults = stub.faults.load(Ordering::Relaxed);
        assert!(faults > 1_000, "{faults} faults");
    }
}

#[test]
fn large_objects_come_whole_through_faults() {
    let stub = Stub::start(Behaviour { faults: 300, ..Behaviour::default() });
    let remote = bucket(&stub, PATIENT);
    for n in 0..4 {
        let content = bytes(n, 2 * PIECE as usize + 12_345);
        remote.put("large", &content).unwrap();
        assert!(remote.get("large").unwrap() == content, "round {n}");
    }
    assert!(stub.faults.load(Ordering::Relaxed) > 5);
}

#[test]
fn of_racing_writers_one_wins_each_time_through_faults() {
    let stub = Stub::start(Behaviour { faults: 400, ..Behaviour::default() });
    let (won, lost) = (AtomicU64::new(0), AtomicU64::new(0));
    let wins: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (stub, won, lost) = (&stub, &won, &lost);
                scope.spawn(move || {
                    let remote = bucket(stub, PATIENT);
                    let mut wins = Vec::new();
                    for round in 0..60 {
                        let was = match remote.get("manifest.json") {
                            Ok(bytes) => Some(bytes),
                            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                            Err(error) => panic!("{error}"),
                        };
                        let before =
                            was.as_deref().map_or_else(|| "none".to_owned(), |was| Digest::of_bytes(was).to_string());
                        let content = format!("{writer} {round} {before}").into_bytes();
                        match remote.put_over("manifest.json", was.as_deref(), &content) {
                            Ok(()) => {
                                won.fetch_add(1, Ordering::Relaxed);
                                wins.push(content);
                            }
                            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                                lost.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    wins
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let objects = stub.objects();
    let published: Vec<&Vec<u8>> = objects
        .history
        .iter()
        .filter(|(name, _)| name.ends_with("manifest.json"))
        .map(|(_, content)| content)
        .collect();
    // Everyone replaced what they had read, and nothing else.
    let mut before = "none".to_owned();
    for content in &published {
        let text = std::str::from_utf8(content).unwrap();
        assert!(text.ends_with(&before), "{text} replaced {before}");
        before = Digest::of_bytes(content).to_string();
    }
    // Whoever was told of a win has published once.
    for content in &wins {
        assert_eq!(published.iter().filter(|published| **published == content).count(), 1);
    }
    assert!(won.into_inner() > 20 && lost.into_inner() > 20);
    assert!(stub.faults.load(Ordering::Relaxed) > 300, "{}", stub.faults.load(Ordering::Relaxed));
}

#[test]
fn an_object_that_is_replaced_again_and_again_is_read_as_one_version_of_it() {
    let stub = Stub::start(Behaviour::default());
    let versions = [bytes(1, 5_000), bytes(2, 9_000), bytes(3, 100), bytes(4, PIECE as usize + 77)];
    let place = || "bucket/some/data/manifest.json".to_owned();
    stub.objects().blobs.insert(place(), versions[0].clone());
    let (remotes, done) = ([bucket(&stub, PATIENT), web(&stub, PATIENT)], AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if done.load(Ordering::Relaxed) == 2 {
                    return;
                }
                // The largest one seldom: it is read in two pieces, which have to fall between two replacements.
                let version = if n % 200 == 0 { 3 } else { n % 3 };
                stub.objects().blobs.insert(place(), versions[version].clone());
                std::thread::sleep(Duration::from_millis(if version == 3 { 100 } else { 1 }));
            }
        });
        for remote in &remotes {
            let (versions, done) = (&versions, &done);
            scope.spawn(move || {
                let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    for _ in 0..300 {
                        let read = remote.get("manifest.json").unwrap();
                        assert!(versions.contains(&read), "{} bytes", read.len());
                    }
                }));
                done.fetch_add(1, Ordering::Relaxed);
                read.unwrap();
            });
        }
    });
}

#[test]
fn a_server_that_ignores_conditions_is_refused_before_anything_is_replaced() {
    for (ignores, no_tags, words) in [
        ([true, false], false, "If-None-Match"),
        ([true, true], false, "If-None-Match"),
        ([false, true], false, "If-Match"),
        ([false, false], true, "ETag"),
    ] {
        let stub = Stub::start(Behaviour { ignores, no_tags, ..Behaviour::default() });
        let remote = bucket(&stub, PATIENT);
        let error = remote.put_over("manifest.json", None, b"content").unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(stub.objects().blobs.len(), 0, "neither manifest nor probe");
        // Asked again, it is judged again.
        assert!(remote.put_over("manifest.json", None, b"content").is_err());
    }
}

#[test]
fn messages_say_what_to_do_and_hold_no_secret() {
    let body = "<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>KEYID</AWSAccessKeyId></Error>";
    for (dead, words) in [
        ((403, body), "AWS_ACCESS_KEY_ID"),
        ((404, "<Error><Code>NoSuchBucket</Code></Error>"), "no such bucket"),
        ((301, ""), "AWS_REGION"),
        ((503, "KEYID"), "503; asked 3 times"),
    ] {
        let stub = Stub::start(Behaviour { dead: Some(dead), ..Behaviour::default() });
        let remote = bucket(&stub, Patience { attempts: 3, ..PATIENT });
        let error = remote.get_range("a", 0, 10).unwrap_err();
        let text = format!("{error} {error:?} {remote:?}");
        assert!(text.contains(words) && text.contains("s3://bucket/some/data"), "{text}");
        assert!(!text.replace("AWS_ACCESS_KEY_ID", "").contains("KEYID") && !text.contains("VERYSECRET"), "{text}");
        assert_ne!(error.kind(), io::ErrorKind::NotFound);
    }
    let gone = Place::parse(Path::new("http://127.0.0.1:1/data")).unwrap();
    let gone = Remote::with_settings(&gone, AmazonS3Builder::new(), Patience { attempts: 2, ..PATIENT }).unwrap();
    let error = gone.get("a").unwrap_err();
    assert!(error.to_string().contains("refused") && error.to_string().contains("asked 2 times"), "{error}");
}
