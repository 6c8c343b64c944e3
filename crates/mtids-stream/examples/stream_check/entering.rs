//! What entering an epoch costs that has ten million rows: without sampling, with a filter, with balance.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use mtids_domain::label::{Evidence, Metastasis};
use mtids_runtime::storage::{Memory, Storage};
use mtids_shards::{Dataset, IndexRow, RowLabels, Split, write_index};
use mtids_stream::{Balance, Cursor, EpochOrder, Filter, SampleTable, SamplingConfig, Source};

use crate::support;

/// Rows of a row group: 4 MiB of two views of 74 kB together.
const GROUP: usize = 56;
const GROUPS_PER_SHARD: usize = 20;
/// Rows of one dataset, about a million.
const ROWS: usize = GROUP * 17_858;

/// One row in seven is metastatic, one in three is not confirmed.
fn kinds() -> Vec<RowLabels> {
    let row = |n: usize| RowLabels {
        metastasis: Some(if n.is_multiple_of(7) { Metastasis::Metastatic } else { Metastasis::Benign }),
        evidence: if n.is_multiple_of(3) { Evidence::U } else { Evidence::A },
        ..support::labels(n)
    };
    (0..21).map(row).collect()
}

/// A dataset without shards behind it, with an index.
fn indexed() -> Arc<Dataset> {
    let paper = support::paper(&[GROUP as u64; ROWS / GROUP], GROUPS_PER_SHARD);
    let kinds = kinds();
    let shards = &paper.manifest().shards;
    let places = shards.iter().flat_map(|shard| (0..shard.row_groups.len()).map(|group| (shard.path.as_str(), group)));
    let index: Vec<IndexRow<'_>> = places
        .flat_map(|(shard, group)| (0..GROUP).map(move |row| (shard, group as i64, row as i64)))
        .zip(kinds.iter().cycle())
        .map(|((shard, row_group, row), labels)| IndexRow { labels, shard, row_group, row })
        .collect();
    let storage = Arc::new(Memory::default());
    let mut manifest = paper.manifest().clone();
    manifest.files = vec![write_index(storage.as_ref(), &index, &manifest.description).unwrap()];
    manifest.commit(storage.as_ref() as &dyn Storage).unwrap();
    Arc::new(Dataset::open_in(storage).unwrap())
}

/// Milliseconds of some work, and its result.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let done = work();
    (started.elapsed().as_secs_f64() * 1e3, done)
}

/// Ten times the same rows make the millions: what is built counts each.
pub(crate) fn text(millions: usize) -> String {
    let dataset = indexed();
    let source = || Source { dataset: Arc::clone(&dataset), split: Split::Train, weight: None };
    let filter = Filter { evidence: vec![Evidence::A], ..Filter::default() };
    let balanced = |balance| SamplingConfig { balance, ..SamplingConfig::default() };
    let settings = [
        ("every row once", SamplingConfig::default()),
        ("filter by evidence", SamplingConfig { filter: filter.clone(), ..SamplingConfig::default() }),
        ("balanced by region and status", balanced(Balance::Joint)),
        ("the same with the filter", SamplingConfig { filter, ..balanced(Balance::Joint) }),
        ("balanced by patient", balanced(Balance::Patient)),
    ];
    let rows = millions * ROWS;
    let groups = rows / GROUP;
    let mut text = format!(
        "### Entering an epoch\n\n{rows} rows in row groups of {GROUP}, from {millions} datasets; `shuffle_row_groups = 8`. A table is built once per \
         training. *Entered*:\nthe order of the epoch is made and its row at 99 % is found, the median and the largest of 11 epochs. The goal is 50 \
         ms. By its types a\ntable keeps 48 bytes per row group, here {} MiB, and with sampling 8 bytes per row besides, {} MiB.\n\n\
         | sampling | table, ms | rows of an epoch | entered at 99 %, ms |\n|---|---|---|---|\n",
        (48 * groups) >> 20,
        (8 * rows) >> 20
    );
    for (name, sampling) in settings {
        let sources = (0..millions).map(|_| source()).collect();
        let (building, table) = timed(|| Arc::new(SampleTable::open(sources, &sampling).unwrap()));
        let mut entered: Vec<f64> = (0..11)
            .map(|epoch| {
                let enter = || {
                    let order = Arc::new(EpochOrder::new(Arc::clone(&table), 1, epoch, true, 8));
                    let position = order.rows() / 100 * 99;
                    Cursor::new(order, position).at(position).unwrap()
                };
                timed(enter).0
            })
            .collect();
        entered.sort_by(f64::total_cmp);
        writeln!(
            text,
            "| {name} | {building:.0} | {} | {:.1}, at most {:.1} |",
            table.epoch_rows(),
            entered[5],
            entered[10]
        )
        .unwrap();
    }
    text
}
