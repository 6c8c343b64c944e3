//! Objects that a rejection note takes back leave a scan before anything looks at them.
//!
//! Invariants: a file is taken back as a whole and has one outcome, which names the note; what speaks of an image that was taken back moves to no
//! other image, so such images are known as refused ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use mtids_annotations::{InPlane, RefusedImage};
use mtids_dicom::{FileOutcome, InstanceHeader, ReasonCode, Refused, RejectionNote};
use mtids_domain::same_person::SamePerson;

use crate::scan::Scan;

/// Notes by the objects that they take back.
struct Notes<'n>(HashMap<&'n str, Vec<&'n RejectionNote>>);

impl<'n> Notes<'n> {
    fn of(notes: &'n [RejectionNote]) -> Self {
        let mut by_instance: HashMap<&str, Vec<&RejectionNote>> = HashMap::new();
        for note in notes {
            note.instances.iter().for_each(|uid| by_instance.entry(uid).or_default().push(note));
        }
        Self(by_instance)
    }

    fn against(&self, sop_instance_uid: &str, patient_id: Option<&str>) -> Option<&'n RejectionNote> {
        let notes = self.0.get(sop_instance_uid)?;
        notes.iter().copied().find(|note| note.rejects(sop_instance_uid, patient_id))
    }
}

impl Scan {
    /// Takes out what notes take back, and says so of each file.
    pub(crate) fn take_back(&mut self, notes: &[RejectionNote]) -> Vec<FileOutcome> {
        let notes = Notes::of(notes);
        let mut refused: BTreeMap<PathBuf, Refused> = BTreeMap::new();
        let mut refuse = |path: &Path, series_uid: Option<&str>, patient_id: Option<&str>, note: &RejectionNote| {
            refused.entry(path.to_owned()).or_insert_with(|| Refused {
                path: path.to_owned(),
                series_uid: series_uid.map(str::to_owned),
                patient_id: patient_id.map(str::to_owned),
                reason: ReasonCode::RejectedByNote,
                detail: note.detail(),
            });
        };
        let images = self.headers.extract_if(.., |header| {
            let note = notes.against(&header.sop_instance_uid, Some(&header.patient_id));
            note.inspect(|note| refuse(&header.path, Some(&header.series_uid), Some(&header.patient_id), note))
                .is_some()
        });
        self.rejected.extend(images);
        let objects = self.objects.extract_if(.., |object| {
            let uid = object.sop_instance_uid.as_deref().unwrap_or_default();
            let note = notes.against(uid, object.patient_id.as_deref());
            note.inspect(|note| refuse(&object.path, None, object.patient_id.as_deref(), note)).is_some()
        });
        let paths: BTreeSet<PathBuf> = objects.map(|object| object.path).collect();
        for list in [&mut self.segmentations, &mut self.structures, &mut self.reports] {
            list.retain(|path| !paths.contains(path));
        }
        refused.into_values().map(FileOutcome::Refused).collect()
    }
}

/// The CT images among headers that were taken back, one for each series.
pub(crate) fn rejected_images(headers: &[InstanceHeader], same: &SamePerson) -> Vec<RefusedImage> {
    let mut images: BTreeMap<(&str, &str, &str), RefusedImage> = BTreeMap::new();
    for header in headers.iter().filter(|header| &*header.modality == "CT") {
        let image =
            images.entry((&header.patient_id, &header.study_uid, &header.series_uid)).or_insert_with(|| RefusedImage {
                patient_id: same.canonical(&header.patient_id).to_owned(),
                study_uid: header.study_uid.as_ref().to_owned(),
                series_uid: header.series_uid.as_ref().to_owned(),
                slices: Vec::new(),
                in_plane: Some(InPlane::of(header)),
                reason: ReasonCode::RejectedByNote,
            });
        image.slices.push(header.sop_instance_uid.clone());
    }
    images.into_values().collect()
}
