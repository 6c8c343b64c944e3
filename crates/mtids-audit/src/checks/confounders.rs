//! Confounders: variables that predict a label without the node's image, namely its size, how the image was acquired, and who judged it how.

use std::collections::{BTreeMap, BTreeSet};

use mtids_metrics::{auroc, cramers_v};
use mtids_report::format::counted;
use polars::prelude::{SortMultipleOptions, col, len, lit};

use crate::config::AuditConfig;
use crate::distribution::{StatusPatients, patients_by_status, sizes};
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The short axis alone.
pub(super) fn size(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let scored: Vec<(f64, bool)> = sizes(index)?
        .iter()
        .filter(|sizes| sizes.status != "unknown")
        .flat_map(|sizes| sizes.short_axes_mm.iter().map(|&mm| (mm, sizes.status == "metastatic")))
        .filter(|(mm, _)| mm.is_finite())
        .collect();
    let Some(area) = auroc(&scored) else { return Ok(None) };
    let limit = config.size_confounder;
    let message = format!("the short axis alone reaches an AUROC of {area:.2} for metastasis");
    let (severity, advice) = if area >= limit {
        (Severity::Warning, "size alone predicts the status; compare every result with the short axis")
    } else {
        (Severity::Info, "the baseline that a model has to exceed")
    };
    Ok(Some(AuditIssue::new(severity, IssueCode::SizeConfounder, scored.len() as u64, message, advice)))
}

/// Properties of the acquisition, patient by patient.
pub(super) fn acquisition(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
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
        if association >= config.acquisition_confounder && patients >= config.fewest_patients {
            let shares = table
                .iter()
                .map(|(value, counts)| format!("{value}: {} of {} metastatic", counts[1], counts[0] + counts[1]));
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::AcquisitionConfounder,
                    patients,
                    format!("`{fact}` predicts whether a patient has metastases (Cramér's V {association:.2})"),
                    "a model can learn the scanner instead of the disease; balance the sites, or evaluate each separately",
                )
                .with_examples(shares),
            );
        }
    }
    Ok(issues)
}

/// The evidence, patient by patient: benign by one method and metastatic by another teaches the method.
pub(super) fn evidence(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let groups = patients_by_status(index, ["evidence"])?;
    let table: Vec<Vec<u64>> = groups.iter().map(|group| group.benign_and_metastatic.to_vec()).collect();
    let answer = index.query(|frame| {
        frame.filter(col("metastasis").is_not_null()).select([col("patient_key").n_unique().alias("patients")])
    })?;
    let patients = answer.counts("patients")?.first().copied().unwrap_or(0);
    let Some(association) = cramers_v(&table) else { return Ok(None) };
    if association < config.evidence_confounder || patients < config.fewest_patients {
        return Ok(None);
    }
    let share = |group: &StatusPatients| {
        let [benign, metastatic] = group.benign_and_metastatic;
        let name = group.names.first().and_then(Option::as_deref).unwrap_or("unknown");
        format!("{name}: {metastatic} patients with metastatic nodes, {benign} with benign ones")
    };
    let message = format!(
        "the evidence tells the status (Cramér's V {association:.2}): statuses are mixed from different methods"
    );
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::EvidenceTellsStatus,
            patients,
            message,
            "who was biopsied was chosen for a reason that the image shows: report results by evidence, and test on one kind",
        )
        .with_examples(groups.iter().map(share)),
    ))
}

/// Patients by scanner, over all findings, and over those of a class.
struct ByScanner {
    class: String,
    /// Patients of each scanner that is named.
    patients: BTreeMap<String, BTreeSet<String>>,
    /// Patients with a finding whose scanner is not named.
    unnamed: BTreeSet<String>,
}

impl ByScanner {
    /// Patients with a named scanner.
    fn named(&self) -> BTreeSet<&String> {
        self.patients.values().flatten().collect()
    }

    /// Patients without any named scanner.
    fn without(&self) -> usize {
        let named = self.named();
        self.unnamed.iter().filter(|patient| !named.contains(patient)).count()
    }

