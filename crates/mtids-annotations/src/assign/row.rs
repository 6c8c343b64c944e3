//! The series of a row of a table, and why a row has none.
//!
//! Units: LPS mm, voxels from 0. Invariant: a row that has no image is told the nearest series, and what would bring its place into it.

use mtids_domain::annotation::Annotation;
use mtids_domain::geometry::{PointMm, Voxel};

use super::{Chosen, NoImage, SeriesIndex};
use crate::geometry::SeriesGeometry;
use crate::plausible;
use crate::reject::RejectReason;
use crate::table::row::{TablePosition, TableRow};

/// A UID with fewer characters than this is not taken for the beginning of another.
const SHORTEST_PREFIX: usize = 12;

/// A place may lie so many steps of the slices from the slice that its row names: one, and what rounding adds.
const MOST_STEPS: f64 = 1.01;

/// A whole index of a slice names that slice, and no other one; the planes of a repaired series are rounded.
const MOST_STEPS_OF_INDEX: f64 = 0.5;

/// Codes for unknown, signs aside.
const CODES: [f64; 12] = [8.0, 9.0, 77.0, 88.0, 98.0, 99.0, 777.0, 888.0, 998.0, 999.0, 8888.0, 9999.0];

/// A place nearer to the origin than this on every axis is no place of a chest, mm: the coordinates of scanners are centred elsewhere.
pub(crate) const ORIGIN_MM: f64 = 1.0;

