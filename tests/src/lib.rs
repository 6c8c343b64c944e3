//! The machine-readable contract of all three programs, gathered in one place.
//!
//! Purpose: `schemas/` is written from here (`make schemas`) and compared with here (a test), so that it cannot drift from
//! the code. Invariant: file names and content are a pure function of the code.

use std::collections::BTreeMap;

use serde_json::Value;

/// Every file of `schemas/`: its name and its content.
pub fn all_schemas() -> BTreeMap<String, String> {
    mtids_prep::schemas()
        .into_iter()
        .chain(mtids_train::schemas())
        .chain(mtids_audit::schemas())
        .map(|(name, mut schema): (String, Value)| {
            // Key order must not depend on a feature of serde_json that some dependency switches.
            schema.sort_all_objects();
            (name, format!("{schema:#}\n"))
        })
        .collect()
}
