//! What is missing or thin: empty splits, small classes, unknown labels, weak evidence, patients that weigh most, patches without image.

use mtids_report::format::{count as grouped, counted, percent};
use polars::prelude::{SortMultipleOptions, col, len, lit};

use crate::config::AuditConfig;
use crate::count::{Count, Group};
use crate::distribution::{SPLITS, StatusPatients, by, overall, patients_by_status};
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

fn find<'a>(groups: &'a [Group], names: &[&str]) -> Option<&'a Count> {
    let same = |group: &&Group| group.names.iter().map(Option::as_deref).eq(names.iter().copied().map(Some));
    groups.iter().find(same).map(|group| &group.count)
}

/// Every class must be taught, and judged on more than a few patients. `regions` are the names of the regions. Of few patients all classes are
/// small, which is said once; a class that is never taught is an error of theirs too.
pub(super) fn classes(index: &Index, config: &AuditConfig, regions: &[String]) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    let patients = overall(index)?.patients;
    let are_few = patients < config.fewest_patients;
    if are_few {
        // Counts are of findings: patients with negatives alone are not among them.
        let (message, advice) = match patients {
            0 => (
                "no row is a finding, so no label is known of anybody".to_owned(),
                "were the annotations given? look at unmatched findings and quarantine of the build, and build again",
            ),
            _ => (
                format!("{}: too few for any conclusion", counted(patients, "patient", "patients")),
                "use it to test the programs; add patients before training",
            ),
        };
        issues.push(AuditIssue::new(Severity::Warning, IssueCode::FewPatients, patients, message, advice));
    }
    let (by_split, by_region_and_split) = (by(index, ["split"])?, by(index, ["region_name", "split"])?);
    let by_status = patients_by_status(index, ["split"])?;
    let (mut missing, mut small) = (Vec::new(), Vec::new());
    let has_training = find(&by_split, &["train"]).is_some();
    if !has_training && patients > 0 {
        issues.push(
            AuditIssue::new(
                Severity::Info,
                IssueCode::EmptySplit,
                0,
                "the train split has no patch: a dataset to measure networks of others on",
                "if it is to train on, set the shares of the splits in the build configuration",
            )
            .with_examples(["train".to_owned()]),
        );
    }
    for split in SPLITS {
        if find(&by_split, &[split]).is_none() {
            if are_few || !has_training {
                continue;
            }
            issues.push(
                AuditIssue::new(
                    Severity::Warning,
                    IssueCode::EmptySplit,
                    0,
                    format!("the {split} split has no patch"),
                    "set its share in the build configuration, or do not use this split",
                )
                .with_examples([split.to_owned()]),
            );
            continue;
        }
        for region in regions {
            let count = |split| find(&by_region_and_split, &[region, split]).copied().unwrap_or_default();
            let here = count(split);
            if split != "train" && has_training && here.rows > 0 && count("train").rows == 0 {
                missing.push(format!("{region} ({} in {split})", counted(here.rows, "patch", "patches")));
            }
            if here.patients < config.smallest_class_patients {
                small.push(format!("{split}, {region}: {}", counted(here.patients, "patient", "patients")));
            }
        }
        let known = find(&by_split, &[split]).copied().unwrap_or_default();
        let taught = find(&by_split, &["train"]).copied().unwrap_or_default();
        let is_split = |group: &&StatusPatients| group.names.first().and_then(Option::as_deref) == Some(split);
        let judged = by_status.iter().find(is_split).map_or([0, 0], |group| group.benign_and_metastatic);
        for (name, here, there, people) in [
            ("benign", known.benign, taught.benign, judged[0]),
            ("metastatic", known.metastatic, taught.metastatic, judged[1]),
        ] {
            if split != "train" && has_training && here > 0 && there == 0 {
                missing.push(format!("{name} ({} in {split})", counted(here, "patch", "patches")));
            } else if here == 0 {
                small.push(format!("{split}, {name}: no patch"));
            } else if people < config.smallest_class_patients {
                small.push(format!("{split}, {name}: {}", counted(people, "patient", "patients")));
            }
        }
    }
    if !missing.is_empty() {
        issues.push(
            AuditIssue::new(
                Severity::Error,
                IssueCode::ClassMissingFromTrain,
                missing.len() as u64,
                format!(
                    "{} missing from the training split",
                    counted(
                        missing.len() as u64,
                        "class of validation or test is",
                        "classes of validation or test are"
                    )
                ),
                "change the regions or the split of the build configuration",
            )
            .with_examples(missing),
        );
    }
    if !small.is_empty() && !are_few {
        issues.push(
            AuditIssue::new(
                Severity::Warning,
                IssueCode::SmallClass,
                small.len() as u64,
                format!(
                    "{} fewer than {}",
                    counted(small.len() as u64, "class of a split has", "classes of a split have"),
                    counted(config.smallest_class_patients, "patient", "patients")
                ),
                "one patient changes results of these classes: merge regions or add patients",
            )
            .with_examples(small),
        );
    }
    Ok(issues)
}

