//! Why an instance of a server was not kept.
//!
//! Invariant: the codes are stable; faults of a file have the codes of the quarantine, and those here are said of a server.

use mtids_dicom::ReasonCode;
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

/// A reason that lies with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum FetchReason {
    /// Listed, and not there when it was asked for.
    NotOnServer,
    /// The server refuses to send it.
    NotDelivered,
    /// What came is no answer of DICOMweb.
    InvalidAnswer,
    /// What came is another instance.
    OtherInstance,
    /// Its pixels show text, and it was to be pseudonymised.
    BurnedInAnnotation,
    /// It is a picture of a screen, and it was to be pseudonymised.
    ScreenImage,
    /// It is of a class that is not pseudonymised.
    ClassNotPseudonymised,
}

impl FetchReason {
    /// The code as written in files.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What was found, what it means, and what to do.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NotOnServer => {
                "The server listed the instance, and did not have it when it was asked for. It was removed meanwhile, or its index is out of \
                 date. Fetch again; if it stays, repair the server's index."
            }
            Self::NotDelivered => {
                "The server refuses to send the instance, fails at it (5xx), or cuts it each time. Often its file is damaged, or it cannot be sent as it \
                 is stored, or this account may not see it (403). The log has the HTTP status. Look at the server's log, at its settings of transfer \
                 syntaxes and at the rights of the account, and fetch again."
            }
            Self::InvalidAnswer => {
                "What came is neither a DICOM object nor one part of multipart content. A proxy may have put a page of its own in its place. \
                 Look at the address and at the log."
            }
            Self::OtherInstance => {
                "The object that came bears another StudyInstanceUID or SOPInstanceUID than the one that was asked for, or none. The server's \
                 index and its files disagree. It was not kept; repair the server's index."
            }
            Self::BurnedInAnnotation => {
                "With --pseudonymise: the object says that text is burned into its pixels, or an overlay lies in their upper bits. A name may stand \
                 there, and pixels are not changed. It was not kept."
            }
            Self::ScreenImage => {
                "With --pseudonymise: ImageType or ConversionType says that it is a scout, a reformatted, dose or screen image, or a secondary \
                 capture. Such images often show names, and no build uses them. It was not kept."
            }
            Self::ClassNotPseudonymised => {
                "With --pseudonymise: the object is neither CT, PET, one of their enhanced classes, SEG nor RTSTRUCT. Reports and documents hold \
                 free text, and other classes are not read by a build. It was not kept; --modality leaves such series out."
            }
        }
    }
}

/// Whether a fault of a file means that it did not come as an object. Other faults are the build's to judge: it sets such a file aside under its
/// reason, as it does with a file that came in another way.
pub(super) fn is_no_object(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::Empty
            | ReasonCode::NotDicom
            | ReasonCode::Truncated
            | ReasonCode::TooDeep
            | ReasonCode::TooLarge
            | ReasonCode::Unreadable
    )
}
