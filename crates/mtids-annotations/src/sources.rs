//! Every source of findings is read, and each finding placed in the series that it speaks of.
//!
//! Sources: DICOM SEG, RTSTRUCT and reports in the data folder; tables, mask files and PASCAL VOC boxes named by the user. Invariants: an
//! object that adds nothing is skipped for a stated reason or refused; a finding without image is counted; what names and codes mean is
//! said by the classes of the configuration alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mtids_dicom::annotation::{
    MaskFile, SliceBox, TableRow, findings_of_boxes, is_mask_file, read_mask, read_report, read_segmentation,
    read_structures, read_voc,
};
use mtids_dicom::{DicomError, Limits, ReasonCode, Refused};
use mtids_domain::annotation::Annotation;
use mtids_domain::geometry::{PointMm, Voxel};

use crate::classes::Classes;
use crate::config::BuildConfig;
use crate::error::PrepError;
use crate::join::{Candidate, Images, place_mask, place_row};
use crate::scan::Scan;
use crate::table_file::read_table_file;

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
    /// stands for the masks and `.xml` files in it; it may hold none.
    ///
    /// # Errors
    /// [`PrepError::Annotations`], [`PrepError::Table`], [`PrepError::Mask`] or [`PrepError::Boxes`], naming the file.
    pub fn read(paths: &[PathBuf], limits: &Limits) -> Result<Self, PrepError> {
        let mut sources = Self { paths: expand(paths)?, ..Self::default() };
        for path in &sources.paths {
            // To open a pipe would wait for a writer, to read a device might never end.
            if path.exists() && !path.is_file() {
                let source = std::io::Error::other("not a regular file");
                return Err(PrepError::Annotations { path: path.clone(), source });
            }
            if is_mask_file(path) {
                sources.masks.push((path.clone(), read_mask(path, limits)?));
                continue;
            }
            if is_xml(path) {
                sources.boxes.extend(read_voc(path)?);
                continue;
            }
            let read = read_table_file(path)?;
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

/// Folders become the masks and boxes in them, in the order of their names.
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
            if is_xml(&file) || is_mask_file(&file) {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            tracing::warn!(folder = %path.display(), "no mask and no .xml file in this folder; tables are named one by one");
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Findings in their series.
#[derive(Debug, Default)]
pub struct Placed {
    /// For each candidate, its findings, each with the number of its source.
    pub found: Vec<Vec<(usize, Annotation)>>,
    /// SEG, RTSTRUCT and SR objects whose findings were placed.
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
    images: &Images<'_>,
    sources: &Sources,
    config: &BuildConfig,
) -> Result<Placed, PrepError> {
    let classes = Classes::new(&config.classes)?;
    let limits = config.limits();
    let candidates = images.list();
    let mut placed = Placed { found: vec![Vec::new(); candidates.len()], ..Placed::default() };
    let mut number = 0;
    let mut segmentations = Vec::new();
    for path in std::mem::take(&mut scan.segmentations) {
        number += 1;
        if !config.read_segmentations {
            scan.skip(path, "segmentation-not-asked-for");
            continue;
        }
        match read_segmentation(&path, &limits) {
            Err(error) => scan.refused.push(refused(path, &error)),
            Ok(segmentation) => {
                segmentations.push(segmentation.clone());
                let findings = segmentation.into_findings();
                placed.account(scan, path, number, findings, &classes, images, "segmentation-of-no-series-here");
            }
        }
    }
    for path in std::mem::take(&mut scan.reports) {
        number += 1;
        if !config.read_reports {
            scan.skip(path, "report-not-asked-for");
            continue;
        }
        match read_report(&path, &limits) {
            Err(error) => scan.refused.push(refused(path, &error)),
            Ok(report) => {
                let findings = report.findings(&segmentations);
                placed.account(scan, path, number, findings, &classes, images, "report-of-no-segment-here");
            }
        }
    }
    for path in std::mem::take(&mut scan.structures) {
        number += 1;
        if classes.is_empty() {
            scan.skip(path, "structures-not-asked-for");
            continue;
        }
        match structures(&path, images, &classes, &limits) {
            Err(error) => scan.refused.push(refused(path, &error)),
            Ok(None) => scan.skip(path, "structures-of-no-series-here"),
            Ok(Some(findings)) => {
                placed.account(scan, path, number, findings, &classes, images, "no-structure-of-these-names");
            }
        }
    }
    for (path, mask) in &sources.masks {
        number += 1;
        match named(path, images).or_else(|| same_grid(mask, candidates)) {
            Some(at) => {
                let target = mtids_domain::annotation::AnnotationTarget {
                    series_uid: Some(candidates[at].series.series_uid.as_ref().to_owned()),
                    ..Default::default()
                };
                let findings =
                    mask.findings(&target, &limits)?.into_iter().filter_map(|finding| classes.apply(finding));
                placed.found[at].extend(findings.map(|finding| (number, finding)));
            }
            None => {
                tracing::warn!(mask = %path.display(), "no CT series, or more than one, has the grid of this mask, and its file name carries the SeriesInstanceUID of none; its findings are left out");
                placed.unmatched += mask.findings(&Default::default(), &limits)?.len() as u64;
            }
        }
    }
    if !sources.boxes.is_empty() {
        number += 1;
        place_boxes(&sources.boxes, candidates, number, &classes, &mut placed);
    }
    for rows in &sources.tables {
        number += 1;
        for row in rows {
            match place_row(row, images) {
                Some((at, annotation)) => placed.found[at].push((number, annotation)),
                None => placed.unmatched += 1,
            }
        }
    }
    Ok(placed)
}

impl Placed {
    /// Places the findings of an object that name their image, and accounts for the object: used where one of them was placed, else
    /// skipped for `reason`, or because the classes leave all of them out.
    #[expect(clippy::too_many_arguments, reason = "one account of one object; each argument is a different thing")]
    fn account(
        &mut self,
        scan: &mut Scan,
        path: PathBuf,
        source: usize,
        findings: Vec<Annotation>,
        classes: &Classes,
        images: &Images<'_>,
        reason: &str,
    ) {
        let had_some = !findings.is_empty();
        let chosen: Vec<Annotation> = findings.into_iter().filter_map(|finding| classes.apply(finding)).collect();
        let left_out = had_some && chosen.is_empty();
        let mut count = 0;
        for finding in chosen {
            match place_mask(&finding, images) {
                Some(at) => {
                    self.found[at].push((source, finding));
                    count += 1;
                }
                None => self.unmatched += 1,
            }
        }
        match count {
            0 if left_out => scan.skip(path, "left-out-by-classes"),
            0 => scan.skip(path, reason),
            _ => self.used_objects += 1,
        }
    }
}

/// Boxes are one source: those of one node stand in several files.
fn place_boxes(
    boxes: &[SliceBox],
    candidates: &[Candidate<'_>],
    number: usize,
    classes: &Classes,
    placed: &mut Placed,
) {
    let mut known = BTreeSet::new();
    for (found, candidate) in placed.found.iter_mut().zip(candidates) {
        let findings = findings_of_boxes(boxes, candidate.series, &candidate.affine);
        let findings = findings.into_iter().filter_map(|finding| classes.apply(finding));
        found.extend(findings.map(|finding| (number, finding)));
        known.extend(candidate.series.instances.iter().map(|instance| instance.sop_instance_uid.as_str()));
    }
    placed.unmatched += boxes.iter().filter(|one| !known.contains(one.sop_instance_uid.as_str())).count() as u64;
}

/// The chosen structures of an object as masks on the grid of their image; `None` when that image is not here.
fn structures(
    path: &Path,
    images: &Images<'_>,
    classes: &Classes,
    limits: &Limits,
) -> Result<Option<Vec<Annotation>>, DicomError> {
    let mut set = read_structures(path, limits)?;
    set.regions.retain(|region| classes.asks_for(&region.name));
    let target = &set.target;
    // Of several volumes under one UID, the one that holds most of what was drawn.
    let points = || set.regions.iter().flat_map(|region| &region.contours).flat_map(|contour| &contour.points);
    let held = |candidate: &&Candidate<'_>| points().filter(|point| candidate.holds(**point)).count();
    let best = |numbers: &[usize]| numbers.iter().map(|&n| &images.list()[n]).rev().max_by_key(held);
    let by_name = target.series_uid.as_deref().and_then(|uid| best(images.of_series(uid)));
    let by_frame = || target.frame_of_reference_uid.as_deref().and_then(|uid| best(images.of_frame(uid)));
    let Some(image) = by_name.or_else(by_frame) else { return Ok(None) };
    set.findings(&image.affine, image.dimensions(), limits).map(Some).map_err(|detail| DicomError::File {
        path: path.to_owned(),
        reason: ReasonCode::InvalidStructures,
        detail,
    })
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

/// The one series whose UID the name of a mask file carries: so a mask on a grid of its own (resampled, cropped) says whose it is. Places
/// alone would not do, since the coordinates of one patient's chest are those of another's.
fn named(path: &Path, images: &Images<'_>) -> Option<usize> {
    let name = path.file_name()?.to_string_lossy();
    // A UID that goes on in the name is another one.
    let parts = name.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|part| part.trim_matches('.'));
    let fitting: BTreeSet<usize> = parts.flat_map(|uid| images.of_series(uid).iter().copied()).collect();
    match fitting.len() {
        1 => fitting.first().copied(),
        _ => None,
    }
}

fn refused(path: PathBuf, error: &DicomError) -> Refused {
    Refused { path, series_uid: None, patient_id: None, reason: error.reason(), detail: error.detail().to_owned() }
}
