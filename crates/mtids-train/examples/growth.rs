//! One setting of `make growth`: training steps under DD-GB at the boundary, and the memory they need.
//!
//! Arguments: `slices` or `volume`, batch, slices, rows, columns, tasks (1, 3 or 8), shared experts, private experts of each task,
//! and for how many seconds steps are timed (at least three steps). Prints one line of JSON: milliseconds of each step, processor time of a
//! step over all threads, numbers in the model, and the largest resident memory of the process in MiB, which is why every setting is a
//! process of its own.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

#[path = "training/mod.rs"]
mod training;

use std::time::Instant;

use anyhow::{Context, Result};
use mtids_balance::BalancerConfig;
use mtids_models::{BackboneKind, Scope};
use serde_json::json;
use training::{Sizes, Training, processor_time, with_large_stack};

/// Steps that warm caches and the thread pool.
const WARM_UP: usize = 2;
const LEAST_STEPS: usize = 3;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = match arguments.next().as_deref() {
        Some("slices") => BackboneKind::Slices,
        Some("volume") => BackboneKind::Volume,
        _ => anyhow::bail!("usage: growth slices|volume BATCH SLICES ROWS COLUMNS TASKS SHARED PRIVATE SECONDS"),
    };
    let numbers: Vec<usize> = arguments.map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    let [batch, slices, rows, columns, tasks, shared, private, seconds] =
        numbers.try_into().map_err(|_| anyhow::anyhow!("eight numbers after the kind"))?;
    let sizes = Sizes { kind, batch, patch: [slices, rows, columns], tasks, experts: [shared, private] };
    with_large_stack(move || run(&sizes, seconds as f64))
}

fn run(sizes: &Sizes, seconds: f64) -> Result<()> {
    let mut training = Training::new(sizes)?;
    let mut rule = BalancerConfig::default().build_any(sizes.tasks)?;
    for _ in 0..WARM_UP {
        training.step(Scope::Boundary, &mut rule)?;
    }
    let (mut times, begin, before) = (Vec::new(), Instant::now(), processor_time()?);
    while times.len() < LEAST_STEPS || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        training.step(Scope::Boundary, &mut rule)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let processor = (processor_time()? - before) / times.len() as f64;
    let line = json!({
        "milliseconds": times,
        "processor_ms": processor,
        "parameters": training.parameters.count(),
        "memory_mib": peak_memory()?,
    });
    println!("{line}");
    Ok(())
}

/// Largest resident memory in MiB, as Linux counts it.
fn peak_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
