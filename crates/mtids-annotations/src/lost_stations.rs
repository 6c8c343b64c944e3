//! Stations that a class rule found in the names of findings, and that are not understood.
//!
//! Purpose: such a finding stays without station, and somebody must see it. Invariant: nothing is guessed from them.

use std::collections::BTreeMap;

/// Most names that are told.
const SHOWN: usize = 5;

/// The names, each with the number of its findings and why it gives no station.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostStations {
    names: BTreeMap<String, (u64, String)>,
}

impl LostStations {
    pub(crate) fn add(&mut self, name: &str, why: &str) {
        self.names.entry(name.to_owned()).or_insert_with(|| (0, why.to_owned())).0 += 1;
    }

    /// Number of findings.
    pub fn findings(&self) -> u64 {
        self.names.values().map(|(findings, _)| findings).sum()
    }

    /// A sentence with the first names, and the reason of the first one; `None` where there are none.
    pub fn sentence(&self) -> Option<String> {
        let (_, (_, why)) = self.names.first_key_value()?;
        let mut names: Vec<String> =
            self.names.iter().take(SHOWN).map(|(name, (findings, _))| format!("`{name}` ({findings})")).collect();
        if self.names.len() > SHOWN {
            names.push(format!("{} more names", self.names.len() - SHOWN));
        }
        Some(format!(
            "the station in the name of {} {} is not understood, and stays unknown: {}; the first: {why}; let the group `station` of the \
             class rule hold the station alone",
            self.findings(),
            if self.findings() == 1 { "finding" } else { "findings" },
            names.join(", ")
        ))
    }
}