impl SeriesIndex<'_> {
    /// The series of a row, and the finding in it.
    ///
    /// # Errors
    /// [`NoImage`] with the likely cause.
    pub fn assign_row(&self, row: &TableRow) -> Result<(Chosen, Annotation), NoImage> {
        let named: Vec<usize> = self.near(row).iter().copied().filter(|&n| is_target_of(&self.list[n], row)).collect();
        if named.is_empty() {
            return Err(self.not_here(row));
        }
        let mut targets = named.clone();
        if let Some(patient_id) = &row.target.patient_id {
            targets.retain(|&n| self.is_patient(n, patient_id));
            if targets.is_empty() {
                let of = self.list[named[0]].patient_id;
                let detail = format!(
                    "the row is of patient {patient_id}, and its image is of patient {of}; correct one of them"
                );
                return Err(NoImage::new(RejectReason::OtherPatient, detail));
            }
        }
        let targets = self.agreeing(row, targets)?;
        if let Some(detail) = fault_of_place(row) {
            return Err(NoImage::new(RejectReason::OutsideImage, detail));
        }
        // A voxel index means another place in each volume under one series UID.
        if matches!(row.position, TablePosition::Voxel(..)) && targets.len() > 1 {
            let detail =
                "several volumes have this series UID, so a voxel index has no one place; give the place in mm";
            return Err(NoImage::new(RejectReason::SeveralImages, detail));
        }
        let mut held: Vec<(usize, Annotation)> = targets
            .iter()
            .filter_map(|&n| Some((n, row.resolve(&self.list[n])?)))
            .filter(|(n, annotation)| self.list[*n].holds(annotation.center))
            .collect();
        let numbers: Vec<usize> = held.iter().map(|(n, _)| *n).collect();
        let Some(chosen) = self.choose(&numbers)? else { return Err(self.outside(row, &targets)) };
        let at = held.iter().position(|(n, _)| *n == chosen.series).unwrap_or(0);
        let (_, annotation) = held.swap_remove(at);
        self.check_slice(row, &chosen, &annotation)?;
        if let Some((reason, detail)) = plausible::fault_of(&annotation) {
            return Err(NoImage::new(reason, detail));
        }
        Ok((chosen, annotation))
    }

    /// Of the series that a row names, those whose study and frame of reference are what the row says too.
    ///
    /// # Errors
    /// [`NoImage`] where there is none: the row may be of another copy of the study.
    fn agreeing(&self, row: &TableRow, named: Vec<usize>) -> Result<Vec<usize>, NoImage> {
        type Uid<'a> = fn(&SeriesGeometry<'a>) -> Option<&'a str>;
        let mut agreeing = named;
        let study: Uid<'_> = |series| Some(series.study_uid);
        let frame: Uid<'_> = |series| series.frame_of_reference_uid;
        for (said, of, what) in
            [(&row.target.study_uid, study, "study"), (&row.target.frame_of_reference_uid, frame, "frame of reference")]
        {
            let Some(said) = said else { continue };
            let first = agreeing.first().map(|&n| &self.list[n]);
            agreeing.retain(|&n| of(&self.list[n]) == Some(said));
            if let (true, Some(series)) = (agreeing.is_empty(), first) {
                let (name, has) = (series.series_uid, of(series).unwrap_or("none"));
                let detail =
                    format!("the row names {what} {said}, and that of its series {name} is {has}; correct one of them");
                return Err(NoImage::new(RejectReason::ImageNotHere, detail));
            }
        }
        Ok(agreeing)
    }

    /// Compares the place of a row with the slice that it names too.
    ///
    /// # Errors
    /// [`NoImage`] where they lie more than a step of the slices apart, or a whole index is that of another slice: one of them is wrong, and nobody
    /// knows which.
    fn check_slice(&self, row: &TableRow, chosen: &Chosen, annotation: &Annotation) -> Result<(), NoImage> {
        let series = &self.list[chosen.series];
        let (Some(uid), TablePosition::Mm(..) | TablePosition::Voxel(..)) = (&row.sop_instance_uid, row.position)
        else {
            return Ok(());
        };
        let [i, j, k] = series.affine.to_voxel(annotation.center).0;
        // The slices of a repaired series do not lie at the indices of its grid; the frames of an enhanced CT share their UID.
        let on_grid = |slice: usize| series.affine.to_voxel(series.image_to_mm(Voxel([i, j, slice as f64]))).0[2];
        let named = series.slices.iter().enumerate().filter(|(_, known)| known == uid);
        let steps = named.map(|(slice, _)| (on_grid(slice) - k).abs()).fold(f64::INFINITY, f64::min);
        let has_whole_index = matches!(row.position, TablePosition::Voxel([.., slice], _) if slice.fract() == 0.0);
        if steps <= if has_whole_index { MOST_STEPS_OF_INDEX } else { MOST_STEPS } {
            return Ok(());
        }
        let mm = steps * series.affine.spacing()[2];
        let cause = match has_whole_index && steps < 1.5 {
            true => ": does `k` count from 1 (column `index_base`: 1)? Else correct one of them",
            false => "; correct one of them",
        };
        let detail = format!("its place lies {mm:.1} mm from slice {uid}, which the row names too{cause}");
        Err(NoImage::new(RejectReason::OutsideImage, detail))
    }

    /// The series that a row may speak of: by series, else by study, else by slice.
    fn near(&self, row: &TableRow) -> &[usize] {
        match (&row.target.series_uid, &row.target.study_uid, &row.sop_instance_uid) {
            (Some(uid), _, _) => self.of_series(uid),
            (None, Some(uid), _) => self.of_study(uid),
            (None, None, Some(uid)) => self.of_slice(uid),
            (None, None, None) => &[],
        }
    }

    /// Why no series is the one that a row names.
    fn not_here(&self, row: &TableRow) -> NoImage {
        let target = &row.target;
        let (series_uid, study_uid) = (target.series_uid.as_deref(), target.study_uid.as_deref());
        if let Some(image) = self.refused(series_uid, study_uid) {
            let detail = format!("its series {} is here and was refused: {}", image.series_uid, image.reason);
            return NoImage::new(RejectReason::ImageRefused, detail);
        }
        if !self.near(row).is_empty() {
            let detail = "its series is here, and has no slice or frame of reference as the row names";
            return NoImage::new(RejectReason::ImageNotHere, detail);
        }
        let (what, uid) = match (series_uid, study_uid) {
            (Some(uid), _) => ("series", uid),
            (None, Some(uid)) => ("study", uid),
            (None, None) => ("slice", row.sop_instance_uid.as_deref().unwrap_or_default()),
        };
        let cause = self.cause_of_uid(what, uid).unwrap_or_else(|| self.nearest(row));
        NoImage::new(
            RejectReason::ImageNotHere,
            format!("{what} {uid} is no CT {what} of the data folder (PET and MR bear no findings); {cause}"),
        )
    }

    /// What a UID is, if it is not what its column says.
    fn cause_of_uid(&self, what: &str, uid: &str) -> Option<String> {
        let upper = uid.to_uppercase();
        if upper.contains("E+") {
            return Some(
                "a spreadsheet has turned the UID into a number; format the column as text, and enter it again".into(),
            );
        }
        if what != "study" && !self.of_study(uid).is_empty() {
            return Some("it is the UID of a study here; name the column study_uid".into());
        }
        if what != "series" && !self.of_series(uid).is_empty() {
            return Some("it is the UID of a series here; name the column series_uid".into());
        }
        if what != "slice" && !self.of_slice(uid).is_empty() {
            return Some("it is the UID of a slice here; name the column sop_instance_uid".into());
        }
        let begins = |known: &&str| known.starts_with(uid) && uid.len() >= SHORTEST_PREFIX;
        let known = self.list.iter().map(|series| if what == "study" { series.study_uid } else { series.series_uid });
        let cut = known.filter(begins).min()?;
        Some(format!("it looks cut off: {cut} begins so; enter the whole UID as text"))
    }

    /// The series that lies nearest to the place of a row.
    fn nearest(&self, row: &TableRow) -> String {
        let TablePosition::Mm(place, _) = row.position else { return "compare it with `mtids-prep inventory`".into() };
        let distances = self.list.iter().map(|series| (series.distance_to(place), series));
        let nearest = distances.min_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.series_uid.cmp(b.1.series_uid)));
        match nearest {
            None => "no CT here can be used".into(),
            Some((0.0, series)) => format!("series {} holds its place, but it is not named", series.series_uid),
            Some((mm, series)) => format!("the nearest series is {}, {mm:.1} mm from its place", series.series_uid),
        }
    }

    /// How far the place of a row lies from the nearest of its series, and what would bring it inside.
    fn outside(&self, row: &TableRow, targets: &[usize]) -> NoImage {
        let series = targets.iter().map(|&n| &self.list[n]);
        let distance = |series: &SeriesGeometry<'_>| {
            row.resolve(series).map_or(f64::INFINITY, |annotation| series.distance_to(annotation.center))
        };
        let nearest = series.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let reject = |detail| NoImage::new(RejectReason::OutsideImage, detail);
        let Some(series) = nearest else { return reject("its series has no slice".to_owned()) };
        let Some(annotation) = row.resolve(series) else {
            return reject(format!("series {} has no slice with this UID, or several", series.series_uid));
        };
        let place = annotation.center.0.map(|x| format!("{x:.1}")).join(", ");
        let causes = likely_causes(row, series);
        let cause = match causes.as_slice() {
            [] => "no common mistake of coordinates brings it inside; is it the place of another image?".to_owned(),
            causes => format!("it would lie inside with {}", causes.join("; or with ")),
        };
        let distance = series.distance_to(annotation.center);
        reject(format!("({place}) lies {distance:.1} mm outside series {}; {cause}", series.series_uid))
    }
}

