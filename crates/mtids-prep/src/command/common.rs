//! What several commands need: settings, worker threads, printing.

use std::path::PathBuf;

use clap::Args;
use mtids_runtime::exit::{self, ExitError};

/// Settings that every command with a configuration takes.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Change one setting: a key of the configuration, with dots, and its value; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) sets: Vec<String>,
}

/// Most worker threads that may be asked for: the stacks and queues of more would stop a machine before any work is done.
pub(super) const MAX_WORKERS: i64 = 1024;

/// Worker threads (all processors, unless told, or told 0), with a stack that does not depend on the platform: decoders may nest deeply.
pub(super) fn pool(workers: Option<usize>) -> Result<rayon::ThreadPool, ExitError> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(workers.unwrap_or(0)).stack_size(16 << 20);
    builder.build().map_err(|error| ExitError::usage(format!("--workers: {error}")))
}

/// A size for people.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Prints to standard output; a closed pipe is an error that the program forgives.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    exit::print(text)
}
