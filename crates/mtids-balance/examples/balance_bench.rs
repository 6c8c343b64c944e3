//! How long the rules take: `balance_bench FILE` writes a Markdown table.
//!
//! The Gram matrix of 8 gradients of 10⁷ single-precision parameters beside one read of the same memory, and the T×T algebra of
//! every rule for T = 3, 8, 16. Shortest of repeated runs; no harness, so that it runs anywhere in half a minute.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use mtids_balance::{AnyBalancer, BalanceInput, BalancerConfig, GradientInput, Rows, gram_matrix};
use mtids_runtime::random::rng_for;
use rand::RngExt;
use rayon::prelude::*;

const TASKS: usize = 8;
const WIDTH: usize = 10_000_000;

/// Shortest of the times in seconds that a call takes: what other programs on the machine do only makes it longer.
fn shortest(times: usize, mut call: impl FnMut()) -> f64 {
    (0..times)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Seconds for all rows, as the sum over 64 pieces of the shortest of 25 times of each. Between two visits of a piece all others pass,
/// so it comes from memory; and a piece is short enough to be done before another program gets the processor.
fn in_pieces(rows: &[&[f32]], mut call: impl FnMut(&[&[f32]])) -> f64 {
    const PIECES: usize = 64;
    let pieces: Vec<Vec<&[f32]>> = (0..PIECES)
        .map(|n| rows.iter().map(|row| &row[n * WIDTH / PIECES..(n + 1) * WIDTH / PIECES]).collect())
        .collect();
    let mut best = [f64::INFINITY; PIECES];
    for _ in 0..25 {
        for (piece, best) in pieces.iter().zip(&mut best) {
            *best = best.min(shortest(1, || call(piece)));
        }
    }
    best.iter().sum()
}

/// Reads every row once, with as little arithmetic as keeps the compiler from leaving it out: row after row, or all of them abreast.
/// Which is quicker depends on how many streams a processor fetches ahead.
fn read(rows: &[&[f32]], abreast: bool) -> u32 {
    const BLOCK: usize = 512;
    let sum = |part: &[f32]| {
        let mut lanes = [0_u32; 16];
        for chunk in part.chunks_exact(16) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane = lane.wrapping_add(value.to_bits()));
        }
        lanes.iter().fold(0_u32, |sum, lane| sum.wrapping_add(*lane))
    };
    if !abreast {
        let of_row = |row: &&[f32]| row.par_chunks(1 << 16).map(sum).reduce(|| 0, u32::wrapping_add);
        return rows.iter().map(of_row).fold(0, u32::wrapping_add);
    }
    let width = rows.first().map_or(0, |row| row.len());
    let of_block = |block: usize| {
        let range = block * BLOCK..width.min((block + 1) * BLOCK);
        rows.iter().map(|row| sum(&row[range.clone()])).fold(0, u32::wrapping_add)
    };
    (0..width.div_ceil(BLOCK)).into_par_iter().with_min_len(64).map(of_block).reduce(|| 0, u32::wrapping_add)
}

