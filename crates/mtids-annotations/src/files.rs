//! The files of annotations that a user names: tables, mask files and PASCAL VOC boxes, read before anything else.
//!
//! Invariants: a named table that cannot be read is an error. A mask or file of boxes that cannot be read is named, counted and left out: of
//! hundreds of them one must not cost the others. A named file that is not there is an error always: the name is wrong.

use std::path::{Path, PathBuf};

use mtids_dicom::Limits;
use mtids_domain::taxonomy::StationMap;

use crate::error::AnnotationError;
use crate::label_grid::MaskFile;
use crate::mask_file::{is_any_mask, is_half_of_pair, read_mask};
use crate::table::row::{Table, TableRow};
use crate::table::{advice, read_table_file};
use crate::voc::{SliceBox, read_voc};

/// The named files, read.
#[derive(Debug, Default)]
pub struct AnnotationFiles {
    paths: Vec<PathBuf>,
    /// Tables with their rows.
    pub(crate) tables: Vec<(PathBuf, Vec<TableRow>)>,
    /// Masks.
    pub(crate) masks: Vec<MaskFile>,
    /// Boxes of all VOC files, one behind the other.
    pub(crate) boxes: Vec<SliceBox>,
    /// For each VOC file the number of its boxes.
    pub(crate) box_files: Vec<(PathBuf, usize)>,
    faults: Vec<(PathBuf, AnnotationError)>,
}

impl AnnotationFiles {
    /// Reads every file; its ending makes it a mask (`.nii`, `.nii.gz`, `.hdr`, `.nrrd`, `.nhdr`) or boxes of a slice (`.xml`), anything else
    /// is a table. A folder stands for the masks and `.xml` files in it; it may hold none. Masks and boxes that cannot be read are in
    /// [`Self::faults`]. Stations of tables are of `map`.
    ///
    /// # Errors
    /// [`AnnotationError`], naming the file: a table that cannot be read, or a file that is not there.
    pub fn read(paths: &[PathBuf], limits: &Limits, map: StationMap) -> Result<Self, AnnotationError> {
        let mut files = Self { paths: expand(paths)?, ..Self::default() };
        for path in files.paths.clone() {
            let is_table = !is_any_mask(&path) && !is_xml(&path);
            match files.add(&path, limits, map) {
                Err(error) if is_table || !path.exists() => return Err(error),
                Err(error) => files.faults.push((path, error)),
                Ok(()) => {}
            }
        }
        Ok(files)
    }

    fn add(&mut self, path: &Path, limits: &Limits, map: StationMap) -> Result<(), AnnotationError> {
        // To open a pipe would wait for a writer, to read a device might never end.
        if path.exists() && !path.is_file() {
            let source = std::io::Error::other("not a regular file");
            return Err(AnnotationError::Unreadable { path: path.to_owned(), source });
        }
        if is_any_mask(path) {
            self.masks.push(read_mask(path, limits)?);
            return Ok(());
        }
        if is_xml(path) {
            let boxes = read_voc(path)?;
            self.box_files.push((path.to_owned(), boxes.len()));
            self.boxes.extend(boxes);
            return Ok(());
        }
        let table = read_table_file(path, map)?;
        warn_of(path, &table);
        self.tables.push((path.to_owned(), table.rows));
        Ok(())
    }

    /// The masks and files of boxes that cannot be read and were left out, with the reason.
    pub fn faults(&self) -> &[(PathBuf, AnnotationError)] {
        &self.faults
    }

    /// Every file that was named or found in a named folder.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

/// Says what of a table is left aside, and why.
fn warn_of(path: &Path, table: &Table) {
    if table.rows.is_empty() {
        tracing::warn!(table = %path.display(), "the table has a header and no rows: it gives no finding");
    }
    if !table.ignored_columns.is_empty() {
        tracing::warn!(table = %path.display(), columns = table.ignored_columns.join(", "), "unknown columns are ignored");
    }
    for (column, meant) in &table.suggestions {
        tracing::warn!(table = %path.display(), "{}", advice(column, meant));
    }
    if let Some(first) = table.no_status.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.no_status.len(),
            "a dash or `none` in the column `metastasis` is read as unknown, never as benign (first in line {first}); write benign or \
             metastatic, or leave the cell empty"
        );
    }
    if let Some(first) = table.no_level.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.no_level.len(),
            "an empty cell of `level` is read as node, while other rows say another level (first in line {first}); fill it in every row with a status"
        );
    }
    if let Some((first, column)) = table.doubtful_zeros.first() {
        tracing::warn!(
            table = %path.display(),
            cells = table.doubtful_zeros.len(),
            "a formula gives 0, as it does where it hands on an empty cell, and 0 is read as a value, in `metastasis` as benign (first in \
             row {first}, column `{column}`); make sure that no cell behind it is empty, or let the formula give an empty text there"
        );
    }
    warn_of_lengths(path, table);
    warn_of_shown(path, table);
    let (unplaced, shown) = (&table.unplaced, 10);
    if !unplaced.is_empty() {
        let mut cells: Vec<String> = unplaced
            .iter()
            .take(shown)
            .map(|cell| format!("line {}: `{}` ({})", cell.line, cell.text, cell.reason))
            .collect();
        if unplaced.len() > shown {
            cells.push(format!("{} more", unplaced.len() - shown));
        }
        tracing::warn!(table = %path.display(), rows = unplaced.len(), "station and region are unknown: {}", cells.join("; "));
    }
}

