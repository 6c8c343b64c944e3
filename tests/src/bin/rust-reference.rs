//! What the libraries give in Rust, for the checks of the Python package (`tests/python/check_package.py`).
//!
//! `rust-reference batches DATASET SPLIT BATCH_SIZE SEED EPOCH` writes the voxels of every batch to standard output, one view behind the other,
//! little-endian `i16`. `rust-reference balance METHOD` reads cases from standard input, a line of JSON each: `{"gram": […], "losses": […]}`; it
//! writes the coefficients of each as JSON and goes on with its state.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use mtids_balance::{BalanceInput, BalancerConfig};
use mtids_shards::{Dataset, Split};
use mtids_stream::BatchStream;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["batches", dataset, split, batch_size, seed, epoch] => batches(dataset, split, [batch_size, seed, epoch]),
        ["drain", dataset, split, batch_size, seed, epoch] => drain(dataset, split, [batch_size, seed, epoch]),
        ["balance", method] => balance(method),
        _ => Err("see the head of its source".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
            {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn stream(dataset: &str, split: &str, numbers: [&str; 3]) -> Result<BatchStream, Failure> {
    let [batch_size, seed, epoch] = numbers.map(str::parse::<u64>);
    let split = Split::from_name(split).ok_or("no such split")?;
    let dataset = Arc::new(Dataset::open(Path::new(dataset))?);
    let builder = BatchStream::builder(dataset, split).batch_size(usize::try_from(batch_size?)?);
    Ok(builder.shuffle(seed?, epoch?).start()?)
}

fn batches(dataset: &str, split: &str, numbers: [&str; 3]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for batch in stream(dataset, split, numbers)? {
        for view in &batch?.views {
            let bytes: Vec<u8> = view.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

fn drain(dataset: &str, split: &str, numbers: [&str; 3]) -> Result<(), Failure> {
    let began = Instant::now();
    let mut rows = 0;
    for batch in stream(dataset, split, numbers)? {
        rows += batch?.labels.len();
    }
    writeln!(std::io::stdout(), "{rows} {}", began.elapsed().as_secs_f64())?;
    Ok(())
}

fn balance(method: &str) -> Result<(), Failure> {
    let config: BalancerConfig = serde_json::from_value(json!({ "method": method }))?;
    let mut balancer = None;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line?)?;
        let gram: Vec<f64> = serde_json::from_value(case["gram"].clone())?;
        let losses: Vec<f64> = serde_json::from_value(case["losses"].clone())?;
        let balancer = match &mut balancer {
            Some(balancer) => balancer,
            None => balancer.insert(config.build(losses.len())?),
        };
        let active = vec![true; losses.len()];
        let balance = balancer.coefficients(&BalanceInput { gram: &gram, losses: Some(&losses), active: &active })?;
        writeln!(out, "{}", json!(balance.coefficients))?;
    }
    Ok(())
}
