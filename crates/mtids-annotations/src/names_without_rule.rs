//! Names of findings and structures that no class rule matches, while there are rules.
//!
//! Purpose: a rule with a slip in its expression leaves labels unknown, and somebody must see it. Invariants: what a rule ignores is known, and
//! not told; nor is the free text of tables, to which no rule applies.

use std::collections::BTreeMap;

/// Most names that are told.
const SHOWN: usize = 10;

/// The names, each with the number of its findings or structures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesWithoutRule {
    names: BTreeMap<String, u64>,
}

impl NamesWithoutRule {
    pub(crate) fn add(&mut self, name: &str) {
        *self.names.entry(name.to_owned()).or_default() += 1;
    }

    /// Number of findings and structures.
    pub fn count(&self) -> u64 {
        self.names.values().sum()
    }

    /// A sentence with the first names; `None` where there are none.
    pub fn sentence(&self) -> Option<String> {
        if self.names.is_empty() {
            return None;
        }
        Some(format!(
            "no class rule matches {}: {}; such findings take no label from a rule, and such structures are not read; \
             write a rule for them, or one that ignores them",
            match self.count() {
                1 => "1 finding or structure".to_owned(),
                several => format!("{several} findings or structures"),
            },
            first_names(&self.names)
        ))
    }
}

/// The first names with their numbers, and how many are not told.
pub(crate) fn first_names(names: &BTreeMap<String, u64>) -> String {
    let mut told: Vec<String> = names.iter().take(SHOWN).map(|(name, count)| format!("`{name}` ({count})")).collect();
    if names.len() > SHOWN {
        told.push(format!("{} more names", names.len() - SHOWN));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_told_and_all_are_counted() {
        let mut names = NamesWithoutRule::default();
        assert_eq!(names.sentence(), None);
        for n in (0..12).chain([3, 3]) {
            names.add(&format!("node {n:02}"));
        }
        let told = names.sentence().unwrap();
        assert!(told.contains("14 findings or structures: `node 00` (1)") && told.contains("`node 03` (3)"), "{told}");
        assert!(told.contains("`node 09` (1), 2 more names;") && !told.contains("`node 10`"), "{told}");
    }
}
