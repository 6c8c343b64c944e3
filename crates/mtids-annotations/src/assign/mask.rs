//! The series of a mask file, which names no image: by a UID in its name, else by its grid.
//!
//! Invariants: the coordinates of one patient's chest are those of another's, so a grid counts only where one patient has it, refused images
//! included; what a name says of a patient is never contradicted without a word, and refused where a grid does not settle it. Units: LPS mm.

use std::collections::BTreeSet;
use std::path::Path;

use super::mask_grid::{
    apart_mm, has_grid, has_same_corners, is_displaced, is_identity, is_turned, oddity, turned_grid,
};
use super::names::{NamedPatients, Names, is_weak, is_whole_uid, listed};
use super::{Chosen, NoImage, SeriesIndex};
use crate::geometry::{RefusedImage, SeriesGeometry, grid_corners};
use crate::label_grid::MaskFile;
use crate::reject::RejectReason;

impl SeriesIndex<'_> {
    /// The series of a mask file.
    ///
    /// # Errors
    /// [`NoImage`] with the likely cause.
    pub fn assign_mask_file(&self, path: &Path, mask: &MaskFile) -> Result<Chosen, NoImage> {
        let chosen = self.series_of_mask(path, mask)?;
        let series = &self.list[chosen.series];
        match mask.contradicting {
            // The grid of the CT decides.
            Some(other) if !has_grid(series, mask) || has_same_corners(series, other, mask) => {
                let pairs =
                    grid_corners(&mask.affine, mask.dimensions).into_iter().zip(grid_corners(&other, mask.dimensions));
                let mm = pairs.map(|(a, b)| a.distance(b)).fold(0.0, f64::max);
                let detail = format!(
                    "its sform and its qform place voxels up to {mm:.1} mm apart, and the grid of series {} does not tell which is right; write it \
                     again with one of them",
                    series.name()
                );
                Err(NoImage::new(RejectReason::NoImageOfThisGrid, detail))
            }
            _ => Ok(chosen),
        }
    }

    fn series_of_mask(&self, path: &Path, mask: &MaskFile) -> Result<Chosen, NoImage> {
        let names = Names::of(path);
        // So a mask on a grid of its own (resampled, cropped) says whose it is.
        let by_uid: BTreeSet<usize> = names.uids.iter().flat_map(|uid| self.of_series(uid).iter().copied()).collect();
        if let [series] = *Vec::from_iter(&by_uid) {
            return self.named_series(&names, mask, *series);
        }
        if let Some(image) = names.uids.iter().find_map(|uid| self.refused(Some(uid), None)) {
            let detail = format!("its series {} is here and was refused: {}", image.series_uid, image.reason);
            return Err(NoImage::new(RejectReason::ImageRefused, detail));
        }
        let mut fitting: Vec<usize> = (0..self.list.len()).filter(|&n| has_grid(&self.list[n], mask)).collect();
        let of_uids = self.of_other_uids(&names);
        if !of_uids.is_empty() {
            let all = fitting.clone();
            fitting.retain(|n| of_uids.contains(n));
            if let (true, Some(&other), Some(&meant)) = (fitting.is_empty(), all.first(), of_uids.first()) {
                let (other, meant) = (&self.list[other], &self.list[meant]);
                let reason = match self.is_same_person(other.patient_id, meant.patient_id) {
                    true => RejectReason::NoImageOfThisGrid,
                    false => RejectReason::OtherPatient,
                };
                let detail = format!(
                    "its file name has a UID of the study, the frame of reference or a slice of series {} (patient {}), and its grid is that of series {} \
                     (patient {}); put the SeriesInstanceUID into its name",
                    meant.name(),
                    meant.patient_id,
                    other.name(),
                    other.patient_id
                );
                return Err(NoImage::new(reason, detail));
            }
        }
        let patients = self.patients_in(&names);
        let named = patients.all();
        if !named.is_empty() {
            let all = fitting.clone();
            fitting.retain(|&n| named.contains(self.people.canonical(self.list[n].patient_id)));
            if let (true, Some(&other)) = (fitting.is_empty(), all.first()) {
                let detail = format!(
                    "its name speaks of patient {}, and its grid is that of series {} of patient {}; put the SeriesInstanceUID into its name",
                    listed(&named),
                    self.list[other].series_uid,
                    self.list[other].patient_id
                );
                return Err(NoImage::new(RejectReason::OtherPatient, detail));
            }
        }
        let beside = self.folder_of_another(&patients, &fitting)?;
        let patients: BTreeSet<&str> =
            fitting.iter().map(|&n| self.people.canonical(self.list[n].patient_id)).collect();
        if patients.len() > 1 {
            let detail = format!(
                "images of {} patients have its grid; put the SeriesInstanceUID or the PatientID into its file name",
                patients.len()
            );
            return Err(NoImage::new(RejectReason::SeveralImages, detail));
        }
        if named.is_empty()
            && let Some(&at) = fitting.first()
            && let Some(image) = self.refused_like(&self.list[at])
        {
            let detail = format!(
                "series {} has its grid, but so may series {} of another patient, which was refused ({}); put the SeriesInstanceUID \
                 into its file name",
                self.list[at].series_uid, image.series_uid, image.reason
            );
            return Err(NoImage::new(RejectReason::SeveralImages, detail));
        }
        let chosen = self.choose(&fitting)?.ok_or_else(|| self.no_grid(mask))?;
        let series = self.list[chosen.series].name();
        let twin = self.refused_twin(&self.list[chosen.series]).map(|image| {
            format!(
                "placed by its grid, in series {series}, while series {} of the same study was refused ({}) and may have its grid: make sure on \
                 which it was drawn, and put the SeriesInstanceUID into its file name",
                image.series_uid, image.reason
            )
        });
        let unread = (named.is_empty() && self.unread_files > 0).then(|| {
            format!(
                "placed by its grid alone, in series {series}, while {} files of the data folder could not be read and may be of its image; put \
                 the SeriesInstanceUID into its file name",
                self.unread_files
            )
        });
        let unknown = self.unknown_uid(&names).map(|uid| {
            format!(
                "its file name has UID {uid}, which is of no image here; placed by its grid, in series {series}: make sure that it was drawn there"
            )
        });
        let patient = self.list[chosen.series].patient_id;
        let alike = named
            .is_empty()
            .then(|| self.patients_like(&names))
            .filter(|alike| !alike.is_empty() && !alike.contains(self.people.canonical(patient)));
        let alike = alike.map(|alike| {
            format!(
                "its name reads like patient {}; placed by its grid, in series {series} of patient {patient}: make sure that it was drawn there",
                alike.into_iter().collect::<Vec<_>>().join(" or ")
            )
        });
        let warnings = [chosen.warning, twin, unread, unknown, alike, beside];
        Ok(Chosen { warning: joined(warnings), ..chosen })
    }

    /// The series whose UID stands in the name of a file.
    ///
    /// # Errors
    /// [`NoImage`] where the names or the grid are those of another patient, or the grid cannot be that of a mask drawn on the series.
    fn named_series(&self, names: &Names, mask: &MaskFile, number: usize) -> Result<Chosen, NoImage> {
        let series = &self.list[number];
        let refuse = |reason, what: &str| {
            let detail = format!("its file name is that of its series, and its grid is not: {what}");
            Err(NoImage::new(reason, detail))
        };
        let beside = self.name_of_another(names, mask, number)?;
        if has_grid(series, mask) {
            return Ok(Chosen { series: number, warning: beside });
        }
        let has_its_grid = |other: &&SeriesGeometry<'_>| has_grid(other, mask);
        let is_other_person = |other: &&SeriesGeometry<'_>| !self.is_same_person(other.patient_id, series.patient_id);
        if let Some(other) = self.list.iter().filter(is_other_person).find(has_its_grid) {
            let what =
                format!("it is that of series {} of patient {}; which is meant?", other.name(), other.patient_id);
            return refuse(RejectReason::OtherPatient, &what);
        }
        if is_turned(series, mask) {
            return refuse(RejectReason::NoImageOfThisGrid, &turned_grid(series));
        }
        // Series of one frame of reference share their coordinates.
        let is_elsewhere = |other: &&SeriesGeometry<'_>| {
            let frames = [other.frame_of_reference_uid, series.frame_of_reference_uid];
            frames[0].is_none() || frames[0] != frames[1]
        };
        // Of two affines that contradict each other the caller judges.
        let is_displaced = mask.contradicting.is_none() && is_displaced(series, mask);
        let others = || self.list.iter().filter(has_its_grid);
        if let Some(other) = others().find(|other| is_displaced || is_elsewhere(other)) {
            let what = format!("it is that of series {}; which is meant?", other.name());
            return refuse(RejectReason::NoImageOfThisGrid, &what);
        }
        if is_displaced {
            let what = format!(
                "it has as many voxels, and its corners lie up to {:.1} mm away, so its program wrote another affine than the CT has; a mask \
                 that was resampled or cropped has other sides",
                apart_mm(series, &grid_corners(&mask.affine, mask.dimensions))
            );
            return refuse(RejectReason::NoImageOfThisGrid, &what);
        }
        if is_identity(&mask.affine) {
            let what = "its affine is the identity (voxels of 1 mm from 0), as programs write that lost it; write the affine of the CT, or of the \
                        part of it that the mask shows";
            return refuse(RejectReason::NoImageOfThisGrid, what);
        }
        // On the grid of another series of its frame of reference it lies where it was drawn.
        let odd = others().next().is_none().then(|| oddity(series, mask)).flatten();
        let odd = odd.map(|odd| {
            format!(
                "placed by its affine in series {}, which its name says: {odd}; look at it in a viewer",
                series.name()
            )
        });
        Ok(Chosen { series: number, warning: joined([beside, odd]) })
    }

    /// A sentence where the names of a mask speak of another patient than that of its series, whose UID the file name has.
    ///
    /// # Errors
    /// [`NoImage`] where neither the patient's own id nor a grid of the patient alone stands against it.
    fn name_of_another(&self, names: &Names, mask: &MaskFile, number: usize) -> Result<Option<String>, NoImage> {
        let series = &self.list[number];
        let own = self.people.canonical(series.patient_id);
        let mut others = self.patients_in(names).all();
        let names_own = others.remove(own);
        if others.is_empty() {
            return Ok(None);
        }
        let of_patient = |id: &str, other: &SeriesGeometry<'_>| self.people.canonical(other.patient_id) == id;
        let has_the_grid = |id: &str| self.list.iter().any(|other| of_patient(id, other) && has_grid(other, mask));
        let (is_own_grid, are_weak) = (has_grid(series, mask), others.iter().all(|id| is_weak(id)));
        let is_of_another = others.iter().any(|id| has_the_grid(id) && (!is_own_grid || !is_weak(id)));
        let (uid, patient, others) = (series.name(), series.patient_id, listed(&others));
        if !names_own && (is_of_another || (!is_own_grid && !are_weak)) {
            let detail = format!(
                "its file name has the UID of series {uid} of patient {patient}, and its name or folder speaks of patient {others}; correct one \
                 of them"
            );
            return Err(NoImage::new(RejectReason::OtherPatient, detail));
        }
        // A number may count masks.
        let is_told = !(are_weak && (names_own || is_own_grid));
        Ok(is_told.then(|| {
            format!(
                "its name or folder speaks of patient {others} too; placed in series {uid} of patient {patient}, whose UID the file name has: \
                 make sure that it was drawn there"
            )
        }))
    }

    /// A sentence where the folder of a mask speaks of another patient than the file, and the grid agrees with one of them.
    ///
    /// # Errors
    /// [`NoImage`] where the grid is that of the patient of the folder.
    fn folder_of_another(&self, patients: &NamedPatients<'_>, fitting: &[usize]) -> Result<Option<String>, NoImage> {
        let Some(&first) = fitting.first().filter(|_| patients.contradict()) else { return Ok(None) };
        let patient_of = |n: usize| self.people.canonical(self.list[n].patient_id);
        let is_of_file = fitting.iter().any(|&n| patients.file.contains(patient_of(n)));
        let (file, folder) = (listed(&patients.file), listed(&patients.folder));
        let series = self.list[first].name();
        // A number may count masks.
        if !is_of_file && !patients.file.iter().all(|id| is_weak(id)) {
            let detail = format!(
                "its file name speaks of patient {file}, its folder of patient {folder}, and its grid is that of series {series} of patient {}; \
                 correct one of them",
                self.list[first].patient_id
            );
            return Err(NoImage::new(RejectReason::OtherPatient, detail));
        }
        let is_told = !is_of_file || !patients.folder.iter().all(|id| is_weak(id));
        Ok(is_told.then(|| {
            format!(
                "its file name speaks of patient {file}, and its folder of patient {folder}; placed by its grid, in series {series} of patient \
                 {}: make sure that it was drawn there",
                self.list[first].patient_id
            )
        }))
    }

    /// The series whose study, frame of reference or slice has its UID in a name.
    fn of_other_uids(&self, names: &Names) -> BTreeSet<usize> {
        let of = |uid: &String| [self.of_study(uid), self.of_frame(uid), self.of_slice(uid)].concat();
        names.uids.iter().filter(|uid| is_whole_uid(uid)).flat_map(of).collect()
    }

    /// A refused image of another patient, whose slices lie as those of a series.
    fn refused_like(&self, series: &SeriesGeometry<'_>) -> Option<&RefusedImage> {
        let in_plane = series.in_plane();
        self.refused.iter().find(|image| {
            !self.is_same_person(&image.patient_id, series.patient_id)
                && image.in_plane.as_ref().is_some_and(|other| in_plane.is_like(other))
                && may_have_as_many_slices(image, series)
        })
    }

    /// A refused image of the same study, whose slices lie as those of a series.
    fn refused_twin(&self, series: &SeriesGeometry<'_>) -> Option<&RefusedImage> {
        let in_plane = series.in_plane();
        self.refused.iter().find(|image| {
            image.study_uid == series.study_uid
                && image.in_plane.as_ref().is_some_and(|other| in_plane.is_like(other))
                && may_have_as_many_slices(image, series)
        })
    }

    /// Why no series has the grid of a mask.
    fn no_grid(&self, mask: &MaskFile) -> NoImage {
        let detail = |hint: String| {
            format!(
                "its file name has no SeriesInstanceUID of a series here, and no CT here has its grid ({} voxels); {hint}",
                mask.dimensions.map(|side| side.to_string()).join(" × ")
            )
        };
        let corners = grid_corners(&mask.affine, mask.dimensions);
        if let Some(series) = self.list.iter().find(|series| is_turned(series, mask)) {
            return NoImage::new(RejectReason::NoImageOfThisGrid, detail(turned_grid(series)));
        }
        // The series whose corners lie nearest, each corner compared with the nearest of the mask.
        let apart = |series| (apart_mm(series, &corners), series);
        let nearest = self.list.iter().map(apart).min_by(|a, b| a.0.total_cmp(&b.0));
        let hint = match nearest {
            None => "no CT here can be used".to_owned(),
            Some((mm, series)) => format!(
                "the nearest is that of series {} ({}), whose corners lie up to {mm:.1} mm away; write the mask on the grid of its CT, or \
                 put the SeriesInstanceUID into its file name",
                series.series_uid,
                series.dimensions.map(|side| side.to_string()).join(" × ")
            ),
        };
        NoImage::new(RejectReason::NoImageOfThisGrid, detail(hint))
    }
}

/// Warnings as one.
fn joined(warnings: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let warnings: Vec<String> = warnings.into_iter().flatten().collect();
    (!warnings.is_empty()).then(|| warnings.join("; "))
}

/// Whether a refused image may have had the slices of a series: some of its own may be missing, and not most. A few slices of a monitoring scan are
/// no image that a mask was drawn on.
fn may_have_as_many_slices(image: &RefusedImage, series: &SeriesGeometry<'_>) -> bool {
    image.slices.is_empty() || 2 * image.slices.len() > series.dimensions[2]
}
