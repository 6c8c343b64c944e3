//! Keyed pseudonyms: the only form in which an identity leaves the preprocessing program.
//!
//! Purpose: the same patient maps to one pseudonym across runs of a project, and nobody without the project's secret can
//! find the patient by trying identifiers. Method: BLAKE3 in its keyed mode (a MAC), one domain per kind of identity,
//! 128 bits kept. Invariants: the key is never stored beside the data; a patient key never equals a study or series key
//! of the same text.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::person::folded_id;

/// A project's secret.
#[derive(Clone)]
pub struct PseudonymSecret([u8; 32]);

/// Why no secret could be made.
#[derive(Debug, thiserror::Error)]
pub enum PseudonymError {
    /// The key file cannot be read.
    #[error(
        "cannot read the pseudonym key file {path}: {source}; create one with at least 32 random bytes, outside the data set"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Too little to be a secret.
    #[error("the pseudonym key has {0} bytes; at least 16 are needed")]
    Short(usize),
}

impl PseudonymSecret {
    /// A secret from any text or bytes of at least 16 bytes; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`PseudonymError::Short`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PseudonymError> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < 16 {
            return Err(PseudonymError::Short(bytes.len()));
        }
        Ok(Self(blake3::derive_key("mtids 2026-11 pseudonym secret", bytes)))
    }

    /// A secret from a file.
    ///
    /// # Errors
    /// [`PseudonymError`] when the file cannot be read or is too short.
    pub fn from_file(path: &Path) -> Result<Self, PseudonymError> {
        let bytes = std::fs::read(path)
            .map_err(|source| PseudonymError::Unreadable { path: path.display().to_string(), source })?;
        Self::from_bytes(&bytes)
    }

    /// A public fingerprint, to tell whether two data sets used the same secret.
    pub fn fingerprint(&self) -> String {
        self.pseudonym_of("fingerprint", "")
    }

    /// Pseudonym of a patient.
    pub fn patient(&self, raw: &str) -> PatientKey {
        PatientKey(self.pseudonym_of("patient", raw.trim()))
    }

    /// Pseudonym of a patient's id under any spelling: ids that differ by case, blanks at their ends or width alone have one.
    pub fn folded_patient(&self, raw: &str) -> FoldedPatientKey {
        FoldedPatientKey(self.pseudonym_of("folded-patient", &folded_id(raw)))
    }

    /// Pseudonym of a site by its name, under any spelling.
    pub fn site(&self, raw: &str) -> String {
        self.pseudonym_of("site", &folded_id(raw))
    }

    /// Pseudonym of a study.
    pub fn study(&self, raw: &str) -> StudyKey {
        StudyKey(self.pseudonym_of("study", raw.trim()))
    }

    /// Pseudonym of a series.
    pub fn series(&self, raw: &str) -> SeriesKey {
        SeriesKey(self.pseudonym_of("series", raw.trim()))
    }

    /// Pseudonym of a frame of reference.
    pub fn frame_of_reference(&self, raw: &str) -> FrameOfReferenceKey {
        FrameOfReferenceKey(self.pseudonym_of("frame-of-reference", raw.trim()))
    }

    /// Pseudonym of a SOP instance.
    pub fn instance(&self, raw: &str) -> InstanceKey {
        InstanceKey(self.pseudonym_of("instance", raw.trim()))
    }

    /// Pseudonym of anything else that must be referred to (a refused file, for one).
    pub fn other(&self, domain: &str, raw: &str) -> String {
        self.pseudonym_of(domain, raw)
    }

    fn pseudonym_of(&self, domain: &str, raw: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(domain.len() as u64).to_le_bytes());
        hasher.update(domain.as_bytes());
        hasher.update(raw.as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

impl fmt::Debug for PseudonymSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymSecret(..)")
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// 32 hexadecimal digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A key read back from a data set.
            pub fn from_stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

key!(
    /// Pseudonym of a patient.
    PatientKey
);
key!(
    /// Pseudonym of a patient's id under any spelling.
    FoldedPatientKey
);
key!(
    /// Pseudonym of a study.
    StudyKey
);
key!(
    /// Pseudonym of a series.
    SeriesKey
);
key!(
    /// Pseudonym of a frame of reference: the coordinate system that series of one examination share.
    FrameOfReferenceKey
);
key!(
    /// Pseudonym of a SOP instance: one image file.
    InstanceKey
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_secret_domain_and_text() {
        let secret = PseudonymSecret::from_bytes(b"sixteen bytes ok").unwrap();
        let other = PseudonymSecret::from_bytes(b"sixteen bytes no").unwrap();
        assert_eq!(secret.patient("P1 "), secret.patient("P1"));
        assert_ne!(secret.patient("P1").as_str(), secret.study("P1").as_str());
        assert_ne!(secret.instance("P1").as_str(), secret.frame_of_reference("P1").as_str());
        assert_ne!(secret.patient("P1"), other.patient("P1"));
        assert_eq!(secret.folded_patient(" p1"), secret.folded_patient("P1"));
        assert_ne!(secret.folded_patient("P1").as_str(), secret.patient("P1").as_str());
        assert_ne!(secret.site("A"), secret.site("B"));
        assert_eq!(secret.patient("P1").as_str().len(), 32);
        assert!(!format!("{secret:?}").contains("sixteen"));
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(matches!(PseudonymSecret::from_bytes(b" short "), Err(PseudonymError::Short(5))));
    }
}