fn random(seed: u64, width: usize) -> Vec<f32> {
    let mut random = rng_for(seed, "bench/balance", &[]);
    (0..width).map(|_| random.random::<f32>() - 0.5).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("say where the table goes")?;
    let mut text = String::from(
        "# Cost of balancing\n\nWritten by `make balance-bench`; the shortest of repeated runs on the machine it last ran on, which other work may have shared.\n\n## Gram matrix\n\n",
    );
    let gradients: Vec<Vec<f32>> = (0..TASKS as u64).into_par_iter().map(|task| random(task, WIDTH)).collect();
    let rows: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
    let bytes = (TASKS * WIDTH * 4) as f64;
    let _ = writeln!(
        text,
        "{TASKS} gradients of {WIDTH} parameters in `f32`, sums in `f64`; the sum over 64 pieces of the shortest of 25 times of each. One read: row after row or all rows abreast, whichever is quicker.\n\n| threads | one read | Gram matrix | ratio |\n|---|---|---|---|"
    );
    for threads in [1, rayon::current_num_threads()] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let reading = [false, true].map(|abreast| {
            pool.install(|| {
                in_pieces(&rows, |rows| {
                    black_box(read(black_box(rows), abreast));
                })
            })
        });
        let reading = reading[0].min(reading[1]);
        let gram = pool.install(|| {
            in_pieces(&rows, |rows| {
                let _ = black_box(gram_matrix(Rows::F32(black_box(rows)), &[true; TASKS]));
            })
        });
        let line = format!(
            "| {threads} | {:.1} ms ({:.1} GB/s) | {:.1} ms | {:.2} |",
            reading * 1e3,
            bytes / reading / 1e9,
            gram * 1e3,
            gram / reading
        );
        println!("{line}");
        let _ = writeln!(text, "{line}");
    }
    text.push_str(
        "\n## Algebra of the rules\n\nMicroseconds per step, telemetry included, on independent random gradients with conflicts. Rules marked * \
         work on whole gradients, here of 100 coordinates.\n\n| rule | T = 3 | T = 8 | T = 16 |\n|---|---|---|---|\n",
    );
    for n in 0..BalancerConfig::all(1).len() {
        let mut line = String::new();
        for tasks in [3, 8, 16] {
            let config = &BalancerConfig::all(tasks)[n];
            if line.is_empty() {
                let star = if matches!(config.build_any(tasks)?, AnyBalancer::Gradients(_)) { " *" } else { "" };
                let _ = write!(line, "| {}{star} ", config.method());
            }
            let _ = write!(line, "| {:.1} ", 1e6 * algebra(config, tasks)?);
        }
        println!("{line}|");
        let _ = writeln!(text, "{line}|");
    }
    std::fs::write(file, text)?;
    Ok(())
}

/// Seconds per step.
fn algebra(config: &BalancerConfig, tasks: usize) -> Result<f64, Box<dyn Error>> {
    const ROUNDS: usize = 64;
    let width = 100;
    // A common pull against every second task makes about half of the pairs conflict.
    let inputs: Vec<Vec<Vec<f64>>> = (0..ROUNDS as u64)
        .map(|round| {
            let own = |task: u64| random(1000 + round * 64 + task, width).iter().map(|x| f64::from(*x)).collect();
            let mut rows: Vec<Vec<f64>> = (0..tasks as u64).map(own).collect();
            rows.iter_mut().enumerate().for_each(|(task, row)| row[0] += if task % 2 == 0 { 1.5 } else { -1.5 });
            rows
        })
        .collect();
    let views: Vec<Vec<&[f64]>> = inputs.iter().map(|rows| rows.iter().map(Vec::as_slice).collect()).collect();
    let grams: Vec<Vec<f64>> =
        views.iter().map(|rows| gram_matrix(Rows::F64(rows), &vec![true; tasks])).collect::<Result<_, _>>()?;
    let losses: Vec<f64> = (0..tasks).map(|task| 0.5 + task as f64).collect();
    let active = vec![true; tasks];
    let mut rule = config.build_any(tasks)?;
    let mut failed = None;
    let seconds = shortest(15, || {
        for (gram, rows) in grams.iter().zip(&views) {
            let input = BalanceInput { gram, losses: Some(&losses), active: &active };
            let answer = match &mut rule {
                AnyBalancer::Step(rule) => rule.coefficients(&input).map(|balance| balance.coefficients),
                AnyBalancer::Epoch(rule) => rule.coefficients(&input).map(|balance| balance.coefficients),
                AnyBalancer::AfterStep(rule) => rule.coefficients(&input).and_then(|(balance, token)| {
                    rule.after_step(token, &losses)?;
                    Ok(balance.coefficients)
                }),
                AnyBalancer::Gradients(rule) => rule
                    .combine(&GradientInput { rows: Rows::F64(rows), losses: Some(&losses), active: &active })
                    .map(|balance| balance.update),
            };
            match black_box(answer) {
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
    });
    failed.map_or(Ok(seconds / ROUNDS as f64), |error| Err(error.into()))
}
