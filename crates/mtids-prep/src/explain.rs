//! Every reason code of the programs, with a paragraph for people.
//!
//! Invariant: this is the one list; `mtids-prep explain` and the table of the reference guide are made from it.

use mtids_annotations::RejectReason;
use mtids_dicom::{ReasonCode, SkipReason};
use strum::VariantArray;

use crate::fetch::FetchReason;

/// What a code is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// A file that should have been usable; it stands in the quarantine.
    Quarantined,
    /// A file that adds nothing, which is no fault.
    Skipped,
    /// An entry of an annotation file that found no image.
    Rejected,
    /// An instance of a server that `fetch` did not keep.
    NotFetched,
}

impl CodeKind {
    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::NotFetched => "not fetched",
        }
    }
}

/// A code and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code as written in files.
    pub code: &'static str,
    /// What it is said of.
    pub kind: CodeKind,
    /// What was found, what it means, what to do.
    pub text: &'static str,
}

/// All codes: of the quarantine, of skipped files, of rejected entries, of instances that were not fetched.
pub fn all() -> Vec<Explanation> {
    let quarantined = ReasonCode::VARIANTS.iter().map(|code| Explanation {
        code: code.as_str(),
        kind: CodeKind::Quarantined,
        text: code.explanation(),
    });
    let skipped = SkipReason::VARIANTS.iter().map(|code| Explanation {
        code: code.as_str(),
        kind: CodeKind::Skipped,
        text: code.explanation(),
    });
    let rejected = RejectReason::VARIANTS.iter().map(|code| Explanation {
        code: code.as_str(),
        kind: CodeKind::Rejected,
        text: code.explanation(),
    });
    let not_fetched = FetchReason::VARIANTS.iter().map(|code| Explanation {
        code: code.as_str(),
        kind: CodeKind::NotFetched,
        text: code.explanation(),
    });
    quarantined.chain(skipped).chain(rejected).chain(not_fetched).collect()
}

/// The explanations of a code: two where a file is skipped or quarantined for it, by its name.
pub fn of(code: &str) -> Vec<Explanation> {
    all().into_iter().filter(|one| one.code == code).collect()
}

/// The table of the reference guide, in Markdown; lines end where a sentence does.
pub fn markdown() -> String {
    let mut text = String::from("| code | said of | meaning, and what to do |\n|---|---|---|\n");
    for one in all() {
        text.push_str(&format!("| `{}` | {} | {} |\n", one.code, one.kind.name(), one.text));
    }
    text
}
