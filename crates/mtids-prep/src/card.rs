//! The dataset card: a README in the dataset whose every number comes from the build.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mtids_shards::{DatasetDescription, RowLabels, Totals};

use crate::config::BuildConfig;
use crate::rows::counts;

/// Text of the card.
pub(crate) fn card(
    description: &DatasetDescription,
    totals: &Totals,
    rows: &[RowLabels],
    config: &BuildConfig,
) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail, so the results are dropped.
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{args}");
    };
    let [d, h, w] = description.patch_size;
    let [z, y, x] = description.patch_spacing_mm;
    line(format_args!("# Dataset card\n"));
    line(format_args!(
        "Patches of chest CT around findings, labelled by region and by metastasis. Research data: not for diagnosis.\n"
    ));
    line(format_args!("* {} patches of {} patients", totals.rows, totals.patients));
    line(format_args!("* a patch: {d} × {h} × {w} voxels of {z} × {y} × {x} mm (d head, h back, w left), int16 HU"));
    if config.pet {
        let with_pet = rows.iter().filter(|row| row.pet).count();
        line(format_args!(
            "* a second channel: PET, hundredths of an SUV; {with_pet} patches have one, the others hold 0"
        ));
    }
    line(format_args!(
        "* regions: {}",
        description.regions.regions().iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ")
    ));
    line(format_args!("* split by patient: {:?}, seed {}", config.split.method, config.split.seed));
    line(format_args!(
        "* taxonomy {}, layout {}, configuration {}",
        description.taxonomy_version, description.schema_version, description.config_digest
    ));
    line(format_args!("* program: {} {}\n", description.program.name, description.program.version));
    line(format_args!("An unknown status is unknown: it is not benign. What was not annotated is unknown too.\n"));
    line(format_args!("## Patches by region, status and split\n"));
    line(format_args!("| region | status | train | validation | test |\n|---|---|---:|---:|---:|"));
    let counts = counts(rows);
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
    line(format_args!("\n## Input files\n"));
    line(format_args!(
        "{} files: {} used, {} skipped, {} quarantined. {} findings had no image here.\n",
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
    line(format_args!("\n## To be filled in by people\n"));
    line(format_args!(
        "Source of the studies, permission to use them, who labelled them and how: not known to the program."
    ));
    text
}