/// Why the place of a row cannot be meant as one, though it lies in most images: empty cells that became 0, codes for unknown, or parts of 1.
fn fault_of_place(row: &TableRow) -> Option<String> {
    let index: &[f64] = match &row.position {
        TablePosition::Mm(PointMm(place), _) => {
            let is_at_origin = place.iter().all(|mm| mm.abs() <= ORIGIN_MM);
            let text = place.map(|mm| (mm + 0.0).to_string()).join(", ");
            let [x, y, z] = *place;
            if x == y && y == z && CODES.contains(&x.abs()) {
                return Some(format!(
                    "({text}) mm is one code for unknown three times, and no place: leave the cells empty"
                ));
            }
            return is_at_origin.then(|| {
                format!(
                    "({text}) mm lies at the origin of coordinates, where no node lies: were its cells empty, is it a code for unknown, in parts of \
                     the sides of the image, or in m?"
                )
            });
        }
        TablePosition::Voxel(index, _) => index,
        TablePosition::Pixel(index) => index,
    };
    let place = index.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    if index.iter().all(|x| *x == 0.0) {
        return Some(format!(
            "({place}) is the first voxel of the image or slice, where no node lies; were its cells empty?"
        ));
    }
    let is_part = index.iter().all(|x| (0.0..=1.0).contains(x)) && index.iter().any(|x| x.fract() != 0.0);
    is_part.then(|| format!("({place}) seems to be in parts of the sides of the image; write indices of voxels"))
}

/// What would bring the place of a row into a series: at most three causes, the most common first.
fn likely_causes(row: &TableRow, series: &SeriesGeometry<'_>) -> Vec<String> {
    let holds = |place: [f64; 3]| series.holds(PointMm(place));
    let holds_index = |index: [f64; 3]| Voxel(index).nearest(series.dimensions).is_some();
    let mut causes: Vec<(bool, &str)> = Vec::new();
    match row.position {
        TablePosition::Mm(PointMm([x, y, z]), _) => {
            causes.extend([
                (holds([-x, -y, z]), "RAS coordinates turned to LPS (column `space`: RAS)"),
                (holds_index([x, y, z]), "a voxel index instead of mm (columns i, j, k)"),
                (holds([y, x, z]), "x and y swapped"),
                (holds([z, y, x]), "x and z swapped (the order z, y, x)"),
                (holds([-y, -x, z]), "x and y swapped and RAS turned to LPS"),
                (holds([-z, -y, x]) || holds([z, -y, -x]), "the order z, y, x and other signs"),
                (holds([-x, y, z]), "the sign of x turned"),
                (holds([x, -y, z]), "the sign of y turned"),
                (holds([x, y, -z]), "the sign of z turned"),
                (holds([-x, -y, -z]), "all signs turned"),
                (holds([x * 10.0, y * 10.0, z * 10.0]), "cm instead of mm"),
                (holds([x * 1000.0, y * 1000.0, z * 1000.0]), "m instead of mm"),
            ]);
        }
        TablePosition::Voxel([i, j, k], _) => {
            causes.extend([
                (holds([i, j, k]), "mm instead of a voxel index (columns x_mm, y_mm, z_mm)"),
                // Where the fault is k alone, another order of i and j mends nothing.
                (!holds_index([i, j, 0.0]) && holds_index([j, i, k]), "i and j swapped (row before column)"),
                (holds_index([k, j, i]), "the order k, j, i"),
                (holds_index([i - 1.0, j - 1.0, k - 1.0]), "indices counted from 1 (column `index_base`: 1)"),
            ]);
        }
        TablePosition::Pixel([i, j]) => {
            let Some(annotation) = row.resolve(series) else { return Vec::new() };
            let k = series.affine.to_voxel(annotation.center).0[2];
            let inside = series.holds(series.affine.to_mm(Voxel([j, i, k])));
            causes.push((inside, "i and j swapped (row before column)"));
        }
    }
    causes.into_iter().filter(|(fits, _)| *fits).take(3).map(|(_, cause)| cause.to_owned()).collect()
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
