//! The dataset card: a README in the dataset whose every number comes from the build.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mtids_patch::{Channel, Place, Planes, View};
use mtids_runtime::text::one_line;
use mtids_shards::{CorrectionRecord, DatasetDescription, RowKind, RowLabels, Totals};

use crate::config::CheckedConfig;
use crate::summary::count_rows;
use crate::synthetic::Synthetic;

/// Text of the card.
pub(crate) fn card(
    description: &DatasetDescription,
    totals: &Totals,
    rows: &[&RowLabels],
    corrections: &[CorrectionRecord],
    config: &CheckedConfig,
    synthetic: Synthetic,
) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail, so the results are dropped.
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("# Dataset card\n"));
    line(format_args!(
        "Views of chest CT around annotated nodes, labelled by region and metastasis. Research data, not for diagnosis.\n"
    ));
    if let Some(sentence) = synthetic.sentence() {
        line(format_args!("**{sentence}**\n"));
    }
    line(format_args!("* {} rows of {} patients", totals.rows, totals.patients));
    description.views.iter().for_each(|view| line(format_args!("{}", view_line(view))));
    let findings = || rows.iter().filter(|row| row.kind == RowKind::Finding);
    line(format_args!(
        "* measures: of the region grown from the point in every row (columns `grown_…`); of the annotation's mask in {} of {} findings \
         (`mask_…`)",
        findings().filter(|row| row.mask.is_some()).count(),
        findings().count()
    ));
    if config.max_pad_fraction < 1.0 {
        line(format_args!(
            "* left out: {} annotations with more than {} of a view outside the scanned field",
            totals.findings_at_border, config.max_pad_fraction
        ));
    }
    if config.reading.repair {
        let mut repairs: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
        for (repair, row) in rows.iter().filter_map(|row| Some((row.repaired?.name(), row))) {
            let entry = repairs.entry(repair).or_default();
            entry.0 += 1;
            entry.1.insert(row.series_key.as_str());
        }
        let listed: Vec<String> = repairs
            .iter()
            .map(|(repair, (patches, series))| format!("{repair}: {patches} rows of {} series", series.len()))
            .collect();
        let listed = if listed.is_empty() { "no series needed it".to_owned() } else { listed.join(", ") };
        line(format_args!("* repaired by resampling (column `repaired`): {listed}"));
        line(format_args!(
            "* left out: {} annotations with a view that touches voxels that nobody measured",
            totals.findings_at_invented
        ));
    }
    if !corrections.is_empty() {
        line(format_args!("* {} labels of rows were corrected by people (`corrections.jsonl`)", corrections.len()));
    }
    if config.negatives.per_series > 0 {
        let place = match config.negatives.within {
            Place::Mediastinum => "soft tissue between the lungs",
            Place::Body => "the body",
        };
        line(format_args!(
            "* {} negatives, up to {} per series, at least {} mm from every annotation, in {place}: unlabelled",
            totals.negatives, config.negatives.per_series, config.negatives.min_distance_mm
        ));
    }
    if config.pet {
        let with_pet = rows.iter().filter(|row| row.pet).count();
        line(format_args!(
            "* PET, hundredths of an SUV: {with_pet} rows have one; in the others a channel of PET, if any, holds 0"
        ));
    }
    line(format_args!(
        "* regions: {}",
        description.regions.regions().iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ")
    ));
    line(format_args!("* split by patient: {:?}, seed {}", config.split.method, config.split.seed));
    line(format_args!(
        "* taxonomy {}, rows of version {}, configuration {}",
        description.taxonomy_version, description.schema_version, description.config_digest
    ));
    line(format_args!("* program: {} {}\n", description.program.name, description.program.version));
    line(format_args!("An unknown status is not benign. What was not annotated is unknown.\n"));
    line(format_args!("## Rows by region, status and split\n"));
    line(format_args!("| region | status | train | validation | test |\n|---|---|---:|---:|---:|"));
    let counts = count_rows(rows.iter().copied());
    let pairs: BTreeSet<(&String, &String)> = counts.keys().map(|(region, status, _)| (region, status)).collect();
    for (region, status) in pairs {
        let count = |split: &str| counts.get(&(region.clone(), status.clone(), split.to_owned())).copied().unwrap_or(0);
        line(format_args!(
            "| {region} | {status} | {} | {} | {} |",
            count("train"),
            count("validation"),
            count("test")
        ));
    }
    line(format_args!("\n## Where labels come from\n"));
    line(format_args!("| source | evidence | rows | patients |\n|---|---|---:|---:|"));
    for ((source, evidence), (patches, patients)) in
        tally(findings().map(|row| ((row.label_source.as_str(), row.evidence.letter()), row.patient_key.as_str())))
    {
        line(format_args!("| {} | {evidence} | {patches} | {patients} |", cell(source)));
    }
    line(format_args!("\nEvidence: A histology, B cytology, C PET, D size, U none.\n"));
    line(format_args!("## Scanners\n"));
    line(format_args!("| manufacturer | model | kernel | contrast | rows | patients |\n|---|---|---|---|---:|---:|"));
    let scanner = |row: &&RowLabels| {
        let contrast = row.contrast.map_or("?", |given| if given { "yes" } else { "no" });
        [&row.manufacturer, &row.model, &row.kernel]
            .map(|text| cell(text.as_deref().unwrap_or("?")))
            .into_iter()
            .chain([contrast.to_owned()])
            .collect::<Vec<_>>()
    };
    for (scanner, (patches, patients)) in tally(rows.iter().map(|row| (scanner(row), row.patient_key.as_str()))) {
        line(format_args!("| {} | {patches} | {patients} |", scanner.join(" | ")));
    }
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        if low <= high { format!("{low} to {high}") } else { "unknown".to_owned() }
    };
    let millimetres = |x: f32| (f64::from(x) * 1e3).round() / 1e3;
    line(format_args!(
        "\nSlices {} mm apart, pixels of {} mm. Days from the first study of a patient: {}.",
        range(&mut rows.iter().map(|row| millimetres(row.slice_step_mm))),
        range(&mut rows.iter().map(|row| millimetres(row.pixel_spacing_mm))),
        range(&mut rows.iter().filter_map(|row| row.study_day).map(f64::from)),
    ));
    line(format_args!("\n## Input files\n"));
    line(format_args!(
        "{} files: {} used, {} skipped, {} quarantined. {} annotations have no image here.\n",
        totals.inputs, totals.used, totals.skipped, totals.quarantined, totals.unmatched_findings
    ));
    if totals.skipped + totals.quarantined > 0 {
        line(format_args!("| left out | reason | files |\n|---|---|---:|"));
    }
    for (what, reasons) in [("skipped", &totals.skipped_by_reason), ("quarantined", &totals.quarantined_by_reason)] {
        for (reason, files) in reasons {
            line(format_args!("| {what} | {reason} | {files} |"));
        }
    }
    line(format_args!("\n## To be completed by hand\n"));
    line(format_args!("Source of the studies, permission to use them, who labelled them and how."));
    text
}

