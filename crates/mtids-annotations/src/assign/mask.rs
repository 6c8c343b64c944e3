//! The series of a mask file, which names no image: by a UID in its name, else by its grid.
//!
//! Invariants: the coordinates of one patient's chest are those of another's, so a grid counts only where one patient has it, refused images
//! included; a name that speaks of a patient is never contradicted. Units: LPS mm.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_domain::geometry::{Affine, PointMm};

use super::{Chosen, NoImage, SeriesIndex};
use crate::geometry::{RefusedImage, SeriesGeometry, grid_corners};
use crate::label_grid::MaskFile;
use crate::reject::RejectReason;

/// A shorter PatientID may stand in a file name by chance.
const SHORTEST_PATIENT_ID: usize = 3;

/// Shorter runs of digits and dots are dates, times and versions; the UIDs of scanners and archives are longer.
const SHORTEST_UID: usize = 20;

/// What the names of a file and its folder say.
struct Names {
    /// Parts that may be UIDs.
    uids: Vec<String>,
    /// Both names, for ids.
    text: String,
}

impl Names {
    fn of(path: &Path) -> Self {
        let name =
            |part: Option<&std::ffi::OsStr>| part.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = name(path.file_name());
        // A UID that goes on in the name is another one.
        let parts =
            file.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|part| part.trim_matches('.').to_owned());
        let uids = parts.filter(|part| !part.is_empty()).collect();
        let folder = name(path.parent().and_then(Path::file_name));
        Self { uids, text: format!("{folder}/{file}") }
    }

    /// Whether an id stands in a name in another spelling: other capitals, other signs between its words and numbers.
    fn resembles(&self, id: &str) -> bool {
        let (id, text) = (words(id), words(&self.text));
        let has_number = id.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        has_number
            && id.iter().map(String::len).sum::<usize>() >= SHORTEST_PATIENT_ID
            // A number alone may count anything.
            && id.len() > 1
            && text.windows(id.len()).any(|words| words == id)
    }

    /// Whether an id stands in a name with no letter or digit beside it.
    fn has(&self, id: &str) -> bool {
        id.len() >= SHORTEST_PATIENT_ID
            && self.text.match_indices(id).any(|(at, _)| {
                let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
                is_apart(self.text[..at].chars().next_back()) && is_apart(self.text[at + id.len()..].chars().next())
            })
    }
}

