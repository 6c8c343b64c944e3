//! One thing under two spellings: ids and names that differ by case or blanks alone.
//!
//! Pseudonyms of `mtids-prep` are keyed digests, which show no spelling; so it writes a second one of the folded id. Ids that another program
//! stored are folded here.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;
use mtids_shards::{NO_CODE, folded};

use super::identity::pairs;
use super::nobody::Nobody;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Column of the folded id's pseudonym.
const FOLDED: &str = "folded_patient_key";
/// Columns of names that people or scanners write.
const NAMES: [&str; 5] = ["manufacturer", "model", "kernel", "site", "label_source"];

/// Patients whose ids differ by case or blanks alone are one person, and may lie in two splits. A row without patient has no id to differ.
pub(super) fn ids(index: &Index, nobody: &Nobody) -> Result<Option<AuditIssue>, AuditError> {
    let firsts = index.first_rows("patient_key")?;
    // The first row of each id, beside the first id of the same folded form where that is another one.
    let differing = |folded: Vec<u32>| {
        let mut of_folded = vec![NO_CODE; firsts.len()];
        let mut others = BTreeSet::new();
        for (row, (&first, folded)) in (0..).zip(firsts.iter().zip(folded)) {
            let Some(known) = of_folded.get_mut(folded as usize).filter(|_| !nobody.is(first)) else { continue };
            if *known == NO_CODE {
                *known = first;
            } else if *known != first && first == row {
                others.insert((*known, row));
            }
        }
        others
    };
    let mut others = differing(index.coded()?.index().first_rows_folded("patient_key")?);
    if index.has(FOLDED) {
        others.extend(differing(index.first_rows(FOLDED)?));
    }
    if others.is_empty() {
        return Ok(None);
    }
    let count = others.len() as u64;
    let rows = others.iter().flat_map(|(one, other)| [*one, *other]).collect();
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
        .with_examples(pairs(index, others.into_iter())?)
        .with_rows(index.keys_at(rows)?),
    ))
}

/// Names that differ by case or blanks alone are of one scanner, site or form of source, which every table splits in two.
pub(super) fn names(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let mut found = Vec::new();
    // Older datasets name no site.
    for column in NAMES.into_iter().filter(|column| index.has(column)) {
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
                counted(count, "name of a scanner, site or source stands", "names of scanners, sites or sources stand")
            ),
            "tables and tests by these names count them apart: write the name in one form before the build",
        )
        .with_examples(found)
    }))
}
