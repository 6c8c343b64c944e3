//! Confounders: variables that predict a label without the node's image, namely its size, how the image was acquired, and who judged it how.

use mtids_metrics::{ClusteredArea, RankedScores, cramers_v};
use mtids_report::format::counted;

use super::chance;
use super::properties::Counted;
use crate::association::{Association, Cases};
use crate::by_patient::{ByValue, Patients};
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};
use crate::measures::Labels;

/// The short axis alone.
pub(super) fn size(index: &Index, labels: &Labels, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let scored = labels.scored(index, "short_axis_mm")?;
    let rows = scored.len() as u64;
    let Some(ClusteredArea { area, interval, .. }) = RankedScores::of(scored).and_then(|ranked| ranked.area()) else {
        return Ok(None);
    };
    let limit = config.size_confounder;
    let bounds = interval.map(|bounds| format!(" ({:.2} to {:.2})", bounds.low, bounds.high)).unwrap_or_default();
    let message = format!("the short axis alone reaches an AUROC of {area:.2}{bounds} for metastasis");
    let (severity, advice) = if area >= limit {
        (Severity::Warning, "size alone predicts the status; compare every result with the short axis")
    } else if interval.is_some_and(|bounds| 2.0 * bounds.high - area < 0.5) {
        // Twice as far from one half as the interval reaches: of many datasets whose size tells nothing, hardly one is called so.
        (
            Severity::Warning,
            "metastatic nodes are the smaller ones here: are benign and metastatic exchanged, or sizes in other units?",
        )
    } else if interval.is_some_and(|bounds| bounds.low <= 0.5) {
        (
            Severity::Info,
            "size does not tell the status here, where in other patients it does: look at statuses and sizes",
        )
    } else {
        (Severity::Info, "the baseline that a model has to exceed")
    };
    Ok(Some(AuditIssue::new(severity, IssueCode::SizeConfounder, rows, message, advice)))
}

/// Properties of the acquisition, patient by patient: a patient counts once for each value, as metastatic if any of the nodes is.
pub(super) fn acquisition(properties: &[Counted], config: &AuditConfig) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    let tests = properties.iter().filter(|one| one.is_fact()).count() as f64;
    for Counted { column, values, patients, .. } in properties.iter().filter(|one| one.is_fact()) {
        let table = patients.table(values, |patients| patients.by_worst.to_vec());
        let patients: u64 = table.values().flatten().sum();
        let counts: Vec<Vec<u64>> = table.values().cloned().collect();
        let Some(association) = cramers_v(&counts) else { continue };
        let is_strong = association >= config.acquisition_confounder && patients >= config.fewest_patients;
        if is_strong && tests * chance::of_association(&counts) < config.significance {
            let shares = table
                .iter()
                .map(|(value, counts)| format!("{value}: {} of {} metastatic", counts[1], counts[0] + counts[1]));
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::AcquisitionConfounder,
                    patients,
                    format!("`{column}` predicts whether a patient has metastases (Cramér's V {association:.2})"),
                    "a model can learn the scanner instead of the disease; balance the sites, or evaluate each separately",
                )
                .with_examples(shares),
            );
        }
    }
    issues
}

/// How much each property tells of the two labels, as the checks here count patients.
pub(super) fn associations(properties: &[Counted]) -> Vec<Association> {
    let of_property = |one: &Counted| {
        let table =
            |of: fn(&Patients) -> Vec<u64>| one.patients.table(&one.values, of).into_values().collect::<Vec<_>>();
        // A method may judge some nodes of a patient, and a scanner has seen them all.
        let (cases, by_status) = match JUDGED.iter().any(|judged| judged.column == one.column) {
            true => (Cases::PatientsByLabel, table(|patients| patients.of_status.to_vec())),
            false => (Cases::Patients, table(|patients| patients.by_worst.to_vec())),
        };
        let by_region = table(|patients| patients.of_region.clone());
        [
            Association::of(one.column, "metastasis", cases, &by_status),
            Association::of(one.column, "region", Cases::PatientsByLabel, &by_region),
        ]
    };
    properties.iter().flat_map(of_property).flatten().collect()
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
pub(super) fn judged(properties: &[Counted], config: &AuditConfig) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    for Judged { column, code, words, advice } in JUDGED {
        let Some(property) = properties.iter().find(|one| one.column == column) else { continue };
        let patients: u64 = property.patients.all.by_worst.iter().sum();
        let table = property.patients.table(&property.values, |patients| patients.of_status.to_vec());
        let counts: Vec<Vec<u64>> = table.values().cloned().collect();
        let limit = if column == "evidence" { config.evidence_confounder } else { config.source_confounder };
        let Some(association) = cramers_v(&counts).filter(|v| *v >= limit && patients >= config.fewest_patients) else {
            continue;
        };
        if chance::of_association(&counts) >= config.significance {
            continue;
        }
        let share = |(name, counts): (&String, &Vec<u64>)| {
            format!("{name}: {} patients with metastatic nodes, {} with benign ones", counts[1], counts[0])
        };
        let message = words.replace("{}", &format!("{association:.2}"));
        issues.push(
            AuditIssue::new(Severity::Warning, code, patients, message, advice).with_examples(table.iter().map(share)),
        );
    }
    issues
}