/// A view in one line: voxels, spacing, extent, channels.
fn view_line(view: &View) -> String {
    let ([d, h, w], [z, y, x]) = (view.geometry.size, view.geometry.spacing_mm);
    let form = match view.geometry.planes {
        Planes::Volume => format!("{d} × {h} × {w} voxels of {z} × {y} × {x} mm (d head, h back, w left)"),
        Planes::Stack => {
            format!("{d} thin axial slices {z} mm apart, {h} × {w} pixels of {y} × {x} mm (d head, h back, w left)")
        }
        Planes::Orthogonal => format!(
            "axial, coronal and sagittal plane through the centre, {h} × {w} pixels of {y} × {x} mm, {z} mm thick"
        ),
    };
    let extent = view.geometry.extent_mm().map(|side| side.to_string()).join(" × ");
    let channels: Vec<&str> = view.channels.iter().map(|channel| channel_text(*channel)).collect();
    format!("* view `{}` (column `voxels_{0}`): {form}, {extent} mm in all; int16: {}", view.name, channels.join(", "))
}

fn channel_text(channel: Channel) -> &'static str {
    match channel {
        Channel::Ct => "CT in HU",
        Channel::Pet => "PET in hundredths of an SUV",
        Channel::Center => "a mark of the node's centre in thousandths",
        Channel::Mask => "the share of the annotation's mask in thousandths",
    }
}

/// For each key, how many rows and how many different patients.
fn tally<'a, K: Ord>(rows: impl Iterator<Item = (K, &'a str)>) -> BTreeMap<K, (u64, usize)> {
    let mut found: BTreeMap<K, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for (key, patient) in rows {
        let entry = found.entry(key).or_default();
        entry.0 += 1;
        entry.1.insert(patient);
    }
    found.into_iter().map(|(key, (rows, patients))| (key, (rows, patients.len()))).collect()
}

/// A text of a header or a source as a cell of a Markdown table: it is shown, and is no markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if matches!(c, '\\' | '|' | '<' | '>' | '[' | ']' | '!' | '`' | '*') {
            cell.push('\\');
        }
        cell.push(c);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_header_is_no_markup() {
        assert_eq!(cell("![x](http://a) <b>*B30f*</b>|`y`"), r"\!\[x\](http://a) \<b\>\*B30f\*\</b\>\|\`y\`");
        assert_eq!(cell(r"a\[b"), r"a\\\[b");
        assert_eq!(cell("two\nlines"), "two�lines");
        assert_eq!(cell("SOMATOM Definition AS+, FC08_L"), "SOMATOM Definition AS+, FC08_L");
    }
}
