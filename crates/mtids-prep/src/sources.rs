//! Every source of findings is read, and each finding placed in the series that it speaks of.
//!
//! Sources: DICOM SEG and RTSTRUCT in the data folder; tables, mask files and PASCAL VOC boxes named by the user. Invariants: an object that adds nothing is
//! skipped for a stated reason or refused; a finding without image is counted; names choose structures and may carry a station, they are
//! never a status.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mtids_core::annotation::Annotation;
use mtids_core::geometry::{PointMm, Voxel};
use mtids_core::taxonomy::Station;
use mtids_dicom::annotation::{
    MaskFile, SliceBox, TableRow, findings_of_boxes, is_mask_file, read_mask, read_segmentation, read_structures,
    read_voc, table,
};
use mtids_dicom::{DicomError, Limits, ReasonCode, Refused};
use regex::Regex;

use crate::config::BuildConfig;
use crate::error::PrepError;
use crate::join::{Candidate, place_mask, place_row};
use crate::scan::Scan;

/// What the user names: tables, mask files and boxes, read.
#[derive(Debug, Default)]
pub struct Sources {
    paths: Vec<PathBuf>,
    tables: Vec<Vec<TableRow>>,
    masks: Vec<(PathBuf, MaskFile)>,
    boxes: Vec<SliceBox>,
}

impl Sources {
    /// Reads every file; the ending `.nii`, `.nii.gz` or `.nrrd` makes it a mask, `.xml` boxes of a slice, anything else a table. A folder
    /// stands for the `.xml` files in it.
    ///
    /// # Errors
    /// [`PrepError::Annotations`], [`PrepError::Table`], [`PrepError::Mask`] or [`PrepError::Boxes`], naming the file.
    pub fn read(paths: &[PathBuf], limits: &Limits) -> Result<Self, PrepError> {
        let mut sources = Self { paths: expand(paths)?, ..Self::default() };
        for path in &sources.paths {
            if is_mask_file(path) {
                sources.masks.push((path.clone(), read_mask(path, limits)?));
                continue;
            }
            if is_xml(path) {
                sources.boxes.extend(read_voc(path)?);
                continue;
            }
            let read = table::read(path)?;
            if !read.ignored_columns.is_empty() {
                tracing::warn!(table = %path.display(), columns = read.ignored_columns.join(", "), "columns that mean nothing here");
            }
            sources.tables.push(read.rows);
        }
        Ok(sources)
    }

    /// Every file that was read.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

fn is_xml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml"))
}

/// Folders become the boxes in them, in the order of their names.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, PrepError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |source| PrepError::Annotations { path: path.clone(), source };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if is_xml(&file) {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            let nothing = "no .xml file in this folder; name tables and masks one by one";
            return Err(unreadable(std::io::Error::other(nothing)));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Which structures are findings, and at which station, by their names.
#[derive(Debug)]
pub struct StructureNames(Vec<Regex>);

impl StructureNames {
    /// Compiles the patterns of a configuration.
    ///
    /// # Errors
    /// [`PrepError::Config`] with the pattern and what is wrong with it.
    pub fn new(patterns: &[String]) -> Result<Self, PrepError> {
        let compile = |pattern: &String| {
            Regex::new(pattern).map_err(|error| PrepError::Config {
                key: "structure_names".into(),
                reason: format!("`{pattern}`: {error}"),
            })
        };
        Ok(Self(patterns.iter().map(compile).collect::<Result<_, _>>()?))
    }

    /// `None` for a name that no pattern fits; else the station that the group `station` of the first fitting pattern names, if any.
    pub fn find(&self, name: &str) -> Option<Option<Station>> {
        let captures = self.0.iter().find_map(|pattern| pattern.captures(name))?;
        Some(captures.name("station").and_then(|station| station.as_str().parse().ok()))
    }
}

