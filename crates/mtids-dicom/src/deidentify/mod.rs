//! An object without the person in it: rewritten by an allowlist, in memory.
//!
//! Purpose: what comes from a server may have to be pseudonymised before it reaches a disk. [`Deidentifier::rewrite`] makes a new object of the
//! attributes in `allowed.rs`, and of the bytes of the pixels as they are. Method: identities become keyed pseudonyms
//! ([`mtids_domain::pseudonym`]), UIDs `2.25.<number of one>`, dates move back by a number of days that is the same for all of one patient.
//! Invariants: the same key and bytes give the same bytes; one UID becomes the same one in every object; no text of the object is written
//! unless a row of the table keeps its kind; pixels are not converted, so what is drawn in them, or stands in comments of a compressed
//! codestream, stays. Units: days, bytes.

mod allowed;
mod encode;
mod labels;
mod refusal;
mod rewrite;
mod uid;
mod values;

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::pseudonym::PseudonymSecret;

use crate::dataset::{Elements, elements_of};
use crate::element::{integer, text};
use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;
use crate::prescan::scan_bytes;
use crate::prescan::skeleton::PixelPlace;
pub use refusal::DeidentifyError;
use rewrite::Rewrite;
use uid::pseudonym_uid;

/// Most days by which dates are moved back.
const MOST_DAYS: u32 = 3650;

/// A rewritten object.
#[derive(Clone, Debug)]
pub struct Deidentified<'a> {
    /// Everything before the pixels.
    head: Vec<u8>,
    /// The element of pixel data, as it was.
    pixels: Option<std::borrow::Cow<'a, [u8]>>,
    /// What ends it.
    tail: &'static [u8],
    /// UIDs that were replaced, and by what.
    pub uids: BTreeMap<String, String>,
}

impl Deidentified<'_> {
    /// Writes it as a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        out.write_all(&self.head)?;
        out.write_all(self.pixels.as_deref().unwrap_or_default())?;
        out.write_all(self.tail)
    }

    /// As one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.head, self.pixels.as_deref().unwrap_or_default(), self.tail].concat()
    }
}

/// Rewrites objects with one key.
#[derive(Clone, Debug)]
pub struct Deidentifier {
    secret: PseudonymSecret,
}

impl Deidentifier {
    /// With the project's key.
    pub fn new(secret: PseudonymSecret) -> Self {
        Self { secret }
    }

    /// The UID that stands in place of one.
    pub fn uid(&self, uid: &str) -> String {
        pseudonym_uid(&self.secret, uid.trim())
    }

    /// Tells which key it is, without telling the key.
    pub fn fingerprint(&self) -> String {
        self.secret.fingerprint()
    }

    /// A pseudonym of anything else that must be compared.
    pub fn other(&self, domain: &str, text: &str) -> String {
        self.secret.other(domain, text)
    }

