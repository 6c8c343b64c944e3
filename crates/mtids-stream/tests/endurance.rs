//! Kills and damage in small numbers; `make check-stream` runs the same in large ones.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "support/damages.rs"]
mod damages;
#[path = "support/kills.rs"]
mod kills;
mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The folder of the process that is killed, its readers, and whether it is the last.
const FOLDER: &str = "MTIDS_TEST_STREAM_FOLDER";
const READERS: &str = "MTIDS_TEST_STREAM_READERS";
const LAST: &str = "MTIDS_TEST_STREAM_LAST";

#[test]
fn kills_leave_nothing_over_and_the_sequence_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let found = kills::cycles(folder.path(), 12, |readers, last| {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "the_process_that_is_killed"]).stdout(Stdio::null());
        process.env(FOLDER, folder.path()).env(READERS, readers.to_string()).env(LAST, last.to_string());
        process
    });
    assert_eq!(found.kills, 12);
    assert!(found.batches > 12, "{found:?}");
}

#[test]
fn the_process_that_is_killed() {
    // Only the test of kills starts it with a folder; run with the other tests it has nothing to do.
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let get = |name: &str| std::env::var(name).unwrap();
    kills::read_on(&PathBuf::from(folder), get(READERS).parse().unwrap(), get(LAST).parse().unwrap());
}

#[test]
fn no_flipped_bit_and_no_truncation_gives_a_wrong_batch() {
    let folder = tempfile::tempdir().unwrap();
    for (outcomes, times) in damages::damages(folder.path(), 120, 60).iter().zip([120, 60]) {
        assert_eq!(outcomes.all(), times);
        assert!(outcomes.skipped > 0 && !outcomes.refused.is_empty(), "{outcomes:?}");
    }
}