/// Findings in their series.
#[derive(Debug, Default)]
pub struct Placed {
    /// For each candidate, its findings, each with the number of its source.
    pub found: Vec<Vec<(usize, Annotation)>>,
    /// SEG and RTSTRUCT objects whose findings were placed.
    pub used_objects: u64,
    /// Findings without image.
    pub unmatched: u64,
}

/// Reads the objects of a scan and places all findings; moves what adds nothing into the scan's accounts.
///
/// # Errors
/// [`PrepError::Config`] for a pattern that does not compile.
pub fn place(
    scan: &mut Scan,
    candidates: &[Candidate<'_>],
    sources: &Sources,
    config: &BuildConfig,
) -> Result<Placed, PrepError> {
    let names = StructureNames::new(&config.structure_names)?;
    let limits = config.limits();
    let mut placed = Placed { found: vec![Vec::new(); candidates.len()], ..Placed::default() };
    let mut number = 0;
    for path in std::mem::take(&mut scan.segmentations) {
        number += 1;
        if !config.read_segmentations {
            scan.skip(path, "segmentation-not-asked-for");
            continue;
        }
        match read_segmentation(&path, &limits) {
            Err(error) => scan.refused.push(refused(path, &error)),
            Ok(mut findings) => {
                for finding in &mut findings {
                    finding.station = finding.station.or(names.find(&finding.finding).flatten());
                }
                if placed.add(number, findings, candidates) > 0 {
                    placed.used_objects += 1;
                } else {
                    scan.skip(path, "segmentation-of-no-series-here");
                }
            }
        }
    }
    for path in std::mem::take(&mut scan.structures) {
        number += 1;
        if config.structure_names.is_empty() {
            scan.skip(path, "structures-not-asked-for");
            continue;
        }
        match structures(&path, candidates, &names, &limits) {
            Err(error) => scan.refused.push(refused(path, &error)),
            Ok(None) => scan.skip(path, "structures-of-no-series-here"),
            Ok(Some(findings)) if findings.is_empty() => scan.skip(path, "no-structure-of-these-names"),
            Ok(Some(findings)) => {
                placed.add(number, findings, candidates);
                placed.used_objects += 1;
            }
        }
    }
    for (path, mask) in &sources.masks {
        number += 1;
        match same_grid(mask, candidates) {
            Some(at) => {
                let target = mtids_core::annotation::AnnotationTarget {
                    series_uid: Some(candidates[at].series.series_uid.clone()),
                    ..Default::default()
                };
                placed.found[at].extend(mask.findings(&target).into_iter().map(|finding| (number, finding)));
            }
            None => {
                tracing::warn!(mask = %path.display(), "no CT series, or more than one, has the grid of this mask; its findings are left out");
                placed.unmatched += mask.findings(&Default::default()).len() as u64;
            }
        }
    }
    if !sources.boxes.is_empty() {
        number += 1;
        place_boxes(&sources.boxes, candidates, number, &mut placed);
    }
    for rows in &sources.tables {
        number += 1;
        for row in rows {
            match place_row(row, candidates) {
                Some((at, annotation)) => placed.found[at].push((number, annotation)),
                None => placed.unmatched += 1,
            }
        }
    }
    Ok(placed)
}

impl Placed {
    /// Places findings that name their image; returns how many found it.
    fn add(&mut self, source: usize, findings: Vec<Annotation>, candidates: &[Candidate<'_>]) -> usize {
        let mut count = 0;
        for finding in findings {
            match place_mask(&finding, candidates) {
                Some(at) => {
                    self.found[at].push((source, finding));
                    count += 1;
                }
                None => self.unmatched += 1,
            }
        }
        count
    }
}

/// Boxes are one source: those of one node stand in several files.
fn place_boxes(boxes: &[SliceBox], candidates: &[Candidate<'_>], number: usize, placed: &mut Placed) {
    let mut known = BTreeSet::new();
    for (found, candidate) in placed.found.iter_mut().zip(candidates) {
        let findings = findings_of_boxes(boxes, candidate.series, &candidate.affine);
        found.extend(findings.into_iter().map(|finding| (number, finding)));
        known.extend(candidate.series.instances.iter().map(|instance| instance.sop_instance_uid.as_str()));
    }
    placed.unmatched += boxes.iter().filter(|one| !known.contains(one.sop_instance_uid.as_str())).count() as u64;
}

/// The chosen structures of an object as masks on the grid of their image; `None` when that image is not here.
fn structures(
    path: &Path,
    candidates: &[Candidate<'_>],
    names: &StructureNames,
    limits: &Limits,
) -> Result<Option<Vec<Annotation>>, DicomError> {
    let mut set = read_structures(path, limits)?;
    set.regions.retain(|region| names.find(&region.name).is_some());
    let target = &set.target;
    let named = |candidate: &&Candidate<'_>| target.series_uid.as_ref() == Some(&candidate.series.series_uid);
    let framed = |candidate: &&Candidate<'_>| candidate.shares_frame(target);
    let Some(image) = candidates.iter().find(named).or_else(|| candidates.iter().find(framed)) else { return Ok(None) };
    let mut findings = set.findings(&image.affine, image.dimensions()).map_err(|detail| DicomError::File {
        path: path.to_owned(),
        reason: ReasonCode::InvalidStructures,
        detail,
    })?;
    for finding in &mut findings {
        finding.station = names.find(&finding.finding).flatten();
    }
    Ok(Some(findings))
}

/// The one series whose grid has the corners of the mask's grid, in whatever order its axes run.
fn same_grid(mask: &MaskFile, candidates: &[Candidate<'_>]) -> Option<usize> {
    let corners = |to_mm: &dyn Fn(Voxel) -> PointMm, dimensions: [usize; 3]| -> Vec<[f64; 3]> {
        let corner = |n: usize| {
            to_mm(Voxel(std::array::from_fn(
                |axis| if n >> axis & 1 == 1 { dimensions[axis] as f64 - 1.0 } else { 0.0 },
            )))
            .0
        };
        (0..8).map(corner).collect()
    };
    let of_mask = corners(&|voxel| mask.affine.to_mm(voxel), mask.dimensions);
    let fits = |candidate: &Candidate<'_>| {
        let voxels = candidate.dimensions().iter().product::<usize>();
        let tolerance = 0.1 * candidate.affine.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let near = |a: &[f64; 3], b: &[f64; 3]| PointMm(*a).distance(PointMm(*b)) <= tolerance;
        let of_series = corners(&|voxel| candidate.affine.to_mm(voxel), candidate.dimensions());
        voxels == mask.dimensions.iter().product::<usize>()
            && of_series.iter().all(|a| of_mask.iter().any(|b| near(a, b)))
    };
    let mut fitting = candidates.iter().enumerate().filter(|(_, candidate)| fits(candidate)).map(|(at, _)| at);
    // Two series with one grid (two patients cropped alike): the file cannot say which, and a guess would be a wrong label.
    fitting.next().filter(|_| fitting.next().is_none())
}

fn refused(path: PathBuf, error: &DicomError) -> Refused {
    Refused { path, series_uid: None, patient_id: None, reason: error.reason(), detail: error.detail().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_structures_and_may_carry_a_station() {
        let names = StructureNames::new(&[r"(?i)^LN[ _-]?(?<station>\d+[RL]?)$".into(), "^GTVn".into()]).unwrap();
        assert_eq!(names.find("ln_4R"), Some(Some(Station::S4R)));
        assert_eq!(names.find("LN 99"), Some(None), "no such station: unknown");
        assert_eq!(names.find("GTVn2"), Some(None));
        assert_eq!(names.find("Heart"), None);
        let error = StructureNames::new(&["(".into()]).unwrap_err().to_string();
        assert!(error.contains("structure_names") && error.contains("`(`"), "{error}");
    }
}
