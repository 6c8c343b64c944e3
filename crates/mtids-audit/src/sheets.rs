//! Contact sheets: what patches of each region and status look like, in three planes and the mediastinal window.
//!
//! Purpose: a wrong class or a shifted place is seen sooner than it is measured. Invariants: voxels are read only here, verified, a row group
//! at a time; one patch a patient, in the order of the index, so the same dataset gives the same sheets. Pictures are voxels of patients.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_report::picture::Picture;
use mtids_report::planes::{field_mm, three_planes};
use mtids_shards::{Dataset, View, read_row_group};
use polars::prelude::{SortMultipleOptions, col};

use crate::error::AuditError;
use crate::index::{Answer, Index, Rows};
use crate::opened::{Opened, open};

/// Pictures in a row of a sheet; each is three planes wide.
const COLUMNS: usize = 3;
/// Names of the statuses, by their codes.
const STATUSES: [&str; 2] = ["benign", "metastatic"];
/// Black pixels between pictures.
const GAP: usize = 6;

/// Patches of one region and status.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Region.
    pub region: String,
    /// `benign` or `metastatic`.
    pub status: &'static str,
    /// Keys of the patches, in the order of the pictures.
    pub keys: Vec<String>,
    /// Side of a plane, mm.
    pub field_mm: f64,
    /// The pictures, in rows.
    pub picture: Picture,
}

impl Sheet {
    /// Name of its file.
    pub fn file_name(&self) -> String {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        format!("{}-{}.png", self.region.chars().map(plain).collect::<String>(), self.status)
    }
}

/// Whether a file has the name of a sheet.
pub fn is_sheet(name: &str) -> bool {
    STATUSES.iter().any(|status| name.ends_with(&format!("-{status}.png")))
}