/// A status or a region can be learned where there are two of them; of rows without any label nothing can. It is an error where neither can. What another split has and training
/// lacks is told by [`classes`].
pub(super) fn learned(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let all = overall(index)?;
    let by_region = by(index, ["region_name"])?;
    let regions: Vec<&str> =
        by_region.iter().filter(|group| group.names[0].is_some()).map(|group| group.name(0)).collect();
    let known = all.benign + all.metastatic;
    let one_status = match (all.benign, all.metastatic) {
        (0, 0) => None,
        (_, 0) => Some("benign"),
        (0, _) => Some("metastatic"),
        _ => None,
    };
    // Regions may be learned all the same, and a dataset without training patches is to measure on.
    let is_trained_on = find(&by(index, ["split"])?, &["train"]).is_some();
    let (message, advice) = match (all.rows, one_status) {
        (0, _) => (
            "no row is a finding, so nothing can be learned".to_owned(),
            "were the annotations given? look at unmatched findings and quarantine of the build, and build again",
        ),
        (_, Some(status)) => (
            format!(
                "{} {status}, so the status cannot be learned",
                counted(known, "known status is", "known statuses are all")
            ),
            "were statuses read by the right words? see `mtids-prep classes`; add nodes of the other status",
        ),
        _ if known == 0 && regions.len() < 2 => (
            match regions.first() {
                Some(region) => {
                    format!("no status is known, and every known region is {region}: nothing can be learned")
                }
                None => "neither a status nor a region is known of any finding, so nothing can be learned".to_owned(),
            },
            "name the columns or segments that hold the labels, see the dataset guide, and build again",
        ),
        _ => return Ok(None),
    };
    let is_of_use = all.rows > 0 && (regions.len() > 1 || !is_trained_on);
    let severity = if is_of_use { Severity::Warning } else { Severity::Error };
    Ok(Some(AuditIssue::new(severity, IssueCode::NothingToLearn, all.rows, message, advice)))
}

/// Labels along either dimension should mostly be known.
pub(super) fn unknown(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let by_region_and_split = by(index, ["region_name", "split"])?;
    let mut issues = Vec::new();
    let limit = config.largest_unknown_share;
    let mut look = |split: &str, dimension: &str, unknown: u64, rows: u64| {
        if rows > 0 && unknown as f64 > limit * rows as f64 {
            let share = percent(unknown as f64 / rows as f64);
            issues.push(AuditIssue::new(
                Severity::Warning,
                IssueCode::UnknownLabels,
                unknown,
                format!("{split}: the {dimension} of {share} of the patches is unknown"),
                "patches with an unknown label train the other dimension only; complete the annotations where possible",
            ));
        }
    };
    for group in &by(index, ["split"])? {
        let split = group.name(0);
        let without_region: u64 = by_region_and_split
            .iter()
            .filter(|cross| cross.names[0].is_none() && cross.name(1) == split)
            .map(|cross| cross.count.rows)
            .sum();
        look(split, "region", without_region, group.count.rows);
        look(split, "metastasis status", group.count.unknown, group.count.rows);
    }
    Ok(issues)
}

/// Status should come from tissue, and for the node itself.
pub(super) fn evidence(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let by_evidence = by(index, ["evidence", "level"])?;
    let mut issues = Vec::new();
    let known = |count: &Count| count.benign + count.metastatic;
    let all: u64 = by_evidence.iter().map(|group| known(&group.count)).sum();
    let of = |keep: &dyn Fn(&Group) -> bool| -> u64 {
        by_evidence.iter().filter(|group| keep(group)).map(|group| known(&group.count)).sum()
    };
    let from_size = of(&|group| group.name(0) == "D");
    if from_size as f64 > config.largest_size_label_share * all as f64 {
        issues.push(AuditIssue::new(
            Severity::Warning,
            IssueCode::LabelsFromSize,
            from_size,
            format!(
                "{} of {} from size on CT (evidence D)",
                grouped(from_size),
                counted(all, "known status comes", "known statuses come")
            ),
            "the model would learn the size rule, not the disease; set these labels to unknown",
        ));
    }
    let weak = of(&|group| group.name(1) != "node");
    if weak > 0 {
        issues.push(AuditIssue::new(
            Severity::Info,
            IssueCode::WeakLabels,
            weak,
            format!(
                "{} of {} given for a station or a patient, not for the node",
                grouped(weak),
                counted(all, "known status was", "known statuses were")
            ),
            "nodes of a metastatic station can be benign; interpret results with care",
        ));
    }
    Ok(issues)
}

