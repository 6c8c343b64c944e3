//! Ways to tell metastasis without looking at the node: its size alone, or how the image was made.

use std::collections::BTreeMap;

use mtids_metrics::{auroc, cramers_v};
use polars::prelude::{col, lit};

use crate::audit::Audit;
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::finding::{Code, Finding, Severity};
use crate::index::Index;

/// The short axis alone.
pub(super) fn size(audit: &Audit) -> Option<Finding> {
    let scored: Vec<(f64, bool)> = audit
        .sizes
        .iter()
        .filter(|sizes| sizes.status != "unknown")
        .flat_map(|sizes| sizes.short_axes_mm.iter().map(|&mm| (mm, sizes.status == "metastatic")))
        .filter(|(mm, _)| mm.is_finite())
        .collect();
    let area = auroc(&scored)?;
    let limit = audit.config.size_short_cut;
    let message = format!("the short axis alone reaches an AUROC of {area:.2} for metastasis");
    let (severity, advice) = if area >= limit {
        (Severity::Warning, "a model need not look inside the node; compare every result with the short axis")
    } else {
        (Severity::Info, "a model has to do better than this to be worth anything")
    };
    Some(Finding::new(severity, Code::SizeShortCut, scored.len() as u64, message, advice))
}

/// Facts of the acquisition, patient by patient.
pub(super) fn acquisition(index: &Index, config: &AuditConfig) -> Result<Vec<Finding>, AuditError> {
    let mut findings = Vec::new();
    for fact in ["manufacturer", "model", "kernel", "contrast", "kvp", "slice_thickness_mm"] {
        // A patient counts once for each value of the fact, as metastatic if any of the nodes is.
        let answer = index.query(|frame| {
            frame.filter(col("metastasis").is_not_null()).group_by([col(fact), col("patient_key")]).agg([col(
                "metastasis",
            )
            .max()
            .eq(lit(1))
            .alias("metastatic")])
        })?;
        let values = answer.texts(fact)?;
        let metastatic = answer.texts("metastatic")?;
        let mut table: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (value, metastatic) in values.into_iter().zip(metastatic) {
            let value = value.unwrap_or_else(|| "unknown".to_owned());
            let column = usize::from(metastatic.as_deref() == Some("true"));
            table.entry(value).or_insert_with(|| vec![0, 0])[column] += 1;
        }
        let patients: u64 = table.values().flatten().sum();
        let counts: Vec<Vec<u64>> = table.values().cloned().collect();
        let Some(association) = cramers_v(&counts) else { continue };
        if association >= config.acquisition_short_cut && patients >= config.fewest_patients {
            let shares = table
                .iter()
                .map(|(value, counts)| format!("{value}: {} of {} metastatic", counts[1], counts[0] + counts[1]));
            findings.push(
                Finding::new(
                    Severity::Warning,
                    Code::AcquisitionShortCut,
                    patients,
                    format!("`{fact}` tells whether a patient has metastases (Cramér's V {association:.2})"),
                    "a model can read the scanner instead of the disease; balance the sites, or judge each alone",
                )
                .with_examples(shares),
            );
        }
    }
    Ok(findings)
}
