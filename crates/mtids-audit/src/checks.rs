//! Checks of a dataset: leakage, identity, conflicts, gaps, confounders.
//!
//! Each check is a function from the index and the settings to issues; [`issues`] runs them all, two at a time. Invariant: the order of issues depends on the
//! data alone (severity, then code, then message).

mod chance;
mod confounders;
mod consistency;
mod copies;
mod gaps;
mod groups;
mod identifying;
mod identity;
mod labels;
mod leakage;
mod masks;
mod missing;
mod moments;
mod near_copies;
mod negatives;
mod nobody;
mod not_checked;
mod not_finite;
mod one_status;
mod places;
mod properties;
mod regions;
mod shares;
mod sides;
mod size;
mod spelling;
mod split_by;
mod tissue;
mod values;
mod vocabulary;
mod weights;
mod wrong_rows;

use std::sync::OnceLock;

use mtids_report::format::counted;
use mtids_shards::{Manifest, Totals, View};

use self::nobody::Nobody;
use self::properties::Counted;
use crate::association::Association;
use crate::at_once::two_at_once;
use crate::by_patient::{Findings, Nodes, Property};
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};
use crate::measures::Labels;

/// Columns that a source may fill for nodes of one status alone.
const KNOWN: [&str; 2] = ["short_axis_mm", "station"];

/// Tells which rows have a mask.
const MASKED: &str = "measure_source";

/// What the checks found, and what they counted on the way that tables show.
pub(crate) struct Checked {
    /// Issues, the gravest first.
    pub(crate) issues: Vec<AuditIssue>,
    /// How much properties of the acquisition and of the patient tell of the labels.
    pub(crate) associations: Vec<Association>,
    /// The findings, patient by patient.
    pub(crate) findings: Findings,
}

/// The checks that go through the findings patient by patient, with the associations of what they count.
fn by_patient(index: &Index, views: &[View], config: &AuditConfig, nobody: &Nobody) -> Result<Checked, AuditError> {
    let findings = Findings::of(index, |patient| nobody.is(patient))?;
    let mut issues = shares::differing(index, &findings, config)?;
    issues.extend(one_status::of_patients(&Nodes::of(index)?, &findings, config));
    let properties = Counted::all(index, &findings)?;
    let names = &findings.regions;
    issues.extend(groups::differing(&properties, names, config));
    issues.extend(confounders::acquisition(&properties, config));
    issues.extend(confounders::acquisition_of_regions(&properties, names, config));
    issues.extend(confounders::judged(&properties, config));
    issues.extend(split_by::properties(&properties, config));
    issues.extend(confounders::one_scanner(&properties, names, config));
    for column in KNOWN {
        let known = findings.patients_by(&Property::presence(index, column)?);
        issues.extend(masks::known(column, &known, config));
    }
    // An older layout does not say which rows have a mask.
    if index.has(MASKED) {
        let masked = Property::of(index, MASKED)?;
        let table = findings.patients_by(&masked).table(&masked.values, |patients| patients.of_status.to_vec());
        let table: Vec<Vec<u64>> = table.into_values().collect();
        issues.extend(masks::status(index, views, &table, config)?);
    }
    let associations = confounders::associations(&properties);
    Ok(Checked { issues, associations, findings })
}

/// What finds issues.
type Check<'a> = &'a (dyn Fn() -> Result<Vec<AuditIssue>, AuditError> + Sync);

fn listed(found: Result<impl IntoIterator<Item = AuditIssue>, AuditError>) -> Result<Vec<AuditIssue>, AuditError> {
    Ok(found?.into_iter().collect())
}