/// Removes the pictures or tables of an earlier run from their folder, so that none of another dataset stays beside new ones. Files whose name
/// is not `ours` stay, and a folder that is not there is none to look in.
///
/// # Errors
/// [`AuditError::Write`] naming what cannot be listed or removed.
pub fn remove_old(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<(), AuditError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| AuditError::Write { path, source }
    };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(fail(folder))?,
    };
    for entry in entries {
        let path = entry.map_err(fail(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ours(&name) {
            std::fs::remove_file(&path).map_err(fail(&path))?;
        }
    }
    Ok(())
}

/// A patch that was chosen, for a cell of the sheets or for itself.
struct Chosen<C> {
    cell: C,
    key: String,
    row: usize,
}

/// Region and status.
type Cell = (String, &'static str);
/// Chosen patches by shard and row group.
type ByRowGroup<C> = BTreeMap<RowGroup, Vec<Chosen<C>>>;
/// Path of a shard and number of a row group in it.
type RowGroup = (String, usize);

/// Pictures of rows by their keys, and the side of a plane in mm; none of a view without CT.
///
/// # Errors
/// As [`sheets`].
pub fn pictures_of(dataset: &Path, keys: &[&str]) -> Result<(BTreeMap<String, Picture>, f64), AuditError> {
    let dataset = open(dataset)?;
    let Some((number, view)) = nearest(&dataset) else { return Ok((BTreeMap::new(), 0.0)) };
    let columns = ["sample_key", "shard", "row_group", "row"];
    let answer = Index::open(&dataset)?.rows_of_keys(Rows::Findings, keys.iter().copied(), &columns)?;
    let (keys, places) = (answer.texts("sample_key")?, places(&answer)?);
    let mut chosen: ByRowGroup<()> = BTreeMap::new();
    for (key, place) in keys.into_iter().zip(places) {
        if let (Some(key), Some((place, row))) = (key, place) {
            chosen.entry(place).or_default().push(Chosen { cell: (), key, row });
        }
    }
    let mut pictures = BTreeMap::new();
    for ((shard, row_group), rows) in chosen {
        let read = read(&dataset, &shard, row_group, rows, number, view)?;
        pictures.extend(read.into_iter().map(|(chosen, picture)| (chosen.key, picture)));
    }
    Ok((pictures, field_mm(view)))
}

/// The view that shows the node largest, and its number.
fn nearest(dataset: &Dataset) -> Option<(usize, &View)> {
    let views = &dataset.manifest().description.views;
    views.iter().enumerate().min_by(|a, b| field_mm(a.1).total_cmp(&field_mm(b.1)))
}

/// Shard and row group, and the row in it, of each row of an answer.
fn places(answer: &Answer) -> Result<Vec<Option<(RowGroup, usize)>>, AuditError> {
    let (shards, groups, rows) = (answer.texts("shard")?, answer.counts("row_group")?, answer.counts("row")?);
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let place = |((shard, group), row): ((Option<String>, u64), u64)| Some(((shard?, number(group)), number(row)));
    Ok(shards.into_iter().zip(groups).zip(rows).map(place).collect())
}

/// Sheets of up to `most` patches of each region and status, in the order of the regions.
///
/// # Errors
/// [`AuditError`] for a dataset whose index or shards cannot be read, or do not fit each other.
pub fn sheets(Opened { dataset, index }: &Opened, most: usize) -> Result<Vec<Sheet>, AuditError> {
    let Some((number, view)) = nearest(dataset) else { return Ok(Vec::new()) };
    let chosen = choose(index, most)?;
    let mut pictures: BTreeMap<Cell, Vec<(String, Picture)>> = BTreeMap::new();
    for ((shard, row_group), rows) in chosen {
        for (chosen, picture) in read(dataset, &shard, row_group, rows, number, view)? {
            pictures.entry(chosen.cell).or_default().push((chosen.key, picture));
        }
    }
    let regions = dataset.manifest().description.regions.regions();
    let place = |name: &str| regions.iter().position(|region| region.name == name).unwrap_or(usize::MAX);
    let mut sheets: Vec<Sheet> = pictures
        .into_iter()
        .map(|((region, status), mut of_cell)| {
            of_cell.sort_by(|a, b| a.0.cmp(&b.0));
            let (keys, pictures): (Vec<String>, Vec<Picture>) = of_cell.into_iter().unzip();
            Sheet { region, status, keys, field_mm: field_mm(view), picture: Picture::sheet(&pictures, COLUMNS, GAP) }
        })
        .collect();
    sheets.sort_by_key(|sheet| (place(&sheet.region), sheet.status));
    Ok(sheets)
}

/// The first row of each patient in each cell, in the order of the file; of those the first ones, by shard and row group.
fn choose(index: &Index, most: usize) -> Result<ByRowGroup<Cell>, AuditError> {
    let cell = ["region_name", "metastasis"];
    let firsts = index.query(|frame| {
        let known = frame.filter(col("region_name").is_not_null().and(col("metastasis").is_not_null()));
        let keys = [col(cell[0]), col(cell[1]), col("patient_key")];
        let firsts = known.group_by(keys).agg([col("sample_key").min().alias("sample_key")]);
        firsts.sort([cell[0], cell[1], "sample_key"], SortMultipleOptions::default())
    })?;
    let cells = firsts.codes(cell[0])?.into_iter().zip(firsts.codes(cell[1])?).zip(firsts.codes("sample_key")?);
    let mut taken: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut rows = Vec::new();
    for (cell, row) in cells {
        let taken = taken.entry(cell).or_default();
        if *taken < most {
            *taken += 1;
            rows.push(row);
        }
    }
    let answer = index.rows_at(Rows::Findings, rows, &["sample_key", cell[0], cell[1], "shard", "row_group", "row"])?;
    let (regions, statuses) = (answer.texts(cell[0])?, answer.numbers(cell[1])?);
    let (keys, mut places) = (answer.texts("sample_key")?, places(&answer)?);
    let mut chosen: ByRowGroup<Cell> = BTreeMap::new();
    for n in 0..answer.len() {
        let (Some(region), Some(key), Some((place, row))) = (&regions[n], &keys[n], places[n].take()) else { continue };
        let cell = (region.clone(), STATUSES[usize::from(statuses[n] == Some(1.0))]);
        chosen.entry(place).or_default().push(Chosen { cell, key: key.clone(), row });
    }
    Ok(chosen)
}

/// Pictures of chosen rows of a row group; a view without CT has none.
fn read<C>(
    dataset: &Dataset,
    shard: &str,
    row_group: usize,
    rows: Vec<Chosen<C>>,
    number: usize,
    view: &View,
) -> Result<Vec<(Chosen<C>, Picture)>, AuditError> {
    let path = dataset.storage().place(shard);
    let differs = |detail: String| AuditError::Index { path: path.clone(), detail };
    let place = dataset.manifest().shards.iter().position(|entry| entry.path == shard);
    let place = place.ok_or_else(|| differs("the index names this shard, and the manifest does not".to_owned()))?;
    let group = read_row_group(dataset, place, row_group)?;
    let mut found = Vec::new();
    for chosen in rows {
        if group.labels.get(chosen.row).is_none_or(|labels| labels.sample_key != chosen.key) {
            let Chosen { row, key, .. } = &chosen;
            return Err(differs(format!("row {row} of row group {row_group} is not `{key}`, as the index says")));
        }
        let voxels = group.views.get(number).map(|voxels| voxels.row(chosen.row)).unwrap_or_default();
        found.extend(three_planes(view, voxels).map(|picture| (chosen, picture)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_of_an_earlier_audit_go_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let sheets = folder.path().join("sheets");
        remove_old(&sheets, is_sheet).unwrap();
        std::fs::create_dir(&sheets).unwrap();
        for name in ["upper-zone-benign.png", "hilar-metastatic.png", "photo.png", "notes-benign.txt"] {
            std::fs::write(sheets.join(name), b"x").unwrap();
        }
        remove_old(&sheets, is_sheet).unwrap();
        let left = std::fs::read_dir(&sheets).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(
            left.collect::<std::collections::BTreeSet<_>>(),
            ["notes-benign.txt", "photo.png"].map(str::to_owned).into()
        );
    }
}
