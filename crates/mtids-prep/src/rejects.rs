//! Entries of annotation sources that gave no finding, for the operator: on the terminal, and as a table outside the dataset.
//!
//! Invariants: they hold raw identifiers and paths, so they are never written into a dataset; the table replaces an earlier one of these and no
//! other file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use mtids_annotations::{Reject, RejectPlace, RejectReason};
use mtids_runtime::atomic;
use mtids_runtime::product::resolved;
use mtids_runtime::text::{no_formula, one_line};

use crate::config::CheckedConfig;
use crate::error::PrepError;

/// First line of the list.
const HEADING: [&str; 5] = ["file", "line", "place", "reason", "detail"];

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

/// What a build with these settings reads, with the files that its settings come from: folders stand for all that lies in them.
pub(crate) fn inputs<'a>(config: &'a CheckedConfig, settings_files: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let tables = [&config.corrections, &config.pseudonym.key_file, &config.split.table, &config.site.table];
    let tables = tables.into_iter().flatten().chain(&config.annotations).chain(settings_files);
    std::iter::once(config.studies().to_owned()).chain(tables.cloned()).collect()
}

/// Refuses a place of the list where it would replace anything but an earlier list, before any work is done.
///
/// # Errors
/// [`PrepError::Config`] for a place inside the dataset, for one of `inputs`, and for a file that is no list;
/// [`PrepError::WriteFile`] for a folder that does not exist.
pub(crate) fn check(list: &Path, dataset: &Path, inputs: &[PathBuf]) -> Result<(), PrepError> {
    let refuse = |reason: String| Err(PrepError::Config { key: "--rejects".into(), reason });
    let failed = |source| PrepError::WriteFile { path: list.to_owned(), source };
    let place = resolved(list).ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
    let holds = |folder: &Path| resolved(folder).is_some_and(|folder| place.starts_with(folder));
    if holds(dataset) {
        return refuse("the list holds raw identifiers; write it outside the dataset".to_owned());
    }
    // In a folder of inputs a list harms nothing, unless it replaces one of them.
    let is_input = |input: &&PathBuf| resolved(input).is_some_and(|input| input == place);
    if inputs.iter().any(|input| is_input(&input)) {
        return refuse(format!("{} is input of this build; name another file", list.display()));
    }
    if place.parent().is_none_or(|parent| !parent.is_dir()) {
        return Err(failed(ErrorKind::NotFound.into()));
    }
    match std::fs::metadata(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(there) if there.is_file() && is_list(&place).map_err(failed)? => Ok(()),
        Ok(_) => {
            refuse(format!("{} is there and is no list of rejects; move it away, or name another file", list.display()))
        }
    }
}

/// Whether a file is a list that was written here, or is empty.
fn is_list(path: &Path) -> std::io::Result<bool> {
    let heading = HEADING.join(",");
    let mut start = Vec::new();
    File::open(path)?.take(heading.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == heading.as_bytes())
}

/// Writes all rejects as CSV: file, line (of tables), place, reason, detail. No cell is a formula of a spreadsheet, or more than one line.
///
/// # Errors
/// As [`check`]: what has come to lie there meanwhile stays as well; [`PrepError::WriteFile`] where it cannot be written.
pub(crate) fn write(path: &Path, dataset: &Path, rejects: &[Reject]) -> Result<(), PrepError> {
    check(path, dataset, &[])?;
    let failed = |source| PrepError::WriteFile { path: path.to_owned(), source };
    let text = table(rejects).map_err(|error| failed(error.into()))?;
    // Where a link leads to an earlier list, that is replaced and the link stays.
    atomic::write(&resolved(path).unwrap_or_else(|| path.to_owned()), &text).map_err(failed)
}

fn table(rejects: &[Reject]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADING)?;
    for one in rejects {
        let (line, place) = match &one.place {
            RejectPlace::Line(line) => (line.to_string(), String::new()),
            place => (String::new(), place.to_string()),
        };
        let file = one.path.display().to_string();
        let cells = [&file, &line, &place, one.reason.as_str(), &one.detail];
        writer.write_record(cells.map(|cell| no_formula(&one_line(cell))))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
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
        write(&list, &dataset, &rejects[..1]).unwrap();
        assert_eq!(std::fs::read_to_string(&list).unwrap().lines().count(), 2, "an earlier list is replaced");
    }

    #[test]
    fn no_file_of_others_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = folder.path().join("dataset");
        let [labels, studies] = ["labels.csv", "studies"].map(|name| folder.path().join(name));
        std::fs::create_dir(&studies).unwrap();
        let inputs = [labels.clone(), studies.clone()];
        let refused = |path: &Path| check(path, &dataset, &inputs).unwrap_err().to_string();
        for text in ["x,y,z\n1,2,3\n", "file,line,place", "\u{feff}file,line,place,reason,detail\n"] {
            let foreign = folder.path().join("thesis.csv");
            std::fs::write(&foreign, text).unwrap();
            assert!(refused(&foreign).contains("no list of rejects"));
            assert!(write(&foreign, &dataset, &[]).is_err());
            assert_eq!(std::fs::read_to_string(&foreign).unwrap(), text);
        }
        // An input is none to write, even where it looks like a list, or is not there yet.
        std::fs::write(&labels, HEADING.join(",")).unwrap();
        assert!(refused(&labels).contains("is input"));
        std::fs::write(studies.join("slice.dcm"), "DICM").unwrap();
        assert!(refused(&studies.join("slice.dcm")).contains("no list of rejects"));
        check(&studies.join("rejects.csv"), &dataset, &inputs).unwrap();
        assert!(refused(&folder.path().join("studies/../labels.csv")).contains("is input"));
        assert!(refused(folder.path()).contains("no list of rejects"), "a folder");
        let empty = folder.path().join("empty.csv");
        std::fs::write(&empty, "").unwrap();
        check(&empty, &dataset, &inputs).unwrap();
        check(&folder.path().join("new.csv"), &dataset, &inputs).unwrap();
        #[cfg(unix)]
        {
            let link = folder.path().join("link.csv");
            std::os::unix::fs::symlink(&labels, &link).unwrap();
            assert!(refused(&link).contains("is input"));
            assert!(refused(Path::new("/dev/null")).contains("no list of rejects"));
        }
    }

    #[test]
    fn a_cell_is_one_line_and_no_formula() {
        let reject =
            Reject::new(Path::new("=1+1.csv"), RejectPlace::Line(1), RejectReason::OutsideImage, "-2 mm\n\u{1b}[2J");
        let text = String::from_utf8(table(&[reject]).unwrap()).unwrap();
        assert_eq!(text.lines().nth(1).unwrap(), "'=1+1.csv,1,,outside-image,'-2 mm��[2J");
    }
}
