//! How well rows are mixed, beside a global shuffle: a part of docs/results/stream.md, `make stream-quality`.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use mtids_runtime::random::rng_for;
use mtids_shards::Split;
use mtids_stream::{Cursor, EpochOrder, SampleTable, StreamError};
use rand::RngExt;

/// Rows of a row group: 4 MiB of two views of 74 kB together.
const GROUP: usize = 56;
const GROUPS_PER_SHARD: usize = 20;
const ROWS_PER_PATIENT: usize = 5;
const BATCH: usize = 32;

/// What is measured of an order of rows.
struct Quality {
    displacement: f64,
    neighbours: f64,
    shard_pairs: f64,
    patient_pairs: f64,
}

/// `order[position]` is the number of the row in the dataset.
fn quality(order: &[usize]) -> Quality {
    let rows = order.len() as f64;
    let mut place = vec![0usize; order.len()];
    order.iter().enumerate().for_each(|(position, &row)| place[row] = position);
    let displacement = order.iter().enumerate().map(|(position, &row)| position.abs_diff(row) as f64).sum::<f64>();
    let neighbours = place.windows(2).map(|pair| pair[0].abs_diff(pair[1]) as f64).sum::<f64>();
    let pairs = |of: &dyn Fn(usize) -> usize| {
        let batches = order.chunks_exact(BATCH).map(|batch| {
            let mut counts: HashMap<usize, usize> = HashMap::new();
            batch.iter().for_each(|&row| *counts.entry(of(row)).or_default() += 1);
            counts.values().map(|count| count * (count - 1) / 2).sum::<usize>()
        });
        batches.sum::<usize>() as f64 / (order.len() / BATCH) as f64
    };
    Quality {
        displacement: displacement / rows / rows,
        neighbours: neighbours / (rows - 1.0) / rows,
        shard_pairs: pairs(&|row| row / (GROUP * GROUPS_PER_SHARD)),
        patient_pairs: pairs(&|row| row / ROWS_PER_PATIENT),
    }
}

fn table_of(rows: usize) -> Result<Arc<SampleTable>, StreamError> {
    let groups = vec![GROUP as u64; rows / GROUP];
    SampleTable::every_row(support::paper(&groups, GROUPS_PER_SHARD), Split::Train).map(Arc::new)
}

/// The order of the stream as numbers of rows.
fn streamed(table: &Arc<SampleTable>, pool: usize) -> Vec<usize> {
    let order = Arc::new(EpochOrder::new(Arc::clone(table), 1, 0, true, pool));
    let mut cursor = Cursor::new(Arc::clone(&order), 0);
    let number = |position| {
        let drawn = cursor.at(position)?;
        let group = order.group(drawn.group);
        Some((group.shard * GROUPS_PER_SHARD + group.row_group) * GROUP + drawn.row)
    };
    (0..order.rows()).filter_map(number).collect()
}

fn global(rows: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    let mut random = rng_for(1, "global shuffle", &[]);
    for n in (1..rows).rev() {
        order.swap(n, random.random_range(0..=n));
    }
    order
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows = 100_800;
    let table = table_of(rows)?;
    let orders = [("global shuffle".to_owned(), global(rows)), ("dataset order".to_owned(), (0..rows).collect())];
    let ours = [2, 8, 32, 128].map(|pool| (format!("`shuffle_row_groups = {pool}`"), streamed(&table, pool)));
    let mut page = format!(
        "{rows} rows in row groups of {GROUP}, {GROUPS_PER_SHARD} row groups in a shard, {ROWS_PER_PATIENT} rows of a patient one \
         after the other;\nbatches of {BATCH}; one epoch of one seed. *Displacement*: mean distance of a row from its place in the dataset, as\na \
         share of the epoch. *Neighbours*: mean distance in the epoch of rows that are neighbours in the dataset. Pairs: of\nthe {} in a \
         batch, those of one shard and of one patient.\n\n\
         | order | displacement | neighbours | pairs of a shard | pairs of a patient |\n|---|---|---|---|---|\n",
        BATCH * (BATCH - 1) / 2
    );
    for (name, order) in orders.into_iter().chain(ours) {
        let Quality { displacement, neighbours, shard_pairs, patient_pairs } = quality(&order);
        writeln!(page, "| {name} | {displacement:.3} | {neighbours:.4} | {shard_pairs:.2} | {patient_pairs:.3} |")?;
    }
    print!("{page}");
    Ok(())
}
