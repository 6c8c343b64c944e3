//! An item of a reporting guideline, and what the run knows of it.

use super::facts::Facts;
use super::section::CardTable;

/// Said of an item of which the run knows nothing.
const AUTHOR: &str = "to be filled by the author";

/// What the run knows of an item.
type Known = fn(&Facts<'_>) -> Option<String>;

/// One item.
pub(super) struct Item {
    pub(super) number: &'static str,
    topic: &'static str,
    known: Known,
}

/// An item of which the run knows something, or may.
pub(super) const fn known(number: &'static str, topic: &'static str, known: Known) -> Item {
    Item { number, topic, known }
}

/// An item that only the author can fill.
pub(super) const fn author(number: &'static str, topic: &'static str) -> Item {
    Item { number, topic, known: nothing }
}

fn nothing(_: &Facts<'_>) -> Option<String> {
    None
}

/// The items as a table.
pub(super) fn table(items: &[Item], facts: &Facts<'_>) -> CardTable {
    let row = |item: &Item| {
        let said = (item.known)(facts).unwrap_or_else(|| AUTHOR.to_owned());
        vec![item.number.to_owned(), item.topic.to_owned(), said]
    };
    CardTable { columns: vec!["item\t", "topic", "what the run knows"], rows: items.iter().map(row).collect() }
}