/// A region and a status that a split has, and never together: the joint class cannot be taught or judged there. Where the region or the status
/// has few patients in training, chance empties a cell, and it is a note, which of few patients altogether nobody needs.
pub(super) fn cells(index: &Index, config: &AuditConfig) -> Result<Vec<AuditIssue>, AuditError> {
    let are_few = overall(index)?.patients < config.fewest_patients;
    let (of_splits, of_regions) =
        (patients_by_status(index, ["split"])?, patients_by_status(index, ["region_name", "split"])?);
    let mut issues = Vec::new();
    for split in SPLITS {
        let is_split = |name: Option<&Option<String>>| name.and_then(Option::as_deref) == Some(split);
        let Some(whole) = of_splits.iter().find(|group| is_split(group.names.first())) else { continue };
        let (mut untaught, mut noted) = (Vec::new(), Vec::new());
        for group in of_regions.iter().filter(|group| is_split(group.names.get(1))) {
            let Some(region) = group.names.first().and_then(Option::as_deref) else { continue };
            for (status, name) in ["benign", "metastatic"].into_iter().enumerate() {
                let elsewhere = whole.benign_and_metastatic[status];
                if elsewhere == 0 || group.benign_and_metastatic[status] > 0 {
                    continue;
                }
                let fewer = elsewhere.min(group.benign_and_metastatic[1 - status]);
                let is_judged = split == SPLITS[0] && fewer >= config.smallest_class_patients;
                if are_few && !is_judged {
                    continue;
                }
                let cells = if is_judged { &mut untaught } else { &mut noted };
                cells.push(format!("{region}, {name}"));
            }
        }
        let found = [
            (
                Severity::Warning,
                untaught,
                "the joint class is never taught: a network learns the status from the region; merge regions or add patients",
            ),
            (
                Severity::Info,
                noted,
                "the joint class cannot be taught or judged in this split; say so beside results, or add patients",
            ),
        ];
        for (severity, empty, advice) in found.into_iter().filter(|(_, empty, _)| !empty.is_empty()) {
            let count = empty.len() as u64;
            let cells = counted(count, "cell of region and status", "cells of region and status");
            let message = format!("{split}: {cells} without a patch");
            issues.push(AuditIssue::new(severity, IssueCode::EmptyCell, count, message, advice).with_examples(empty));
        }
    }
    Ok(issues)
}

/// A patient with a large part of a split decides its figures. Splits of few patients are not judged, and those of some patients less strictly: among
/// 10 of them one with a fifth of the patches is ordinary, so five equal shares are allowed.
pub(super) fn dominating(index: &Index, config: &AuditConfig) -> Result<Option<AuditIssue>, AuditError> {
    let answer = index.query(|frame| {
        frame
            .group_by([col("split"), col("patient_key")])
            .agg([len().alias("rows")])
            .group_by([col("split")])
            .agg([len().alias("patients"), col("rows").sum().alias("all"), col("rows").max().alias("most")])
            .sort(["split"], SortMultipleOptions::default())
    })?;
    let (splits, patients) = (answer.texts("split")?, answer.counts("patients")?);
    let (all, most) = (answer.counts("all")?, answer.counts("most")?);
    let found: Vec<String> = (0..answer.len())
        .filter(|n| patients[*n] >= config.fewest_patients)
        .filter(|n| most[*n] as f64 > config.largest_patient_share.max(5.0 / patients[*n] as f64) * all[*n] as f64)
        .map(|n| {
            let split = splits[n].as_deref().unwrap_or("unknown");
            format!("{split}: {} of {}", grouped(most[n]), counted(all[n], "patch", "patches"))
        })
        .collect();
    Ok((!found.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::PatientDominates,
            found.len() as u64,
            format!(
                "one patient has more than {} of the patches, and five times an equal share, of {}",
                percent(config.largest_patient_share),
                counted(found.len() as u64, "split", "splits")
            ),
            "figures of this split are those of one patient: weigh by patient, or limit the findings of a patient",
        )
        .with_examples(found)
    }))
}

/// Patches that are largely outside the scanned field.
pub(super) fn padding(index: &Index, limit: f64) -> Result<Option<AuditIssue>, AuditError> {
    // NaN would lie above every limit.
    let is_padded = col("pad_fraction").is_finite().and(col("pad_fraction").gt(lit(limit)));
    let answer = index.query(|frame| frame.filter(is_padded).select([col("sample_key")]))?;
    let count = answer.len() as u64;
    let keys = answer.texts("sample_key")?;
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Info,
            IssueCode::PaddedPatches,
            count,
            format!(
                "{} outside the scanned field by more than {}",
                counted(count, "patch lies", "patches lie"),
                percent(limit)
            ),
            "their border is filled with air; a smaller patch avoids it",
        )
        .with_rows(keys.into_iter().flatten())
    }))
}
