//! The digit benchmark: MT-IDS, baselines and balancers on "region × state" from handwritten digits, with sane and with bad loss units.
//!
//! Started by `make digits`. Every run is independent and takes one thread, so as many go side by side as there are processors; a finished run
//! is one line of the runs' file, and a call that finds it there does not repeat it. Delete the file after a change of code. Set
//! `RAYON_NUM_THREADS=1` (the make target does): candle's own pool spins while it waits, which costs runs side by side half their time.

mod canvas;
mod page;
mod rows;
mod run;
mod statistics;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use serde::de::DeserializeOwned;

use crate::rows::Key;
use crate::run::{Figures, Settings};

/// Stack of the training threads: backward passes recurse along the graph.
const STACK: usize = 64 << 20;

/// Arguments of the benchmark.
#[derive(Debug, Parser)]
struct Arguments {
    /// The digits, as scripts/digits/data.py writes them.
    #[arg(long)]
    digits: PathBuf,
    /// Where finished runs are kept, one JSON line each.
    #[arg(long)]
    runs: PathBuf,
    /// The page to write.
    #[arg(long, required_unless_present = "rows")]
    page: Option<PathBuf>,
    /// Date for the page.
    #[arg(long, default_value = "")]
    date: String,
    /// Some rows of the page, as shared-bottom,dd-gb: their figures and differences to the first go to the terminal, and no page is written.
    #[arg(long, value_delimiter = ',', value_parser = named::<Key>)]
    rows: Vec<Key>,
    /// Seeds of the runs. Below 100, and 1001, they have been looked at while backbone, norm, experts and learning rate were chosen.
    #[arg(long, value_delimiter = ',', default_values_t = [101, 102, 103, 104, 105, 106, 107, 108])]
    seeds: Vec<u64>,
    #[command(flatten)]
    settings: Settings,
}

/// By its name in a configuration, or in the file of the runs.
pub(crate) fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error: serde_json::Error| error.to_string())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let digits = canvas::read(&arguments.digits)?;
    let mut runs: Vec<Figures> = match std::fs::read_to_string(&arguments.runs) {
        Ok(text) => text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} was written by another version: delete it", arguments.runs.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| arguments.runs.display().to_string()),
    };
    let settings = arguments.settings;
    runs.retain(|run| run.settings == settings && arguments.seeds.contains(&run.seed));
    let rows = if arguments.rows.is_empty() { Key::ALL.to_vec() } else { arguments.rows.clone() };
    let missing: Vec<(u64, Key)> = arguments
        .seeds
        .iter()
        .flat_map(|&seed| rows.iter().map(move |&row| (seed, row)))
        .filter(|(seed, row)| !runs.iter().any(|run| run.seed == *seed && run.row == *row))
        .collect();
    let file = OpenOptions::new().create(true).append(true).open(&arguments.runs)?;
    let shared = Mutex::new((missing.into_iter(), file, &mut runs));
    let work = || -> Result<()> {
        // One thread per run: a pool of its own, so that runs side by side do not wait for each other's pieces.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(STACK).build()?;
        let broken = || anyhow!("another run ended in a panic");
        loop {
            let next = shared.lock().map_err(|_| broken())?.0.next();
            let Some((seed, row)) = next else { return Ok(()) };
            let figures = pool.install(|| run::run(row, settings, &digits, seed))?;
            let mut shared = shared.lock().map_err(|_| broken())?;
            writeln!(shared.1, "{}", serde_json::to_string(&figures)?)?;
            shared.2.push(figures);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a run ended in a panic"))?)
    })?;
    match arguments.page {
        Some(path) if arguments.rows.is_empty() => std::fs::write(path, page::page(&runs, &arguments.date, settings)?)?,
        _ => std::io::stdout().write_all(page::table(&runs, &rows)?.as_bytes())?,
    }
    Ok(())
}
