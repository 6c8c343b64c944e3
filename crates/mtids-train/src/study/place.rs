//! The folder of an answer: what is there already, and whether it may be replaced.
//!
//! Invariants: only files of an earlier answer are removed or replaced, never an input or somebody else's file of the same name; an answer that is
//! being made leaves nothing of an earlier one beside it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use mtids_runtime::product::Product;

use crate::error::TrainError;

/// Table of the nodes.
pub(super) const TABLE: &str = "nodes.csv";
/// How it begins; a test compares it with what is written.
pub(super) const TABLE_BEGINNING: &str = "patient_id,study_uid,series_uid,instance_uid,";
/// Page.
pub(super) const PAGE: &str = "report.html";
/// Its title.
pub(super) const PAGE_TITLE: &str = "Lymph nodes of studies";

/// What stands in the description of every object.
pub(super) const OBJECT_MARK: &str = "research software, not for diagnosis";

/// What stands in its JSON, in the order of keys before the patients.
const JSON_MARK: &str = "Research software, not for diagnosis";

/// Bytes at the beginning of a file by which ours is known.
const BEGINNING: u64 = 1 << 16;

/// Files of an answer, the one that tells it last: without it the others are those of an answer that was not finished.
pub(super) fn files(out: &Path) -> [PathBuf; 3] {
    [TABLE, PAGE, Product::Answer.file()].map(|name| out.join(name))
}

/// Refuses a folder where an answer would replace an input or a file that is of no answer. `objects` is the folder of its DICOM objects.
///
/// # Errors
/// [`TrainError::Argument`] naming the file.
pub(super) fn refuse_foreign(out: &Path, objects: Option<&Path>, inputs: &[PathBuf]) -> Result<(), TrainError> {
    let [table, page, json] = files(out);
    let objects = objects.map_or(Ok(Vec::new()), objects_in)?;
    let replaced = || [&table, &page, &json].into_iter().chain(&objects);
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let refuse = |path: &Path, why: &str| {
        Err(TrainError::argument("--out", format!("{} {why}; give another folder", path.display())))
    };
    if let Some(input) = inputs.iter().find(|input| replaced().any(|path| same(path, input))) {
        return refuse(input, "is read as candidates, and would be replaced by the answer");
    }
    let marked = [(&table, TABLE_BEGINNING), (&page, PAGE_TITLE), (&json, JSON_MARK)];
    let foreign = marked.into_iter().find(|(path, mark)| path.exists() && !begins_with(path, mark));
    if let Some((path, _)) = foreign {
        return refuse(path, "is of no earlier answer, and would be replaced");
    }
    match objects.iter().find(|path| !begins_with(path, OBJECT_MARK)) {
        Some(path) => refuse(path, "is no object of an earlier answer, and would be replaced"),
        None => Ok(()),
    }
}

/// Removes the files of an earlier answer, and its objects.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn clear(out: Option<&Path>, objects: Option<&Path>) -> Result<(), TrainError> {
    let objects = objects.map_or(Ok(Vec::new()), objects_in)?;
    for path in out.map(files).into_iter().flatten().chain(objects) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(TrainError::io(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Objects in a folder that have names of an answer's.
fn objects_in(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let failed = |error| TrainError::io(folder, error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".seg.dcm").or(name.strip_suffix(".sr.dcm")));
        let number = stem.and_then(|stem| stem.strip_prefix("series-")).unwrap_or_default();
        if number.len() >= 4 && number.bytes().all(|digit| digit.is_ascii_digit()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a text stands at the beginning of a file.
fn begins_with(path: &Path, mark: &str) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_of_others_are_refused_and_those_of_an_earlier_answer_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (out, objects) = (folder.path(), folder.path().join("dicom"));
        fs::create_dir(&objects).unwrap();
        let refused =
            |inputs: &[PathBuf]| refuse_foreign(out, Some(&objects), inputs).map_err(|error| error.to_string());
        assert_eq!(refused(&[]), Ok(()));
        for (name, foreign, own) in [
            (TABLE, "patient_id,x_mm,y_mm\n", format!("{TABLE_BEGINNING}slice\n")),
            (PAGE, "<h1>Mine</h1>", format!("<h1>{PAGE_TITLE}</h1>")),
            ("dicom/series-0001.seg.dcm", "DICM of another program", format!("DICM a, {}", OBJECT_MARK)),
        ] {
            fs::write(out.join(name), foreign).unwrap();
            assert!(refused(&[]).unwrap_err().contains(name.rsplit('/').next().unwrap()), "{name}");
            fs::write(out.join(name), own).unwrap();
            assert_eq!(refused(&[]), Ok(()), "{name}");
        }
        // An answer may itself be read, but not while it is replaced.
        let table = out.join("dicom").join("..").join(TABLE);
        assert!(refused(&[table]).unwrap_err().contains("is read as candidates"));
        fs::write(objects.join("series-1.seg.dcm"), "of somebody").unwrap();
        clear(Some(out), Some(&objects)).unwrap();
        let left: Vec<_> = fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!((left, out.join(TABLE).exists()), (vec!["series-1.seg.dcm".into()], false));
    }
}
