//! One thing under two spellings: ids and names that differ by case or blanks alone.
//!
//! Pseudonyms of `mtids-prep` are keyed digests, which show no spelling; so it writes a second one of the folded id. Ids that another program
//! stored are folded here.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;
use mtids_shards::{NO_CODE, folded};

use super::identity::pairs;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Column of the folded id's pseudonym.
const FOLDED: &str = "folded_patient_key";
/// Columns of names that people or scanners write.
const NAMES: [&str; 3] = ["manufacturer", "model", "kernel"];

/// Patients whose ids differ by case or blanks alone are one person, and may lie in two splits.
pub(super) fn ids(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let firsts = index.first_rows("patient_key")?;
    // The first row of each id, where the first of its folded form is a row of another id.
    let differing = |folded: Vec<u32>| {
        let rows = (0..).zip(firsts.iter().zip(folded)).collect::<Vec<(u32, (&u32, u32))>>();
        let others =
            rows.into_iter().filter(|(row, (first, folded))| *first == row && *folded != NO_CODE && folded != row);
        others.map(|(row, (_, folded))| (folded, row)).collect::<BTreeSet<(u32, u32)>>()
    };
    let mut others = differing(index.coded()?.index().first_rows_folded("patient_key")?);
    if index.has(FOLDED) {
        others.extend(differing(index.first_rows(FOLDED)?));
    }
    if others.is_empty() {
        return Ok(None);
    }
    let count = others.len() as u64;
    Ok(Some(
        AuditIssue::new(
            Severity::Error,
            IssueCode::IdsDifferBySpelling,
            count,
            format!(
                "{} from another one by case, blanks or width of letters alone",
                counted(count, "patient id differs", "patient ids differ")
            ),
            "one person under two ids: write ids in one form, or list them in identity.same_person, and build again",
        )
        .with_examples(pairs(index, others.into_iter())?),
    ))
}

/// Names of scanners that differ by case or blanks alone are one scanner, which every table splits in two.
pub(super) fn names(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let mut found = Vec::new();
    for column in NAMES {
        let kept = index.coded()?.kept(column)?;
        let mut spellings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for value in &kept.values {
            spellings.entry(folded(value)).or_default().push(value);
        }
        let several = spellings.values().filter(|spellings| spellings.len() > 1);
        found.extend(several.map(|spellings| format!("{column}: “{}”", spellings.join("”, “"))));
    }
    Ok((!found.is_empty()).then(|| {
        let count = found.len() as u64;
        AuditIssue::new(
            Severity::Warning,
            IssueCode::NamesDifferBySpelling,
            count,
            format!(
                "{} under several spellings",
                counted(count, "name of a scanner stands", "names of scanners stand")
            ),
            "tables and tests by scanner count them apart: write the name in one form before the build",
        )
        .with_examples(found)
    }))
}
