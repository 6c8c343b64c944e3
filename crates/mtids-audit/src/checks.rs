//! What would make figures from a dataset wrong: leakage, conflicts, gaps, short-cuts.
//!
//! Each check is a function from counts to findings; [`findings`] runs them all. Invariant: the order of findings depends on the data
//! alone (severity, then code, then message).

mod gaps;
mod leakage;
mod short_cuts;

use mtids_shards::Manifest;

use crate::audit::Audit;
use crate::error::AuditError;
use crate::finding::{Code, Finding, Severity};
use crate::index::Index;

/// The splits, in the order people read them.
pub(crate) const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// Runs every check. `audit` holds the counts already.
pub(crate) fn findings(audit: &Audit, index: &Index, manifest: &Manifest) -> Result<Vec<Finding>, AuditError> {
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(leakage::patients(index)?);
    findings.extend(leakage::duplicates(index)?);
    findings.extend(leakage::conflicts(index, audit.config.same_place_mm)?);
    findings.extend(leakage::index_against_manifest(index, manifest)?);
    findings.extend(gaps::classes(audit));
    findings.extend(gaps::unknown(audit));
    findings.extend(gaps::evidence(audit));
    findings.extend(gaps::prevalence(audit));
    findings.extend(gaps::padding(index, audit.config.padded_share)?);
    findings.extend(short_cuts::size(audit));
    findings.extend(short_cuts::acquisition(index, &audit.config)?);
    findings.extend(input(audit));
    findings.sort_by(|a, b| (a.severity, a.code, &a.message).cmp(&(b.severity, b.code, &b.message)));
    Ok(findings)
}

fn input(audit: &Audit) -> Vec<Finding> {
    let mut findings = Vec::new();
    let totals = &audit.input;
    if totals.quarantined > 0 {
        let reasons = totals.quarantined_by_reason.iter().map(|(reason, count)| format!("{reason}: {count}"));
        findings.push(
            Finding::new(
                Severity::Info,
                Code::QuarantinedInput,
                totals.quarantined,
                format!("{} of {} input files were quarantined", totals.quarantined, totals.inputs),
                "read quarantine.jsonl; `mtids-prep inventory` names the files",
            )
            .with_examples(reasons),
        );
    }
    if totals.unmatched_findings > 0 {
        findings.push(Finding::new(
            Severity::Info,
            Code::UnmatchedFindings,
            totals.unmatched_findings,
            format!("{} annotated findings have no image, or lie outside it", totals.unmatched_findings),
            "check series identifiers and coordinates of the annotation table",
        ));
    }
    findings
}