/// The words and numbers of a text, in small letters.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for c in text.chars() {
        let kind = if c.is_alphanumeric() { Some(c.is_ascii_digit()) } else { None };
        match (kind, words.last_mut()) {
            (Some(_), Some(word)) if kind == before => word.extend(c.to_lowercase()),
            (Some(_), _) => words.push(c.to_lowercase().collect()),
            (None, _) => {}
        }
        before = kind;
    }
    words
}

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
            let named = &self.list[*series];
            let wrong = match () {
                () if is_turned(named, mask) => turned_grid(named),
                // Of two affines that contradict each other the caller judges.
                () if mask.contradicting.is_none() && is_displaced(named, mask) => format!(
                    "it has as many voxels, and its corners lie up to {:.1} mm away, so its program wrote another affine than the CT has; a mask \
                     that was resampled or cropped has other sides",
                    apart_mm(named, &grid_corners(&mask.affine, mask.dimensions))
                ),
                () => return Ok(Chosen { series: *series, warning: None }),
            };
            let other = self.list.iter().find(|series| has_grid(series, mask));
            let wrong = other.map_or(wrong, |other| format!("it is that of series {}; which is meant?", other.name()));
            let detail = format!("its file name is that of its series, and its grid is not: {wrong}");
            return Err(NoImage::new(RejectReason::NoImageOfThisGrid, detail));
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
        let named = self.patients_in(&names);
        if !named.is_empty() {
            let all = fitting.clone();
            fitting.retain(|&n| named.contains(self.people.canonical(self.list[n].patient_id)));
            if let (true, Some(&other)) = (fitting.is_empty(), all.first()) {
                let detail = format!(
                    "its name speaks of patient {}, and its grid is that of series {} of patient {}; put the SeriesInstanceUID into its name",
                    named.into_iter().collect::<Vec<_>>().join(" and "),
                    self.list[other].series_uid,
                    self.list[other].patient_id
                );
                return Err(NoImage::new(RejectReason::OtherPatient, detail));
            }
        }
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
        let warnings: Vec<String> = [chosen.warning, twin, unread, unknown, alike].into_iter().flatten().collect();
        Ok(Chosen { warning: (!warnings.is_empty()).then(|| warnings.join("; ")), ..chosen })
    }

    /// The series whose study, frame of reference or slice has its UID in a name.
    fn of_other_uids(&self, names: &Names) -> BTreeSet<usize> {
        let of = |uid: &String| [self.of_study(uid), self.of_frame(uid), self.of_slice(uid)].concat();
        names.uids.iter().filter(|uid| is_whole_uid(uid)).flat_map(of).collect()
    }

    /// The patients, by the id that stands for each, whose id a name has in another spelling.
    fn patients_like(&self, names: &Names) -> BTreeSet<&str> {
        let ids = self.list.iter().map(|series| series.patient_id).chain(self.people.ids());
        ids.filter(|id| names.resembles(id)).map(|id| self.people.canonical(id)).collect()
    }

    /// A whole UID in a name that nothing here has: no series, study, frame of reference, slice or patient, refused ones among them.
    fn unknown_uid<'n>(&self, names: &'n Names) -> Option<&'n str> {
        let is_refused = |uid: &str| {
            let mut names =
                self.refused.iter().flat_map(|image| [&image.series_uid, &image.study_uid, &image.patient_id]);
            names.any(|name| name == uid)
        };
        let is_known = |uid: &str| {
            let found = [self.of_series(uid), self.of_study(uid), self.of_frame(uid), self.of_slice(uid)];
            let is_patient =
                self.list.iter().any(|series| series.patient_id == uid) || self.people.ids().any(|id| id == uid);
            found.iter().any(|series| !series.is_empty()) || is_patient || is_refused(uid)
        };
        names.uids.iter().map(String::as_str).find(|uid| is_whole_uid(uid) && !is_known(uid))
    }

    /// The patients, by the id that stands for each, that a file name speaks of.
    fn patients_in(&self, names: &Names) -> BTreeSet<&str> {
        let usable = self.list.iter().map(|series| series.patient_id);
        let refused = self.refused.iter().map(|image| image.patient_id.as_str());
        // Images of one person bear the id that stands for all; a mask may be named by any of them.
        usable
            .chain(refused)
            .chain(self.people.ids())
            .filter(|id| names.has(id))
            .map(|id| self.people.canonical(id))
            .collect()
    }

    /// A refused image of another patient, whose slices lie as those of a series.
    fn refused_like(&self, series: &SeriesGeometry<'_>) -> Option<&RefusedImage> {
        let in_plane = series.in_plane();
        self.refused.iter().find(|image| {
            !self.is_same_person(&image.patient_id, series.patient_id)
                && in_plane.is_like(&image.in_plane)
                && may_have_as_many_slices(image, series)
        })
    }

    /// A refused image of the same study, whose slices lie as those of a series.
    fn refused_twin(&self, series: &SeriesGeometry<'_>) -> Option<&RefusedImage> {
        let in_plane = series.in_plane();
        self.refused.iter().find(|image| {
            image.study_uid == series.study_uid
                && in_plane.is_like(&image.in_plane)
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

/// Whether a refused image may have had the slices of a series: some of its own may be missing, and not most. A few slices of a monitoring scan are
/// no image that a mask was drawn on.
fn may_have_as_many_slices(image: &RefusedImage, series: &SeriesGeometry<'_>) -> bool {
    image.slices.is_empty() || 2 * image.slices.len() > series.dimensions[2]
}

/// Whether digits and dots of a name are a whole UID, and no date or version.
fn is_whole_uid(text: &str) -> bool {
    text.len() >= SHORTEST_UID
        && ["0.", "1.", "2."].iter().any(|root| text.starts_with(root))
        && text.split('.').all(|part| !part.is_empty() && (part == "0" || !part.starts_with('0')))
}

/// Whether a series has the grid of a mask, in whatever order its axes run.
fn has_grid(series: &SeriesGeometry<'_>, mask: &MaskFile) -> bool {
    has_same_corners(series, mask.affine, mask)
}

/// Whether a series would have the grid of a mask with another map.
fn has_same_corners(series: &SeriesGeometry<'_>, affine: Affine, mask: &MaskFile) -> bool {
    have_same_corners(series, &grid_corners(&affine, mask.dimensions), mask)
}

/// Whether a mask has the grid of a series only after the signs of x and y are turned: its program took LPS for RAS, or RAS for LPS.
fn is_turned(series: &SeriesGeometry<'_>, mask: &MaskFile) -> bool {
    let turned = grid_corners(&mask.affine, mask.dimensions).map(|PointMm([x, y, z])| PointMm([-x, -y, z]));
    !has_grid(series, mask) && have_same_corners(series, &turned, mask)
}

/// Whether a mask has the sides of a series and lies elsewhere; one that is off by less than half a voxel is rounded otherwise.
fn is_displaced(series: &SeriesGeometry<'_>, mask: &MaskFile) -> bool {
    let sorted = |mut sides: [usize; 3]| {
        sides.sort_unstable();
        sides
    };
    let half_a_voxel = 0.5 * series.affine.spacing().into_iter().fold(f64::INFINITY, f64::min);
    sorted(series.dimensions) == sorted(mask.dimensions)
        && apart_mm(series, &grid_corners(&mask.affine, mask.dimensions)) > half_a_voxel
}

/// How far the corners of a series lie from the nearest ones of a mask at most, mm.
fn apart_mm(series: &SeriesGeometry<'_>, of_mask: &[PointMm; 8]) -> f64 {
    let nearest = |a: &PointMm| of_mask.iter().map(|b| a.distance(*b)).fold(f64::INFINITY, f64::min);
    series.corners().iter().map(nearest).fold(0.0, f64::max)
}

fn turned_grid(series: &SeriesGeometry<'_>) -> String {
    format!("it would have that of series {} with the signs of x and y turned (RAS, LPS)", series.series_uid)
}

fn have_same_corners(series: &SeriesGeometry<'_>, of_mask: &[PointMm; 8], mask: &MaskFile) -> bool {
    let tolerance = 0.1 * series.affine.spacing().into_iter().fold(f64::INFINITY, f64::min);
    let near = |a: &PointMm, b: &PointMm| a.distance(*b) <= tolerance;
    series.dimensions.iter().product::<usize>() == mask.dimensions.iter().product::<usize>()
        && series.corners().iter().all(|a| of_mask.iter().any(|b| near(a, b)))
}
