//! The machine-readable contract of all three programs, gathered in one place.
//!
//! Purpose: `schemas/` is written from here (`make schemas`) and compared with here (a test), so that it cannot drift from
//! the code. Invariant: file names and content are a pure function of the code.

use std::collections::BTreeMap;

use serde_json::Value;

/// The page of reason codes, `docs/guide/reason-codes.md`: the same list that `mtids-prep explain` prints.
pub fn reason_codes_page() -> String {
    format!(
        "# Reason codes\n\nEvery file and annotation entry that is not used has one of these codes. They are stable. `mtids-prep explain \
         CODE` prints the\nsame text. This page is written from the code by `make schemas`.\n\n\
         * **Quarantined**: the file should have been usable. `quarantine.jsonl` has a line for it, under pseudonyms.\n\
         * **Skipped**: the file adds nothing, and that is no fault. The manifest counts it.\n\
         * **Rejected**: a row, mask, structure, segment, group of a report or box that gave no finding. `build --rejects FILE` lists it.\n\
         * **Not fetched**: an instance of a server that `fetch` did not keep. Codes of damaged files are said of instances as well.\n\n{}",
        mtids_prep::explain::markdown()
    )
}

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
