//! Entries of annotation sources that gave no finding, for the operator: on the terminal, and as a table outside the dataset.
//!
//! Invariant: they hold raw identifiers and paths, so they are never written into a dataset.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_annotations::{Reject, RejectPlace, RejectReason};

use crate::error::PrepError;

/// Most rejects that are shown one by one.
const SHOWN: usize = 20;

/// Warns of the first rejects, and of how many more there are.
pub(crate) fn report(rejects: &[Reject]) {
    for one in rejects.iter().take(SHOWN) {
        let reason = one.reason.as_str();
        match &one.place {
            RejectPlace::File => tracing::warn!(file = %one.path.display(), reason, "{}", one.detail),
            place => tracing::warn!(file = %one.path.display(), reason, "{place}: {}", one.detail),
        }
    }
    if let Some(more) = rejects.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        tracing::warn!("{more} more entries were rejected; --rejects FILE lists all of them");
    }
}

/// Number of rejects that `max_rejects` limits. Entries whose image was refused are not counted twice: `max_quarantine` limits those.
pub(crate) fn counted(rejects: &[Reject]) -> u64 {
    rejects.iter().filter(|one| one.reason != RejectReason::ImageRefused).count() as u64
}

/// Numbers of rejects by reason.
pub(crate) fn by_reason(rejects: &[Reject]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for one in rejects {
        *counts.entry(one.reason.to_string()).or_default() += 1;
    }
    counts
}

/// Writes all rejects as CSV: file, line (of tables), place, reason, detail.
///
/// # Errors
/// [`PrepError::Config`] for a file inside the dataset, [`PrepError::WriteFile`] where it cannot be written.
pub(crate) fn write(path: &Path, dataset: &Path, rejects: &[Reject]) -> Result<(), PrepError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_inside = match (parent.canonicalize(), dataset.canonicalize()) {
        (Ok(parent), Ok(dataset)) => parent.starts_with(dataset),
        _ => false,
    };
    if is_inside {
        let reason = "the list holds raw identifiers; write it outside the dataset".to_owned();
        return Err(PrepError::Config { key: "--rejects".into(), reason });
    }
    let fail = |source: csv::Error| PrepError::WriteFile { path: path.to_owned(), source: source.into() };
    let mut writer = csv::Writer::from_path(path).map_err(fail)?;
    writer.write_record(["file", "line", "place", "reason", "detail"]).map_err(fail)?;
    for one in rejects {
        let (line, place) = match &one.place {
            RejectPlace::Line(line) => (line.to_string(), String::new()),
            place => (String::new(), place.to_string()),
        };
        let file = one.path.display().to_string();
        writer.write_record([&file, &line, &place, one.reason.as_str(), &one.detail]).map_err(fail)?;
    }
    writer.flush().map_err(|source| PrepError::WriteFile { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_line_and_reason_and_stays_outside_the_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = folder.path().join("dataset");
        std::fs::create_dir(&dataset).unwrap();
        let table = Path::new("nodes.csv");
        let rejects = [
            Reject::new(table, RejectPlace::Line(4), RejectReason::OutsideImage, "3 mm, \"outside\""),
            Reject::new(Path::new("m.nii"), RejectPlace::File, RejectReason::NoImageOfThisGrid, "no grid"),
        ];
        let list = folder.path().join("rejects.csv");
        write(&list, &dataset, &rejects).unwrap();
        let text = std::fs::read_to_string(&list).unwrap();
        assert_eq!(
            text,
            "file,line,place,reason,detail\nnodes.csv,4,,outside-image,\"3 mm, \"\"outside\"\"\"\nm.nii,,,no-image-of-this-grid,no grid\n"
        );
        assert!(write(&dataset.join("rejects.csv"), &dataset, &rejects).unwrap_err().to_string().contains("outside"));
        let missing = folder.path().join("none/rejects.csv");
        assert!(write(&missing, &dataset, &rejects).unwrap_err().to_string().contains("none/rejects.csv"));
    }
}