/// Runs every check on the verified index of a dataset.
pub(crate) fn issues(
    index: &Index,
    labels: &Labels,
    manifest: &Manifest,
    config: &AuditConfig,
) -> Result<Checked, AuditError> {
    let regions: Vec<String> =
        manifest.description.regions.regions().iter().map(|region| region.name.clone()).collect();
    let nobody = Nobody::of(index)?;
    // What is counted there stands in tables too.
    let counted = OnceLock::new();
    let checks: [Check<'_>; 38] = [
        &|| listed(nobody.rows(index)),
        &|| listed(vocabulary::unknown(index)),
        &|| listed(missing::found(index)),
        &|| listed(not_finite::found(index)),
        &|| listed(not_checked::found(index)),
        &|| listed(leakage::patients(index, &nobody)),
        &|| listed(identity::shared_by_patients(index, &nobody)),
        &|| listed(consistency::sexes(index)),
        &|| listed(consistency::scanners(index)),
        &|| listed(spelling::ids(index, &nobody)),
        &|| listed(spelling::names(index)),
        &|| listed(identifying::names(index)),
        &|| listed(copies::duplicates(index)),
        &|| listed(negatives::negatives(index, config.same_place_mm)),
        &|| listed(regions::defined(index, &manifest.description.regions)),
        &|| listed(near_copies::found(index, config, &nobody)),
        &|| listed(sides::crossed(index, config.side_margin_mm)),
        &|| listed(sides::against_midline(index, config.midline_margin_mm)),
        &|| listed(values::implausible(index, config)),
        &|| listed(values::impossible(index)),
        &|| listed(places::shared(index, config.same_place_mm)),
        &|| listed(labels::against_evidence(index, config)),
        &|| listed(labels::without_evidence(index)),
        &|| listed(leakage::index_against_manifest(index, manifest, &nobody)),
        &|| listed(gaps::classes(index, config, &regions)),
        &|| listed(gaps::learned(index)),
        &|| listed(gaps::cells(index, config)),
        &|| listed(gaps::unknown(index, config)),
        &|| listed(gaps::evidence(index, config)),
        &|| listed(gaps::dominating(index, config)),
        &|| listed(weights::by_status(index, config)),
        &|| listed(gaps::padding(index, config.padded_share)),
        &|| listed(confounders::size(index, labels, config)),
        &|| listed(size::rules(index, config)),
        &|| listed(size::of_unknown(index, config, &nobody)),
        &|| {
            let mut checked = by_patient(index, &manifest.description.views, config, &nobody)?;
            let issues = std::mem::take(&mut checked.issues);
            // There is one such check, so nothing is set already.
            _ = counted.set(checked);
            Ok(issues)
        },
        &|| listed(tissue::places(index, config.lowest_tissue_hu)),
        &|| listed(tissue::constant(index)),
    ];
    let mut issues = input(&manifest.totals);
    issues.extend(two_at_once(&checks)?.into_iter().flatten());
    let Checked { associations, findings, .. } = match counted.into_inner() {
        Some(checked) => checked,
        None => by_patient(index, &manifest.description.views, config, &nobody)?,
    };
    issues.sort_by(|a, b| (a.severity, a.code, &a.message).cmp(&(b.severity, b.code, &b.message)));
    Ok(Checked { issues, associations, findings })
}

/// Outcome of the input files.
fn input(totals: &Totals) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    if totals.quarantined > 0 {
        let reasons = totals.quarantined_by_reason.iter().map(|(reason, count)| format!("{reason}: {count}"));
        issues.push(
            AuditIssue::new(
                Severity::Info,
                IssueCode::QuarantinedInput,
                totals.quarantined,
                format!(
                    "{} quarantined, of {}",
                    counted(totals.quarantined, "input file was", "input files were"),
                    counted(totals.inputs, "file", "files")
                ),
                "see quarantine.jsonl; `mtids-prep inventory` lists the files",
            )
            .with_examples(reasons),
        );
    }
    if totals.unmatched_findings > 0 {
        issues.push(AuditIssue::new(
            Severity::Info,
            IssueCode::UnmatchedFindings,
            totals.unmatched_findings,
            format!(
                "{} no image, or a place outside it",
                counted(totals.unmatched_findings, "annotation has", "annotations have")
            ),
            "check series identifiers and coordinates of the annotation table",
        ));
    }
    issues
}
