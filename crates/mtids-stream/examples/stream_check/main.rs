//! What the stream promises, at full size: kills, damage, memory, entering an epoch, and a slow consumer. Prints a part of docs/results/stream.md,
//! `make check-stream`. `stream_check child FOLDER READERS LAST` is the process that is killed, `stream_check memory FOLDER BUDGET` the one that is
//! measured.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints what it finds")]
#![allow(clippy::unwrap_used, reason = "a check that fails ends with what it saw, as a test does")]

#[path = "../../tests/support/damages.rs"]
mod damages;
mod entering;
#[path = "../../tests/support/kills.rs"]
mod kills;
mod large;
mod memory;
mod pace;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const USAGE: &str = "usage: stream_check KILLS FLIPS CUTS ROWS_IN_MILLIONS";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", folder, readers, last] => {
            kills::read_on(Path::new(folder), readers.parse().expect(USAGE), last.parse().expect(USAGE));
        }
        ["memory", folder, budget] => memory::measure(Path::new(folder), budget.parse().expect(USAGE)),
        [kills, flips, cuts, millions] => {
            let number = |text: &str| text.parse::<usize>().expect(USAGE);
            check(number(kills), number(flips), number(cuts), number(millions));
        }
        _ => panic!("{USAGE}"),
    }
}

/// This program with other arguments.
fn again(arguments: &[&str]) -> Command {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(arguments).stdin(Stdio::null());
    process
}

fn check(kills: usize, flips: usize, cuts: usize, millions: usize) {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    println!("Profile {profile}, {} processors, load {load} at the start.\n", num_cpus());
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let found = kills::cycles(folder.path(), kills, |readers, last| {
        again(&["child", folder.path().to_str().unwrap(), &readers.to_string(), &last.to_string()])
    });
    println!("{}", kills_text(&found, started.elapsed().as_secs_f64()));
    eprintln!("kills are checked");
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let outcomes = damages::damages(folder.path(), flips, cuts);
    println!("{}", damages_text(&outcomes, started.elapsed().as_secs_f64()));
    eprintln!("damage is checked");
    let folder = tempfile::tempdir().unwrap();
    let bytes = large::publish(folder.path());
    println!("{}", memory::text(folder.path(), bytes));
    eprintln!("memory is measured");
    println!("{}", pace::text(folder.path()));
    eprintln!("a slow consumer is measured");
    drop(folder);
    println!("{}", entering::text(millions));
}

fn num_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn kills_text(found: &kills::Cycles, seconds: f64) -> String {
    let kills::Cycles { kills, before_a_batch, between, within_a_write, batches, epochs } = found;
    format!(
        "### Kills\n\n{kills} times a process that reads a stream and records its position was killed (SIGKILL) and started again, with 1 to 4 \
         readers\nin turn, balanced by patient, in {seconds:.0} s: {batches} batches of {epochs} epochs. Each was that of the unbroken stream, to \
         the\nbyte, and each process began at the recorded position. {before_a_batch} kills came before the first batch of a process,\n{between} \
         between a batch and its record, {within_a_write} within the write of a record, whose unfinished file the next process removed.\nNothing \
         else was left over: no file, no process; after the last epoch, no thread.\n"
    )
}

fn damages_text([flips, cuts]: &[damages::Outcomes; 2], seconds: f64) -> String {
    let row = |name: &str, outcomes: &damages::Outcomes| {
        let refused: Vec<String> = outcomes.refused.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
        let all = outcomes.all();
        format!("| {all} {name} | 0 | {} | {} | {} |\n", refused.join(", "), outcomes.skipped, outcomes.harmless)
    };
    format!(
        "### Damage\n\nEach a stream of its own over files, under `stop` and `skip` in turn, in {seconds:.0} s. Every batch was compared with the \
         intact one,\nrow by row and to the byte.\n\n\
         | damage | wrong batches | refused, by kind | skipped | of no effect |\n|---|---|---|---|---|\n{}{}\nOf no effect are bits of the first \
         four bytes of a file, which no reader of ours looks at.\n",
        row("flipped bits", flips),
        row("truncations", cuts)
    )
}
