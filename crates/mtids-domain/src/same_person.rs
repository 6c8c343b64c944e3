//! Patient ids that an operator declares to be of one person.
//!
//! Purpose: a person who was registered twice has two PatientIDs; what is known of both must not lie in two splits. Invariants: groups that
//! share an id are one group, whatever their order; the first id of a sorted group stands for all of it; an id that no group names
//! stands for itself. Ids are raw and trimmed, and never leave the program that reads them.

use std::collections::{BTreeMap, BTreeSet};

/// Which ids are one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SamePerson {
    /// For each id of a group, the first id of the group.
    first: BTreeMap<String, String>,
}

/// A group names an id without a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group {group} has an empty id, or no id; name the PatientIDs of one person, for example [[\"A\", \"B\"]]")]
pub struct EmptyId {
    /// Number of the group, from 1.
    pub group: usize,
}

impl SamePerson {
    /// Groups of ids; each group is one person, and groups with a common id are joined.
    ///
    /// # Errors
    /// [`EmptyId`] for a group without id, or with an empty one.
    pub fn of_groups(groups: &[Vec<String>]) -> Result<Self, EmptyId> {
        let mut joined: Vec<BTreeSet<&str>> = Vec::new();
        for (n, group) in groups.iter().enumerate() {
            let mut ids: BTreeSet<&str> = group.iter().map(|id| id.trim()).collect();
            if ids.is_empty() || ids.contains("") {
                return Err(EmptyId { group: n + 1 });
            }
            for known in joined.extract_if(.., |known| !known.is_disjoint(&ids)).collect::<Vec<_>>() {
                ids.extend(known);
            }
            joined.push(ids);
        }
        let mut first = BTreeMap::new();
        for ids in &joined {
            let Some(stands_for_all) = ids.first() else { continue };
            first.extend(ids.iter().map(|id| ((*id).to_owned(), (*stands_for_all).to_owned())));
        }
        Ok(Self { first })
    }

    /// The id that stands for the person with this id.
    pub fn canonical<'a>(&'a self, id: &'a str) -> &'a str {
        let id = id.trim();
        self.first.get(id).map_or(id, String::as_str)
    }

    /// Whether a group names this id: then the operator has said who it is.
    pub fn names(&self, id: &str) -> bool {
        self.first.contains_key(id.trim())
    }

    /// Every id that a group names, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.first.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn groups(text: &[&[&str]]) -> Vec<Vec<String>> {
        text.iter().map(|group| group.iter().map(|id| (*id).to_owned()).collect()).collect()
    }

    #[test]
    fn the_first_id_stands_for_all_of_joined_groups() {
        let same = SamePerson::of_groups(&groups(&[&["B", "A "], &["D", "C"], &["B", "D"], &["X"]])).unwrap();
        assert!(["A", " B", "C", "D"].iter().all(|id| same.canonical(id) == "A"));
        assert_eq!((same.canonical("X"), same.canonical(" E ")), ("X", "E"));
        assert!(same.names("X") && !same.names("E"));
        assert_eq!(same.ids().collect::<Vec<_>>(), ["A", "B", "C", "D", "X"]);
    }

    #[test]
    fn a_group_without_an_id_is_named_by_its_number() {
        assert_eq!(SamePerson::of_groups(&groups(&[&["A", "B"], &["C", " "]])), Err(EmptyId { group: 2 }));
        assert_eq!(SamePerson::of_groups(&groups(&[&[]])), Err(EmptyId { group: 1 }));
        assert_eq!(SamePerson::of_groups(&[]), Ok(SamePerson::default()));
    }

    proptest! {
        #[test]
        fn the_order_of_groups_and_ids_does_not_matter(
            groups in prop::collection::vec(prop::collection::vec("[a-f]", 1..4), 0..6).prop_shuffle(),
        ) {
            let same = SamePerson::of_groups(&groups).unwrap();
            let mut turned = groups.clone();
            turned.reverse();
            turned.iter_mut().for_each(|group| group.reverse());
            prop_assert_eq!(&SamePerson::of_groups(&turned).unwrap(), &same);
            for group in &groups {
                for id in group {
                    let first = same.canonical(id);
                    prop_assert_eq!(first, same.canonical(&group[0]));
                    prop_assert_eq!(first, same.canonical(first));
                    prop_assert!(first <= id.as_str());
                }
            }
        }
    }
}
