//! Names of nodes that a rule leaves out together with everything else.
//!
//! Purpose: a rule for `LN 4R` does not match `LN4R` or `Ln 4R`, which the rule behind it for all other names leaves out without a word.
//! Invariant: what a rule of its own leaves out (`^LN .*reactive`) is meant, and is not told.

use std::collections::BTreeMap;

use mtids_domain::taxonomy::{StationMap, StationText};

use crate::names_without_rule::first_names;
use crate::other_structures::NODES;

/// The names, each with the number of its findings and structures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredNodes(BTreeMap<String, u64>);

impl IgnoredNodes {
    /// Notes a name that is left out with everything else, where it names a node.
    pub(crate) fn look_at(&mut self, name: &str) {
        if names_node(name) {
            *self.0.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// A sentence with the first names; `None` where there are none.
    pub fn sentence(&self) -> Option<String> {
        let count: u64 = self.0.values().sum();
        (count > 0).then(|| {
            format!(
                "a class rule for all other names leaves out {}: {}; let a rule before it match them (`(?i)^LN[ _]?(?<station>.+)$`), or give them a \
                 rule of their own",
                if count == 1 { "what is named as a node".to_owned() } else { format!("{count} that are named as nodes") },
                first_names(&self.0)
            )
        })
    }
}

/// Whether a name has a word of nodes, also run together with a number (`LN4R`), or is a station such as 4R.
pub(crate) fn names_node(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    // A number alone counts structures, and letters before one may be vertebrae.
    let is_numbered = name.trim().starts_with(|c: char| c.is_ascii_digit());
    let is_sided = lower.contains(char::is_alphabetic);
    words.any(|word| NODES.contains(&word))
        // Capitals: the small l of `12l` is a doubt of the place, and not of the node.
        || (is_numbered && is_sided && StationText::read(&name.to_uppercase(), StationMap::Iaslc).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_are_known_and_those_of_organs_are_not() {
        for name in
            ["LN4R", "LN_4R", "Ln 4R", "Lymph node 4R", "4R", "node 3", "LYMPHNODES", "10-11R", "station 7", "12l"]
        {
            assert!(names_node(name), "{name}");
        }
        for name in
            ["Heart", "lung", "L1", "vertebrae_L4", "PTV", "7", "label 4", "Kidney_L", "4D-CT", "rib 4 right", ""]
        {
            assert!(!names_node(name), "{name}");
        }
        let mut ignored = IgnoredNodes::default();
        ["Heart", "LN4R", "LN4R"].into_iter().for_each(|name| ignored.look_at(name));
        let told = ignored.sentence().unwrap();
        assert!(told.contains("leaves out 2 that are named as nodes: `LN4R` (2)"), "{told}");
    }
}