    /// The chance that so many patients all come from one scanner, whichever it is: the sum over scanners of their shares to that power.
    fn chance_of_one(&self, patients: usize) -> f64 {
        let all = self.named().len().max(1) as f64;
        let power = i32::try_from(patients).unwrap_or(i32::MAX);
        self.patients.values().map(|of_scanner| (of_scanner.len() as f64 / all).powi(power)).sum::<f64>().min(1.0)
    }
}

/// Classes that one scanner alone has, where chance does not explain it. Patients whose scanner is not named say nothing, and are counted.
///
/// Where a share s of the patients comes from a scanner, n patients of a class do by chance with s^n; the chances of all scanners add, and
/// are adjusted for the number of classes.
pub(super) fn one_scanner(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    for fact in ["manufacturer", "model"] {
        let all = by_scanner(index, fact, None)?;
        let Some(all) = all.first().filter(|all| all.patients.len() > 1) else { continue };
        let mut classes = by_scanner(index, fact, Some("region_name"))?;
        classes.extend(by_scanner(index, fact, Some("metastasis"))?);
        let tests = classes.len() as f64;
        let mut found = Vec::new();
        for class in &classes {
            let mut scanners = class.patients.iter();
            let (Some((scanner, of_class)), None) = (scanners.next(), scanners.next()) else { continue };
            let is_judged = of_class.len() as u64 >= config.smallest_class_patients;
            if is_judged && tests * all.chance_of_one(of_class.len()) < config.significance {
                let named = format!("{}: all {} patients", class.class, of_class.len());
                found.push(match class.without() {
                    0 => format!("{named} from {scanner}"),
                    without => format!("{named} with a named scanner from {scanner}; {without} more have none"),
                });
            }
        }
        if !found.is_empty() {
            let count = found.len() as u64;
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::ScannerOnlyClass,
                    count,
                    format!("{} from one `{fact}` only, beyond chance", counted(count, "class comes", "classes come")),
                    "a network can learn the scanner instead of the class: add patients of the class from another scanner, or leave it out",
                )
                .with_examples(found),
            );
        }
    }
    Ok(issues)
}

/// Patients by the value of a fact of the acquisition, for each class along a dimension; without one, of all findings as one class.
fn by_scanner(index: &Index, fact: &str, dimension: Option<&str>) -> Result<Vec<ByScanner>, AuditError> {
    let class = || dimension.map_or_else(|| lit("all").alias("class"), |name| col(name).alias("class"));
    let answer = index.query(|frame| {
        frame
            .select([class(), col(fact).alias("scanner"), col("patient_key")])
            .filter(col("class").is_not_null())
            .group_by([col("class"), col("scanner"), col("patient_key")])
            .agg([len().alias("rows")])
            .sort(["class", "scanner", "patient_key"], SortMultipleOptions::default())
    })?;
    let mut found: Vec<ByScanner> = Vec::new();
    let rows = answer.texts("class")?.into_iter().zip(answer.texts("scanner")?).zip(answer.texts("patient_key")?);
    for ((class, scanner), patient) in rows {
        let class = match (dimension, class.unwrap_or_default().as_str()) {
            (Some("metastasis"), "0") => "benign".to_owned(),
            (Some("metastasis"), "1") => "metastatic".to_owned(),
            (_, class) => class.to_owned(),
        };
        if found.last().is_none_or(|last| last.class != class) {
            found.push(ByScanner { class, patients: BTreeMap::new(), unnamed: BTreeSet::new() });
        }
        if let Some(last) = found.last_mut() {
            match scanner {
                Some(scanner) => last.patients.entry(scanner).or_default().extend(patient),
                None => last.unnamed.extend(patient),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_one_scanner_is_that_of_any_scanner() {
        let of = |range: std::ops::Range<usize>| range.map(|n| n.to_string()).collect::<BTreeSet<String>>();
        let patients = BTreeMap::from([("a".to_owned(), of(0..6)), ("b".to_owned(), of(6..10))]);
        let all = ByScanner { class: "all".into(), patients, unnamed: of(8..12) };
        assert!((all.chance_of_one(2) - (0.36 + 0.16)).abs() < 1e-12);
        assert_eq!((all.named().len(), all.without()), (10, 2), "two of the unnamed have a named scanner as well");
    }
}
