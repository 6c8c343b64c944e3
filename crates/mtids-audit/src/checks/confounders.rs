//! Confounders: variables that predict a label without the node's image, namely its size, how the image was acquired, and who judged it how.

use std::collections::{BTreeMap, BTreeSet};

use mtids_metrics::{ClusteredArea, auroc_by_patient, cramers_v};
use mtids_report::format::counted;
use polars::prelude::{LazyFrame, SortMultipleOptions, col, len};

use crate::config::AuditConfig;
use crate::distribution::{StatusPatients, patients_by_status};
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};
use crate::measures::Labels;

/// Properties of the acquisition.
const FACTS: [&str; 7] = ["site", "manufacturer", "model", "kernel", "contrast", "kvp", "slice_thickness_mm"];

/// Those that the index has and knows of any row.
fn facts(index: &Index) -> Result<Vec<&'static str>, AuditError> {
    let mut known = Vec::new();
    for fact in FACTS.into_iter().filter(|fact| index.has(fact)) {
        // A site is known only where the build was told what names it.
        let is_known = fact != "site" || !index.coded()?.kept(fact)?.values.is_empty();
        known.extend(is_known.then_some(fact));
    }
    Ok(known)
}

/// The short axis alone.
pub(super) fn size(index: &Index, labels: &Labels, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let scored = labels.scored(index, "short_axis_mm")?;
    let Some(ClusteredArea { area, .. }) = auroc_by_patient(&scored) else { return Ok(None) };
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
    for fact in facts(index)? {
        // A patient counts once for each value of the fact, as metastatic if any of the nodes is.
        let answer = index.query(|frame| {
            frame
                .filter(col("metastasis").is_not_null())
                .group_by([col(fact), col("patient_key")])
                .agg([col("metastasis").max().alias("metastatic")])
                .group_by([col(fact), col("metastatic")])
                .agg([len().alias("patients")])
        })?;
        let values = answer.texts(fact)?.into_iter().zip(answer.counts("metastatic")?).zip(answer.counts("patients")?);
        let mut table: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for ((value, metastatic), patients) in values {
            let value = value.unwrap_or_else(|| "unknown".to_owned());
            table.entry(value).or_insert_with(|| vec![0, 0])[usize::from(metastatic == 1)] += patients;
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

/// Who judged: a column whose values should not tell the status, with the code, the words and the advice of its issue.
struct Judged {
    column: &'static str,
    code: IssueCode,
    words: &'static str,
    advice: &'static str,
}

const JUDGED: [Judged; 2] = [
    Judged {
        column: "evidence",
        code: IssueCode::EvidenceTellsStatus,
        words: "the evidence tells the status (Cramér's V {}): statuses are mixed from different methods",
        advice: "who was biopsied was chosen for a reason that the image shows: report results by evidence, and test on one kind",
    },
    Judged {
        column: "label_source",
        code: IssueCode::SourceTellsStatus,
        words: "the form of source tells the status (Cramér's V {}): benign and metastatic nodes were annotated in different ways",
        advice: "a network can learn how places were marked: annotate both statuses in one way, or report results by source",
    },
];

/// Evidence and source, patient by patient: benign by one method and metastatic by another teaches the method.
pub(super) fn judged(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let answer = index.query(|frame| {
        frame.filter(col("metastasis").is_not_null()).select([col("patient_key").n_unique().alias("patients")])
    })?;
    let patients = answer.counts("patients")?.first().copied().unwrap_or(0);
    let mut issues = Vec::new();
    for Judged { column, code, words, advice } in JUDGED {
        let groups = patients_by_status(index, [column])?;
        let table: Vec<Vec<u64>> = groups.iter().map(|group| group.benign_and_metastatic.to_vec()).collect();
        let limit = if column == "evidence" { config.evidence_confounder } else { config.source_confounder };
        let Some(association) = cramers_v(&table).filter(|v| *v >= limit && patients >= config.fewest_patients) else {
            continue;
        };
        let share = |group: &StatusPatients| {
            let [benign, metastatic] = group.benign_and_metastatic;
            let name = group.names.first().and_then(Option::as_deref).unwrap_or("unknown");
            format!("{name}: {metastatic} patients with metastatic nodes, {benign} with benign ones")
        };
        let message = words.replace("{}", &format!("{association:.2}"));
        issues.push(
            AuditIssue::new(Severity::Warning, code, patients, message, advice).with_examples(groups.iter().map(share)),
        );
    }
    Ok(issues)
}

/// Properties of the acquisition and regions, patient by patient: a patient counts once for each region.
pub(super) fn acquisition_of_regions(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    let patients = index.query(|frame| {
        frame.filter(col("region_name").is_not_null()).select([col("patient_key").n_unique().alias("patients")])
    })?;
    // A table of several regions needs more patients than one of two statuses.
    if patients.counts("patients")?.first().is_none_or(|patients| *patients < 2 * config.fewest_patients) {
        return Ok(issues);
    }
    for fact in facts(index)? {
        let answer = index.query(|frame| {
            frame.filter(col("region_name").is_not_null()).group_by([col(fact), col("region_name")]).agg([col(
                "patient_key",
            )
            .n_unique()
            .alias("patients")])
        })?;
        let (values, regions) = (answer.texts(fact)?, answer.texts("region_name")?);
        let names: BTreeSet<&String> = regions.iter().flatten().collect();
        let names: Vec<&String> = names.into_iter().collect();
        let mut table: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for ((value, region), patients) in values.into_iter().zip(&regions).zip(answer.counts("patients")?) {
            let counts =
                table.entry(value.unwrap_or_else(|| "unknown".to_owned())).or_insert_with(|| vec![0; names.len()]);
            if let Some(place) = region.as_ref().and_then(|region| names.binary_search(&region).ok()) {
                counts[place] += patients;
            }
        }
        let pairs: u64 = table.values().flatten().sum();
        let counts: Vec<Vec<u64>> = table.values().cloned().collect();
        let Some(association) = cramers_v(&counts) else { continue };
        if association >= config.acquisition_confounder {
            let shares = table.iter().map(|(value, counts)| {
                let of_region = names.iter().zip(counts).map(|(region, count)| format!("{region} {count}"));
                format!("{value}: patients with {}", of_region.collect::<Vec<String>>().join(", "))
            });
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::AcquisitionTellsRegion,
                    pairs,
                    format!("`{fact}` predicts the region (Cramér's V {association:.2})"),
                    "a model can learn the scanner instead of the place; balance the sites, or evaluate each separately",
                )
                .with_examples(shares),
            );
        }
    }
    Ok(issues)
}

/// Patients of a class by their scanner.
struct OfClass {
    class: String,
    /// Scanners that are named.
    scanners: u64,
    /// The first of them by name.
    scanner: Option<String>,
    /// Patients with a named scanner.
    named: u64,
    /// Patients without any.
    unnamed: u64,
}

/// The chance that so many patients all come from one scanner, whichever it is: the sum over scanners of their shares to that power.
fn chance_of_one(of_scanners: &[u64], all: u64, patients: u64) -> f64 {
    let power = i32::try_from(patients).unwrap_or(i32::MAX);
    let share = |of_scanner: &u64| *of_scanner as f64 / all.max(1) as f64;
    of_scanners.iter().map(|of_scanner| share(of_scanner).powi(power)).sum::<f64>().min(1.0)
}

/// Classes that one scanner alone has, where chance does not explain it. Patients whose scanner is not named say nothing, and are counted.
///
/// Where a share s of the patients comes from a scanner, n patients of a class do by chance with s^n; the chances of all scanners add, and
/// are adjusted for the number of classes.
pub(super) fn one_scanner(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    for fact in ["site", "manufacturer", "model"].into_iter().filter(|fact| index.has(fact)) {
        let (of_scanners, all) = patients_of_scanners(index, fact)?;
        if of_scanners.len() < 2 {
            continue;
        }
        let mut classes = by_class(index, fact, "region_name")?;
        classes.extend(by_class(index, fact, "metastasis")?);
        let tests = classes.len() as f64;
        let mut found = Vec::new();
        for class in classes.iter().filter(|class| class.scanners == 1) {
            let is_judged = class.named >= config.smallest_class_patients;
            if is_judged && tests * chance_of_one(&of_scanners, all, class.named) < config.significance {
                let scanner = class.scanner.as_deref().unwrap_or_default();
                let named = format!("{}: all {} patients", class.class, class.named);
                found.push(match class.unnamed {
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
                    if fact == "site" { IssueCode::SiteOnlyClass } else { IssueCode::ScannerOnlyClass },
                    count,
                    format!("{} from one `{fact}` only, beyond chance", counted(count, "class comes", "classes come")),
                    "a network can learn the scanner instead of the class: add patients of the class from another scanner or site, or leave it out",
                )
                .with_examples(found),
            );
        }
    }
    Ok(issues)
}

/// Patients of each scanner that is named, and of all of them together.
fn patients_of_scanners(index: &Index, fact: &str) -> Result<(Vec<u64>, u64), AuditError> {
    let patients = || col("patient_key").n_unique().alias("patients");
    let named = |frame: LazyFrame| frame.filter(col(fact).is_not_null());
    let each = index.query(|frame| {
        named(frame).group_by([col(fact)]).agg([patients()]).sort([fact], SortMultipleOptions::default())
    })?;
    let all = index.query(|frame| named(frame).select([patients()]))?;
    Ok((each.counts("patients")?, all.counts("patients")?.first().copied().unwrap_or(0)))
}

/// Patients by the value of a fact of the acquisition, for each class along a dimension.
fn by_class(index: &Index, fact: &str, dimension: &str) -> Result<Vec<OfClass>, AuditError> {
    let with = || col("patient_key").filter(col(fact).is_not_null()).n_unique();
    let answer = index.query(|frame| {
        frame
            .filter(col(dimension).is_not_null())
            .group_by([col(dimension)])
            .agg([
                col(fact).drop_nulls().n_unique().alias("scanners"),
                col(fact).min().alias("scanner"),
                with().alias("named"),
                col("patient_key").n_unique().alias("all"),
            ])
            .sort([dimension], SortMultipleOptions::default())
    })?;
    let (classes, scanner) = (answer.texts(dimension)?, answer.texts_of("scanner", fact)?);
    let (scanners, named, all) = (answer.counts("scanners")?, answer.counts("named")?, answer.counts("all")?);
    let name = |class: Option<String>| match (dimension, class.unwrap_or_default().as_str()) {
        ("metastasis", "0") => "benign".to_owned(),
        ("metastasis", "1") => "metastatic".to_owned(),
        (_, class) => class.to_owned(),
    };
    let rows = classes.into_iter().zip(scanner).zip(scanners).zip(named.into_iter().zip(all));
    Ok(rows
        .map(|(((class, scanner), scanners), (named, all))| OfClass {
            class: name(class),
            scanners,
            scanner,
            named,
            unnamed: all - named,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_one_scanner_is_that_of_any_scanner() {
        assert!((chance_of_one(&[6, 4], 10, 2) - (0.36 + 0.16)).abs() < 1e-12);
    }
}
