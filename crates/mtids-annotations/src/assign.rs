//! Which series a finding speaks of.
//!
//! Purpose: an index over all series of a build, because a row of a large table must not be compared with every series. Invariant: where
//! two series fit alike, none is taken: a guess would be a wrong label.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::OnceLock;

use mtids_domain::annotation::Annotation;
use mtids_domain::geometry::PointMm;

use crate::geometry::{SeriesGeometry, grid_corners};
use crate::label_grid::MaskFile;
use crate::segmentation::Segmentation;
use crate::structures::StructureSet;
use crate::table::row::{TablePosition, TableRow};

/// Series by what findings say of theirs; numbers are those of the list.
#[derive(Debug)]
pub struct SeriesIndex<'a> {
    list: &'a [SeriesGeometry<'a>],
    by_series: HashMap<&'a str, Vec<usize>>,
    by_study: HashMap<&'a str, Vec<usize>>,
    by_frame: HashMap<&'a str, Vec<usize>>,
    by_slice: OnceLock<HashMap<&'a str, Vec<usize>>>,
}

impl<'a> SeriesIndex<'a> {
    /// An index over a list of series.
    pub fn new(list: &'a [SeriesGeometry<'a>]) -> Self {
        let index = |name: fn(&SeriesGeometry<'a>) -> Option<&'a str>| {
            let mut index: HashMap<&'a str, Vec<usize>> = HashMap::new();
            for (n, series) in list.iter().enumerate() {
                if let Some(name) = name(series) {
                    index.entry(name).or_default().push(n);
                }
            }
            index
        };
        Self {
            by_series: index(|series| Some(series.series_uid)),
            by_study: index(|series| Some(series.study_uid)),
            by_frame: index(|series| series.frame_of_reference_uid),
            by_slice: OnceLock::new(),
            list,
        }
    }

    /// The series of a table row, and the finding in it.
    pub fn assign_row(&self, row: &TableRow) -> Option<(usize, Annotation)> {
        let targets = || self.near(row).iter().copied().filter(|&n| is_target_of(&self.list[n], row));
        // A voxel index means another place in each volume under one series UID.
        if matches!(row.position, TablePosition::Voxel(..)) && targets().count() > 1 {
            return None;
        }
        targets().find_map(|n| {
            let annotation = row.resolve(&self.list[n])?;
            self.list[n].holds(annotation.center).then_some((n, annotation))
        })
    }

    /// The series of a finding of a DICOM object.
    pub fn assign_annotation(&self, annotation: &Annotation) -> Option<usize> {
        let target = &annotation.target;
        let first = |numbers: &[usize]| numbers.iter().copied().find(|&n| self.list[n].holds(annotation.center));
        let by_series = target.series_uid.as_deref().and_then(|uid| first(self.of_series(uid)));
        // A mask may refer to a series that is not here (a copy, a re-export); the frame of reference then decides.
        by_series.or_else(|| target.frame_of_reference_uid.as_deref().and_then(|uid| first(self.of_frame(uid))))
    }

    /// The one series that a segmentation names.
    pub fn assign_segmentation(&self, segmentation: &Segmentation) -> Option<usize> {
        match self.of_series(segmentation.target.series_uid.as_deref()?) {
            &[at] => Some(at),
            _ => None,
        }
    }

    /// The series that structures were drawn on: of several volumes under one UID, the one that holds most of the points.
    pub fn assign_structures(&self, set: &StructureSet) -> Option<usize> {
        let points = || set.regions.iter().flat_map(|region| &region.contours).flat_map(|contour| &contour.points);
        let held = |&n: &usize| points().filter(|point| self.list[n].holds(**point)).count();
        let best = |numbers: &[usize]| numbers.iter().copied().rev().max_by_key(held);
        let by_series = set.target.series_uid.as_deref().and_then(|uid| best(self.of_series(uid)));
        by_series.or_else(|| set.target.frame_of_reference_uid.as_deref().and_then(|uid| best(self.of_frame(uid))))
    }

    /// The series of a mask file: by a UID in its name, else by its grid.
    pub fn assign_mask_file(&self, path: &Path, mask: &MaskFile) -> Option<usize> {
        self.with_uid_in_name(path).or_else(|| self.with_grid_of(mask))
    }

    /// The one series whose UID the name of a file carries: so a mask on a grid of its own (resampled, cropped) says whose it is. Places
    /// alone would not do, since the coordinates of one patient's chest are those of another's.
    fn with_uid_in_name(&self, path: &Path) -> Option<usize> {
        let name = path.file_name()?.to_string_lossy();
        // A UID that goes on in the name is another one.
        let parts = name.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|part| part.trim_matches('.'));
        let fitting: BTreeSet<usize> = parts.flat_map(|uid| self.of_series(uid).iter().copied()).collect();
        match fitting.len() {
            1 => fitting.first().copied(),
            _ => None,
        }
    }

    /// The one series whose grid has the corners of the mask's grid, in whatever order its axes run.
    fn with_grid_of(&self, mask: &MaskFile) -> Option<usize> {
        let of_mask = grid_corners(&mask.affine, mask.dimensions);
        let fits = |series: &SeriesGeometry<'_>| {
            let tolerance = 0.1 * series.affine.spacing().into_iter().fold(f64::INFINITY, f64::min);
            let near = |a: &PointMm, b: &PointMm| a.distance(*b) <= tolerance;
            series.dimensions.iter().product::<usize>() == mask.dimensions.iter().product::<usize>()
                && series.corners().iter().all(|a| of_mask.iter().any(|b| near(a, b)))
        };
        let mut fitting = self.list.iter().enumerate().filter(|(_, series)| fits(series)).map(|(n, _)| n);
        // Two series with one grid (two patients cropped alike): the file cannot say which, and a guess would be a wrong label.
        fitting.next().filter(|_| fitting.next().is_none())
    }

    fn of_series(&self, uid: &str) -> &[usize] {
        self.by_series.get(uid).map_or(&[], Vec::as_slice)
    }

    fn of_frame(&self, uid: &str) -> &[usize] {
        self.by_frame.get(uid).map_or(&[], Vec::as_slice)
    }

    /// The series that a row may speak of: by series, else by study, else by slice.
    fn near(&self, row: &TableRow) -> &[usize] {
        let found = match (&row.target.series_uid, &row.target.study_uid, &row.sop_instance_uid) {
            (Some(uid), _, _) => self.by_series.get(uid.as_str()),
            (None, Some(uid), _) => self.by_study.get(uid.as_str()),
            (None, None, Some(uid)) => self.slices().get(uid.as_str()),
            (None, None, None) => None,
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// Made when the first row names a slice and nothing else.
    fn slices(&self) -> &HashMap<&'a str, Vec<usize>> {
        self.by_slice.get_or_init(|| {
            let mut index: HashMap<&'a str, Vec<usize>> = HashMap::new();
            for (n, series) in self.list.iter().enumerate() {
                for uid in series.slices.iter() {
                    let of_slice = index.entry(uid).or_default();
                    // Frames of one object share its UID.
                    if of_slice.last() != Some(&n) {
                        of_slice.push(n);
                    }
                }
            }
            index
        })
    }
}

/// Whether a row speaks of a series: by series or study, and by a slice where one is given.
fn is_target_of(series: &SeriesGeometry<'_>, row: &TableRow) -> bool {
    let target = &row.target;
    match &row.sop_instance_uid {
        Some(uid) => {
            let names_no_image = target.series_uid.is_none() && target.study_uid.is_none();
            (series.is_target(target) || names_no_image) && series.slices.iter().any(|slice| slice == uid)
        }
        None => series.is_target(target),
    }
}
