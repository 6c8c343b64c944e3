//! `mtids-prep diff`.

use std::path::PathBuf;

use crate::diff::{Difference, diff};
use clap::Args;
use mtids_report::table::{Align, Table};
use mtids_runtime::exit::Exit;

use super::common::print;

/// Compare two datasets
///
/// Patients, rows, labels, voxels, files. Exit code 1 if they differ.
///
/// Example: mtids-prep diff dataset-old dataset-new
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The first dataset
    first: PathBuf,
    /// The second
    second: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let found = diff(&self.first, &self.second)?;
        let text = if self.json { serde_json::to_string_pretty(&found)? + "\n" } else { words(&found) };
        print(&text)?;
        Ok(if found.is_none() { Exit::Done } else { Exit::Findings })
    }
}

fn words(found: &Difference) -> String {
    let [first, second] = &found.digests;
    if found.is_none() {
        return format!("  the same dataset, digest {first}\n");
    }
    let mut text = format!("  digests {first} and {second}\n");
    if !found.same_secret {
        text.push_str("  built with different keys: patients and rows cannot be matched\n");
    }
    if !found.description.is_empty() {
        text.push_str(&format!("  different: {}\n", found.description.join(", ")));
    }
    let mut table = Table::new([
        ("what", Align::Left),
        ("in both", Align::Right),
        ("only in the first", Align::Right),
        ("only in the second", Align::Right),
    ]);
    for (what, counts) in [("patients", found.patients), ("rows", found.rows), ("shards, byte for byte", found.shards)]
    {
        let [both, first, second] = counts.map(|count| count.to_string());
        table.row([what.to_owned(), both, first, second]);
    }
    text.push_str(&format!("\n{}", table.render()));
    let mut table = Table::new([("in rows of both, changed", Align::Left), ("rows", Align::Right)]);
    let mut changes = 0;
    let mut add = |what: String, count: u64| {
        if count > 0 {
            table.row([what, count.to_string()]);
            changes += 1;
        }
    };
    add("voxels".into(), found.changed_voxels);
    found.changed_columns.iter().for_each(|(column, count)| add((*column).to_owned(), *count));
    for (what, list) in [("status", &found.status_changes), ("region", &found.region_changes)] {
        list.iter().for_each(|(from, to, count)| add(format!("{what}: {from} → {to}"), *count));
    }
    if changes > 0 {
        text.push_str(&format!("\n{}", table.render()));
    }
    if found.moved_patients > 0 {
        text.push_str(&format!("\n  {} patients are in another split\n", found.moved_patients));
    }
    if !found.inputs.is_empty() {
        let mut table = Table::new([("input", Align::Left), ("first", Align::Right), ("second", Align::Right)]);
        for (what, [first, second]) in &found.inputs {
            table.row([what.clone(), first.to_string(), second.to_string()]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}