/// Properties of the acquisition and regions, patient by patient: a patient counts once for each region. `regions` are their names.
pub(super) fn acquisition_of_regions(
    properties: &[Counted],
    regions: &[String],
    config: &AuditConfig,
) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    for Counted { column, values, patients, .. } in properties.iter().filter(|one| one.is_fact()) {
        // A table of several regions needs more patients than one of two statuses.
        if patients.all.of_known_region < 2 * config.fewest_patients {
            continue;
        }
        let table = patients.table(values, |patients| patients.of_region.clone());
        let pairs: u64 = table.values().flatten().sum();
        let counts: Vec<Vec<u64>> = table.values().cloned().collect();
        let Some(association) = cramers_v(&counts) else { continue };
        if association >= config.acquisition_confounder {
            let shares = table.iter().map(|(value, counts)| {
                let of_region = regions.iter().zip(counts).map(|(region, count)| format!("{region} {count}"));
                format!("{value}: patients with {}", of_region.collect::<Vec<String>>().join(", "))
            });
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::AcquisitionTellsRegion,
                    pairs,
                    format!("`{column}` predicts the region (Cramér's V {association:.2})"),
                    "a model can learn the scanner instead of the place; balance the sites, or evaluate each separately",
                )
                .with_examples(shares),
            );
        }
    }
    issues
}

/// Patients of a class by their scanner.
struct OfClass {
    class: String,
    /// Scanners that are named.
    scanners: u64,
    /// The first of them by name.
    scanner: Option<String>,
    /// All patients of that one.
    of_scanner: u64,
    /// Patients with a named scanner.
    named: u64,
    /// Patients without any.
    unnamed: u64,
}

/// The chance that so many patients all come from one scanner that has no more patients than `found`: the sum over such scanners of their shares to
/// that power. That they all come from a larger one is less of a surprise.
fn chance_of_one(of_scanners: &[u64], found: u64, all: u64, patients: u64) -> f64 {
    let power = i32::try_from(patients).unwrap_or(i32::MAX);
    let share = |of_scanner: &u64| *of_scanner as f64 / all.max(1) as f64;
    let as_rare = of_scanners.iter().filter(|of_scanner| **of_scanner <= found);
    as_rare.map(|of_scanner| share(of_scanner).powi(power)).sum::<f64>().min(1.0)
}

/// Classes that one scanner alone has, where chance does not explain it. Patients whose scanner is not named say nothing, and are counted.
///
/// Where a share s of the patients comes from a scanner, n patients of a class do by chance with s^n; the chances of all scanners of no larger share
/// add, and are adjusted for the number of classes. `regions` are the names of the regions.
pub(super) fn one_scanner(properties: &[Counted], regions: &[String], config: &AuditConfig) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    for property in properties.iter().filter(|one| ["site", "manufacturer", "model"].contains(&one.column)) {
        let fact = property.column;
        let of_scanners: Vec<u64> =
            property.patients.each.iter().map(|patients| patients.all).filter(|patients| *patients > 0).collect();
        if of_scanners.len() < 2 {
            continue;
        }
        let classes = classes(property, regions);
        let (all, tests) = (property.patients.named.all, classes.len() as f64);
        let mut found = Vec::new();
        for class in classes.iter().filter(|class| class.scanners == 1) {
            let is_judged = class.named >= config.smallest_class_patients;
            if is_judged
                && tests * chance_of_one(&of_scanners, class.of_scanner, all, class.named) < config.significance
            {
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
    issues
}

/// Classes of both dimensions that a patient has, by their scanners.
fn classes(property: &Counted, regions: &[String]) -> Vec<OfClass> {
    let ByValue { each, named, all, .. } = &property.patients;
    let of_class = |class: &str, of: &dyn Fn(&Patients) -> u64| {
        let mut scanners = property.values.iter().zip(each).filter(|(_, patients)| of(patients) > 0);
        let first = scanners.next();
        let (scanner, of_scanner) =
            (first.map(|(name, _)| name.clone()), first.map_or(0, |(_, patients)| patients.all));
        OfClass {
            class: class.to_owned(),
            of_scanner,
            scanners: scanners.count() as u64 + u64::from(scanner.is_some()),
            scanner,
            named: of(named),
            unnamed: of(all) - of(named),
        }
    };
    let count = |code: usize| move |patients: &Patients| patients.of_region.get(code).copied().unwrap_or(0);
    let of_regions = regions.iter().enumerate().filter(|(code, _)| count(*code)(all) > 0);
    let mut classes: Vec<OfClass> = of_regions.map(|(code, region)| of_class(region, &count(code))).collect();
    for (status, name) in ["benign", "metastatic"].into_iter().enumerate() {
        if all.of_status[status] > 0 {
            classes.push(of_class(name, &|patients| patients.of_status[status]));
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_one_scanner_is_that_of_any_scanner_as_rare() {
        assert!((chance_of_one(&[6, 4], 6, 10, 2) - (0.36 + 0.16)).abs() < 1e-12);
        assert!((chance_of_one(&[6, 4], 4, 10, 2) - 0.16).abs() < 1e-12);
        assert!((chance_of_one(&[5, 5], 5, 10, 2) - 0.5).abs() < 1e-12);
    }
}