/// Says which lengths of a table are none, or may be in another unit.
fn warn_of_lengths(path: &Path, table: &Table) {
    if let Some(first) = table.no_length.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.no_length.len(),
            "0 in `short_axis_mm` or `diameter_mm` is read as not measured (first in line {first}); leave the cell empty"
        );
    }
    for column in &table.small_lengths {
        tracing::warn!(table = %path.display(), "more than half of the values of {column} are below 3 mm: are they in cm?");
    }
    if let (Some(first), true) = (table.tiny_lengths.first(), table.small_lengths.is_empty()) {
        tracing::warn!(
            table = %path.display(),
            rows = table.tiny_lengths.len(),
            "a length is smaller than any node (first in line {first}): is it in cm? Leave the cell empty where it is unknown"
        );
    }
    if let Some(first) = table.huge_lengths.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.huge_lengths.len(),
            "a length is larger than lymph nodes are, or a code such as 99 (first in line {first}): leave the cell empty where it is unknown"
        );
    }
    if let Some(first) = table.short_above_long.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.short_above_long.len(),
            "`short_axis_mm` is longer than `diameter_mm` (first in line {first}): are the two columns exchanged?"
        );
    }
}

/// Says where a spreadsheet program shows something else than is read.
fn warn_of_shown(path: &Path, table: &Table) {
    if let Some(first) = table.hidden.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.hidden.len(),
            "hidden or filtered rows are read like all others (first in row {first}); delete those that are not meant"
        );
    }
    if let Some(first) = table.struck.first() {
        tracing::warn!(
            table = %path.display(),
            rows = table.struck.len(),
            "rows with a cell that is struck through are read like all others (first in row {first}); delete those that are not meant"
        );
    }
    for (row, column, format) in &table.odd_formats {
        tracing::warn!(
            table = %path.display(),
            "the number format `{format}` of `{column}` shows something else than the value that is read (first in row {row}); write what is meant as \
             text"
        );
    }
}

fn is_xml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml"))
}

/// Folders become the masks and boxes in them, in the order of their names.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, AnnotationError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |source| AnnotationError::Unreadable { path: path.clone(), source };
        let (mut inside, mut aside) = (Vec::new(), Aside::default());
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            // What macOS writes beside a file bears its ending, and is none.
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("._")) {
                continue;
            }
            if file.is_dir() {
                aside.folders.push(file);
            } else if is_xml(&file) || (is_any_mask(&file) && !is_half_of_pair(&file)) {
                inside.push(file);
            } else if is_tabular(&file) {
                aside.tables.push(file);
            } else if !is_half_of_pair(&file) && !is_note(&file) {
                aside.others.push(file);
            }
        }
        if inside.is_empty() {
            tracing::warn!(folder = %path.display(), "no mask and no .xml file in this folder; name tables one by one");
        }
        if let Some(sentence) = aside.sentence() {
            tracing::warn!(folder = %path.display(), "{sentence}");
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Whether a file name is that of words about the others, or hidden.
fn is_note(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.starts_with('.')
        || ["readme", "license", "thumbs.db"].iter().any(|word| name.starts_with(word))
        || name.ends_with(".md")
}

/// Whether a file name is that of a table, or of data that is often kept as one.
fn is_tabular(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let is_known = |ending: &str| ["csv", "tsv", "xlsx", "xls", "ods", "parquet", "json", "fcsv"].contains(&ending);
    ending.as_deref().is_some_and(is_known)
}

/// What a named folder holds that may be meant, and is not read.
#[derive(Debug, Default)]
struct Aside {
    tables: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl Aside {
    /// Names, and how to give them; `None` where there is nothing.
    fn sentence(mut self) -> Option<String> {
        let told = |paths: &mut Vec<PathBuf>, what: &str| {
            paths.sort();
            let shown = 5;
            let mut names: Vec<String> = paths
                .iter()
                .take(shown)
                .filter_map(|path| Some(format!("`{}`", path.file_name()?.to_string_lossy())))
                .collect();
            if paths.len() > shown {
                names.push(format!("{} more", paths.len() - shown));
            }
            (!paths.is_empty()).then(|| format!("{what} ({}): {}", paths.len(), names.join(", ")))
        };
        let parts: Vec<String> =
            [told(&mut self.tables, "tables"), told(&mut self.folders, "folders")].into_iter().flatten().collect();
        let others = told(&mut self.others, "other files");
        let named = (!parts.is_empty())
            .then(|| format!("{} in this folder are not read; name each by an own --annotations", parts.join(" and ")));
        let left = others.map(|others| {
            format!("{others} are no masks and not read; DICOM objects (SEG, RTSTRUCT, SR) belong below --data")
        });
        let sentences: Vec<String> = [named, left].into_iter().flatten().collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_what_of_it_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.nrrd", "._a.nrrd", "._b.xml", "n.csv", "readme.txt", "6.parquet"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("more.nii.gz")).unwrap();
        let found = expand(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found, [folder.path().join("a.nrrd")], "neither what macOS leaves nor a folder is a mask");
        assert!(
            is_tabular(Path::new("N.CSV")) && is_tabular(Path::new("6.parquet")) && !is_tabular(Path::new("a.txt"))
        );
        let aside = |tables: usize, folders: usize| {
            let paths = |count: usize| (0..count).map(|n| PathBuf::from(format!("d/{n}"))).collect();
            Aside { tables: paths(tables), folders: paths(folders), others: Vec::new() }.sentence()
        };
        let others = Aside { others: vec!["seg.dcm".into(), "RS".into()], ..Aside::default() }.sentence().unwrap();
        assert!(others.contains("other files (2): `RS`, `seg.dcm` are no masks"), "{others}");
        assert!(is_note(Path::new("ReadMe.txt")) && is_note(Path::new(".DS_Store")) && !is_note(Path::new("RS")));
        assert_eq!(aside(0, 0), None);
        let said = aside(7, 1).unwrap();
        assert!(said.contains("tables (7): `0`, `1`, `2`, `3`, `4`, 2 more and folders (1): `0` in this"), "{said}");
    }
}
