//! Splits that another property decides: test patients of other scanners, sites or kinds of evidence than those of training.
//!
//! A split by patient at random gives each scanner its share of every split. Where it does not, figures on test patients are those of other images,
//! which may be meant (a test of another hospital) and must then be said. Invariant: a patient counts once for each value of a property.

use mtids_metrics::cramers_v;

use super::chance;
use super::properties::Counted;
use crate::config::AuditConfig;
use crate::distribution::SPLITS;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Properties by whose values patients are in one split rather than in another, beyond chance and strongly enough.
pub(super) fn properties(properties: &[Counted], config: &AuditConfig) -> Vec<AuditIssue> {
    let tests = properties.len() as f64;
    let mut issues = Vec::new();
    for Counted { column, values, of_splits, patients, .. } in properties {
        if patients.all.all < config.fewest_patients {
            continue;
        }
        let named = values.iter().map(String::as_str).chain(["unknown"]).zip(of_splits);
        let table: Vec<(&str, &Vec<u64>)> = named.filter(|(_, counts)| counts.iter().any(|count| *count > 0)).collect();
        let counts: Vec<Vec<u64>> = table.iter().map(|(_, counts)| counts.to_vec()).collect();
        let Some(association) = cramers_v(&counts).filter(|v| *v >= config.split_confounder) else { continue };
        if tests * chance::of_association(&counts) >= config.significance {
            continue;
        }
        let mut shares: Vec<String> = table
            .iter()
            .map(|(value, counts)| {
                let each = SPLITS.iter().zip(counts.iter()).map(|(split, count)| format!("{count} of {split}"));
                format!("{value}: {}", each.collect::<Vec<String>>().join(", "))
            })
            .collect();
        shares.sort();
        let first = shares.first().map(String::as_str).unwrap_or_default();
        let message = format!(
            "`{column}` tells the split (Cramér's V {association:.2}): patients with {first}{}",
            if shares.len() > 1 { "; …" } else { "" }
        );
        let count: u64 = counts.iter().flatten().sum();
        issues.push(
            AuditIssue::new(
                Severity::Warning,
                IssueCode::SplitFollowsGroup,
                count,
                message,
                "figures on held-out patients are those of other images or labels: say so if that is meant, else split again by patient",
            )
            .with_examples(shares),
        );
    }
    issues
}