    /// Rewrites an object of the file `bytes`, which errors call `name`.
    ///
    /// # Errors
    /// [`DeidentifyError`] where it is not to be stored in any form.
    pub fn rewrite<'a>(
        &self,
        name: &Path,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Deidentified<'a>, DeidentifyError> {
        catch_unwind(AssertUnwindSafe(|| self.rewritten(name, bytes, limits))).unwrap_or_else(|_| {
            let detail = "the reader failed on this object; that is a defect of mtids, please report it";
            Err(DeidentifyError::unreadable(name, detail.into()))
        })
    }

    fn rewritten<'a>(
        &self,
        name: &Path,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Deidentified<'a>, DeidentifyError> {
        let refuse = |reason, detail: &str| DeidentifyError::from(DicomError::file(name, reason, detail));
        let skeleton = scan_bytes(name, bytes, limits)?;
        let object = elements_of(name, &skeleton, &mut Cursor::new(bytes), limits, Elements::All)?;
        let class = refusal::accepted_class(&object, skeleton.sop_class_uid.as_deref())?;
        let Some(syntax) = values::standard_uid(&skeleton.transfer_syntax) else {
            return Err(refuse(ReasonCode::UnsupportedTransferSyntax, "a private transfer syntax"));
        };
        let patient = text(&object, tags::PATIENT_ID).ok_or_else(|| {
            refuse(ReasonCode::NoPatient, "PatientID is missing, so there is nothing to make a pseudonym of")
        })?;
        for (tag, uid) in [
            (tags::STUDY_INSTANCE_UID, "StudyInstanceUID"),
            (tags::SERIES_INSTANCE_UID, "SeriesInstanceUID"),
            (tags::SOP_INSTANCE_UID, "SOPInstanceUID"),
        ] {
            if text(&object, tag).is_none() {
                return Err(refuse(ReasonCode::NoIdentity, &format!("{uid} is missing")));
            }
        }
        let is_pet = [
            uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
            uids::ENHANCED_PET_IMAGE_STORAGE,
            uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE,
        ]
        .contains(&class.as_str());
        let mut rewrite = Rewrite {
            secret: &self.secret,
            patient: self.secret.patient(&patient).to_string(),
            days: days_of(&self.secret, &patient),
            is_pet,
            uids: BTreeMap::new(),
        };
        let mut new = rewrite.item(&object);
        encode::put_statement(&mut new);
        let head = encode::head(&new, &class, &syntax).map_err(|detail| DeidentifyError::unreadable(name, detail))?;
        let (range, tail) = match (skeleton.pixels_at, &skeleton.pixels) {
            (Some(at), Some(place)) => {
                let (end, tail) = pixels_end(place)
                    .ok_or_else(|| refuse(ReasonCode::Unreadable, "encapsulated pixel data without a fragment"))?;
                (Some(at as usize..end as usize), tail)
            }
            _ => (None, &[][..]),
        };
        // The scan has checked that the range lies in the file, or in what was inflated of it.
        let mut pixels = range.map(|range: Range<usize>| match &skeleton.inflated {
            Some(inflated) => std::borrow::Cow::Owned(inflated[range].to_vec()),
            None => std::borrow::Cow::Borrowed(&bytes[range]),
        });
        // Nobody knows what a program has left behind the last pixel.
        let excess = skeleton.pixels.as_ref().map_or(0, |place| excess_bytes(&object, place));
        if let Some(pixels) = pixels.as_mut().filter(|_| excess > 0) {
            let begin = pixels.len().saturating_sub(excess);
            pixels.to_mut()[begin..].fill(0);
        }
        Ok(Deidentified { head, pixels, tail, uids: rewrite.uids })
    }
}

/// Where the last byte of the pixels is, and what has to follow: whatever stands behind the last fragment is not copied.
fn pixels_end(place: &PixelPlace) -> Option<(u64, &'static [u8])> {
    match place {
        PixelPlace::Native { bytes, .. } => Some((bytes.end, &[])),
        PixelPlace::Encapsulated { fragments, .. } => {
            Some((fragments.last()?.end, &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]))
        }
    }
}

/// Bytes of native pixel data behind its last pixel; none where the header does not say where that is, or says that whole frames stand behind it.
fn excess_bytes(object: &InMemDicomObject, place: &PixelPlace) -> usize {
    let PixelPlace::Native { bytes, .. } = place else { return 0 };
    let or_one =
        |tag| if object.get(tag).is_some() { integer(object, tag).map(|number| number.max(1)) } else { Some(1) };
    let of_frame = [
        integer(object, tags::ROWS),
        integer(object, tags::COLUMNS),
        integer(object, tags::BITS_ALLOCATED).filter(|bits| bits % 8 == 0).map(|bits| bits / 8),
        or_one(tags::SAMPLES_PER_PIXEL),
    ];
    let frame = of_frame.into_iter().try_fold(1_u64, |product, size| product.checked_mul(size?.into()));
    let needed = frame.zip(or_one(tags::NUMBER_OF_FRAMES)).and_then(|(frame, frames)| frame.checked_mul(frames.into()));
    let excess = needed.map_or(0, |needed| (bytes.end - bytes.start).saturating_sub(needed));
    usize::try_from(excess).ok().filter(|excess| frame.is_some_and(|frame| (*excess as u64) < frame)).unwrap_or(0)
}

/// Days by which all dates of a patient are moved back, 1 to [`MOST_DAYS`].
fn days_of(secret: &PseudonymSecret, patient: &str) -> i32 {
    let drawn = secret.other("deidentified-days", patient);
    let number = u32::from_str_radix(&drawn[..8], 16).unwrap_or_default();
    (number % MOST_DAYS + 1).cast_signed()
}
