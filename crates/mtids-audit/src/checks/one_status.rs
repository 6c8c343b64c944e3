//! Statuses that are said to be of nodes and never differ within a patient: mostly a status of the patient, written to each of the nodes.
//!
//! With a share p of metastatic nodes, a patient of k nodes has both statuses with chance 1 − pᵏ − (1 − p)ᵏ, if nodes were alike in all patients.
//! Nodes of one patient are alike, so fewer patients have both; but where hardly any has, nobody looked at the nodes one by one. Invariants: shifted
//! samples of a node, which share its weight, are one node, and of several series of a patient the one with most nodes counts, and of
//! two with as many the one with more metastases; rows that say that their status is of a station or a patient are not judged.

use mtids_report::format::counted;

use crate::by_patient::{Findings, Nodes};
use crate::config::AuditConfig;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Patients with several nodes of known status, of whom hardly any has both statuses.
pub(super) fn of_patients(nodes: &Nodes, findings: &Findings, config: &AuditConfig) -> Option<AuditIssue> {
    // Nodes of a patient by series, all and metastatic ones.
    let mut series: Vec<(u32, [f64; 2])> = Vec::new();
    let mut patients: Vec<(u64, u64)> = Vec::new();
    for rows in findings.by_patient() {
        series.clear();
        for &row in rows {
            let (Some(status), Some((of, part))) = (findings.status(row), nodes.node(row)) else { continue };
            let place = series.iter().position(|one| one.0 == of).unwrap_or_else(|| {
                series.push((of, [0.0; 2]));
                series.len() - 1
            });
            let counts = &mut series[place].1;
            counts[0] += f64::from(part);
            counts[1] += if status == 1 { f64::from(part) } else { 0.0 };
        }
        let whole = series.iter().map(|(_, counts)| counts.map(|count| count.round() as u64));
        patients.extend(whole.max().map(|[all, metastatic]| (all, metastatic)));
    }
    let sum = |part: fn(&(u64, u64)) -> u64| patients.iter().map(part).sum::<u64>() as f64;
    let share = sum(|patient| patient.1) / sum(|patient| patient.0).max(1.0);
    let by_chance = |nodes: u64| 1.0 - share.powf(nodes as f64) - (1.0 - share).powf(nodes as f64);
    let expected: f64 = patients.iter().filter(|(nodes, _)| *nodes > 1).map(|(nodes, _)| by_chance(*nodes)).sum();
    let several = patients.iter().filter(|(nodes, _)| *nodes > 1).count() as u64;
    let mixed = patients.iter().filter(|(nodes, metastatic)| (1..*nodes).contains(metastatic)).count() as u64;
    let is_found = expected >= config.fewest_patients as f64 && (mixed as f64) < config.least_mixed_share * expected;
    is_found.then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::OneStatusPerPatient,
            several - mixed,
            format!(
                "{mixed} of {} with several known statuses of nodes {} both statuses; chance alone would give {expected:.0}",
                counted(several, "patient", "patients"),
                if mixed == 1 { "has" } else { "have" }
            ),
            "these look like statuses of patients, written to each node: say so by level = patient, or ask for the status of each node",
        )
    })
}
